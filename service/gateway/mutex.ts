// One holder at a time, in the order of asking.

import { orAborted } from '../wait.ts';

export class Mutex {
  #last: Promise<void> = Promise.resolve();

  /** Resolves when all holders before have unlocked. @returns unlocks @throws when the signal aborts: it holds nothing then */
  async lock(signal: AbortSignal): Promise<() => void> {
    const before = this.#last;
    const held = Promise.withResolvers<void>();
    this.#last = before.then(() => held.promise);
    await orAborted(before, signal).catch((error: unknown) => {
      held.resolve();
      throw error;
    });
    return held.resolve;
  }
}
