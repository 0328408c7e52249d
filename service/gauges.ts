// The gauges of a task, each from the snapshot of its state at the time that it is reported.

import { type HealthSnapshot, healthReport } from './health.ts';
import type { Metrics } from './metrics.ts';
import { shardsWaiting } from './shards-waiting.ts';

export function declareGauges(
  metrics: Metrics,
  snapshot: () => HealthSnapshot,
  depths: { readonly depths: ReadonlyMap<string, number> },
  information: { readonly latest: { readonly shards: number } | undefined },
): void {
  metrics.gauge('outboxEvents', () => snapshot().outbox.events);
  metrics.gauge('outboxBytes', () => snapshot().outbox.bytes);
  metrics.gauge('outboxUsed', () => snapshot().outbox.usedPercent);
  metrics.gauge('shardsAssigned', () => snapshot().shards.length);
  metrics.gauge('shardsConnected', () => snapshot().shards.filter(({ connected }) => connected).length);
  metrics.gauge('shardsConfigured', () => snapshot().shardCount ?? Number.NaN);
  metrics.gauge('shardsWaiting', () => shardsWaiting(snapshot()));
  metrics.gauge('shardsMissing', () => snapshot().shards.filter(({ connected }) => !connected).length);
  metrics.gauge('shardsUnderprovisioned', () =>
    Math.max(0, (information.latest?.shards ?? 0) - (snapshot().shardCount ?? 0)),
  );
  metrics.gauge('gatewayLatency', () => healthReport(snapshot()).checks.discord.latency ?? Number.NaN);
  metrics.gauge('identifiesRemaining', () => snapshot().identifies.remaining ?? Number.NaN);
  metrics.gauge('brokerConnected', () => Number(snapshot().broker.channelOpen));
  metrics.gauge('brokerBlocked', () => Number(snapshot().broker.blocked));
  metrics.gauge('standby', () => Number(snapshot().role === 'standby'));
  metrics.gauge('heapUsed', () => (100 * snapshot().memory.heapUsed) / snapshot().memory.heapLimit);
  metrics.gauge('residentMemory', () => snapshot().memory.rss);
  metrics.gauge('queueDepth', () => depths.depths);
}
