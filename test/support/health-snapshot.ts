// What a healthy task reports about itself: tests change one field of it at a time.

import type { HealthSnapshot } from '../../service/health.ts';

export const NOW = Date.UTC(2026, 10, 23, 22, 0, 0);
export const MIB = 1024 * 1024;

export const SHARD = {
  id: 0,
  state: 'ready',
  connected: true,
  latencyMs: 41,
  problem: undefined,
  heardAt: NOW - 20_000,
  lastEventAt: NOW - 2_000,
  identifyingSince: undefined,
  confirmedSequence: 700,
  receivedSequence: 702,
};

export const HEALTHY: HealthSnapshot = {
  now: NOW,
  environment: 'test',
  shardCount: 2,
  group: 0,
  role: 'owner',
  shards: [SHARD, { ...SHARD, id: 1, latencyMs: 57 }],
  receiving: true,
  discordProblems: [],
  discord: { tokenMissing: false, restLimited: false, identifyClosed: false, maxConcurrency: 1 },
  broker: {
    ...{ connected: true, channelOpen: true, blocked: false, publishCount: 12, errorCount: 1 },
    ...{ oldestUnconfirmedMs: 20, nothingConfirmedMs: 20, stuck: [], refusing: [], unprovenMs: 20 },
  },
  outbox: { events: 2, bytes: 1_024, usedPercent: 0.5 },
  identifies: { remaining: 998, total: 1_000, resetAt: NOW + 3_600_000, spentUntil: undefined },
  lease: { state: 'owner', epoch: 3 },
  commands: { consuming: true, waiting: 0 },
  memory: { heapUsed: 100 * MIB, heapTotal: 120 * MIB, rss: 200 * MIB, heapLimit: 1_000 * MIB },
  memoryThreshold: 0.75,
};
