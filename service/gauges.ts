// The gauges of a task, each computed from the snapshot of its state when the metrics are read.

import { type HealthSnapshot, healthReport } from './health.ts';
import type { GaugeName, GaugeValue, Metrics } from './metrics.ts';
import { shardsWaiting } from './shards-waiting.ts';

export function declareGauges(
  metrics: Metrics,
  snapshot: () => HealthSnapshot,
  queues: { readonly depths: ReadonlyMap<string, number> },
  information: { readonly latest: { readonly shards: number } | undefined; readonly invalidRequests: number },
): void {
  const gauges: Record<GaugeName, (now: HealthSnapshot) => GaugeValue> = {
    outboxEvents: ({ outbox }) => outbox.events,
    outboxBytes: ({ outbox }) => outbox.bytes,
    outboxUsed: ({ outbox }) => outbox.usedPercent,
    shardsAssigned: ({ shards }) => shards.length,
    shardsConnected: ({ shards }) => shards.filter(({ connected }) => connected).length,
    shardsConfigured: ({ shardCount }) => shardCount ?? Number.NaN,
    shardsWaiting,
    shardsMissing: ({ shards }) => shards.filter(({ connected }) => !connected).length,
    shardsUnderprovisioned: ({ shardCount = 0 }) => Math.max(0, (information.latest?.shards ?? 0) - shardCount),
    gatewayLatency: (now) => healthReport(now).checks.discord.latency ?? Number.NaN,
    identifiesRemaining: ({ identifies }) => identifies.remaining ?? Number.NaN,
    invalidRequests: () => information.invalidRequests,
    brokerConnected: ({ broker }) => Number(broker.channelOpen),
    brokerBlocked: ({ broker }) => Number(broker.blocked),
    standby: ({ role }) => Number(role === 'standby'),
    heapUsed: ({ memory }) => (100 * memory.heapUsed) / memory.heapLimit,
    residentMemory: ({ memory }) => memory.rss,
    queueDepth: () => queues.depths,
  };
  for (const name of Object.keys(gauges) as GaugeName[]) metrics.gauge(name, () => gauges[name](snapshot()));
}
