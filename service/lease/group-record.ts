// The session record of a shard group: what its next owner needs to go on without losing an event. It is the one
// message of the group's lease queue. `epoch` counts owners, `commit` counts what one owner stored, so that the newest
// of several is known without trusting clocks.

import { z } from 'zod';
import { errorMessage } from '../errors.ts';

const ShardRecord = z.object({
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
export type ShardRecord = z.infer<typeof ShardRecord>;

const LostSessionRecord = z.object({
  shardId: z.int().nonnegative(),
  sessionId: z.string().min(1),
  lastSequence: z.int().nonnegative(),
  lastReceivedAt: z.number(),
  lostAt: z.number(),
  reason: z.string(),
});

const GroupRecord = z.object({
  version: z.literal(1),
  group: z.int().nonnegative(),
  owner: z.string().min(1),
  epoch: z.int().positive(),
  commit: z.int().nonnegative(),
  /** Unix ms. */
  storedAt: z.number(),
  /** How the owner divided the shards. */
  division: z.object({ shardCount: z.int().positive(), shardsPerTask: z.int().positive() }).optional(),
  /** By shard id; a shard without a session is missing. */
  sessions: z.record(z.string().regex(/^\d+$/), ShardRecord),
  /** Lost sessions of which no worker has been told for sure. */
  untoldGaps: z.array(LostSessionRecord),
});
export type GroupRecord = z.infer<typeof GroupRecord>;
/** What the owner's work contributes to it. */
export type GroupContents = Pick<GroupRecord, 'division' | 'sessions' | 'untoldGaps'>;

/** A record that nobody can read: its sessions are lost, and all that is known of them is when it was stored. */
export interface UnreadableRecord {
  /** The same for the same record. */
  readonly id: string;
  /** Unix ms. */
  readonly storedAt: number;
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
