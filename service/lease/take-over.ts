// What a new owner of a shard group begins with: which sessions of the record it can resume, and which are lost because
// the shards were divided differently meanwhile. Pure.

import { type LostSession, wasAlive } from '../session/session.ts';
import type { GroupRecord, ShardRecord, UnreadableRecord } from './group-record.ts';

export interface TakeOver {
  readonly shardIds: readonly number[];
  readonly shardCount: number;
  /** By shard id; a shard without one IDENTIFYs. */
  readonly sessions: ReadonlyMap<number, ShardRecord>;
  /** When the sessions were stored, Unix ms. */
  readonly storedAt: number;
  /** Unix ms. */
  readonly takenOverAt: number;
  /** Lost with the change of the number of shards, or of the groups, or before. */
  readonly lost: readonly LostSession[];
  /** Alive a moment ago, and lost because this process cannot read the record. */
  readonly lostInHandOver: readonly LostSession[];
  /** Lost before, and perhaps not told. */
  readonly untold: readonly LostSession[];
}

export function takeOver(
  {
    group,
    shardCount,
    shardsPerTask,
    record,
    unreadable,
  }: {
    readonly group: number;
    readonly shardCount: number;
    readonly shardsPerTask: number;
    readonly record: GroupRecord | undefined;
    /** Found instead of a record. */
    readonly unreadable?: UnreadableRecord | undefined;
  },
  now = Date.now(),
): TakeOver {
  const first = group * shardsPerTask;
  const shardIds = Array.from({ length: Math.min(shardsPerTask, shardCount - first) }, (_, index) => first + index);
  const sessions = new Map<number, ShardRecord>();
  // Of these not even the names are known: one is made, the same whoever finds the record.
  const unread: LostSession[] = shardIds.flatMap((shardId) =>
    unreadable === undefined
      ? []
      : {
          shardId,
          sessionId: `unreadable-${unreadable.id}-${shardId}`,
          lastSequence: 0,
          lastReceivedAt: unreadable.storedAt,
          lostAt: now,
          reason: 'the session record could not be read',
        },
  );
  const inHandOver = unreadable !== undefined && wasAlive(unreadable.storedAt, now);
  const lost: LostSession[] = inHandOver ? [] : unread;
  for (const [id, session] of Object.entries(record?.sessions ?? {})) {
    const shardId = Number(id);
    const recounted = session.shardCount !== shardCount;
    if (!recounted && shardIds.includes(shardId)) {
      sessions.set(shardId, session);
      continue;
    }
    lost.push({
      shardId,
      sessionId: session.sessionId,
      lastSequence: session.sequence,
      lastReceivedAt: record?.storedAt ?? now,
      lostAt: now,
      reason: recounted
        ? `the number of shards changed from ${session.shardCount} to ${shardCount}`
        : 'the shards were divided into other groups',
    });
  }
  // What the owner before began and could not store any more is known to nobody; that there was none is as bad. With
  // another division of the shards nothing can be said of them.
  const { division } = record ?? {};
  if (record !== undefined && division?.shardCount === shardCount && division.shardsPerTask === shardsPerTask)
    for (const shardId of shardIds.filter((id) => record.sessions[id] === undefined))
      lost.push({
        shardId,
        sessionId: `unknown-${record.owner}-${record.epoch}-${shardId}`,
        lastSequence: 0,
        lastReceivedAt: record.storedAt,
        lostAt: now,
        reason: 'no session of this shard had been stored',
      });
  return {
    shardIds,
    shardCount,
    sessions,
    storedAt: record?.storedAt ?? now,
    takenOverAt: now,
    lost,
    lostInHandOver: inHandOver ? unread : [],
    untold: record?.untoldGaps ?? [],
  };
}

/** What is lost with a record of a group that the present division does not have. */
export function abandonedBy(record: GroupRecord, now = Date.now()): readonly LostSession[] {
  return Object.entries(record.sessions).map(([id, session]) => ({
    shardId: Number(id),
    sessionId: session.sessionId,
    lastSequence: session.sequence,
    lastReceivedAt: record.storedAt,
    lostAt: now,
    reason: 'the shards were divided into fewer groups',
  }));
}
