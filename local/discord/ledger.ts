// The independent record of what each session was given: every sequence with its dispatch, and what a worker is due for
// it. It is written where an event gets its sequence, before anybody reads it, and nothing is ever taken back.
// An event takes six bytes, so a million of them are no burden.

export interface DueEvent {
  readonly sessionId: string;
  readonly shardId: number;
  readonly sequence: number;
  readonly routingKey: string;
  readonly dispatch: string;
  /** The same event has the same number in every session that got it. */
  readonly event: number;
  /** Whether it was ever written to a socket; if not, it waits for a RESUME, or the session was lost before one. */
  readonly sent: boolean;
}

export interface LostSession {
  readonly sessionId: string;
  readonly shardId: number;
  readonly reason: string;
  /** Everything up to here had its sequence. */
  readonly lastSequence: number;
  /** Everything up to here was written to a socket; what is between the two was never deliverable. */
  readonly lastSent: number;
  /** Unix ms. */
  readonly at: number;
}

export class Ledger {
  readonly #sessions = new Map<string, SessionRecord>();
  readonly #kinds: Kind[] = [];
  readonly #kindNumbers = new Map<string, number>();

  /** In the order in which they began. */
  get sessions(): Iterable<SessionRecord> {
    return this.#sessions.values();
  }

  session(sessionId: string): SessionRecord | undefined {
    return this.#sessions.get(sessionId);
  }

  get lost(): readonly LostSession[] {
    return [...this.#sessions.values()].flatMap((session) => session.lost ?? []);
  }

  open(sessionId: string, shardId: number, shardCount: number): SessionRecord {
    const record = new SessionRecord(sessionId, shardId, shardCount, (dispatch, key) => this.#kind(dispatch, key));
    this.#sessions.set(sessionId, record);
    return record;
  }

  /** What workers are due, session by session, in the order of sequences. */
  *due(): Generator<DueEvent> {
    for (const session of this.#sessions.values()) {
      for (let sequence = 1; sequence <= session.lastSequence; sequence += 1) {
        const kind = this.#kinds[session.kindAt(sequence)];
        if (kind === undefined || kind.routingKey === null) continue;
        yield {
          sessionId: session.sessionId,
          shardId: session.shardId,
          sequence,
          routingKey: kind.routingKey,
          dispatch: kind.dispatch,
          event: session.eventAt(sequence),
          sent: sequence <= session.lastSent,
        };
      }
    }
  }

  /** What is due under a sequence: a routing key, `null` for nothing, `undefined` for a sequence that was never given. */
  routingKeyOf(sessionId: string, sequence: number): string | null | undefined {
    return this.#kindOf(sessionId, sequence)?.routingKey;
  }

  dispatchOf(sessionId: string, sequence: number): string | undefined {
    return this.#kindOf(sessionId, sequence)?.dispatch;
  }

  #kindOf(sessionId: string, sequence: number): Kind | undefined {
    const session = this.#sessions.get(sessionId);
    if (session === undefined || sequence < 1 || sequence > session.lastSequence) return undefined;
    return this.#kinds[session.kindAt(sequence)];
  }

  #kind(dispatch: string, routingKey: string | null): number {
    const name = `${dispatch} ${routingKey ?? ''}`;
    const known = this.#kindNumbers.get(name);
    if (known !== undefined) return known;
    const number = this.#kinds.push({ dispatch, routingKey }) - 1;
    this.#kindNumbers.set(name, number);
    return number;
  }
}

interface Kind {
  readonly dispatch: string;
  readonly routingKey: string | null;
}

/** One session's page. */
export class SessionRecord {
  readonly sessionId: string;
  readonly shardId: number;
  readonly shardCount: number;
  readonly #kindOf: (dispatch: string, routingKey: string | null) => number;
  #kinds = new Uint16Array(64);
  #events = new Uint32Array(64);
  #length = 0;
  #lastSent = 0;
  #lost: LostSession | undefined;

  constructor(
    sessionId: string,
    shardId: number,
    shardCount: number,
    kindOf: (dispatch: string, routingKey: string | null) => number,
  ) {
    this.sessionId = sessionId;
    this.shardId = shardId;
    this.shardCount = shardCount;
    this.#kindOf = kindOf;
  }

  get lastSequence(): number {
    return this.#length;
  }

  /** The highest sequence ever written to a socket. */
  get lastSent(): number {
    return this.#lastSent;
  }

  get lost(): LostSession | undefined {
    return this.#lost;
  }

  /** @returns the sequence */
  add(dispatch: string, routingKey: string | null, event: number): number {
    if (this.#length === this.#kinds.length) this.#grow();
    this.#kinds[this.#length] = this.#kindOf(dispatch, routingKey);
    this.#events[this.#length] = event;
    this.#length += 1;
    return this.#length;
  }

  sent(sequence: number): void {
    if (sequence > this.#lastSent) this.#lastSent = sequence;
  }

  lose(reason: string, at: number): LostSession {
    const { sessionId, shardId, lastSequence, lastSent } = this;
    this.#lost ??= { sessionId, shardId, reason, lastSequence, lastSent, at };
    return this.#lost;
  }

  kindAt(sequence: number): number {
    return this.#kinds[sequence - 1] ?? 0;
  }

  eventAt(sequence: number): number {
    return this.#events[sequence - 1] ?? 0;
  }

  #grow(): void {
    const kinds = new Uint16Array(this.#length * 2);
    const events = new Uint32Array(this.#length * 2);
    kinds.set(this.#kinds);
    events.set(this.#events);
    this.#kinds = kinds;
    this.#events = events;
  }
}
