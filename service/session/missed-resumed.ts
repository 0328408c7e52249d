// RESUMED seems to have a sequence, and not to be replayed: one that did not arrive leaves a hole without an event. This
// counts how many may not have arrived, and decides which holes they explain. Pure.

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
  /** The last RESUMED up to which nothing is missing, and how many of the unstored ones it includes. */
  #last = { sequence: 0, count: 0 };

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
      this.#unstored -= this.#last.count;
      this.#last.count = 0;
    }
    return this.#unstored;
  }

  seen(sequence: number): void {
    this.#seen = Math.max(this.#seen, sequence);
  }

  /**
   * RESUMED came, or dispatches that show that Discord accepted the session.
   * @param sequence its own, if it has one
   * @param skipped a dispatch before it was skipped
   * @returns whether only RESUMEDs are between what was received and it
   */
  arrived(sequence: number | undefined, received: number, skipped: boolean): boolean {
    this.#awaited = false;
    if (sequence === undefined || sequence <= received) {
      // If this one has none, no earlier one had.
      this.#missed = this.#before = this.#unstored = this.#last.count = 0;
      return false;
    }
    const next = sequence === received + 1;
    if (skipped && !next) return false;
    if (next || this.explain({ first: received + 1, last: sequence - 1 })) {
      // Every earlier one has a lower sequence.
      this.#missed = this.#before = 0;
      this.#last = { sequence, count: this.#unstored };
      return true;
    }
    this.#miss(received);
    return false;
  }

  connectionEnded(received: number): void {
    if (this.#awaited) this.#miss(received);
    this.#awaited = false;
  }

  /** @returns whether missed RESUMEDs may be the hole; then they are no longer counted */
  explain({ first, last }: Hole): boolean {
    if (last - first >= this.#missed || first <= this.#above) return false;
    this.#missed -= last - first + 1;
    return true;
  }

  /** The same for a hole that a RESUME did not fill: it may begin with RESUMEDs of processes before. */
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
