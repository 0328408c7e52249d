// The proof of ownership. A connection can be dead without anybody having noticed, and another task may be the owner by
// now. If both connected, they would take the sessions from each other in turns. So before a shard connects, the broker
// must have answered, just now, on the channels that hold the lease.

import { orAborted, orAfter, sleep } from '../wait.ts';
import type { LeaseChannels } from './lease-channels.ts';

/** After an attempt without an answer. */
const RETRY_MS = 200;
/** Without a broker nothing can be proven; but a session that no task resumes is lost. */
const GIVE_UP_MS = 60_000;

type Channels = Pick<LeaseChannels, 'ping'>;

/**
 * Resolves when the lease is proven, and after a minute anyway.
 * @param holding the channels that hold the lease; none while the task is not the owner, or cannot know whether it is
 * @param connection `blocked` while the broker blocks publishers
 * @throws when the signal aborts
 */
export async function confirmLease(
  holding: () => Channels | undefined,
  connection: { readonly blocked: boolean },
  signal: AbortSignal,
): Promise<void> {
  const giveUp = new AbortController();
  const either = AbortSignal.any([signal, giveUp.signal]);
  const isConfirmed = async (): Promise<boolean> => {
    const channels = holding();
    if (channels === undefined) return false;
    // The broker has just sent that it blocks publishers, and may not read what it is asked.
    if (connection.blocked) return true;
    const answered = channels.ping().then(
      () => true,
      () => false,
    );
    return (await orAborted(answered, either)) && holding() === channels;
  };
  const proven = async (): Promise<void> => {
    while (!(await isConfirmed())) await sleep(RETRY_MS, either);
  };
  await orAfter(proven(), GIVE_UP_MS, () => giveUp.abort());
  signal.throwIfAborted();
}
