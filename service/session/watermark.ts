// The two positions of one session. `confirmed`: the highest sequence below which everything is settled (confirmed by
// the broker, or filtered); Discord and other processes get this one only. `received`: the highest that came
// in; it serves to drop what a RESUME replays although it is still in the outbox. Pure.

export class Watermark {
  /** Received and not settled; insertion order is sequence order. */
  readonly #unsettled = new Set<number>();
  #received: number;

  /** @param sequence everything up to here is settled */
  constructor(sequence: number) {
    this.#received = sequence;
  }

  get received(): number {
    return this.#received;
  }

  get confirmed(): number {
    for (const first of this.#unsettled) return first - 1;
    return this.#received;
  }

  /** @returns whether the dispatch is new; a replayed one is already settled or still in the outbox */
  receive(sequence: number): boolean {
    if (sequence <= this.#received) return false;
    this.#received = sequence;
    this.#unsettled.add(sequence);
    return true;
  }

  settle(sequence: number): void {
    this.#unsettled.delete(sequence);
  }
}
