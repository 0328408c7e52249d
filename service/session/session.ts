// The session of one shard: what RESUME and heartbeats use, what is stored for another process, and the rule by which
// it is lost. Pure: times come from the caller.
//
//   none:    no session; the next connection IDENTIFYs. `begin` (READY) leaves it
//   alive:   resumed whenever a connection ends. A first refusal leads to doubted; `replace` to none, which is no loss
//   doubted: refused once; resumed once more. `resumed` → alive; a second refusal → none, and the loss is reported
//
// A connection on which the gateway sent nothing is no refusal: a session outlives an outage of the network.
//
// Dispatches come with the sequences 1, 2, 3 …, which Discord does not document. Where one is missing, the connection ends
// and a RESUME asks for it; where that was done a short time before, or does not help, the hole is reported and given up.
// What cannot be read is asked for alike, and left out when it comes again: then it is a hole of its own. So is what ends
// each connection that it comes on, the third time.

import { isAlive, type LostSession } from '../lost-session.ts';
import { GuildPresence } from './guild-presence.ts';
import { HeartbeatSequence } from './heartbeat-sequence.ts';
import { MissedResumed } from './missed-resumed.ts';
import { type Hole, Watermark } from './watermark.ts';

/** What a process needs to go on with the session. */
export interface ResumeState {
  readonly sessionId: string;
  readonly resumeUrl: string;
  /** Everything up to it is settled; what follows is asked for. */
  readonly sequence: number;
  /** A session belongs to its shard count; with another one it cannot be resumed. */
  readonly shardCount: number;
  /** When READY came, Unix ms. */
  readonly startedAt: number;
  /** Bit field of its IDENTIFY; a version before this one did not store it. */
  readonly intents?: number | undefined;
  /** When it was last connected, Unix ms; missing while it is. */
  readonly aliveUntil?: number | undefined;
  /** For another process: guilds joined in this session up to the sequence, each with Discord's `joined_at`, Unix ms. */
  readonly joins?: Record<string, number> | undefined;
  /** For another process: RESUMEDs that Discord may have sent above the sequence. */
  readonly resumes?: number | undefined;
}

/** A session that was ended on purpose, so that another one begins. */
export interface ReplacedSession {
  readonly shardId: number;
  readonly sessionId: string;
  /** Everything up to here was received. */
  readonly lastSequence: number;
  /** Unix ms. */
  readonly endedAt: number;
  readonly reason: string;
  /** Resolves when all of it is settled. */
  readonly settled: Promise<void>;
  /** What it is if that never happens. */
  readonly unsettled: LostSession;
}

/** Why a dispatch is not taken. */
export interface Objection {
  readonly how: 'hole' | 'malformed';
  readonly reason: string;
}

export interface SessionEvents {
  /** Also for sequences that did not come: see `LostSession`. */
  lost(lost: LostSession): void;
  /**
   * Sequences are missing.
   * @param outcome a RESUME asks for them; or they are reported as lost; or they are those of RESUMEDs that did not arrive
   */
  hole(hole: Hole & { readonly outcome: 'resume' | 'gap' | 'RESUMED' }): void;
  replaced(session: ReplacedSession): void;
  /** Discord closed three connections in a row whose heartbeats lagged. @param mostLag they may, from now on, in sequences */
  heartbeatsLagged(mostLag: number): void;
}

/** Since contiguity is not documented, a session must not be resumed all the time where there is none. */
const RESUME_FOR_HOLE_EVERY_MS = 600_000;
/** Discord's replay buffer has some thousands: more than these are not missing, the sequence is wrong. */
const LARGEST_HOLE = 100_000;
/** What ends so many connections in a row at the same sequence is given up. */
const MOST_UNDECODABLE = 3;
/** No more in a row: then it is not the dispatches that cannot be decoded. */
const MOST_GIVEN_UP = 3;

export class ShardSession {
  readonly shardId: number;
  readonly shardCount: number;
  readonly #events: SessionEvents;
  #state: ResumeState | undefined;
  #guilds = new GuildPresence(0);
  #watermark = new Watermark(0);
  #lastReceivedAt = 0;
  #aliveUntil: number | undefined;
  /** Taken over alive, and not resumed yet. */
  #handedOver = false;
  #doubted = false;
  /** READY or RESUMED came on the current connection: what comes are no replays. */
  #live = false;
  #resumedForHoleAt = Number.NEGATIVE_INFINITY;
  /** What came behind this sequence could not be read. */
  #unreadableAfter: number | undefined;
  /** What came behind this sequence was left out, because it came again. */
  #leftOutAfter: number | undefined;
  /** Connections in a row that ended so behind the same sequence. */
  #undecodable = { after: 0, times: 0 };
  /** Sequences given up for that, since the last dispatch. */
  #givenUp = 0;
  #missedResumed = new MissedResumed(0);
  readonly #heartbeats = new HeartbeatSequence();

  constructor(shardId: number, shardCount: number, events: SessionEvents) {
    this.shardId = shardId;
    this.shardCount = shardCount;
    this.#events = events;
  }

  /** Goes on with a session of another process. @param at when that process last stored it @param now both Unix ms */
  restore({ joins, resumes = 0, ...state }: ResumeState, at: number, now = at): void {
    this.#state = state;
    this.#guilds = new GuildPresence(state.startedAt, joins);
    this.#watermark = new Watermark(state.sequence);
    this.#lastReceivedAt = at;
    // The process that stored it may have been unable to connect for hours.
    this.#aliveUntil = state.aliveUntil ?? at;
    this.#handedOver = isAlive(this.#aliveUntil, now);
    this.#doubted = false;
    // It may have sent one RESUME more after that.
    this.#missedResumed = new MissedResumed(resumes + 1);
  }

  /** When the last dispatch of this session came, or it was taken over, Unix ms; none before. */
  get lastReceivedAt(): number | undefined {
    return this.#lastReceivedAt || undefined;
  }

  /** For another process, as of now; none before READY. */
  get resumeState(): ResumeState | undefined {
    if (this.#state === undefined) return undefined;
    const { aliveUntil: _, ...state } = this.#state;
    const aliveUntil = this.#aliveUntil;
    const sequence = this.#watermark.confirmed;
    const joins = this.#guilds.joinsUntil(sequence);
    const resumes = this.#missedResumed.above(sequence);
    return { ...state, sequence, ...(aliveUntil !== undefined && { aliveUntil }), joins, ...(resumes && { resumes }) };
  }

  /** For a RESUME of this process: it asks for what follows the received sequence. None before READY. */
  get resumable(): ResumeState | undefined {
    return this.#state && { ...this.#state, sequence: this.#watermark.received };
  }

  /** The broker has a group record with this state of a session. Of another session it says nothing. */
  stored({ sessionId, sequence }: Pick<ResumeState, 'sessionId' | 'sequence'>): void {
    if (sessionId === this.#state?.sessionId) this.#watermark.store(sequence);
  }

  /** @param at Unix ms @returns what the heartbeat that is sent now carries; nothing without a session */
  heartbeat(at: number): number | null {
    return this.#state === undefined ? null : this.#heartbeats.next(this.#watermark, at);
  }

  get id(): string | undefined {
    return this.#state?.sessionId;
  }

  /** The session's memory of its guilds. */
  get guilds(): GuildPresence {
    return this.#guilds;
  }

  get watermark(): Watermark {
    return this.#watermark;
  }

  /** READY: a new session. READY itself needs no publishing, so its sequence is settled. */
  begin(session: ResumeState): void {
    // Discord answered RESUME with READY.
    if (this.#state !== undefined) this.#lose('Discord began another session instead', session.startedAt);
    this.#resumedForHoleAt = Number.NEGATIVE_INFINITY;
    this.#unreadableAfter = undefined;
    this.#leftOutAfter = undefined;
    this.#undecodable = { after: 0, times: 0 };
    this.#givenUp = 0;
    this.#missedResumed = new MissedResumed(0);
    this.#state = session;
    this.#guilds = new GuildPresence(session.startedAt);
    this.#watermark = new Watermark(session.sequence);
    this.#lastReceivedAt = session.startedAt;
    this.#connected();
  }

  /** RESUME was sent. */
  resuming(): void {
    this.#missedResumed.awaited();
  }

  /** RESUMED: Discord still knows the session. @param sequence of RESUMED itself, if it has one */
  resumed(sequence?: number): void {
    const { received } = this.#watermark;
    // What was left out is reported with the next dispatch.
    const leftOut = this.#leftOutAfter === received;
    if (this.#missedResumed.arrived(sequence, received, leftOut)) this.#watermark.skipTo(sequence ?? received);
    this.#connected();
  }

  /** The connection ended, which the session outlives. */
  disconnected(at: number, closedByDiscord = false): void {
    this.#missedResumed.connectionEnded(this.#watermark.received);
    this.#live = false;
    this.#aliveUntil ??= at;
    const mostLag = this.#heartbeats.ended(at, closedByDiscord);
    if (mostLag !== undefined) this.#events.heartbeatsLagged(mostLag);
  }

  /** It was ended on purpose, and everything received before that is passed on. */
  replace(reason: string, endedAt: number): void {
    if (this.#state === undefined) return;
    const { sessionId } = this.#state;
    const unsettled = this.#lost(this.#state, reason, endedAt);
    this.#state = undefined;
    const { received: lastSequence, settled } = this.#watermark;
    this.#events.replaced({ shardId: this.shardId, sessionId, lastSequence, endedAt, reason, settled, unsettled });
  }

  #connected(): void {
    this.#live = true;
    this.#aliveUntil = undefined;
    this.#handedOver = false;
    this.#doubted = false;
  }

  /** @returns why a dispatch of this sequence must not be received now. To be asked for each, in order */
  objection(sequence: number, at: number): Objection | undefined {
    const { received } = this.#watermark;
    if (this.#state === undefined || sequence === received + 1) return undefined;
    if (sequence <= received) {
      if (!this.#live || this.#watermark.isMissing(sequence)) return undefined;
      return { how: 'malformed', reason: `expected sequence ${received + 1}, got ${sequence} again` };
    }
    const hole = { first: received + 1, last: sequence - 1 };
    if (hole.last - received > LARGEST_HOLE)
      return { how: 'malformed', reason: `expected sequence ${received + 1}, got ${sequence}` };
    this.#missedResumed.seen(sequence);
    const reason = `sequences ${hole.first} to ${hole.last} did not come`;
    const outcome = this.#leftOutAfter === received ? 'gap' : this.#outcomeOf(hole, at);
    this.#events.hole({ ...hole, outcome });
    if (outcome === 'resume') return { how: 'hole', reason };
    if (outcome === 'gap') this.#miss(this.#state, hole, reason, at);
    else this.#watermark.skipTo(hole.last);
    return undefined;
  }

  #miss(state: ResumeState, hole: Hole, reason: string, at: number): void {
    const lastSequence = this.#watermark.received;
    this.#events.lost({ ...this.#lost(state, reason, at), lastSequence, missing: hole });
    this.#watermark.miss(hole);
  }

  /**
   * What may be a dispatch cannot be read.
   * @returns whether it is left out, since a RESUME brought it again: its sequence is then missing
   */
  unreadable(): boolean {
    const { received } = this.#watermark;
    const again = this.#unreadableAfter === received;
    this.#unreadableAfter = received;
    if (again) this.#leftOutAfter = received;
    return again;
  }

  /**
   * What came behind the received sequence cannot be decoded, and ended the connection.
   * @returns whether it is given up, since each RESUME brought it again
   */
  undecodable(at: number): boolean {
    const { received } = this.#watermark;
    const { after, times } = this.#undecodable;
    this.#undecodable = { after: received, times: after === received ? times + 1 : 1 };
    if (this.#state === undefined || this.#undecodable.times < MOST_UNDECODABLE) return false;
    if (this.#givenUp === MOST_GIVEN_UP) return false;
    this.#givenUp += 1;
    const hole = { first: received + 1, last: received + 1 };
    this.#events.hole({ ...hole, outcome: 'gap' });
    this.#miss(this.#state, hole, `sequence ${hole.first} cannot be decoded`, at);
    return true;
  }

  #outcomeOf(hole: Hole, at: number): 'resume' | 'gap' | 'RESUMED' {
    if (this.#missedResumed.explain(hole)) return 'RESUMED';
    if (at - this.#resumedForHoleAt >= RESUME_FOR_HOLE_EVERY_MS) {
      this.#resumedForHoleAt = at;
      return 'resume';
    }
    return this.#missedResumed.explainAsBefore(hole) ? 'RESUMED' : 'gap';
  }

  /** A dispatch came in. @returns its watermark, to settle it on; none if it is a replay or belongs to no session */
  receive(sequence: number, at: number): Watermark | undefined {
    if (this.#state === undefined) return undefined;
    this.#lastReceivedAt = at;
    if (!this.#watermark.receive(sequence)) return undefined;
    this.#givenUp = 0;
    return this.#watermark;
  }

  /** The gateway answered and did not take the session. @returns whether it is kept for one more try */
  refused(reason: string, at: number): boolean {
    if (this.#state === undefined) return false;
    if (!this.#doubted) {
      this.#doubted = true;
      return true;
    }
    this.#lose(reason, at);
    return false;
  }

  #lose(reason: string, at: number): void {
    if (this.#state === undefined) return;
    const lost = { ...this.#lost(this.#state, reason, at), inHandOver: this.#handedOver };
    this.#state = undefined;
    this.#events.lost(lost);
  }

  #lost({ sessionId }: ResumeState, reason: string, lostAt: number): LostSession {
    return {
      shardId: this.shardId,
      sessionId,
      lastSequence: this.#watermark.confirmed,
      lastReceivedAt: this.#lastReceivedAt,
      lostAt,
      reason,
    };
  }
}
