// READY of any shard of this task: it shows that Discord takes IDENTIFYs.

export class NextReady {
  #next = new AbortController();

  /** Aborts when it comes. */
  get signal(): AbortSignal {
    return this.#next.signal;
  }

  came(): void {
    this.#next.abort();
    this.#next = new AbortController();
  }
}
