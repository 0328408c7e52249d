// One piece of work that many wait for. The first starts it; each stops waiting by its own signal, and the others go on;
// when none is left, the work is aborted.

import { orAborted } from '../wait.ts';

interface Running<T> {
  readonly result: Promise<T>;
  readonly abort: AbortController;
  waiting: number;
}

export class SharedWait<T> {
  readonly #work: (signal: AbortSignal) => Promise<T>;
  #running: Running<T> | undefined;

  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.#work = work;
  }

  /** @throws what the work throws, and when the signal aborts */
  async join(signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    this.#running ??= this.#start();
    const running = this.#running;
    running.waiting += 1;
    try {
      return await orAborted(running.result, signal);
    } finally {
      running.waiting -= 1;
      if (running.waiting === 0) {
        running.abort.abort();
        this.#running = undefined;
      }
    }
  }

  #start(): Running<T> {
    const abort = new AbortController();
    return { result: this.#work(abort.signal), abort, waiting: 0 };
  }
}
