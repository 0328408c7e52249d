// One after the other, in the order of asking.

import { orAborted } from '../wait.ts';

export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Resolves when all turns before it have ended. @returns ends it @throws when the signal aborts: then it is none */
  async take(signal: AbortSignal): Promise<() => void> {
    const before = this.#last;
    const turn = Promise.withResolvers<void>();
    this.#last = before.then(() => turn.promise);
    await orAborted(before, signal).catch((error: unknown) => {
      turn.resolve();
      throw error;
    });
    return turn.resolve;
  }
}
