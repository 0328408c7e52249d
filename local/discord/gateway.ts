// Discord's side of the gateway: which sessions there are, who may begin or resume one, how a session ends, and which
// sessions an event belongs to. It writes the ledger and the list of violations; it does not decide what happens.

import { randomBytes } from 'node:crypto';
import { GatewayCloseCodes, GatewayDispatchEvents, GatewayIntentBits } from 'discord-api-types/v10';
import { mayPass, type WorldEvent } from './event.ts';
import type { Closer, Door, GatewayConnection, Violation } from './gateway-connection.ts';
import type { GuildRoster } from './guild-roster.ts';
import { IdentifyLimits } from './identify-limits.ts';
import { Ledger, type LostSession } from './ledger.ts';
import type { SimulatorOptions } from './options.ts';
import * as guild from './payloads/guild.ts';
import { ready } from './payloads/ready.ts';
import type { World } from './payloads/world.ts';
import {
  type Bot,
  clientCloseEndsSession,
  closeEndsSession,
  type Identify,
  type Refusal,
  readIdentify,
  readResume,
} from './rules.ts';
import { Session } from './session.ts';

export interface ShardNotice {
  readonly shardId: number;
  readonly shardCount: number;
  readonly sessionId: string;
}

/** Each is emitted after it has happened. */
export interface GatewayEvents {
  /** An IDENTIFY was accepted; READY follows. */
  identify: [{ readonly shardId: number; readonly shardCount: number }];
  ready: [ShardNotice];
  /** A RESUME came, whatever becomes of it. */
  resume: [{ readonly sessionId: string; readonly sequence: number; readonly byResumeUrl: boolean }];
  resumed: [ShardNotice & { readonly replayed: number; readonly from: number }];
  /** A RESUME was answered with op 9. */
  refused: [{ readonly sessionId: string; readonly sequence: number; readonly reason: string }];
  heartbeat: [{ readonly shardId: number; readonly sessionId: string; readonly sequence: number | null }];
  disconnect: [Partial<ShardNotice> & { readonly code: number; readonly by: Closer }];
  lost: [LostSession];
  violation: [Violation];
  /** The daily IDENTIFYs were overspent: all sessions ended, and this is the bot's token now. */
  tokenReset: [{ readonly token: string }];
}

/** HELLO on a new connection, READY after IDENTIFY, or whatever answers a RESUME. */
export type Held = 'hello' | 'ready' | 'resumed';

export type Emit = <K extends keyof GatewayEvents>(name: K, ...values: GatewayEvents[K]) => void;

export interface Delivery {
  readonly session: Session;
  readonly sequence: number;
}

export class Gateway implements Door {
  readonly ledger = new Ledger();
  readonly violations: Violation[] = [];
  readonly connections = new Set<GatewayConnection>();
  readonly #options: SimulatorOptions;
  readonly #world: World;
  readonly #roster: GuildRoster;
  readonly #emit: Emit;
  readonly #resumeUrl: () => string;
  readonly #sessions = new Map<string, Session>();
  /** By shard count, then by shard. */
  readonly #bySharding = new Map<number, Map<number, Set<Session>>>();
  readonly #delayed = new Set<NodeJS.Timeout>();
  /** What is asked for and not answered. */
  readonly held = new Set<Held>();
  #limits: IdentifyLimits;
  #token: string;
  #tokensMade = 0;

  constructor(options: SimulatorOptions, world: World, roster: GuildRoster, resumeUrl: () => string, emit: Emit) {
    this.#options = options;
    this.#world = world;
    this.#roster = roster;
    this.#resumeUrl = resumeUrl;
    this.#emit = emit;
    this.#token = options.token;
    this.#limits = this.#freshLimits();
  }

  get token(): string {
    return this.#token;
  }

  get sessions(): Iterable<Session> {
    return this.#sessions.values();
  }

  /** `session_start_limit` of GET /gateway/bot. */
  sessionStartLimit() {
    return this.#limits.state(performance.now());
  }

  /** Gives the event to every session that it belongs to. */
  publish(event: WorldEvent): readonly Delivery[] {
    const deliveries: Delivery[] = [];
    for (const [shardCount, shards] of this.#bySharding) {
      const shardId = event.guild ? event.guild.shardingKey % shardCount : 0;
      for (const session of shards.get(shardId) ?? []) {
        if (!mayPass(event, session.reader.intents)) continue;
        deliveries.push({ session, sequence: session.deliver(event) });
        if (session.overfilled) this.lose(session, 'the replay buffer was overfilled');
      }
    }
    return deliveries;
  }

  /** Ends a session: a RESUME of it gets op 9. */
  lose(session: Session, reason: string): void {
    if (!this.#sessions.delete(session.id)) return;
    this.#bySharding.get(session.shardCount)?.get(session.shardId)?.delete(session);
    clearTimeout(session.expiry);
    this.#emit('lost', session.record.lose(reason, Date.now()));
  }

  /** Another token from now on. Ends every session and connection, unless they are to be kept. */
  changeToken(token: string, keepSessions: boolean): void {
    this.#token = token;
    if (keepSessions) return;
    for (const session of [...this.#sessions.values()]) this.lose(session, 'the token was changed');
    for (const connection of this.connections)
      connection.close(GatewayCloseCodes.AuthenticationFailed, 'Authentication failed.');
  }

  /** The daily IDENTIFYs begin anew. */
  renewBudget(): void {
    this.#limits = this.#freshLimits();
  }

  identify(connection: GatewayConnection, d: unknown): void {
    const identify = readIdentify(d, this.#bot());
    if (identify.kind === 'refused') {
      connection.punish('identify', identify);
      return;
    }
    const admission = this.#limits.admit(identify.shardId, performance.now());
    if (admission.kind === 'exhausted') {
      this.#overspend(connection);
      return;
    }
    if (admission.kind === 'too early') {
      const { bucket, sinceMs } = admission;
      const sentence = `shard ${identify.shardId} sent IDENTIFY ${sinceMs} ms after the last of bucket ${bucket}; ${this.#options.identifyEveryMs} ms are to be between them`;
      connection.report('identify too early', 9, sentence);
      connection.invalidate(false);
      return;
    }
    const { shardId, shardCount } = identify;
    this.#emit('identify', { shardId, shardCount });
    if (this.held.has('ready')) return;
    if (this.#options.readyDelayMs === 0) {
      this.#begin(connection, identify);
      return;
    }
    const timer = setTimeout(() => {
      this.#delayed.delete(timer);
      if (connection.open) this.#begin(connection, identify);
    }, this.#options.readyDelayMs).unref();
    this.#delayed.add(timer);
  }

  resume(connection: GatewayConnection, d: unknown): void {
    const resume = readResume(d, this.#bot());
    if (resume.kind === 'refused') {
      connection.punish('resume', resume);
      return;
    }
    const { sessionId, sequence } = resume;
    const { byResumeUrl } = connection;
    this.#emit('resume', { sessionId, sequence, byResumeUrl });
    if (this.held.has('resumed')) return;
    const session = this.#sessions.get(sessionId);
    if (session === undefined || session.forgotten) {
      if (session) this.#end(session, 'forgotten');
      this.#refuseResume(connection, sessionId, sequence, 'there is no such session, or no longer');
      return;
    }
    if (sequence > session.sequence) {
      const sentence = `RESUME says ${sequence}, but this session only came to ${session.sequence}`;
      this.#end(session, 'resumed with a sequence that was never sent');
      connection.punish('resume sequence', { code: GatewayCloseCodes.InvalidSeq, sentence });
      return;
    }
    const older = [...session.outlets];
    connection.join(session);
    const replayed = session.resume(connection, sequence);
    if (replayed === undefined) {
      this.#end(session, 'resumed from before the replay buffer');
      this.#emit('refused', { sessionId, sequence, reason: 'the replay buffer no longer reaches back so far' });
      return;
    }
    clearTimeout(session.expiry);
    if (this.#options.closeOlderSocket)
      for (const each of this.connections)
        if (older.includes(each)) each.close(GatewayCloseCodes.UnknownError, 'Session resumed elsewhere.');
    this.#emit('resumed', { ...noticeOf(session), replayed, from: sequence });
  }

  heartbeat({ session }: GatewayConnection, sequence: number | null): void {
    if (session === undefined) return;
    if (this.#options.trimReplayOnHeartbeat && sequence !== null) session.trim(sequence);
    this.#emit('heartbeat', { shardId: session.shardId, sessionId: session.id, sequence });
  }

  closed(connection: GatewayConnection, code: number, by: Closer): void {
    this.connections.delete(connection);
    const { session } = connection;
    if (session !== undefined && this.#sessions.has(session.id) && !session.attached) {
      if (by === 'client' && clientCloseEndsSession(code)) this.lose(session, `closed by the client with ${code}`);
      else if (by === 'server' && closeEndsSession(code)) this.lose(session, `closed with ${code}`);
      else if (session.forgotten) this.lose(session, 'forgotten');
      else if (session.overfilled) this.lose(session, 'the replay buffer was overfilled');
      else {
        clearTimeout(session.expiry);
        session.expiry = setTimeout(() => this.lose(session, 'expired'), this.#options.sessionTtlMs).unref();
      }
    }
    this.#emit('disconnect', { ...(session && noticeOf(session)), code, by });
  }

  violation(violation: Violation): void {
    this.violations.push(violation);
    this.#emit('violation', violation);
  }

  stop(): void {
    for (const timer of this.#delayed) clearTimeout(timer);
    for (const connection of this.connections) connection.terminate();
    for (const session of this.#sessions.values()) clearTimeout(session.expiry);
  }

  #begin(connection: GatewayConnection, { shardId, shardCount, intents, compress }: Identify): void {
    const id = randomBytes(16).toString('hex');
    const session = new Session({
      id,
      shardId,
      shardCount,
      reader: { botId: this.#world.bot.id, intents, blankContent: this.#options.blankContent },
      replayBufferEvents: this.#options.replayBufferEvents,
      record: this.ledger.open(id, shardId, shardCount),
    });
    this.#sessions.set(id, session);
    shardsOf(this.#bySharding, shardCount, shardId).add(session);
    connection.join(session, compress);
    session.attach(connection);
    const guilds = [...this.#roster.ofShard(shardId, shardCount)];
    const resumeUrl = this.#resumeUrl();
    session.deliver({
      ...ownEvent,
      dispatch: GatewayDispatchEvents.Ready,
      make: () => ready(this.#world, { sessionId: id, resumeUrl, shard: [shardId, shardCount] }, guilds),
    });
    if ((intents & GatewayIntentBits.Guilds) !== 0)
      for (const each of guilds) if (!this.#roster.isOut(each)) session.deliver(this.guildCreate(each, 0, null));
    this.#emit('ready', noticeOf(session));
  }

  /** A guild that is there, that is back, or (with a routing key) that was joined. */
  guildCreate(created: WorldEvent['guild'] & object, number: number, routingKey: string | null): WorldEvent {
    const joinedAt = this.#roster.joinedAt(created);
    const quoted = created.index === 0 ? this.#options.largeGuildMembers : 0;
    return {
      number,
      dispatch: GatewayDispatchEvents.GuildCreate,
      guild: created,
      intents: GatewayIntentBits.Guilds,
      routingKey,
      make: () => guild.create(this.#world, created, joinedAt, quoted),
    };
  }

  /** Loses a session, and tells whoever is connected to it. */
  #end(session: Session, reason: string): void {
    this.lose(session, reason);
    for (const each of this.connections) if (each.session === session) each.invalidate(false);
  }

  #refuseResume(connection: GatewayConnection, sessionId: string, sequence: number, reason: string): void {
    connection.invalidate(false);
    this.#emit('refused', { sessionId, sequence, reason });
  }

  #overspend(connection: GatewayConnection): void {
    const refusal: Pick<Refusal, 'code' | 'sentence'> = {
      code: GatewayCloseCodes.AuthenticationFailed,
      sentence: `an IDENTIFY came although all ${this.#options.dailyIdentifies} of the day were used: every session ended and the token was reset`,
    };
    connection.punish('identify budget', refusal);
    this.#tokensMade += 1;
    this.changeToken(`${this.#options.token.slice(0, -4)}r${String(this.#tokensMade).padStart(3, '0')}`, false);
    this.#emit('tokenReset', { token: this.#token });
  }

  #bot(): Bot {
    const { guildsPerShard, shardCountMultiple, grantedIntents } = this.#options;
    return { token: this.#token, guilds: this.#roster.size, guildsPerShard, shardCountMultiple, grantedIntents };
  }

  #freshLimits(): IdentifyLimits {
    const { maxConcurrency, identifyEveryMs, identifySlackMs, dailyIdentifies, identifyBudgetWindowMs } = this.#options;
    return new IdentifyLimits(
      {
        maxConcurrency,
        everyMs: identifyEveryMs,
        slackMs: identifySlackMs ?? identifyEveryMs * 0.02,
        total: dailyIdentifies,
        windowMs: identifyBudgetWindowMs,
      },
      performance.now(),
    );
  }
}

const ownEvent = { number: 0, guild: undefined, intents: 0, routingKey: null } as const;

const noticeOf = ({ shardId, shardCount, id }: Session): ShardNotice => ({ shardId, shardCount, sessionId: id });

function shardsOf(
  bySharding: Map<number, Map<number, Set<Session>>>,
  shardCount: number,
  shardId: number,
): Set<Session> {
  const shards = bySharding.get(shardCount) ?? new Map<number, Set<Session>>();
  bySharding.set(shardCount, shards);
  const sessions = shards.get(shardId) ?? new Set<Session>();
  shards.set(shardId, sessions);
  return sessions;
}
