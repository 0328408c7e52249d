// How long an owner that does not reach Discord keeps its group, while another task might reach it. Longer each time,
// so that two tasks do not pass it to each other in turns while Discord is away from both.

export class Patience {
  readonly #firstMs: number;
  readonly #longestMs: number;
  #ms: number;

  constructor(firstMs: number, longestMs: number) {
    this.#firstMs = firstMs;
    this.#longestMs = longestMs;
    this.#ms = firstMs;
  }

  /** @param since when it stopped to reach Discord, Unix ms; nothing while it does, or does not try */
  isOver(since: number | undefined, now = Date.now()): boolean {
    return since !== undefined && now - since >= this.#ms;
  }

  grow(): void {
    this.#ms = Math.min(this.#longestMs, 2 * this.#ms);
  }

  reset(): void {
    this.#ms = this.#firstMs;
  }
}
