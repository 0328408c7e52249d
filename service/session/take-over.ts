// What a new owner of a shard group begins with: which sessions of the record it can resume, and which are lost because
// the shards were divided differently meanwhile. Pure.

import type { GroupRecord } from './group-record.ts';
import type { LostSession, SessionRecord } from './session.ts';

export interface TakeOver {
  readonly shardIds: readonly number[];
  readonly shardCount: number;
  /** By shard id; a shard without one IDENTIFYs. */
  readonly sessions: ReadonlyMap<number, SessionRecord>;
  /** When the sessions were stored, Unix ms. */
  readonly storedAt: number;
  /** Lost with the change of the number of shards, or of the groups. */
  readonly lost: readonly LostSession[];
  /** Lost before, and perhaps not told. */
  readonly untold: readonly LostSession[];
}

export function takeOver(
  {
    group,
    shardCount,
    shardsPerTask,
    record,
  }: {
    readonly group: number;
    readonly shardCount: number;
    readonly shardsPerTask: number;
    readonly record: GroupRecord | undefined;
  },
  now = Date.now(),
): TakeOver {
  const first = group * shardsPerTask;
  const shardIds = Array.from({ length: Math.min(shardsPerTask, shardCount - first) }, (_, index) => first + index);
  const sessions = new Map<number, SessionRecord>();
  const lost: LostSession[] = [];
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
  return { shardIds, shardCount, sessions, storedAt: record?.storedAt ?? now, lost, untold: record?.untoldGaps ?? [] };
}
