// Discord on one machine, as far as a gateway client can see it: REST for the gateway's address, the gateway itself, a
// world of guilds in which things happen, and the faults that happen to Discord. Everything is on 127.0.0.1.
// It is strict: what a client does wrong is punished as Discord would and kept in `violations`. What each session was
// given, and what a worker is due for it, is in `ledger`, which knows nothing of the ingestor.

import { EventEmitter, once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GatewayDispatchEvents, GatewayIntentBits } from 'discord-api-types/v10';
import { type WebSocket, WebSocketServer } from 'ws';
import type { WorldEvent } from './event.ts';
import { type Delivery, Gateway, type GatewayEvents, type Held } from './gateway.ts';
import { GatewayConnection, type Violation } from './gateway-connection.ts';
import { GuildRoster } from './guild-roster.ts';
import type { Ledger } from './ledger.ts';
import { complete, GUILD_KINDS, type SimulatorOptions } from './options.ts';
import * as guild from './payloads/guild.ts';
import { Moment } from './payloads/moment.ts';
import { VARIANTS, type Variant, variantOf } from './payloads/variants.ts';
import { type Guild, World } from './payloads/world.ts';
import { Random } from './random.ts';
import { answerRest } from './rest.ts';
import { judgeQuery } from './rules.ts';
import type { Session } from './session.ts';
import { Traffic } from './traffic.ts';

/** One event as one session got it. */
export interface Emitted {
  readonly sessionId: string;
  readonly shardId: number;
  readonly sequence: number;
  readonly event: number;
  readonly routingKey: string | null;
  readonly dispatch: { readonly t: string; readonly s: number; readonly d: object | null };
}

export interface EmitOptions {
  /** @default - some lively guild */
  readonly guildId?: string;
  /** Changes the payload before it is sent. */
  readonly change?: (d: Record<string, unknown>) => object;
  /** What a worker is due instead, after such a change. */
  readonly routingKey?: string | null;
}

export interface Counts {
  /** Events that happened. */
  readonly produced: number;
  /** Sequences given to them, in all sessions. */
  readonly delivered: number;
}

const RESUME_PATH = '/resume';
const WAIT_MS = 30_000;

export class DiscordSimulator {
  readonly options: SimulatorOptions;
  readonly world: World;
  /** What happens on the gateway, each after it has happened. */
  readonly events = new EventEmitter<GatewayEvents>();
  readonly #roster: GuildRoster;
  readonly #gateway: Gateway;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 1_048_576 });
  readonly #counts = new Map<keyof GatewayEvents, number>();
  readonly #mix: readonly (readonly [kind: string, upTo: number])[];
  readonly #timers = new Set<NodeJS.Timeout>();
  #refusing = false;
  #failingRest: number | undefined;
  #traffic: Traffic | undefined;
  /** Draws from the mix: each takes its kind and its guild from its number. */
  #drawn = 0;
  #produced = 0;
  #delivered = 0;

  /** @throws one sentence for each faulty option, or when the port is taken */
  static async start(options: Partial<SimulatorOptions> = {}): Promise<DiscordSimulator> {
    const simulator = new DiscordSimulator(complete(options));
    await simulator.#listen();
    return simulator;
  }

  private constructor(options: SimulatorOptions) {
    this.events.setMaxListeners(0);
    this.options = options;
    const { seed, marker, epoch } = options;
    this.world = new World({ seed, ...(marker !== undefined && { marker }), ...(epoch !== undefined && { epoch }) });
    this.#roster = new GuildRoster(this.world, options.guilds);
    this.#gateway = new Gateway(
      options,
      this.world,
      this.#roster,
      () => `${this.gatewayUrl}${RESUME_PATH}`,
      (name, ...values) => {
        this.#counts.set(name, this.count(name) + 1);
        // The emitter's own types do not follow a name that is a parameter.
        (this.events as EventEmitter).emit(name, ...values);
      },
    );
    this.#mix = rising(options.mix ?? DEFAULT_MIX);
    this.#server = createServer((request, response) => {
      if (this.#refusing) request.socket.destroy();
      else
        answerRest(request, response, {
          token: this.token,
          failing: this.#failingRest,
          gatewayBot: () => this.#gatewayBot(),
        });
    });
    this.#server.on('upgrade', (request, socket, head) => {
      if (this.#refusing) socket.destroy();
      else this.#sockets.handleUpgrade(request, socket, head, (opened) => this.#greet(opened, request.url ?? '/'));
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0;
  }

  /** REST base without version: DISCORD_API_URL of the ingestor. */
  get apiUrl(): string {
    return `http://127.0.0.1:${this.port}/api`;
  }

  get gatewayUrl(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** The bot's token as of now. */
  get token(): string {
    return this.#gateway.token;
  }

  get ledger(): Ledger {
    return this.#gateway.ledger;
  }

  /** Everything that a client did wrong, in order. */
  get violations(): readonly Violation[] {
    return this.#gateway.violations;
  }

  get counts(): Counts {
    return { produced: this.#produced, delivered: this.#delivered };
  }

  /** Sessions that can be resumed or are connected. */
  get sessions(): readonly Session[] {
    return [...this.#gateway.sessions];
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#gateway.connections.size;
  }

  get guildIds(): string[] {
    return [...this.#roster.ofShard(0, 1)].map(({ id }) => id);
  }

  async stop(): Promise<void> {
    this.stopTraffic();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#gateway.stop();
    this.#sockets.close();
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  // ---- what happens in the world

  /** @param rate events a second over all shards; replaces the traffic there was */
  startTraffic(rate: number): void {
    if (!(rate >= 0 && rate <= 100_000))
      throw new Error(`rate: expected a number of events a second from 0 to 100,000, got ${rate}`);
    this.stopTraffic();
    this.#traffic = new Traffic(rate, this.options.bursts, () => this.#happen());
    this.#traffic.start();
  }

  stopTraffic(): void {
    this.#traffic?.stop();
    this.#traffic = undefined;
  }

  /** So many events of the mix at once. */
  burst(events: number): void {
    for (let n = 0; n < events; n += 1) this.#happen();
  }

  /**
   * Makes one event happen.
   * @param kind name of a variant (see payloads/variants.ts), or of a dispatch for its first variant
   * @throws when no session gets it
   */
  emit(kind: string, options: EmitOptions = {}): Emitted {
    const variant = variantOf(kind);
    const happened = options.guildId === undefined ? this.#livelyGuild() : this.#roster.byId(options.guildId);
    const event = this.#variantEvent(variant, happened, options);
    const [delivery] = this.#publish(event);
    if (delivery === undefined)
      throw new Error(`no session gets ${kind}: expected one for its shard, with its intents. Wait for 'ready' first`);
    return emitted(delivery, event);
  }

  /** The bot joins another guild, or one that it has left. */
  joinGuild(guildId?: string): Guild {
    const at = this.options.clock();
    const joined = guildId === undefined ? this.#roster.join(at) : this.#roster.rejoin(guildId, at);
    this.#publish(this.#gateway.guildCreate(joined, this.#nextNumber(), 'guild.join'));
    return joined;
  }

  /** The bot is removed from a guild. */
  leaveGuild(guildId: string): void {
    const left = this.#roster.byId(guildId);
    this.#roster.leave(left);
    this.#publish(this.#guildDelete(left, 'guild.leave', () => guild.remove(left)));
  }

  /** A guild is out of order until `restore`. */
  outage(guildId: string): void {
    const failed = this.#roster.byId(guildId);
    if (this.#roster.fail(failed)) this.#publish(this.#guildDelete(failed, null, () => guild.outage(failed)));
  }

  restore(guildId: string): void {
    const restored = this.#roster.byId(guildId);
    if (this.#roster.restore(restored)) this.#publish(this.#gateway.guildCreate(restored, this.#nextNumber(), null));
  }

  // ---- what happens to connections; without a shard, to all of them

  /** Op 7. A client that does not leave is closed after `reconnectGraceMs`. */
  reconnect(shardId?: number): void {
    for (const connection of this.#connectionsOf(shardId)) {
      connection.reconnect();
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        connection.close(4000);
      }, this.options.reconnectGraceMs).unref();
      this.#timers.add(timer);
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

  /** The network breaks. */
  dropConnections(shardId?: number): void {
    for (const connection of this.#connectionsOf(shardId)) connection.terminate();
  }

  /** A zombie: heartbeats are not acknowledged. When silent, nothing comes or is heard at all, as on a half-open line. */
  freeze(shardId?: number, { silent = false }: { readonly silent?: boolean } = {}): void {
    for (const connection of this.#connectionsOf(shardId)) connection.freeze(silent);
  }

  thaw(shardId?: number): void {
    for (const connection of this.#connectionsOf(shardId)) connection.thaw();
  }

  /** Op 1: clients are to send a heartbeat at once. */
  sendHeartbeatRequest(shardId?: number): void {
    for (const connection of this.#connectionsOf(shardId)) connection.requestHeartbeat();
  }

  /** No session can be resumed any more; those connected go on until their connection ends. */
  forgetSessions(): void {
    for (const session of [...this.#gateway.sessions]) {
      if (session.attached) session.forgotten = true;
      else this.#gateway.lose(session, 'forgotten');
    }
  }

  /** While true, nobody can connect, neither to REST nor to the gateway. Open connections stay. */
  refuseConnections(refuse: boolean): void {
    this.#refusing = refuse;
  }

  /** REST answers everything with this status, until called without one. */
  failRest(status?: number): void {
    this.#failingRest = status;
  }

  /** From now on this is not answered: HELLO on new connections, READY after IDENTIFY, or anything after RESUME. */
  hold(what: Held): void {
    this.#gateway.held.add(what);
  }

  /** Answered again; what came meanwhile stays unanswered. */
  release(what: Held): void {
    this.#gateway.held.delete(what);
  }

  /** The bot gets another token. Discord ends all sessions of the old one. */
  rotateToken(token: string, { keepSessions = false }: { readonly keepSessions?: boolean } = {}): void {
    this.#gateway.changeToken(token, keepSessions);
  }

  /** The daily IDENTIFYs begin anew. */
  renewBudget(): void {
    this.#gateway.renewBudget();
  }

  // ---- waiting

  /** How often this has happened since the start. */
  count(name: keyof GatewayEvents): number {
    return this.#counts.get(name) ?? 0;
  }

  /** Resolves when this has happened so often since the start. @throws after the deadline */
  async waitFor(name: keyof GatewayEvents, times = 1, withinMs = WAIT_MS): Promise<void> {
    const deadline = AbortSignal.timeout(withinMs);
    while (this.count(name) < times) {
      await once(this.events, name, { signal: deadline }).catch(() => {
        throw new Error(`waited ${withinMs} ms for '${name}' ${times} times: ${this.#state()}`);
      });
    }
  }

  /** Resolves when the condition holds; it is looked at every few milliseconds. @throws after the deadline */
  async waitUntil(what: string, holds: () => boolean, withinMs = WAIT_MS): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (!holds()) {
      if (performance.now() > deadline) throw new Error(`waited ${withinMs} ms for ${what}: ${this.#state()}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async #listen(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    this.#server.listen(this.options.port, '127.0.0.1', resolve);
    await promise.catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') throw error;
      throw new Error(`port ${this.options.port} is taken: use another one, or 0 for whatever is free`, {
        cause: error,
      });
    });
  }

  #greet(socket: WebSocket, url: string): void {
    const { pathname, searchParams } = new URL(url, 'http://localhost');
    const { heartbeatIntervalMs, heartbeatGraceMs } = this.options;
    const connection = new GatewayConnection(socket, this.#gateway, {
      heartbeatIntervalMs,
      heartbeatGraceMs: heartbeatGraceMs ?? Math.max(5_000, heartbeatIntervalMs / 2),
      zlibStream: searchParams.get('compress') === 'zlib-stream',
      byResumeUrl: pathname.startsWith(RESUME_PATH),
    });
    this.#gateway.connections.add(connection);
    const refusal = judgeQuery(searchParams);
    if (refusal) connection.punish('address', refusal);
    else if (!this.#gateway.held.has('hello')) connection.hello();
  }

  #gatewayBot() {
    const shards = this.options.shards ?? Math.max(1, Math.ceil(this.#roster.size / 1_000));
    return { url: this.gatewayUrl, shards, session_start_limit: this.#gateway.sessionStartLimit() };
  }

  /** The next event of the mix. */
  #happen(): void {
    const random = new Random(this.options.seed, 10, this.#drawn);
    this.#drawn += 1;
    const at = random.next() * (this.#mix.at(-1)?.[1] ?? 0);
    const kind = this.#mix.find(([, upTo]) => at < upTo)?.[0] ?? '';
    if (kind === GUILD_KINDS.join) {
      this.joinGuild();
      return;
    }
    if (kind === GUILD_KINDS.leave) {
      const left = this.#roster.firstJoined();
      if (left) this.leaveGuild(left.id);
      else this.joinGuild();
      return;
    }
    const lively = this.#roster.lively(random);
    if (kind === GUILD_KINDS.outage || lively === undefined) {
      const out = this.#roster.firstOut();
      if (out) this.restore(out.id);
      else if (lively) this.outage(lively.id);
      return;
    }
    this.#publish(this.#variantEvent(variantOf(kind), lively, {}));
  }

  #variantEvent(
    variant: Variant,
    happened: Guild,
    { change, routingKey = variant.routingKey }: EmitOptions,
  ): WorldEvent {
    const number = this.#nextNumber();
    const make = () => variant.make(new Moment(this.world, happened, number));
    return {
      number,
      dispatch: variant.dispatch,
      guild: variant.scope === 'guild' ? happened : undefined,
      intents: variant.intents,
      routingKey,
      make: change ? () => change({ ...make() }) : make,
    };
  }

  #guildDelete(of: Guild, routingKey: string | null, make: () => object): WorldEvent {
    const { GuildDelete: dispatch } = GatewayDispatchEvents;
    return { number: this.#nextNumber(), dispatch, guild: of, intents: GatewayIntentBits.Guilds, routingKey, make };
  }

  #publish(event: WorldEvent): readonly Delivery[] {
    const deliveries = this.#gateway.publish(event);
    this.#delivered += deliveries.length;
    return deliveries;
  }

  #nextNumber(): number {
    this.#produced += 1;
    return this.#produced;
  }

  #livelyGuild(): Guild {
    const lively = this.#roster.lively(new Random(this.options.seed, 12, this.#produced));
    if (lively) return lively;
    throw new Error('there is no guild in order: expected `guilds` of at least 1, or a guild restored');
  }

  #connectionsOf(shardId: number | undefined): GatewayConnection[] {
    return [...this.#gateway.connections].filter(
      ({ open, session }) => open && (shardId === undefined || session?.shardId === shardId),
    );
  }

  #state(): string {
    const counts = [...this.#counts].map(([name, count]) => `${name} ${count}`).join(', ');
    const violations = this.violations.map(({ sentence }) => sentence).join('; ');
    return `so far ${counts || 'nothing'}; ${this.connections} connections; violations: ${violations || 'none'}`;
  }
}

const DEFAULT_MIX: Readonly<Record<string, number>> = {
  ...Object.fromEntries(VARIANTS.map(({ name, weight }) => [name, weight])),
  [GUILD_KINDS.join]: 1,
  [GUILD_KINDS.leave]: 1,
  [GUILD_KINDS.outage]: 1,
};

/** Shares as rising bounds: a number below the last one falls under the kind whose bound is the first above it. */
function rising(mix: Readonly<Record<string, number>>): readonly (readonly [string, number])[] {
  let total = 0;
  return Object.entries(mix).flatMap(([kind, share]) => {
    total += share;
    return share > 0 ? [[kind, total] as const] : [];
  });
}

function emitted({ session, sequence }: Delivery, event: WorldEvent): Emitted {
  const { id: sessionId, shardId } = session;
  const { number, routingKey, dispatch } = event;
  return {
    sessionId,
    shardId,
    sequence,
    event: number,
    routingKey,
    dispatch: { t: dispatch, s: sequence, d: event.make() },
  };
}
