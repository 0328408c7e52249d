// When a shard may connect to Discord. Two tasks that both connect take the sessions from each other in turns: an isolated
// zone hears Discord while a standby elsewhere takes over. So the lease is proven first. Without any connection to the broker
// it cannot be proven, and it cannot be known whether another task can. With one it cannot be proven as long as an isolated
// node has the record, and then no other task has the lease: as likely as not where Discord did not close the connection.
// In both it connects seldom, and ever more so.

import type { LastEnd } from '../last-end.ts';
import { orAfter, sleep } from '../wait.ts';

const RETRY_MS = 200;
/** A proof takes milliseconds, or until the connection to a node is given up. */
const ANSWER_MS = { least: 1_000, most: 60_000 };
/** From the end of its socket, by how many connections in a row had no proof: two tasks may take a session in turns. */
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
