// What a new owner of a shard group begins with: which sessions of the group record it resumes, and which are lost,
// because the shard layout has changed or because nothing is known of them. Pure.

import { hash } from 'node:crypto';
import { isAlive, type LostSession } from '../lost-session.ts';
import {
  type GroupRecord,
  MAX_UNIX_MS,
  type ResumeState,
  type ShardLayout,
  type StoredPresence,
} from './group-record.ts';
import { type QueueMessage, startedAtOf } from './lease-channels.ts';

/** The shards of a group, as their new owner gets them. */
export interface ShardGroup {
  readonly group: number;
  readonly shardIds: readonly number[];
  readonly shardCount: number;
  /** By shard id; a shard without one IDENTIFYs. */
  readonly sessions: ReadonlyMap<number, ResumeState>;
  readonly presences: readonly StoredPresence[];
  /** When the sessions were stored, Unix ms. */
  readonly storedAt: number;
  /** Unix ms. */
  readonly takenOverAt: number;
}

/** What a new owner found in the queue of a group: a record, or one of the others instead. */
export interface FoundInQueue {
  readonly group: number;
  readonly record: GroupRecord | undefined;
  /** All that is known of its sessions is when it was stored. */
  readonly unreadable?: Pick<QueueMessage, 'body' | 'timestamp'> | undefined;
  /** The first, where nothing else is there. */
  readonly claim?: Pick<QueueMessage, 'headers'> | undefined;
}

/**
 * @returns the shards as their new owner gets them; `lost`: sessions lost now, to be counted, logged and published;
 *   `unreportedGaps`: lost before, and whether their gap events are published is not known
 */
export function takeOver(
  {
    group,
    shardLayout: { shardCount, shardsPerTask },
    record,
    unreadable,
    claim,
  }: FoundInQueue & { readonly shardLayout: ShardLayout },
  now = Date.now(),
): {
  readonly shardGroup: ShardGroup;
  readonly lost: readonly LostSession[];
  readonly unreportedGaps: readonly LostSession[];
} {
  const first = group * shardsPerTask;
  const shardIds = Array.from({ length: Math.min(shardsPerTask, shardCount - first) }, (_, index) => first + index);
  const sessions = new Map<number, ResumeState>();
  const lost: LostSession[] = [];
  const storedAt = record?.storedAt ?? storedAtOf(unreadable) ?? now;
  const lose = (shardId: number, session: LostState, reason: string) =>
    lost.push(lostSession(shardId, session, { storedAt, now, reason }));
  for (const [id, session] of Object.entries(record?.sessions ?? {})) {
    const shardId = Number(id);
    if (session.shardCount !== shardCount)
      lose(shardId, session, `the number of shards changed from ${session.shardCount} to ${shardCount}`);
    else if (shardIds.includes(shardId)) sessions.set(shardId, session);
    else lose(shardId, session, 'the shards were divided into other groups');
  }
  if (record !== undefined) {
    const misread = unreadSessions(record);
    for (const id of misread) lose(id, unnamedOf(record, id), UNREAD);
    // The previous owner began a session and could not store it. With another shard layout this cannot be known.
    const { shardLayout } = record;
    if (shardLayout?.shardCount === shardCount && shardLayout.shardsPerTask === shardsPerTask)
      for (const id of shardIds.filter((each) => record.sessions[each] === undefined && !misread.includes(each)))
        lose(id, unnamedOf(record, id), 'no session of this shard had been stored');
  }
  // Not even the ids are known: one is made, the same in every process that finds this.
  if (unreadable !== undefined)
    for (const id of shardIds)
      lose(id, unnamed(`unreadable-${hash('sha1', unreadable.body)}-${id}`), 'the group record could not be read');
  // Each owner leaves a record, and a new group begins with an empty one. The first claim stays until the next is stored.
  else if (record === undefined)
    for (const id of shardIds)
      lose(id, unnamed(`no-record-${startedAtOf(claim) ?? 'unknown'}-${id}`), 'no record found');
  const { presences = [] } = record ?? {};
  const inHandOver = unreadable !== undefined && isAlive(storedAt, now);
  return {
    shardGroup: { group, shardIds, shardCount, sessions, presences, storedAt, takenOverAt: now },
    lost: inHandOver ? lost.map((each) => ({ ...each, inHandOver })) : lost,
    unreportedGaps: record?.unreportedGaps ?? [],
  };
}

/** What is lost with the record of a group that the shard layout no longer has. */
export function abandonedBy(record: GroupRecord, now = Date.now()): readonly LostSession[] {
  const how = { storedAt: record.storedAt, now, reason: 'the shards were divided into fewer groups' };
  return [
    ...Object.entries(record.sessions).map(([id, session]) => lostSession(Number(id), session, how)),
    ...unreadSessions(record).map((id) => lostSession(id, unnamedOf(record, id), { ...how, reason: UNREAD })),
  ];
}

const UNREAD = 'the stored session could not be read';

const unreadSessions = ({ faults = [] }: GroupRecord): number[] =>
  faults.flatMap(({ lostShardId }) => lostShardId ?? []);

type LostState = Pick<ResumeState, 'sessionId' | 'sequence'>;

const unnamed = (sessionId: string): LostState => ({ sessionId, sequence: 0 });

const unnamedOf = ({ owner, epoch }: GroupRecord, shardId: number): LostState =>
  unnamed(`unknown-${owner}-${epoch}-${shardId}`);

/** Unix ms; none where the sender wrote no time, or one that is none. */
function storedAtOf(message: Pick<QueueMessage, 'timestamp'> | undefined): number | undefined {
  const ms = 1_000 * (message?.timestamp ?? Number.NaN);
  return ms >= 0 && ms <= MAX_UNIX_MS ? ms : undefined;
}

function lostSession(
  shardId: number,
  { sessionId, sequence }: LostState,
  { storedAt, now, reason }: { readonly storedAt: number; readonly now: number; readonly reason: string },
): LostSession {
  return { shardId, sessionId, lastSequence: sequence, lastReceivedAt: storedAt, lostAt: now, reason };
}
