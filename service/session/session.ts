// The session of one shard: what RESUME and heartbeats say, what is stored for another process, and the law of when
// it is lost. Pure: times come from the caller.
//
//   none:    no session; the next connection IDENTIFYs. `begin` (READY) leaves it
//   alive:   resumed from its confirmed sequence whenever a connection ends. A first refusal leads to doubted
//   doubted: refused once; resumed once more. `resumed` → alive; a second refusal → none, and the loss is told
//
// A connection on which the gateway never spoke is no refusal: a session outlives an outage of the network.

import { GuildPresence } from './guild-presence.ts';
import { Watermark } from './watermark.ts';

/** What another process needs to go on with the session. */
export interface SessionRecord {
  readonly sessionId: string;
  readonly resumeUrl: string;
  /** Confirmed sequence. */
  readonly sequence: number;
  /** A session belongs to its shard count; with another one it cannot be resumed. */
  readonly shardCount: number;
  /** When READY came, Unix ms. */
  readonly startedAt: number;
  /** When it was last connected, Unix ms; missing while it is. */
  readonly aliveUntil?: number | undefined;
}

/** The same as it is stored, with what the session remembers of its guilds. */
export interface StoredSession extends SessionRecord {
  /** Guilds joined in this session up to the sequence, each with Discord's `joined_at`, Unix ms. */
  readonly joins?: Readonly<Record<string, number>> | undefined;
}

export interface LostSession {
  readonly shardId: number;
  readonly sessionId: string;
  /** Everything up to here was confirmed. */
  readonly lastSequence: number;
  /** When the last dispatch of the session came in (or its READY), Unix ms. */
  readonly lastReceivedAt: number;
  readonly lostAt: number;
  readonly reason: string;
}

/** A session that was connected so short a time before is handed over alive: Discord keeps it for minutes. */
const HAND_OVER_MS = 60_000;

/** @param at when the sessions were stored @param now when they were taken over; both Unix ms */
export const wasAlive = (at: number, now: number): boolean => now - at <= HAND_OVER_MS;

export class ShardSession {
  readonly shardId: number;
  readonly shardCount: number;
  readonly #onLost: (lost: LostSession, inHandOver: boolean) => void;
  #record: SessionRecord | undefined;
  #guilds = new GuildPresence(0);
  #watermark = new Watermark(0);
  #lastReceivedAt = 0;
  #aliveUntil: number | undefined;
  /** Taken over alive, and not resumed yet. */
  #handedOver = false;
  #doubted = false;

  /** @param onLost called with whether it was lost in a hand-over: alive when taken over, and refused to this process */
  constructor(shardId: number, shardCount: number, onLost: (lost: LostSession, inHandOver: boolean) => void) {
    this.shardId = shardId;
    this.shardCount = shardCount;
    this.#onLost = onLost;
  }

  /** Goes on with a session of another process. @param at when that process last stored it @param now both Unix ms */
  restore({ joins, ...record }: StoredSession, at: number, now = at): void {
    this.#record = record;
    this.#guilds = new GuildPresence(record.startedAt, joins);
    this.#watermark = new Watermark(record.sequence);
    this.#lastReceivedAt = at;
    // Whoever stored it may itself have been unable to connect, for hours.
    this.#aliveUntil = record.aliveUntil ?? at;
    this.#handedOver = wasAlive(this.#aliveUntil, now);
    this.#doubted = false;
  }

  /** The session as of now, with the confirmed sequence; none before READY. */
  get record(): SessionRecord | undefined {
    if (this.#record === undefined) return undefined;
    const { aliveUntil: _, ...record } = this.#record;
    const aliveUntil = this.#aliveUntil;
    return { ...record, sequence: this.#watermark.confirmed, ...(aliveUntil !== undefined && { aliveUntil }) };
  }

  /** The record with what another process needs beside it. */
  get stored(): StoredSession | undefined {
    const { record } = this;
    return record && { ...record, joins: this.#guilds.joinsUntil(record.sequence) };
  }

  get id(): string | undefined {
    return this.#record?.sessionId;
  }

  get startedAt(): number {
    return this.#record?.startedAt ?? 0;
  }

  /** The session's memory of its guilds. */
  get guilds(): GuildPresence {
    return this.#guilds;
  }

  get watermark(): Watermark {
    return this.#watermark;
  }

  /** READY: a new session. READY itself needs no publishing, so its sequence is settled. */
  begin(session: SessionRecord): void {
    this.#record = session;
    this.#guilds = new GuildPresence(session.startedAt);
    this.#watermark = new Watermark(session.sequence);
    this.#lastReceivedAt = session.startedAt;
    this.#connected();
  }

  /** RESUMED: Discord still knows the session. */
  resumed(): void {
    this.#connected();
  }

  /** The connection ended, which the session outlives. */
  disconnected(at: number): void {
    this.#aliveUntil ??= at;
  }

  #connected(): void {
    this.#aliveUntil = undefined;
    this.#handedOver = false;
    this.#doubted = false;
  }

  /** A dispatch came in. @returns its watermark, to settle it on; none if it is a replay or belongs to no session */
  receive(sequence: number, at: number): Watermark | undefined {
    if (this.#record === undefined) return undefined;
    this.#lastReceivedAt = at;
    return this.#watermark.receive(sequence) ? this.#watermark : undefined;
  }

  /** The gateway answered and did not take the session. @returns whether it is kept for one more try */
  refused(reason: string, at: number): boolean {
    if (this.#record === undefined) return false;
    if (!this.#doubted) {
      this.#doubted = true;
      return true;
    }
    const lost: LostSession = {
      shardId: this.shardId,
      sessionId: this.#record.sessionId,
      lastSequence: this.#watermark.confirmed,
      lastReceivedAt: this.#lastReceivedAt,
      lostAt: at,
      reason,
    };
    this.#record = undefined;
    this.#doubted = false;
    this.#onLost(lost, this.#handedOver);
    return false;
  }
}
