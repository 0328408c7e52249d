// What a task reports about itself to the other tasks: what the status page shows, and no payload, session id or token.
// Everything that comes from the broker is parsed: who may publish to the exchange may publish anything. Pure.

import { z } from 'zod';
import { BOUNDS } from '../contract/limits.ts';
import type { HealthReport, HealthSnapshot } from '../health.ts';

const Count = z.int().min(0);
const Ms = z.number().min(0).max(1e15);
const Index = Count.max(BOUNDS.shardCount.most);
const Name = z.string().regex(/^[\w.-]{1,200}$/);
/** A bucket of the metric `frameToConfirm`, and how many events were in it. */
const Bucket = z.tuple([Count.max(100), Count]);

/** The parts of a health report that have sentences about what is wrong, in the order in which to read them. */
export const PARTS = ['rabbitmq', 'discord', 'outbox', 'lease', 'memory', 'commands', 'other'] as const;
export type Part = (typeof PARTS)[number];

const MOST_PROBLEMS = 20;
const LONGEST_PROBLEM = 500;

const Shard = z.object({
  id: Index,
  state: z.string().max(20),
  latencyMs: Ms.nullable(),
  /** Since its last event. */
  silentMs: Ms.nullable(),
});

/** Of a task's reports. */
export const LONGEST_PERIOD_MS = 60_000;

const Gap = z.object({ shard: Index, at: Ms, reason: z.string().max(400) });

const Report = z.object({
  kind: z.literal('report'),
  task: Name,
  startedAt: Ms,
  /** Its period of reporting. */
  everyMs: z.number().min(1_000).max(LONGEST_PERIOD_MS),
  /** It has no history yet, and asks for one. */
  asks: z.boolean(),
  role: z.enum(['owner', 'standby', 'draining', 'unknown', 'drained']),
  group: Index.nullable(),
  ownedSince: Ms.nullable(),
  shardCount: Index.nullable(),
  shardsPerTask: z.int().min(1).max(BOUNDS.shardsPerTask.most),
  problems: z.array(z.object({ part: z.enum(PARTS), text: z.string().max(LONGEST_PROBLEM) })).max(MOST_PROBLEMS),
  outbox: z.object({ events: Count.nullable(), usedPercent: Ms.nullable() }),
  identifies: z.object({ remaining: Count.nullable(), total: Count.nullable(), resetAt: Ms.nullable() }),
  queues: z.record(z.string().max(255), Count).refine((queues) => Object.keys(queues).length <= 20),
  shards: z.array(Shard).max(BOUNDS.shardsPerTask.most),
  gaps: z.array(Gap).max(5),
  /** Events that the broker confirmed, since the last report. */
  perSecond: Ms,
  latencies: z.array(Bucket).max(100),
});
export type Report = z.infer<typeof Report>;

/** Of all tasks, at one time; null is unknown. */
const Point = z.object({
  at: Ms,
  perSecond: Ms,
  p50: Ms.nullable(),
  p99: Ms.nullable(),
  outbox: Ms,
  waiting: Ms.nullable(),
});
export type Point = z.infer<typeof Point>;

const Event = z.discriminatedUnion('kind', [
  z.object({ kind: z.enum(['started', 'drained', 'gone', 'back']), at: Ms, task: Name }),
  z.object({ kind: z.literal('owner'), at: Ms, task: Name, group: Index }),
  z.object({ kind: z.literal('gap'), ...Gap.shape }),
]);
export type Event = z.infer<typeof Event>;

export const isLoss = ({ kind }: Event): boolean => kind === 'gone' || kind === 'gap';

export const MOST_POINTS = 180;
export const MOST_EVENTS = 100;

const History = z.object({
  kind: z.literal('history'),
  points: z.array(Point).max(MOST_POINTS),
  events: z.array(Event).max(MOST_EVENTS),
});
export type History = z.infer<typeof History>;

const Message = z.discriminatedUnion('kind', [Report, History]);

/** @throws Error that names what is not as expected */
export function parseMessage(text: string): Report | History {
  return Message.parse(JSON.parse(text));
}

type OfHealth = 'kind' | 'role' | 'group' | 'ownedSince' | 'shardCount' | 'outbox' | 'identifies' | 'shards';

export function reportOf(health: HealthReport, snapshot: HealthSnapshot, own: Omit<Report, OfHealth>): Report {
  const { lease, outbox, role, shard, shards } = health;
  // What the health report could not read is not read again.
  const left = 'problem' in health.identifies ? undefined : snapshot.identifies;
  return {
    ...own,
    problems: own.problems
      .slice(0, MOST_PROBLEMS)
      .map(({ part, text }) => ({ part, text: text.slice(0, LONGEST_PROBLEM) })),
    kind: 'report',
    role,
    group: shard.group,
    ownedSince: typeof lease.ownedSince === 'string' ? Date.parse(lease.ownedSince) : null,
    shardCount: shard.count,
    outbox: { events: known(outbox.events), usedPercent: known(outbox.usedPercent) },
    identifies: { remaining: left?.remaining ?? null, total: left?.total ?? null, resetAt: left?.resetAt ?? null },
    shards: shards.map(({ id, state, latency }, index) => {
      const at = snapshot.shards[index]?.lastEventAt;
      return { id, state, latencyMs: latency, silentMs: at === undefined ? null : Math.max(0, snapshot.now - at) };
    }),
  };
}

const known = (value: number): number | null => (Number.isFinite(value) ? value : null);
