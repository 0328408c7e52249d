// What a session sent lately, for a RESUME: items under consecutive sequences from 1, less what is forgotten, oldest
// first. Pure.

export class ReplayBuffer<T> {
  #items: T[] = [];
  /** Items at the front that are dropped but not yet cut off: cutting each one would cost a copy. */
  #dropped = 0;
  /** Sequence of `#items[0]`. */
  #base = 1;

  /** Sequence of the newest; 0 before the first. */
  get last(): number {
    return this.#base + this.#items.length - 1;
  }

  /** Sequence of the oldest that is kept; `last + 1` when none is. */
  get first(): number {
    return this.#base + this.#dropped;
  }

  /** @returns its sequence */
  push(item: T): number {
    this.#items.push(item);
    return this.last;
  }

  /** Drops everything up to this sequence. */
  forget(sequence: number): void {
    this.#dropped += Math.max(0, Math.min(sequence, this.last) + 1 - this.first);
    if (this.#dropped < 1_024 || this.#dropped < this.#items.length / 2) return;
    this.#items = this.#items.slice(this.#dropped);
    this.#base += this.#dropped;
    this.#dropped = 0;
  }

  /** Everything after this sequence, oldest first; `undefined` when some of it is gone. */
  after(sequence: number): readonly T[] | undefined {
    if (sequence + 1 < this.first) return undefined;
    return this.#items.slice(sequence + 1 - this.#base);
  }
}
