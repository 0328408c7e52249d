// What a task of a healthy fleet reports to the others: tests change one field of it at a time.

import type { Report } from '../../service/status/report.ts';
import { NOW } from './health-snapshot.ts';

export const REPORT: Report = {
  kind: 'report',
  task: 'host-1-aaaaaa',
  startedAt: NOW - 3_600_000,
  everyMs: 5_000,
  asks: false,
  role: 'owner',
  group: 0,
  ownedSince: NOW - 3_000_000,
  shardCount: 2,
  shardsPerTask: 2,
  problems: [],
  outbox: { events: 2, usedPercent: 0.5 },
  identifies: { remaining: 998, total: 1_000, resetAt: NOW + 3_600_000 },
  queues: { interactions: 1, 'events.guild': 3, 'dead-letters': 0, unrouted: 0 },
  shards: [
    { id: 0, state: 'ready', latencyMs: 41, silentMs: 2_000 },
    { id: 1, state: 'ready', latencyMs: 57, silentMs: 3_000 },
  ],
  gaps: [],
  perSecond: 100,
  latencies: [[0, 99]],
};

export const STANDBY: Report = {
  ...REPORT,
  ...{ task: 'host-2-bbbbbb', role: 'standby', group: null, ownedSince: null, shards: [], perSecond: 0, latencies: [] },
};
