// Discord on one machine, as far as a gateway client can see it: REST for the gateway's address, the gateway itself, guilds
// in which things happen, and Discord's faults. Everything is on 127.0.0.1.
// It is strict: what a client does wrong is answered as Discord does and kept in `violations`. What each session was
// given, and what a worker is due for it, is in `ledger`, which knows nothing of the ingestor.

import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import * as consumers from 'node:stream/consumers';
import { type APIInteraction, GatewayDispatchEvents, GatewayIntentBits } from 'discord-api-types/v10';
import { type WebSocket, WebSocketServer } from 'ws';
import { chosenDispatches } from './due.ts';
import type { SimulatedEvent } from './event.ts';
import { Gateway, type GatewayEvent } from './gateway.ts';
import { type AnswerChange, GatewayConnection, type Violation } from './gateway-connection.ts';
import type { GuildRoster, Membership } from './guild-roster.ts';
import { CALLBACKS, InteractionCallbacks } from './interaction-callbacks.ts';
import type { Ledger } from './ledger.ts';
import { DEFAULTS, type Reading, type SimulatorOptions } from './options.ts';
import { EventContext } from './payloads/event-context.ts';
import * as guild from './payloads/guild.ts';
import { VARIANTS, variantOf } from './payloads/variants.ts';
import type { Guild, World } from './payloads/world.ts';
import { Random } from './random.ts';
import { type RestAnswer, restAnswer, sendAnswer } from './rest.ts';
import { refusalOfQuery } from './rules.ts';
import type { Send } from './sends.ts';
import type { Session } from './session.ts';
import { startTraffic } from './traffic.ts';

const { GuildCreate, GuildDelete } = GatewayDispatchEvents;

/** One event as one session got it. */
export interface Emitted {
  readonly sessionId: string;
  readonly shardId: number;
  readonly sequence: number;
  readonly dispatch: { readonly t: string; readonly d: object | null };
}

interface EmitOptions {
  /** @default - some active guild */
  readonly guildId?: string;
  /** Changes the payload before it is sent. */
  readonly change?: (d: Record<string, unknown>) => object;
  /** What a worker is due instead, after such a change. */
  readonly routingKey?: string | null;
}

export class DiscordSimulator {
  readonly world: World;
  readonly ledger: Ledger;
  /** Everything that a client did wrong, in order. */
  readonly violations: readonly Violation[];
  /** Presences, voice states and requests that were accepted, in order. */
  readonly sends: readonly Send[];
  /** Answers of workers to interactions that `emit` made, and to those of the traffic that workers are due, if answerable. */
  readonly callbacks: InteractionCallbacks;
  readonly #options: SimulatorOptions;
  readonly #roster: GuildRoster;
  readonly #gateway: Gateway;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 1_048_576 });
  readonly #open = new Set<Socket>();
  readonly #events = new EventEmitter().setMaxListeners(0);
  readonly #counts = new Map<GatewayEvent, number>();
  readonly #changes = new Map<string, AnswerChange>();
  readonly #mix: readonly (readonly [kind: string, share: number])[];
  readonly #random: Random;
  #refusing = false;
  #stopTraffic = () => {};

  static async start(options: Partial<SimulatorOptions> = {}): Promise<DiscordSimulator> {
    const simulator = new DiscordSimulator({ ...DEFAULTS, ...options });
    simulator.#server.listen(0, '127.0.0.1');
    await once(simulator.#server, 'listening');
    return simulator;
  }

  private constructor(options: SimulatorOptions) {
    this.#options = options;
    this.#mix = Object.entries(options.mix ?? defaultMix(chosenDispatches(options.events)));
    this.#random = new Random(options.seed, 10);
    this.#gateway = new Gateway(
      options,
      () => `${this.gatewayUrl}/resume`,
      (name) => {
        this.#counts.set(name, this.count(name) + 1);
        this.#events.emit(name);
      },
    );
    const { world, roster, ledger, violations, sends } = this.#gateway;
    this.#roster = roster;
    this.world = world;
    this.ledger = ledger;
    this.violations = violations;
    this.sends = sends;
    this.callbacks = new InteractionCallbacks(world);
    this.#server = createServer((request, response) => {
      if (this.#refusing) request.socket.destroy();
      else if (CALLBACKS.test(request.url ?? '')) void this.#answerWorker(request, response);
      else this.#answerRest(request, response);
    });
    this.#server.on('connection', (socket) => {
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
    });
    this.#server.on('upgrade', (request, socket: Socket, head) => {
      if (this.#refusing) return void socket.destroy();
      const changed = this.#changed('Upgrade', { status: 101 }, socket);
      if (changed === undefined) return;
      if (changed.status === 101)
        return void this.#sockets.handleUpgrade(request, socket, head, (opened) =>
          this.#greet(opened, request.url ?? '/'),
        );
      const response = new ServerResponse(request);
      response.assignSocket(socket);
      response.on('finish', () => socket.end());
      sendAnswer(response, { ...changed, headers: { connection: 'close', ...changed.headers } });
    });
  }

  /** REST base without version: DISCORD_API_URL of the ingestor. */
  get apiUrl(): string {
    return `${this.gatewayUrl.replace('ws:', 'http:')}/api`;
  }

  get gatewayUrl(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The bot's token as of now. */
  get token(): string {
    return this.#gateway.token;
  }

  /** Sessions that can be resumed or are connected. */
  get sessions(): readonly Session[] {
    return [...this.#gateway.sessions.values()];
  }

  get guildIds(): string[] {
    return this.#roster.memberships.map(({ guild }) => guild.id);
  }

  async stop(): Promise<void> {
    this.stopTraffic();
    this.#gateway.stop();
    this.#sockets.close();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    // Upgraded sockets, and those that a hostile answer left open, are among them.
    for (const socket of this.#open) socket.destroy();
    await closed;
  }

  // ---- what happens in the guilds

  /** @param rate events a second over all shards; replaces the traffic there was */
  startTraffic(rate: number): void {
    this.stopTraffic();
    this.#stopTraffic = startTraffic(rate, () => this.#produce());
  }

  stopTraffic(): void {
    this.#stopTraffic();
  }

  /** Makes this number of events of the mix happen at once. */
  burst(events: number): void {
    for (let n = 0; n < events; n += 1) this.#produce();
  }

  /**
   * Makes one event happen.
   * @param kind name of a variant (see payloads/variants.ts)
   * @throws when no session gets it
   */
  emit(kind: string, options: EmitOptions = {}): Emitted {
    const { guildId } = options;
    const where = guildId === undefined ? this.#roster.active(this.#random) : this.#roster.byId(guildId);
    if (where === undefined) throw new Error('expected at least one available guild');
    const event = this.#answerable(this.#eventOf(kind, where.guild, options));
    const [delivery] = this.#gateway.publish(event);
    if (delivery === undefined)
      throw new Error(`no session gets ${kind}: expected one for its shard, with its intents. Wait for 'ready' first`);
    const { session, sequence } = delivery;
    const dispatch = { t: event.dispatch, d: event.make() };
    return { sessionId: session.id, shardId: session.shardId, sequence, dispatch };
  }

  /** The bot joins another guild. @param size LARGE for a large one */
  joinGuild(size?: Partial<Guild>): Guild {
    const joined = this.#roster.join(size);
    const routingKey = this.#gateway.due({ dispatch: GuildCreate, routingKey: 'guild.join' });
    this.#guildCreate(joined, routingKey);
    return joined.guild;
  }

  /** The bot is removed from a guild. */
  leaveGuild(guildId: string): void {
    const left = this.#roster.byId(guildId);
    left.state = 'left';
    const routingKey = this.#gateway.due({ dispatch: GuildDelete, routingKey: 'guild.leave' });
    this.#guildDelete(left.guild, routingKey, guild.remove(left.guild));
  }

  /** A guild is unavailable until `restore`. */
  outage(guildId: string): void {
    const failed = this.#roster.byId(guildId);
    failed.state = 'unavailable';
    this.#guildDelete(failed.guild, null, guild.unavailable(failed.guild));
  }

  restore(guildId: string): void {
    const restored = this.#roster.byId(guildId);
    restored.state = 'available';
    this.#guildCreate(restored, null);
  }

  // ---- what happens to connections; without a shard, to all of them

  /** Op 7. A client that does not leave is closed after `reconnectGraceMs`. */
  reconnect(shardId?: number): void {
    for (const connection of this.#connectionsOf(shardId)) {
      connection.reconnect();
      setTimeout(() => connection.close(4000), this.#options.reconnectGraceMs).unref();
    }
  }

  /** Op 9. Unless it is resumable, the session is lost. */
  invalidate(shardId: number | undefined, { resumable }: { readonly resumable: boolean }): void {
    for (const connection of this.#connectionsOf(shardId)) {
      const { session } = connection;
      if (session !== undefined && !resumable) this.#gateway.lose(session, 'invalidated');
      connection.invalidate(resumable);
    }
  }

  /** The gateway closes; whether the session lives on depends on the code. */
  close(shardId: number | undefined, code: number): void {
    for (const connection of this.#connectionsOf(shardId)) connection.close(code);
  }

  /** A reset, as when the network fails. */
  dropConnections(shardId?: number): void {
    for (const connection of this.#connectionsOf(shardId)) connection.terminate();
  }

  /** A zombie: heartbeats are not acknowledged. When silent, nothing is sent or read at all, as on a half-open line. */
  freeze(shardId?: number, { silent = false }: { readonly silent?: boolean } = {}): void {
    for (const connection of this.#connectionsOf(shardId)) connection.freeze(silent);
  }

  /** Op 1: clients must send a heartbeat at once. */
  sendHeartbeatRequest(shardId?: number): void {
    for (const connection of this.#connectionsOf(shardId)) connection.requestHeartbeat();
  }

  /** Discord cannot read these payloads, by a rule that it does not document. @default - it reads all again */
  refuseSend(unreadable?: (send: Send) => boolean): void {
    this.#gateway.unreadable = unreadable;
  }

  /** While true, no client can connect, neither to REST nor to the gateway. Open connections stay. */
  refuseConnections(refuse: boolean): void {
    this.#refusing = refuse;
  }

  /** The bot gets another token. Discord ends all sessions of the old one. */
  rotateToken(token: string): void {
    this.#gateway.changeToken(token);
  }

  /**
   * From now on this answer is changed before it is sent. The ledger does not know of it.
   * @param name REST or Upgrade (a RestAnswer), a dispatch (READY) or an opcode (Hello, Dispatch: any of them): a frame
   * @param change @default - the answer is sent as it is again
   */
  changeAnswer(name: string, change?: AnswerChange): void {
    if (change) this.#changes.set(name, change);
    else this.#changes.delete(name);
  }

  /** Another reading of what Discord does not document, from now on and for all sessions. */
  read(reading: Partial<Reading>): void {
    this.#gateway.read(reading);
  }

  /** The privileged intents that the bot's owner grants from now on. Sessions keep theirs. */
  grant(grantedIntents: number): void {
    this.#gateway.read({ grantedIntents });
  }

  // ---- waiting

  /** How often this has happened since the start. */
  count(name: GatewayEvent): number {
    return this.#counts.get(name) ?? 0;
  }

  /** Resolves when this has happened so often since the start. @throws after the deadline */
  async waitFor(name: GatewayEvent, times = 1, withinMs = 30_000): Promise<void> {
    const deadline = AbortSignal.timeout(withinMs);
    while (this.count(name) < times) {
      await once(this.#events, name, { signal: deadline }).catch((cause) => {
        const soFar = JSON.stringify([Object.fromEntries(this.#counts), this.violations]);
        throw new Error(`waited ${withinMs} ms for '${name}' ${times} times: so far ${soFar}`, { cause });
      });
    }
  }

  #answerRest(request: IncomingMessage, response: ServerResponse): void {
    const answer = restAnswer(request, this.token, () => ({
      url: this.gatewayUrl,
      shards: this.#options.shards ?? Math.max(1, Math.ceil(this.#roster.memberships.length / 1_000)),
      session_start_limit: this.#gateway.limits.state(performance.now()),
    }));
    const changed = this.#changed('REST', answer, request.socket);
    if (changed) sendAnswer(response, changed);
  }

  async #answerWorker(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await consumers.text(request).catch(() => '');
    sendAnswer(response, this.callbacks.answer(request.method ?? '', request.url ?? '', text));
  }

  #changed(name: string, answer: RestAnswer, socket: Socket): RestAnswer | undefined {
    const change = this.#changes.get(name);
    if (change === undefined) return answer;
    const end = () => void socket.destroy();
    return change({ ...answer }, { shardId: undefined, close: end, terminate: end }) as RestAnswer | undefined;
  }

  #greet(socket: WebSocket, url: string): void {
    const { searchParams } = new URL(url, 'http://localhost');
    const { heartbeatIntervalMs, heartbeatGraceMs } = this.#options;
    const connection = new GatewayConnection(socket, this.#gateway, {
      heartbeatIntervalMs,
      heartbeatGraceMs: heartbeatGraceMs ?? Math.max(5_000, heartbeatIntervalMs / 2),
      zlibStream: searchParams.get('compress') === 'zlib-stream',
      changes: this.#changes,
    });
    this.#gateway.connections.add(connection);
    const refusal = refusalOfQuery(searchParams);
    if (refusal) connection.refuse(refusal);
    else connection.hello();
  }

  /** The next event of the mix. */
  #produce(): void {
    const kind = this.#random.weighted(this.#mix);
    const where = this.#roster.active(this.#random);
    if (where === undefined || kind in OF_GUILDS) this.#changeGuilds(kind, where);
    else {
      const event = this.#eventOf(kind, where.guild);
      const isDue = event.routingKey !== null;
      this.#gateway.publish(this.#options.answerable && isDue ? this.#answerable(event) : event);
    }
  }

  #changeGuilds(kind: string, available: Membership | undefined): void {
    const joined = this.#roster.firstJoined();
    const unavailable = this.#roster.firstUnavailable();
    if (kind === 'guild.leave' && joined) this.leaveGuild(joined.guild.id);
    else if (kind === 'guild.join' || kind === 'guild.leave') this.joinGuild();
    else if (unavailable) this.restore(unavailable.guild.id);
    else if (available) this.outage(available.guild.id);
  }

  #eventOf(kind: string, where: Guild, { change, routingKey }: EmitOptions = {}): SimulatedEvent {
    const variant = variantOf(kind);
    const number = this.#gateway.nextNumber();
    const make = () => variant.make(new EventContext(this.world, where, number));
    return {
      number,
      dispatch: variant.dispatch,
      guild: variant.scope === 'guild' ? where : undefined,
      intents: variant.intents,
      routingKey: routingKey === undefined ? this.#gateway.due(variant) : routingKey,
      make: change ? () => change({ ...make() }) : make,
    };
  }

  #answerable(event: SimulatedEvent): SimulatedEvent {
    if (event.dispatch !== GatewayDispatchEvents.InteractionCreate) return event;
    return { ...event, written: () => this.callbacks.open(event.make() as APIInteraction) };
  }

  #guildCreate(membership: Membership, routingKey: string | null): void {
    this.#gateway.publish(this.#gateway.guildCreate(membership, this.#gateway.nextNumber(), routingKey));
  }

  #guildDelete(of: Guild, routingKey: string | null, d: object): void {
    const [dispatch, intents, number] = [GuildDelete, GatewayIntentBits.Guilds, this.#gateway.nextNumber()];
    this.#gateway.publish({ number, dispatch, guild: of, intents, routingKey, make: () => d });
  }

  #connectionsOf(shardId: number | undefined): GatewayConnection[] {
    return [...this.#gateway.connections].filter(
      ({ open, session }) => open && (shardId === undefined || session?.shardId === shardId),
    );
  }
}

/** These change which guilds there are; so they are not in the table of variants. */
const OF_GUILDS = { 'guild.join': 1, 'guild.leave': 1, 'guild.outage': 1 } as const;

const defaultMix = (chosen: ReadonlySet<string>): Readonly<Record<string, number>> => {
  const shares = VARIANTS.map(({ name, dispatch, weight, chosenWeight = weight }) => [
    name,
    chosen.has(dispatch) ? chosenWeight : weight,
  ]);
  return { ...Object.fromEntries(shares), ...OF_GUILDS };
};
