// The three positions of one session, each as high as the next one or higher. Pure.
//
//   received:  the highest sequence that came in. A RESUME of this process asks for what follows: the outbox has the rest
//   confirmed: the highest one up to which everything is settled: confirmed by the broker, or filtered. The group record
//              has it, and another process asks for what follows
//   stored:    `confirmed`, as the last group record has it that the broker confirmed. Heartbeats carry it
//
// Discord documents neither how much it keeps for a RESUME nor whether it forgets what was acknowledged. So heartbeats
// acknowledge what the next owner has in any case, and a RESUME asks for as little as possible. A RESUME that is sent before
// everything is stored acknowledges more: if this process is killed then and Discord forgets, the session is lost, and reported.
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

  /** @param sequence everything up to here is settled, and is stored or need not be */
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

  /** The sequences right above the last received one did not come: they count as settled until they come late. */
  miss(hole: Hole): void {
    this.#received = hole.last;
    this.#holes.push(hole);
    if (this.#holes.length > MOST_HOLES) this.#holes.shift();
  }

  /** Sequences up to this one are those of RESUMEDs. */
  skipTo(sequence: number): void {
    this.#received = sequence;
  }

  isMissing(sequence: number): boolean {
    return this.#holeWith(sequence) !== undefined;
  }

  #holeWith(sequence: number): Hole | undefined {
    return this.#holes.find(({ first, last }) => first <= sequence && sequence <= last);
  }

  #fill(sequence: number): boolean {
    const hole = this.#holeWith(sequence);
    if (hole === undefined) return false;
    const { first, last } = hole;
    const rest = [
      { first, last: sequence - 1 },
      { first: sequence + 1, last },
    ];
    this.#holes.splice(this.#holes.indexOf(hole), 1, ...rest.filter((each) => each.first <= each.last));
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
