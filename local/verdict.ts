// The result of a run: compares the simulator's ledger of what it sent with what the reader read, without the service.

import { type DueEvent, WHOLE_GUILD } from './discord/ledger.ts';
import type { DiscordSimulator } from './discord/simulator.ts';
import type { Reader } from './reader.ts';

export interface Verdict {
  /** Events due to workers that the simulator sent, in sessions that were not lost. */
  readonly due: number;
  /** Different events read. */
  readonly read: number;
  /** Due and not read. */
  readonly lost: number;
  /** Due, not read, and reported by an event: their session was lost or replaced, or they were not received. */
  readonly announced: number;
  /** Read although nothing is due for it. */
  readonly unexpected: number;
  readonly repeated: number;
  /** Read twice under different ids. */
  readonly conflicts: number;
  /** Read for the first time after a later one of the same shard, queue and priority. */
  readonly disorders: number;
  /** Sessions that were lost. */
  readonly gaps: number;
  /** Events of living sessions that gap events report as not received. */
  readonly holes: number;
  /** Violations of Discord's rules, as sentences. */
  readonly violations: readonly string[];
  readonly examples: readonly string[];
}

/** How far each session has come in the ledger. */
export type Mark = ReadonlyMap<string, number>;

export function markOf({ ledger }: DiscordSimulator): Mark {
  return new Map([...ledger.sessions].map(({ sessionId, lastSequence }) => [sessionId, lastSequence]));
}

/** @param until only what was sent until this mark */
export function verdictOf({ ledger, violations }: DiscordSimulator, reader: Reader, until?: Mark): Verdict {
  const sessions = [...ledger.sessions];
  const newest = new Map(sessions.map(({ shardId, sessionId }) => [shardId, sessionId]));
  // Of a session whose record could not be read or was not stored, the gap event names the shard alone.
  const unnamed = new Set(
    [...reader.gaps].flatMap(([sessionId, { shardId }]) => (ledger.session(sessionId) === undefined ? [shardId] : [])),
  );
  // The id of a session whose READY did not arrive is unknown: the gap of the one before it lasts until the next.
  const lostShards = new Set([...reader.gaps.values()].map(({ shardId }) => shardId));
  const isNeverStarted = ({ sessionId, shardId }: DueEvent) =>
    reader.session(sessionId, false) === undefined && lostShards.has(shardId) && newest.get(shardId) !== sessionId;
  const isRead = ({ sessionId, sequence, routingKey }: DueEvent) =>
    reader.session(sessionId, routingKey === WHOLE_GUILD)?.ids[sequence] !== undefined;
  const isAnnounced = ({ sessionId, shardId, sequence }: DueEvent) =>
    reader.holes.some((hole) => hole.sessionId === sessionId && hole.first <= sequence && sequence <= hole.last) ||
    sequence >
      (reader.gaps.get(sessionId)?.lastSequence ?? reader.replaced.get(sessionId) ?? Number.POSITIVE_INFINITY) ||
    (unnamed.has(shardId) && newest.get(shardId) !== sessionId);
  let due = 0;
  let announced = 0;
  const missing: DueEvent[] = [];
  for (const each of ledger.due()) {
    if (until !== undefined && each.sequence > (until.get(each.sessionId) ?? 0)) continue;
    if (isRead(each)) due += 1;
    else if (isAnnounced(each) || isNeverStarted(each)) announced += 1;
    else {
      due += 1;
      missing.push(each);
    }
  }
  // Another session may have been given the same event, and a worker have read it there.
  const events = new Set(missing.map(({ event }) => event));
  const elsewhere = new Set<number>();
  if (missing.length > 0 && sessions.length > newest.size)
    for (const each of ledger.due()) if (events.has(each.event) && isRead(each)) elsewhere.add(each.event);
  // What belongs to one session only has the number 0.
  elsewhere.delete(0);
  const lost = missing.filter(({ event }) => !elsewhere.has(event));
  const name = ({ shardId, sessionId, sequence, routingKey }: DueEvent) =>
    `lost: shard ${shardId} ${sessionId} ${sequence} ${routingKey}`;
  const examples = lost.map(name);
  let unexpected = 0;
  for (const { sessionId, shardId, whole, ids } of reader.sessions)
    ids.forEach((_, sequence) => {
      if (ledger.session(sessionId)?.isDue(sequence, whole)) return;
      unexpected += 1;
      if (unexpected <= 10) examples.push(`not due: shard ${shardId} ${sessionId} ${sequence}`);
    });
  return {
    due,
    read: reader.events,
    lost: lost.length,
    announced,
    unexpected,
    repeated: reader.repeats,
    conflicts: reader.conflicts,
    disorders: reader.disorders,
    gaps: reader.gaps.size,
    holes: reader.holes.length,
    violations: violations.map(({ sentence }) => sentence),
    examples: [...examples.slice(0, 20), ...reader.disorderExamples],
  };
}
