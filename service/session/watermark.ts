// The two positions of one session. `confirmed`: the highest sequence below which everything is settled (confirmed by
// the broker, or filtered); Discord and other processes get this one only. `received`: the highest that came
// in; it serves to drop what a RESUME replays although it is still in the outbox. Holes, sequences below it that did not
// come, were reported and count as settled; what comes late for one of them is new. Pure.

/** Sequences that did not come, both ends included. */
export interface Hole {
  readonly first: number;
  readonly last: number;
}

/** Beyond these the oldest are forgotten: what comes late for them looks like a replay. */
const MOST_HOLES = 1_000;

export class Watermark {
  /** Received and not settled; insertion order is sequence order. */
  readonly #unsettled = new Set<number>();
  readonly #holes: Hole[] = [];
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
    if (sequence <= this.#received) return this.#fill(sequence);
    this.#received = sequence;
    this.#unsettled.add(sequence);
    return true;
  }

  /** Gives up what did not come. Sequences above the last received, until they are received all the same. */
  miss(hole: Hole): void {
    this.#received = hole.last;
    this.#holes.push(hole);
    if (this.#holes.length > MOST_HOLES) this.#holes.shift();
  }

  /** Sequences up to this one are none of events. */
  skipTo(sequence: number): void {
    this.#received = sequence;
  }

  isMissing(sequence: number): boolean {
    return this.#holeWith(sequence) !== -1;
  }

  /** @returns its index, or -1 */
  #holeWith(sequence: number): number {
    return this.#holes.findIndex(({ first, last }) => first <= sequence && sequence <= last);
  }

  #fill(sequence: number): boolean {
    const index = this.#holeWith(sequence);
    const hole = this.#holes[index];
    if (hole === undefined) return false;
    const left = [
      { first: hole.first, last: sequence - 1 },
      { first: sequence + 1, last: hole.last },
    ].filter(({ first, last }) => first <= last);
    this.#holes.splice(index, 1, ...left);
    return true;
  }

  settle(sequence: number): void {
    this.#unsettled.delete(sequence);
  }
}
