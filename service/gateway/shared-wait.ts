// One piece of work that many wait for. The first starts it; each leaves by its own signal, and nobody else notices; when
// the last has left, the work is aborted.

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
    const aborted = Promise.withResolvers<never>();
    const leave = () => aborted.reject(signal.reason);
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([running.result, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
      running.waiting -= 1;
      if (running.waiting === 0) {
        running.abort.abort();
        this.#forget(running);
      }
    }
  }

  #start(): Running<T> {
    const abort = new AbortController();
    const running: Running<T> = { result: this.#work(abort.signal), abort, waiting: 0 };
    // Also when it settles with nobody waiting any more.
    running.result.then(
      () => this.#forget(running),
      () => this.#forget(running),
    );
    return running;
  }

  #forget(running: Running<T>): void {
    if (this.#running === running) this.#running = undefined;
  }
}
