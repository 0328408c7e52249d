// The three positions of one session, each as high as the next one or higher. Pure.
//
//   received:  the highest sequence that came in. A RESUME of this process asks for what follows: the outbox has the rest
//   confirmed: the highest one up to which everything is settled: confirmed by the broker, or filtered. The group record
//              has it, and another process asks for what follows
//   stored:    `confirmed`, as the last group record has it that the broker confirmed. Heartbeats carry it
//
// Discord documents neither how much it keeps for a RESUME nor whether it forgets what was acknowledged. So heartbeats
// acknowledge what any next owner has, and a RESUME asks for as little as possible. One that is sent before everything is
// stored acknowledges more: should this process be killed then, and Discord forget, the session is lost, and reported.
//
// Holes, sequences up to `received` that did not come, were reported and count as settled; what comes late is new.

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
  #stored: number;
  #allSettled: PromiseWithResolvers<void> | undefined;

  /** @param sequence everything up to here is settled, and needs no storing or is stored */
  constructor(sequence: number) {
    this.#received = sequence;
    this.#stored = sequence;
  }

  get received(): number {
    return this.#received;
  }

  get confirmed(): number {
    for (const first of this.#unsettled) return first - 1;
    return this.#received;
  }

  get stored(): number {
    return this.#stored;
  }

  /** Resolves as soon as everything received is settled. */
  get settled(): Promise<void> {
    if (this.#unsettled.size === 0) return Promise.resolve();
    this.#allSettled ??= Promise.withResolvers();
    return this.#allSettled.promise;
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
    if (this.#allSettled === undefined || this.#unsettled.size > 0) return;
    this.#allSettled.resolve();
    this.#allSettled = undefined;
  }

  /** The broker has a group record with this confirmed sequence. */
  store(sequence: number): void {
    this.#stored = Math.max(this.#stored, sequence);
  }
}
