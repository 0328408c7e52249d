// What a new owner of a shard group begins with: which sessions of the group record it resumes, and which are lost,
// because the shard layout has changed or because nothing is known of them. Pure.

import { hash } from 'node:crypto';
import { isAlive, type LostSession } from '../lost-session.ts';
import type { GroupRecord, ResumeState, ShardLayout } from './group-record.ts';
import type { QueueMessage } from './lease-channels.ts';

/** The shards of a group, as their new owner gets them. */
export interface ShardGroup {
  readonly shardIds: readonly number[];
  readonly shardCount: number;
  /** By shard id; a shard without one IDENTIFYs. */
  readonly sessions: ReadonlyMap<number, ResumeState>;
  /** When the sessions were stored, Unix ms. */
  readonly storedAt: number;
  /** Unix ms. */
  readonly takenOverAt: number;
}

export interface TakeOver {
  readonly shardGroup: ShardGroup;
  /** Lost now: to be counted, logged and published. */
  readonly lost: readonly LostSession[];
  /** Lost before: whether their gap events are published is not known. */
  readonly unreportedGaps: readonly LostSession[];
}

export function takeOver(
  {
    group,
    shardLayout: { shardCount, shardsPerTask },
    record,
    unreadable,
  }: {
    readonly group: number;
    readonly shardLayout: ShardLayout;
    readonly record: GroupRecord | undefined;
    /** Found instead of a record: all that is known of its sessions is when it was stored. */
    readonly unreadable?: Pick<QueueMessage, 'body' | 'timestamp'> | undefined;
  },
  now = Date.now(),
): TakeOver {
  const first = group * shardsPerTask;
  const shardIds = Array.from({ length: Math.min(shardsPerTask, shardCount - first) }, (_, index) => first + index);
  const sessions = new Map<number, ResumeState>();
  const lost: LostSession[] = [];
  const storedAt = record?.storedAt ?? 1_000 * (unreadable?.timestamp ?? now / 1_000);
  const lose = (shardId: number, session: LostState, reason: string) =>
    lost.push(lostSession(shardId, session, { storedAt, now, reason }));
  for (const [id, session] of Object.entries(record?.sessions ?? {})) {
    const shardId = Number(id);
    if (session.shardCount !== shardCount)
      lose(shardId, session, `the number of shards changed from ${session.shardCount} to ${shardCount}`);
    else if (shardIds.includes(shardId)) sessions.set(shardId, session);
    else lose(shardId, session, 'the shards were divided into other groups');
  }
  // The previous owner began a session and could not store it. With another shard layout this cannot be known.
  const { shardLayout } = record ?? {};
  if (record !== undefined && shardLayout?.shardCount === shardCount && shardLayout.shardsPerTask === shardsPerTask)
    for (const id of shardIds.filter((each) => record.sessions[each] === undefined))
      lose(id, unnamed(`unknown-${record.owner}-${record.epoch}-${id}`), 'no session of this shard had been stored');
  // Not even the ids are known: one is made, the same in every process.
  if (unreadable !== undefined)
    for (const id of shardIds)
      lose(id, unnamed(`unreadable-${hash('sha1', unreadable.body)}-${id}`), 'the group record could not be read');
  const inHandOver = unreadable !== undefined && isAlive(storedAt, now);
  return {
    shardGroup: { shardIds, shardCount, sessions, storedAt, takenOverAt: now },
    lost: inHandOver ? lost.map((each) => ({ ...each, inHandOver })) : lost,
    unreportedGaps: record?.unreportedGaps ?? [],
  };
}

/** What is lost with the record of a group that the shard layout no longer has. */
export function abandonedBy({ sessions, storedAt }: GroupRecord, now = Date.now()): readonly LostSession[] {
  const how = { storedAt, now, reason: 'the shards were divided into fewer groups' };
  return Object.entries(sessions).map(([id, session]) => lostSession(Number(id), session, how));
}

type LostState = Pick<ResumeState, 'sessionId' | 'sequence'>;

const unnamed = (sessionId: string): LostState => ({ sessionId, sequence: 0 });

function lostSession(
  shardId: number,
  { sessionId, sequence }: LostState,
  { storedAt, now, reason }: { readonly storedAt: number; readonly now: number; readonly reason: string },
): LostSession {
  return { shardId, sessionId, lastSequence: sequence, lastReceivedAt: storedAt, lostAt: now, reason };
}
