// Discord's side of the gateway: which sessions there are, who may start or resume one, how a session ends, and which
// sessions an event belongs to. It writes the ledger and the list of violations; what happens is the simulator's decision.

import { randomBytes } from 'node:crypto';
import { GatewayCloseCodes, GatewayDispatchEvents, GatewayIntentBits, GatewayOpcodes } from 'discord-api-types/v10';
import { chosenDispatches, wholeGuilds } from './due.ts';
import { maySee, type SimulatedEvent } from './event.ts';
import type { ConnectionHandler, GatewayConnection, Violation } from './gateway-connection.ts';
import { GuildRoster, type Membership } from './guild-roster.ts';
import { IdentifyLimits } from './identify-limits.ts';
import { Ledger } from './ledger.ts';
import type { Reading, SimulatorOptions } from './options.ts';
import * as guild from './payloads/guild.ts';
import { dueKey } from './payloads/variants.ts';
import { World } from './payloads/world.ts';
import { type ClosedBy, closeEndsSession, type Identify, Refusal, readIdentify, readResume } from './rules.ts';
import { answersTo, refusalOfSend, type Send } from './sends.ts';
import { Session } from './session.ts';

/** What is counted, after it has happened. */
export type GatewayEvent =
  /** An IDENTIFY was accepted; READY follows. */
  | 'identify'
  | 'ready'
  /** A RESUME came, whatever its answer. */
  | 'resume'
  | 'resumed'
  | 'heartbeat'
  /** Op 3, 4, 8 or 31 was accepted. */
  | 'send'
  /** A heartbeat was too far behind: the connection is closed. */
  | 'laggingHeartbeat'
  | 'disconnect'
  /** A session can no longer be resumed. */
  | 'lost'
  | 'violation'
  /** The daily IDENTIFYs were overspent: all sessions ended, and the bot has another token. */
  | 'tokenReset';

type Delivery = { readonly session: Session; readonly sequence: number };

export class Gateway implements ConnectionHandler {
  readonly world: World;
  readonly roster: GuildRoster;
  readonly ledger = new Ledger();
  readonly violations: Violation[] = [];
  readonly sends: Send[] = [];
  /** For these payloads Discord closes the connection. */
  unreadable: ((send: Send) => boolean) | undefined;
  readonly connections = new Set<GatewayConnection>();
  readonly sessions = new Map<string, Session>();
  readonly limits: IdentifyLimits;
  token: string;
  /** Dispatches that EVENTS has. */
  readonly #chosen: ReadonlySet<string>;
  readonly #resumeUrl: () => string;
  readonly #emit: (event: GatewayEvent) => void;
  #options: SimulatorOptions;
  /** Events so far. */
  #events = 0;

  constructor(options: SimulatorOptions, resumeUrl: () => string, emit: (event: GatewayEvent) => void) {
    this.world = new World(options);
    this.roster = new GuildRoster(this.world, options.guilds);
    this.limits = new IdentifyLimits(options, performance.now());
    this.token = options.token;
    this.#chosen = chosenDispatches(options.events);
    this.#resumeUrl = resumeUrl;
    this.#emit = emit;
    this.#options = options;
  }

  nextNumber(): number {
    this.#events += 1;
    return this.#events;
  }

  /** What workers are due for a dispatch of this kind. */
  due(kind: Parameters<typeof dueKey>[0]): string | null {
    return dueKey(kind, this.#chosen);
  }

  /** Gives the event to every session that it belongs to. */
  publish(event: SimulatedEvent): Delivery[] {
    const deliveries: Delivery[] = [];
    for (const session of this.sessions.values()) {
      const shardId = event.guild ? event.guild.shardingKey % session.shardCount : 0;
      if (session.shardId !== shardId || !maySee(event, session.view)) continue;
      deliveries.push({ session, sequence: session.deliver(event) });
      if (session.overfilled) this.lose(session, 'the replay buffer was overfilled');
    }
    return deliveries;
  }

  /** Ends a session: a RESUME of it gets op 9. */
  lose(session: Session, reason: string): void {
    if (!this.sessions.delete(session.id)) return;
    clearTimeout(session.expiry);
    session.ledger.lost = reason;
    this.#emit('lost');
  }

  read(reading: Partial<Reading & Pick<SimulatorOptions, 'grantedIntents'>>): void {
    this.#options = { ...this.#options, ...reading };
  }

  /** Another token from now on. Ends every session and connection. */
  changeToken(token: string): void {
    this.token = token;
    for (const session of this.sessions.values()) this.lose(session, 'the token was changed');
    for (const connection of this.connections) connection.close(GatewayCloseCodes.AuthenticationFailed);
  }

  identify(connection: GatewayConnection, d: unknown): void {
    const { identifyEveryMs } = this.#options;
    const guilds = this.roster.memberships.length;
    const { presence } = (d ?? {}) as { readonly presence?: unknown };
    const refused = presence === undefined ? undefined : refusalOfSend(GatewayOpcodes.PresenceUpdate, presence);
    const identify = refused ?? readIdentify(d, { ...this.#options, token: this.token, guilds });
    if (identify instanceof Refusal) return void connection.refuse(identify);
    const admission = this.limits.admit(identify.shardId, performance.now());
    if (admission === 'exhausted') return void this.#overspend(connection);
    if (admission !== 'admitted') {
      const { bucket, sinceMs } = admission;
      const sentence = `IDENTIFY too early: shard ${identify.shardId} sent it ${sinceMs} ms after the last of bucket ${bucket}; ${identifyEveryMs} ms must be between them`;
      this.violation({ code: GatewayOpcodes.InvalidSession, sentence });
      return void connection.invalidate(false);
    }
    this.#emit('identify');
    this.#startSession(connection, identify);
  }

  resume(connection: GatewayConnection, d: unknown): void {
    const resume = readResume(d, this);
    if (resume instanceof Refusal) return void connection.refuse(resume);
    this.#emit('resume');
    const { sessionId, sequence } = resume;
    const session = this.sessions.get(sessionId);
    if (session === undefined) return void connection.invalidate(false);
    if (sequence > session.sequence) {
      this.#invalidate(session, 'resumed with a sequence that was never sent');
      const sentence = `RESUME has the sequence ${sequence}, but this session's last is ${session.sequence}`;
      return void connection.refuse(new Refusal('InvalidSeq', sentence));
    }
    const older = [...this.connections].filter((each) => each.open && each.session === session);
    connection.join(session);
    if (!session.resume(connection, sequence)) return void this.#invalidate(session, session.refusal(sequence));
    clearTimeout(session.expiry);
    if (this.#options.closeOlderSocket) for (const each of older) each.close(GatewayCloseCodes.UnknownError);
    this.#emit('resumed');
  }

  heartbeat(connection: GatewayConnection, session: Session, sequence: number | null): void {
    if (sequence !== null) session.acknowledge(sequence);
    const { closesLaggingHeartbeat = Number.POSITIVE_INFINITY } = this.#options;
    const lagging = session.ledger.lastSent - (sequence ?? session.sequence) > closesLaggingHeartbeat;
    if (lagging) connection.close(GatewayCloseCodes.UnknownError);
    this.#emit(lagging ? 'laggingHeartbeat' : 'heartbeat');
  }

  send(connection: GatewayConnection, session: Session, op: number, d: unknown): void {
    const { id: sessionId, shardId, shardCount, view } = session;
    const send = { sessionId, shardId, op, d: d as Send['d'], at: performance.now() };
    const unread = () => new Refusal('DecodeError', 'Discord refuses this by an undocumented rule');
    const refusal = refusalOfSend(op, d) ?? (this.unreadable?.(send) ? unread() : undefined);
    if (refusal !== undefined) return void connection.refuse(refusal);
    this.sends.push(send);
    this.#emit('send');
    if (op === GatewayOpcodes.PresenceUpdate) {
      session.presence = send.d;
      return;
    }
    const own = this.roster.memberships.filter(({ guild }) => guild.shardingKey % shardCount === shardId);
    const guildOf = (guildId: unknown) => own.find(({ guild }) => guild.id === guildId)?.guild;
    for (const { dispatch, guild, intents, d } of answersTo(send, this.world, view.intents, guildOf)) {
      const routingKey = this.due({ dispatch, routingKey: `dispatch.${dispatch.toLowerCase()}` });
      const event = { number: this.nextNumber(), dispatch, guild, intents, routingKey, make: () => d };
      if (maySee(event, view)) session.deliver(event);
    }
  }

  closed(connection: GatewayConnection, code: number, by: ClosedBy): void {
    this.connections.delete(connection);
    const { session } = connection;
    if (session !== undefined && this.sessions.has(session.id) && !session.attached) {
      if (closeEndsSession(code, by)) this.lose(session, `closed by the ${by} with ${code}`);
      else {
        clearTimeout(session.expiry);
        session.expiry = setTimeout(() => this.lose(session, 'expired'), this.#options.sessionTtlMs).unref();
      }
    }
    this.#emit('disconnect');
  }

  violation(violation: Violation): void {
    this.violations.push(violation);
    this.#emit('violation');
  }

  stop(): void {
    for (const connection of this.connections) connection.terminate();
    for (const session of this.sessions.values()) clearTimeout(session.expiry);
  }

  /** A guild that is there, that is back, or (with a routing key) that was joined. */
  guildCreate({ guild: created, joinedAt }: Membership, number: number, routingKey: string | null): SimulatedEvent {
    return {
      number,
      dispatch: GatewayDispatchEvents.GuildCreate,
      guild: created,
      intents: GatewayIntentBits.Guilds,
      routingKey,
      whole: wholeGuilds(this.#options.events),
      make: () => guild.create(this.world, created, joinedAt),
    };
  }

  #startSession(connection: GatewayConnection, { shardId, shardCount, intents, presence }: Identify): void {
    const id = randomBytes(16).toString('hex');
    const seesContent = !this.#options.blankContent || (intents & GatewayIntentBits.MessageContent) !== 0;
    const view = { botId: this.world.bot.id, intents, seesContent };
    const session = new Session(this.ledger.open(id, shardId), shardCount, view, () => this.#options);
    session.presence = presence;
    this.sessions.set(id, session);
    connection.join(session);
    session.attach(connection);
    const memberships = this.roster.memberships.filter(({ guild }) => guild.shardingKey % shardCount === shardId);
    const guilds = memberships.map(({ guild }) => guild);
    const resumeUrl = this.#resumeUrl();
    session.deliver({
      number: 0,
      dispatch: GatewayDispatchEvents.Ready,
      intents: 0,
      routingKey: null,
      make: () => guild.ready(this.world, { sessionId: id, resumeUrl, shard: [shardId, shardCount] }, guilds),
    });
    for (const each of memberships.filter(({ state }) => state === 'available')) {
      const created = this.guildCreate(each, 0, null);
      if (maySee(created, view)) session.deliver(created);
    }
    this.#emit('ready');
  }

  /** Loses a session, and sends op 9 to its connections. */
  #invalidate(session: Session, reason: string): void {
    this.lose(session, reason);
    for (const each of this.connections) if (each.session === session) each.invalidate(false);
  }

  #overspend(connection: GatewayConnection): void {
    const sentence = `an IDENTIFY came although all ${this.#options.dailyIdentifies} of the day were used: every session ended and the token was reset`;
    connection.refuse(new Refusal('AuthenticationFailed', sentence));
    this.changeToken(`${this.token.slice(0, -4)}${randomBytes(2).toString('hex')}`);
    this.#emit('tokenReset');
  }
}
