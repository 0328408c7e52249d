// Waits by turns of the event loop: sockets go on, while the timers are those of the test.

import { setImmediate as turn } from 'node:timers/promises';

/** So that sockets can deliver what was sent. */
export async function turns(count: number): Promise<void> {
  for (let taken = 0; taken < count; taken += 1) await turn();
}

/** @throws when the condition does not come true */
export async function turnsUntil(condition: () => boolean): Promise<void> {
  for (let taken = 0; !condition(); taken += 1) {
    if (taken > 200_000) throw new Error('it does not happen');
    await turn();
  }
}
