// When a shard may connect to Discord. Two tasks that connect the same shards take the sessions from each other, as when an
// isolated zone still reaches Discord while a standby elsewhere takes over. So the lease is proven first. Without any
// connection to the broker nothing is proven, and another task may be the owner or not. With one, nothing is proven while an
// isolated node has the record, and then no other task is the owner: likely where Discord did not close the connection.
// In both cases the shard connects after a pause, which grows each time.

import type { LastEnd } from '../last-end.ts';
import { orAfter, sleep } from '../wait.ts';

const RETRY_MS = 200;
/** A proof takes milliseconds, or until the connection to a node is ended. */
const ANSWER_MS = { least: 1_000, most: 60_000 };
/** From the end of its socket, by how many connections in a row had no proof: another task may have the session. */
const UNPROVEN_AFTER_MS = [5_000, 60_000, 120_000, 240_000] as const;

/**
 * When a shard may connect without proof, if there is none from then on: a session that no task resumes is lost.
 * @param since when it was noticed that nothing can be proven, Unix ms
 * @returns Unix ms; Infinity for never
 */
export function unprovenAtMs(end: LastEnd, since: number): number {
  const { resumable, endedAt = since, unproven } = end;
  const [first] = UNPROVEN_AFTER_MS;
  const after = UNPROVEN_AFTER_MS[Math.min(unproven, UNPROVEN_AFTER_MS.length - 1)] ?? first;
  return resumable ? Math.max(endedAt + after, since + first) : Number.POSITIVE_INFINITY;
}

/**
 * Resolves when the shard may connect.
 * @param lease `isProven` resolves with false while the task is not the owner, or cannot know whether it is; `brokerAway`:
 *   no connection to the broker is open
 * @throws when the signal aborts
 */
export async function connectPermission(
  lease: { readonly isProven: (signal: AbortSignal) => Promise<boolean>; readonly brokerAway: () => boolean },
  end: LastEnd,
  signal: AbortSignal,
): Promise<'proven' | 'unproven'> {
  const untakenAt = end.perhapsTaken ? Number.POSITIVE_INFINITY : unprovenAtMs(end, end.endedAt ?? Date.now());
  let awaySince: number | undefined;
  while (true) {
    const answerMs = Math.min(Math.max(untakenAt - Date.now(), ANSWER_MS.least), ANSWER_MS.most);
    if (await orAfter(lease.isProven(signal), answerMs, () => false)) return 'proven';
    signal.throwIfAborted();
    awaySince = lease.brokerAway() ? (awaySince ?? Date.now()) : undefined;
    const awayAt = awaySince === undefined ? Number.POSITIVE_INFINITY : unprovenAtMs(end, awaySince);
    if (Date.now() >= Math.min(untakenAt, awayAt)) return 'unproven';
    await sleep(RETRY_MS, signal);
  }
}
