// A rate limit with a burst. Pure: the caller has the clock, and waits.

export class Pace {
  readonly #spacingMs: number;
  readonly #burstMs: number;
  #next = Number.NEGATIVE_INFINITY;

  constructor({ spacingMs, burst }: { readonly spacingMs: number; readonly burst: number }) {
    this.#spacingMs = spacingMs;
    this.#burstMs = spacingMs * burst;
  }

  /** Takes the next turn. @returns how long to wait for it, in milliseconds */
  turn(now: number): number {
    const turn = Math.max(this.#next, now - this.#burstMs);
    this.#next = turn + this.#spacingMs;
    return Math.max(0, turn - now);
  }
}
