// The independent record of what each session was given: what workers are due for every sequence. It is written where an
// event gets its sequence, before anything is sent, and nothing is ever removed.

import type { SimulatedEvent } from './event.ts';

/** Due in addition to the routing key of the same sequence. */
export const WHOLE_GUILD = 'dispatch.guild_create';

export interface DueEvent {
  readonly sessionId: string;
  readonly shardId: number;
  readonly sequence: number;
  readonly routingKey: string;
  /** The same event has the same number in every session that got it. */
  readonly event: number;
  /** Whether it was ever written to a socket; if not, it waits for a RESUME, or the session was lost before one. */
  readonly sent: boolean;
}

export class Ledger {
  readonly #sessions = new Map<string, SessionLedger>();

  /** In the order in which they started. */
  get sessions(): Iterable<SessionLedger> {
    return this.#sessions.values();
  }

  session(sessionId: string): SessionLedger | undefined {
    return this.#sessions.get(sessionId);
  }

  open(sessionId: string, shardId: number): SessionLedger {
    const ledger = new SessionLedger(sessionId, shardId);
    this.#sessions.set(sessionId, ledger);
    return ledger;
  }

  /** What workers are due, session by session, in the order of sequences. */
  *due(): Generator<DueEvent> {
    for (const session of this.#sessions.values()) yield* session.due();
  }
}

export class SessionLedger {
  readonly sessionId: string;
  readonly shardId: number;
  /** Why the session can no longer be resumed. */
  lost: string | undefined;
  /** The highest sequence ever written to a socket. */
  lastSent = 0;
  /** Two lists instead of one of objects, because a soak has millions of events. */
  readonly #routingKeys: (string | null)[] = [];
  readonly #events: number[] = [];
  /** Sequences for which the whole guild is due too. */
  readonly #wholeGuilds = new Set<number>();

  constructor(sessionId: string, shardId: number) {
    this.sessionId = sessionId;
    this.shardId = shardId;
  }

  get lastSequence(): number {
    return this.#events.length;
  }

  add({ routingKey, number, whole }: SimulatedEvent): void {
    this.#routingKeys.push(routingKey);
    this.#events.push(number);
    if (whole) this.#wholeGuilds.add(this.lastSequence);
  }

  /** @param whole the whole guild, or what else is due for the sequence */
  isDue(sequence: number, whole: boolean): boolean {
    return whole ? this.#wholeGuilds.has(sequence) : typeof this.#routingKeys[sequence - 1] === 'string';
  }

  *due(): Generator<DueEvent> {
    const { sessionId, shardId, lastSent } = this;
    for (const [index, routingKey] of this.#routingKeys.entries()) {
      const [sequence, event = 0] = [index + 1, this.#events[index]];
      const each = { sessionId, shardId, sequence, event, sent: sequence <= lastSent };
      if (routingKey !== null) yield { ...each, routingKey };
      if (this.#wholeGuilds.has(sequence)) yield { ...each, routingKey: WHOLE_GUILD };
    }
  }
}
