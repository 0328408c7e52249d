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
// and a RESUME asks for it; where that was done a short time before, or does not help, the hole is reported as a gap. A dispatch
// that cannot be read is asked for in the same way, and skipped when it comes again: then it is a hole of its own. So is, the
// third time, a dispatch that ends each connection on which it comes.

import { isAlive, type LostSession } from '../lost-session.ts';
import { GuildPresence } from './guild-presence.ts';
import { HeartbeatSequence } from './heartbeat-sequence.ts';
import { MissedResumed } from './missed-resumed.ts';
import { type Hole, Watermark } from './watermark.ts';

/** What a process needs to resume the session. */
export interface ResumeState {
  readonly sessionId: string;
  readonly resumeUrl: string;
  /** Everything up to it is settled; RESUME asks for what follows. */
  readonly sequence: number;
  /** A session belongs to its shard count; with another one it cannot be resumed. */
  readonly shardCount: number;
  /** When READY came, Unix ms. */
  readonly startedAt: number;
  /** Bit field of its IDENTIFY; unknown of a session that an older version stored. */
  readonly intents?: number | undefined;
  /** When it was last connected, Unix ms; missing while it is. */
  readonly aliveUntil?: number | undefined;
  /** For another process: guilds joined in this session up to the sequence, each with Discord's `joined_at`, Unix ms. */
  readonly joins?: Record<string, number> | undefined;
  /** For another process: RESUMEDs that Discord may have sent above the sequence. */
  readonly resumes?: number | undefined;
}

/** A session that was ended on purpose, so that another one begins. */
interface ReplacedSession extends Pick<LostSession, 'shardId' | 'sessionId' | 'reason'> {
  /** Everything up to here was received. */
  readonly lastSequence: number;
  /** Unix ms. */
  readonly endedAt: number;
  /** Resolves when all of it is settled. */
  readonly settled: Promise<void>;
  /** What to report if that never happens. */
  readonly unsettled: LostSession;
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
  /** Discord closed three connections in a row whose heartbeats lagged. @param mostLag allowed from now on, in sequences */
  heartbeatsLagged(mostLag: number): void;
}

/** Since contiguity is not documented, a session must not be resumed all the time where there is none. */
const RESUME_FOR_HOLE_EVERY_MS = 600_000;
/** Discord's replay buffer has some thousands: a larger hole is a wrong sequence. */
const LARGEST_HOLE = 100_000;
/** A dispatch that ends so many connections in a row is given up. */
const MOST_UNDECODABLE = 3;
/** No more in a row: then the cause is not the dispatches. */
const MOST_GIVEN_UP = 3;

/** What a session remembers of faulty dispatches. */
const NO_FAULTS = {
  resumedForHoleAt: Number.NEGATIVE_INFINITY,
  /** What came behind this sequence could not be read. */
  unreadableAfter: Number.NaN,
  /** What came behind this sequence was skipped, because it came again. */
  skippedAfter: Number.NaN,
  /** Connections in a row that ended behind the same sequence, because what followed could not be decoded. */
  undecodable: { after: 0, times: 0 },
  /** Sequences given up for that, since the last dispatch. */
  givenUp: 0,
};

export class ShardSession {
  readonly shardId: number;
  readonly shardCount: number;
  readonly #events: SessionEvents;
  #state: ResumeState | undefined;
  #guilds = new GuildPresence(0);
  #watermark = new Watermark(0);
  #missedResumed = new MissedResumed(0);
  #faults = { ...NO_FAULTS };
  #lastReceivedAt = 0;
  #aliveUntil: number | undefined;
  /** Taken over alive, and not resumed yet. */
  #handedOver = false;
  #doubted = false;
  /** READY or RESUMED came on the current connection: dispatches are no replays. */
  #live = false;
  readonly #heartbeats = new HeartbeatSequence();

  constructor(shardId: number, shardCount: number, events: SessionEvents) {
    this.shardId = shardId;
    this.shardCount = shardCount;
    this.#events = events;
  }

  /** Continues a session of another process. @param at when that process last stored it @param now both Unix ms */
  restore({ joins, resumes = 0, ...state }: ResumeState, at: number, now = at): void {
    // That process may have sent one RESUME more after it stored the session.
    this.#start(state, resumes + 1, joins);
    this.#lastReceivedAt = at;
    this.#aliveUntil = state.aliveUntil ?? at;
    this.#handedOver = isAlive(this.#aliveUntil, now);
  }

  /** READY: a new session. READY itself needs no publishing, so its sequence is settled. */
  begin(session: ResumeState): void {
    // Discord answered RESUME with READY.
    this.#lose('Discord began another session instead', session.startedAt);
    this.#start(session, 0);
    this.#lastReceivedAt = session.startedAt;
    this.#connected();
  }

  #start(state: ResumeState, resumes: number, joins?: Record<string, number>): void {
    this.#state = state;
    this.#guilds = new GuildPresence(state.startedAt, joins);
    this.#watermark = new Watermark(state.sequence);
    this.#missedResumed = new MissedResumed(resumes);
    this.#faults = { ...NO_FAULTS };
  }

  /** When the last dispatch of this session came, or it was taken over, Unix ms; nothing before. */
  get lastReceivedAt(): number | undefined {
    return this.#lastReceivedAt || undefined;
  }

  /** For another process; nothing before READY. */
  get resumeState(): ResumeState | undefined {
    if (this.#state === undefined) return undefined;
    const { aliveUntil: _, ...state } = this.#state;
    const aliveUntil = this.#aliveUntil;
    const sequence = this.#watermark.confirmed;
    const joins = this.#guilds.joinsUntil(sequence);
    const resumes = this.#missedResumed.above(sequence);
    return { ...state, sequence, ...(aliveUntil !== undefined && { aliveUntil }), joins, ...(resumes && { resumes }) };
  }

  /** For a RESUME of this process: it asks for what follows the received sequence. Nothing before READY. */
  get resumable(): ResumeState | undefined {
    return this.#state && { ...this.#state, sequence: this.#watermark.received };
  }

  get id(): string | undefined {
    return this.#state?.sessionId;
  }

  get guilds(): GuildPresence {
    return this.#guilds;
  }

  get watermark(): Watermark {
    return this.#watermark;
  }

  /** The broker has confirmed a group record with this state; ignored if it is of another session. */
  stored({ sessionId, sequence }: Pick<ResumeState, 'sessionId' | 'sequence'>): void {
    if (sessionId === this.#state?.sessionId) this.#watermark.store(sequence);
  }

  /** @param at Unix ms @returns the sequence that the next heartbeat carries; nothing without a session */
  heartbeat(at: number): number | null {
    return this.#state === undefined ? null : this.#heartbeats.next(this.#watermark, at);
  }

  /** RESUME was sent. */
  resuming(): void {
    if (this.#state === undefined) throw new Error('expected a session before RESUME is sent');
    this.#missedResumed.awaited();
  }

  /** RESUMED: Discord still knows the session. @param sequence of RESUMED itself, if it has one */
  resumed(sequence?: number): void {
    const { received } = this.#watermark;
    // What was skipped is reported with the next dispatch.
    const skipped = this.#faults.skippedAfter === received;
    if (this.#missedResumed.arrived(sequence, received, skipped)) this.#watermark.skipTo(sequence ?? received);
    this.#connected();
  }

  #connected(): void {
    this.#live = true;
    this.#aliveUntil = undefined;
    this.#handedOver = false;
    this.#doubted = false;
  }

  /** The connection ended, which the session outlives. */
  disconnected(at: number, closedByDiscord = false): void {
    this.#missedResumed.connectionEnded(this.#watermark.received);
    this.#live = false;
    this.#aliveUntil ??= at;
    const mostLag = this.#heartbeats.ended(at, closedByDiscord);
    if (mostLag !== undefined) this.#events.heartbeatsLagged(mostLag);
  }

  /** It was ended on purpose, after everything that Discord sent was received. */
  replace(reason: string, endedAt: number): void {
    if (this.#state === undefined) return;
    const { sessionId } = this.#state;
    const unsettled = this.#lost(this.#state, reason, endedAt);
    this.#state = undefined;
    const { received: lastSequence, settled } = this.#watermark;
    this.#events.replaced({ shardId: this.shardId, sessionId, lastSequence, endedAt, reason, settled, unsettled });
  }

  /** Called for each dispatch, in order. @returns why a dispatch of this sequence must not be received now */
  rejection(sequence: number, at: number): { readonly how: 'hole' | 'malformed'; readonly reason: string } | undefined {
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
    const outcome = this.#faults.skippedAfter === received ? 'gap' : this.#outcomeOf(hole, at);
    this.#events.hole({ ...hole, outcome });
    if (outcome === 'resume') return { how: 'hole', reason };
    if (outcome === 'gap') this.#miss(this.#state, hole, reason, at);
    return undefined;
  }

  #outcomeOf(hole: Hole, at: number): 'resume' | 'gap' | 'RESUMED' {
    if (this.#missedResumed.explain(hole)) return 'RESUMED';
    if (at - this.#faults.resumedForHoleAt >= RESUME_FOR_HOLE_EVERY_MS) {
      this.#faults.resumedForHoleAt = at;
      return 'resume';
    }
    return this.#missedResumed.explainAsBefore(hole) ? 'RESUMED' : 'gap';
  }

  #miss(state: ResumeState, hole: Hole, reason: string, at: number): void {
    const lastSequence = this.#watermark.received;
    this.#events.lost({ ...this.#lost(state, reason, at), lastSequence, missing: hole });
    this.#watermark.miss(hole);
  }

  /**
   * What may be a dispatch cannot be read.
   * @returns whether it is skipped, since a RESUME brought it again: its sequence is then missing
   */
  unreadable(): boolean {
    const { received } = this.#watermark;
    const again = this.#faults.unreadableAfter === received;
    this.#faults.unreadableAfter = received;
    if (again) this.#faults.skippedAfter = received;
    return again;
  }

  /**
   * What came behind the received sequence cannot be decoded, and ended the connection.
   * @returns whether it is given up, since each RESUME brought it again
   */
  undecodable(at: number): boolean {
    const { received } = this.#watermark;
    const { after, times: before } = this.#faults.undecodable;
    const times = after === received ? before + 1 : 1;
    this.#faults.undecodable = { after: received, times };
    if (this.#state === undefined || times < MOST_UNDECODABLE || this.#faults.givenUp === MOST_GIVEN_UP) return false;
    this.#faults.givenUp += 1;
    const hole = { first: received + 1, last: received + 1 };
    this.#events.hole({ ...hole, outcome: 'gap' });
    this.#miss(this.#state, hole, `sequence ${hole.first} cannot be decoded`, at);
    return true;
  }

  /** A dispatch came in. @returns its watermark, to settle it on; nothing if it is a replay or belongs to no session */
  receive(sequence: number, at: number): Watermark | undefined {
    if (this.#state === undefined) return undefined;
    this.#lastReceivedAt = at;
    if (!this.#watermark.receive(sequence)) return undefined;
    this.#faults.givenUp = 0;
    return this.#watermark;
  }

  /** The gateway answered and did not accept the session. @returns whether it is kept for one more try */
  refused(reason: string, at: number): boolean {
    if (this.#state === undefined) return false;
    if (this.#doubted) this.#lose(reason, at);
    else this.#doubted = true;
    return this.#state !== undefined;
  }

  #lose(reason: string, at: number): void {
    if (this.#state === undefined) return;
    const lost = { ...this.#lost(this.#state, reason, at), inHandOver: this.#handedOver };
    this.#state = undefined;
    this.#events.lost(lost);
  }

  #lost({ sessionId }: ResumeState, reason: string, lostAt: number): LostSession {
    const { confirmed: lastSequence } = this.#watermark;
    return { shardId: this.shardId, sessionId, lastSequence, lastReceivedAt: this.#lastReceivedAt, lostAt, reason };
  }
}
