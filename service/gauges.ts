// The gauges of a task, computed from one snapshot of its state when the metrics are read. One that cannot be computed has
// no value, which is logged; the others stand.

import type { QueueDepths } from './amqp/queue-depths.ts';
import type { GatewayInformation } from './gateway/gateway-information.ts';
import { type HealthSnapshot, latencyOf } from './health.ts';
import type { Log } from './log.ts';
import type { GaugeName, GaugeValue, Metrics } from './metrics.ts';
import { OutageLog } from './outage-log.ts';
import { shardsWaiting } from './shards-waiting.ts';

export function declareGauges(
  metrics: Metrics,
  snapshot: () => HealthSnapshot,
  queues: Pick<QueueDepths, 'depths' | 'consumers'>,
  information: Pick<GatewayInformation, 'invalidRequests' | 'problem'> & {
    readonly latest: { readonly shards: number } | undefined;
  },
  log: Log,
): void {
  const gauges: Record<GaugeName, (now: HealthSnapshot) => GaugeValue> = {
    outboxEvents: ({ outbox }) => outbox.events,
    outboxBytes: ({ outbox }) => outbox.bytes,
    outboxUsed: ({ outbox }) => outbox.usedPercent,
    oldestUnconfirmed: ({ broker }) => Math.max(broker.oldestUnconfirmedMs, broker.unprovenMs) / 1_000,
    shardsAssigned: ({ shards }) => shards.length,
    shardsConnected: ({ shards }) => shards.filter(({ connected }) => connected).length,
    shardsConfigured: ({ shardCount }) => shardCount ?? Number.NaN,
    shardsWaiting,
    shardsMissing: ({ shards }) => shards.filter(({ connected }) => !connected).length,
    shardsUnderprovisioned: ({ shardCount = Number.NaN }) =>
      Math.max(0, (information.latest?.shards ?? Number.NaN) - shardCount),
    gatewayLatency: ({ shards }) => latencyOf(shards) ?? Number.NaN,
    identifiesRemaining: ({ identifies }) => identifies.remaining ?? Number.NaN,
    invalidRequests: () => information.invalidRequests,
    restUnanswered: () => Number(information.problem !== undefined),
    brokerConnected: ({ broker }) => Number(broker.connected && broker.channelOpen),
    brokerBlocked: ({ broker }) => Number(broker.blocked),
    standby: ({ role, lease }) => Number(role === 'standby' && lease.ready === true),
    heapUsed: ({ memory }) => (100 * memory.heapUsed) / memory.heapLimit,
    residentMemory: ({ memory }) => memory.rss,
    queueDepth: () => queues.depths,
    queueConsumers: () => queues.consumers,
  };
  const failures = new OutageLog(log, 'error', 'cannot compute a metric: it has no value');
  metrics.gauges(() => {
    const values = new Map<GaugeName, GaugeValue>();
    const now = snapshot();
    for (const name of Object.keys(gauges) as GaugeName[]) {
      try {
        values.set(name, gauges[name](now));
      } catch (err) {
        failures.failed(err, { metric: name });
      }
    }
    return values;
  });
}
