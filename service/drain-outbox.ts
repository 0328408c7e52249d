// How long a drain waits for confirms. Without a connection to the broker it waits until the deadline: no other task could
// take over. With a connection it waits while the broker confirms: Discord replays the rest to the next owner, which waits
// meanwhile. A broker that blocks publishers confirms nothing.

import type { Publisher } from './publisher/publisher.ts';

const PATIENCE_MS = 5_000;
const LOOK_EVERY_MS = 250;

/**
 * Resolves when everything is confirmed, when nothing was confirmed for five seconds during which the broker was connected
 * all the time, or when the signal aborts.
 */
export async function drainOutbox(
  outbox: Pick<Publisher, 'publishCount' | 'drained'>,
  isConnected: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  const stalled = new AbortController();
  let confirmed = outbox.publishCount;
  let progressAt = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    if (outbox.publishCount !== confirmed || !isConnected()) {
      confirmed = outbox.publishCount;
      progressAt = now;
    }
    if (now - progressAt >= PATIENCE_MS) stalled.abort();
  }, LOOK_EVERY_MS);
  try {
    await outbox.drained(AbortSignal.any([signal, stalled.signal]));
  } finally {
    clearInterval(timer);
  }
}
