// RESUMED seems to have a sequence, and not to be replayed: one that did not arrive leaves a hole that is none. Here is
// counted how many may not have arrived, and which holes they explain. Pure.

import type { Hole } from './watermark.ts';

export class MissedResumed {
  /** RESUME was sent on the current connection, and has no answer yet. */
  #awaited = false;
  /** Connections whose RESUMED did not arrive. */
  #missed = 0;
  /** Their sequences are above this one: dispatches up to it came before them. */
  #above = 0;
  /** The highest sequence that came, taken or not. */
  #seen = 0;
  /** Of processes before: how many may have been sent to them above the sequence that they stored. */
  #before: number;
  /** How many may have been sent above the sequence that this process stored last, to it and to those before. */
  #unstored: number;
  /** The last RESUMED up to which nothing is missing, and how many of the unstored ones it ends. */
  #last = { sequence: 0, ends: 0 };

  /** @param before of processes that had the session before */
  constructor(before: number) {
    this.#before = before;
    this.#unstored = before;
  }

  /** RESUME was sent. */
  awaited(): void {
    this.#awaited = true;
    this.#unstored += 1;
  }

  /** @returns how many may have been sent above this sequence, of which everything up to it is settled */
  above(sequence: number): number {
    if (sequence >= this.#last.sequence) {
      this.#unstored -= this.#last.ends;
      this.#last.ends = 0;
    }
    return this.#unstored;
  }

  seen(sequence: number): void {
    this.#seen = Math.max(this.#seen, sequence);
  }

  /**
   * RESUMED came, or what shows that Discord took the session.
   * @param sequence its own, if it has one
   * @param leftOut why its sequence is not the next one is known
   * @returns whether nothing but RESUMEDs is between what was received and it
   */
  arrived(sequence: number | undefined, received: number, leftOut: boolean): boolean {
    this.#awaited = false;
    if (sequence === undefined || sequence <= received) {
      // Where this one has none, no earlier one had.
      this.#missed = this.#before = this.#unstored = this.#last.ends = 0;
      return false;
    }
    const next = sequence === received + 1;
    if (leftOut && !next) return false;
    if (next || this.explain({ first: received + 1, last: sequence - 1 })) {
      // Every earlier one has a lower sequence.
      this.#missed = this.#before = 0;
      this.#last = { sequence, ends: this.#unstored };
      return true;
    }
    this.#miss(received);
    return false;
  }

  connectionEnded(received: number): void {
    if (this.#awaited) this.#miss(received);
    this.#awaited = false;
  }

  /** @returns whether the hole may be of them; then they are taken for it */
  explain({ first, last }: Hole): boolean {
    if (last - first >= this.#missed || first <= this.#above) return false;
    this.#missed -= last - first + 1;
    return true;
  }

  /** The same of a hole that a RESUME did not fill: it may begin with those of processes before. */
  explainAsBefore({ first, last }: Hole): boolean {
    const count = last - first + 1;
    const own = Math.max(0, Math.min(this.#missed, last - this.#above));
    if (count > this.#before + own) return false;
    const before = Math.min(count, this.#before);
    this.#before -= before;
    this.#missed -= count - before;
    return true;
  }

  #miss(received: number): void {
    if (this.#missed === 0) this.#above = Math.max(received, this.#seen);
    this.#missed += 1;
  }
}
