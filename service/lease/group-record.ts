// The group record: what the next owner of a shard group needs to go on without losing an event. It is the one message
// of the group's lease queue. `epoch` counts owners, `commit` counts what one owner stored, so that the newest of several
// is known without trusting clocks.

import { z } from 'zod';
import { errorMessage } from '../errors.ts';
import type { LostSession } from '../lost-session.ts';

const ResumeState = z.object({
  sessionId: z.string().min(1),
  resumeUrl: z.url(),
  /** Confirmed sequence: everything up to it is with the broker. */
  sequence: z.int().nonnegative(),
  shardCount: z.int().positive(),
  startedAt: z.number(),
  /** When it was last connected, Unix ms; missing while it is, and from versions that do not know it. */
  aliveUntil: z.number().optional(),
  /** Guilds joined in this session up to the sequence, each with when, Unix ms: see GuildPresence. */
  joins: z.record(z.string(), z.number()).optional(),
});
export type ResumeState = z.infer<typeof ResumeState>;

/** A gap that another task counted: whether it was lost in a hand-over is known no more, and not needed. */
const CountedGap: z.ZodType<LostSession> = z.object({
  shardId: z.int().nonnegative(),
  sessionId: z.string().min(1),
  lastSequence: z.int().nonnegative(),
  lastReceivedAt: z.number(),
  lostAt: z.number(),
  reason: z.string(),
  missing: z.object({ first: z.int().positive(), last: z.int().positive() }).optional(),
});

const ShardLayout = z.object({ shardCount: z.int().positive(), shardsPerTask: z.int().positive() });
/** How the shards are divided into groups. */
export type ShardLayout = z.infer<typeof ShardLayout>;

const GroupRecord = z
  .object({
    version: z.literal(1),
    group: z.int().nonnegative(),
    owner: z.string().min(1),
    epoch: z.int().positive(),
    commit: z.int().nonnegative(),
    /** Unix ms. */
    storedAt: z.number(),
    /** The owner's shard layout. */
    division: ShardLayout.optional(),
    /** By shard id; a shard without a session is missing. */
    sessions: z.record(z.string().regex(/^\d+$/), ResumeState),
    /** Lost sessions whose gap event may not be with the broker. */
    untoldGaps: z.array(CountedGap),
  })
  // The stored names stay: during a deployment tasks of two versions read each other's records.
  .transform(({ division, untoldGaps, ...record }) => ({
    ...record,
    shardLayout: division,
    unreportedGaps: untoldGaps,
  }));
export type GroupRecord = Readonly<z.infer<typeof GroupRecord>>;
/** What the owner's work contributes to it. */
export type GroupContents = Pick<GroupRecord, 'shardLayout' | 'sessions' | 'unreportedGaps'>;

export function formatGroupRecord({ shardLayout, unreportedGaps, ...record }: GroupRecord): string {
  const stored: z.input<typeof GroupRecord> = { ...record, division: shardLayout, untoldGaps: unreportedGaps };
  return JSON.stringify(stored);
}

/** @returns the record, or a sentence about what is wrong with it */
export function parseGroupRecord(body: { toString(encoding: 'utf8'): string }): GroupRecord | string {
  try {
    const parsed = GroupRecord.safeParse(JSON.parse(body.toString('utf8')));
    return parsed.success ? parsed.data : z.prettifyError(parsed.error).replaceAll('\n', ' ');
  } catch (error) {
    return `it is no JSON (${errorMessage(error)})`;
  }
}

/** Whether `a` was stored later than `b`. */
export function isNewer(a: Pick<GroupRecord, 'epoch' | 'commit'>, b: Pick<GroupRecord, 'epoch' | 'commit'>): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.commit > b.commit);
}
