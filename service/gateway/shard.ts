// One shard: connects to the gateway, again and again, until it is stopped. What the end of a connection means is decided
// in close-code.ts, what follows from it in reconnect.ts and retries.ts.
//
//   stopped:     before start(), after stop(); the session is kept
//   connecting:  until HELLO; before that it waits for the token and the gateway's address
//   identifying: waits at the identify gate, then for READY
//   resuming:    RESUME is sent; replays come in until RESUMED
//   ready:       READY or RESUMED has come; dispatches come in
//   waiting:     between two connections
//   failed:      Discord refuses for a reason that only a person can change; until the identify gate opens again

import { CompressionMethod, Encoding, type IContextFetchingStrategy } from '@discordjs/ws';
import type { GatewayPresenceUpdateData, GatewaySendPayload } from 'discord-api-types/v10';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { orAfter } from '../wait.ts';
import type { BotToken } from './bot-token.ts';
import { type EndCause, type Verdict, verdictOf } from './close-code.ts';
import type { OtherDispatch, ReadyDispatch } from './frame.ts';
import { gatewayAddress } from './gateway-address.ts';
import { type ConnectionListener, GatewayConnection } from './gateway-connection.ts';
import type { GatewayInformation } from './gateway-information.ts';
import type { IdentifyGate } from './identify-gate.ts';
import type { NextReady } from './next-ready.ts';
import { type AskPermission, Permission } from './permission.ts';
import { addressToResume, readyDeadlineMs } from './reconnect.ts';
import { type Past, Retries } from './retries.ts';
import { SessionReplacement } from './session-replacement.ts';
import type { Turns } from './turns.ts';

export type ShardState = 'stopped' | 'connecting' | 'identifying' | 'resuming' | 'ready' | 'waiting' | 'failed';

interface Resumable {
  readonly sessionId: string;
  readonly resumeUrl: string;
  readonly sequence: number;
  readonly shardCount: number;
  /** When READY came, Unix ms. */
  readonly startedAt: number;
  /** Bit field; not known of a session that an older version stored. */
  readonly intents?: number | undefined;
}

/** What a shard asks of its session. */
export interface SessionPort {
  /** RESUME asks for what follows its sequence; without one the shard IDENTIFYs. */
  readonly resumable: Resumable | undefined;
  readonly shardCount: number;
  /** @returns what the heartbeat that is sent now carries */
  heartbeat(at: number): number | null;
  /** @returns why a dispatch of this sequence is not to be taken now. Asked for each, in order */
  objection(sequence: number, at: number): Extract<EndCause, { readonly reason: string }> | undefined;
  /** What may be a dispatch cannot be read. @returns whether it is left out; else the connection ends and a RESUME asks for it */
  unreadable(): boolean;
  /** What may be a dispatch ended the connection. @returns whether it is given up: a RESUME asks for what is behind it */
  undecodable(at: number): boolean;
  begin(session: Resumable): void;
  /** RESUME was sent. */
  resuming(): void;
  /** @param sequence of RESUMED itself, if it has one */
  resumed(sequence?: number): void;
  /** A connection ended, however. */
  disconnected(at: number, closedByDiscord: boolean): void;
  /** The session was ended on purpose. */
  replace(reason: string, at: number): void;
  /** @returns whether the session is kept for another try */
  refused(reason: string, at: number): boolean;
}

/** What is to be sent over the shard's connections beside the protocol. */
export interface SendPort {
  /** An IDENTIFY is about to be sent. @returns the presence that it carries */
  identify(): GatewayPresenceUpdateData | null;
  /** READY or RESUMED came: `send` is possible. */
  connected(): void;
  /** @param closeCode where Discord closed the connection */
  ended(reason: string, closeCode: number | undefined): void;
}

export interface ShardOptions {
  readonly id: number;
  readonly session: SessionPort;
  readonly sends: SendPort;
  readonly token: BotToken;
  readonly information: GatewayInformation;
  readonly gate: IdentifyGate;
  readonly intents: number;
  readonly compression: 'none' | 'zlib-stream';
  /** Names of dispatches of whose `d` nothing is wanted. */
  readonly unwanted: ReadonlySet<string>;
  /** REST base: it decides which addresses get the token. */
  readonly apiUrl: string;
  readonly metrics: Pick<Metrics, 'add'>;
  readonly log: Log;
  /** Called in the order of the dispatches, with the time of receipt (Unix ms). Must not throw. */
  readonly onDispatch: (dispatch: ReadyDispatch | OtherDispatch, receivedAt: number) => void;
  /** Resolves when what the session received is with the broker, or will not be soon. @throws when the signal aborts */
  readonly confirmed: (signal: AbortSignal) => Promise<void>;
  /** Asked before each connection: whether this task is known to be the owner of the shard, or may connect without that. */
  readonly permission: AskPermission;
  /** Sessions are replaced one after the other. */
  readonly turns: Turns;
  readonly nextReady: NextReady;
}

/** Discord's REST may be away while its gateway is not: a session does not wait for it. */
const ADDRESS_DEADLINE_MS = 5_000;
/** A shard that waited longer for permission or a token did not try to reach Discord meanwhile. */
const LONG_WAIT_MS = 1_000;

export class Shard {
  readonly id: number;
  readonly #options: ShardOptions;
  #state: ShardState = 'stopped';
  #latencyMs: number | undefined;
  #heardAt: number | undefined;
  #refusedAddress: unknown;
  #identifyingSince: number | undefined;
  #waitsFor: 'permission' | 'address' | undefined;
  #unreachableSince: number | undefined;
  readonly #permission: Permission;
  readonly #replacement: SessionReplacement;
  readonly #retries: Retries;
  #connection: GatewayConnection | undefined;
  #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  /** Of the current or last connection. */
  #sent: Past['sent'];
  #readyAt: number | undefined;
  #token = '';

  constructor(options: ShardOptions) {
    this.id = options.id;
    this.#options = options;
    this.#permission = new Permission(options.permission, options.session);
    const isProven = (signal: AbortSignal) => this.#permission.isProven(signal);
    this.#replacement = new SessionReplacement({ ...options, isProven });
    this.#retries = new Retries(options);
  }

  get state(): ShardState {
    return this.#state;
  }

  get connected(): boolean {
    return this.#state === 'ready';
  }

  /** No other task has resumed its session, as far as Discord shows. */
  get untaken(): boolean {
    return this.connected || !this.#permission.perhapsTaken;
  }

  /** The last heartbeat's round trip; none before the first. */
  get latencyMs(): number | undefined {
    return this.#latencyMs;
  }

  /** When READY, RESUMED, a dispatch or the answer to a heartbeat came last, Unix ms. */
  get heardAt(): number | undefined {
    return this.#heardAt;
  }

  /** Since when it has been trying to IDENTIFY without coming to READY, Unix ms. */
  get identifyingSince(): number | undefined {
    return this.#identifyingSince;
  }

  /** Since when it has been trying to reach the gateway and got no HELLO, Unix ms. */
  get unreachableSince(): number | undefined {
    if (this.#waitsFor === 'permission') return undefined;
    return this.#waitsFor === 'address' ? this.#options.information.unansweredSince : this.#unreachableSince;
  }

  /** Why the shard is failed, and what to change; or why it does not come to READY or RESUMED, and that it is retried. */
  get problem(): string | undefined {
    return this.#state === 'stopped' ? this.#retries.fatal : this.#retries.problem;
  }

  start(): void {
    if (this.#loop !== undefined) return;
    this.#stopping = new AbortController();
    this.#retries.started();
    this.#loop = this.#run(this.#stopping.signal).finally(() => {
      this.#loop = undefined;
    });
  }

  /** @returns 0 when it is written to the socket, or in how many ms it may be; nothing while the shard is not connected */
  send(payload: GatewaySendPayload): number | undefined {
    return this.#connection?.write(payload);
  }

  /** Closes with a resumable code. After it no dispatch comes in. Settles within a few seconds. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#connection?.leave();
    await this.#loop;
    this.#replacement.over();
    this.#waitsFor = this.#unreachableSince = undefined;
    this.#become('stopped');
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let verdict: Verdict;
      try {
        verdict = await this.#connect(signal);
      } catch (error) {
        // Stopped while it waited for the token or the address. Anything else is a defect and ends the task: a shard
        // that ended by itself would go unnoticed.
        if (signal.aborted) return;
        throw error;
      }
      if (signal.aborted) return;
      const past = { token: this.#token, sent: this.#sent, readyAt: this.#readyAt };
      const next = this.#retries.after(verdict, past);
      this.#become(next === undefined ? 'failed' : 'waiting');
      await this.#retries.wait(next, signal);
    }
  }

  async #connect(signal: AbortSignal): Promise<Verdict> {
    this.#become('connecting');
    this.#sent = this.#readyAt = undefined;
    const { compression, session, sends, confirmed, unwanted } = this.#options;
    await confirmed(signal);
    await this.#mayConnect(signal);
    const url = await this.#address(signal);
    this.#unreachableSince ??= Date.now();
    const left = new AbortController();
    const connection = new GatewayConnection(this.#strategy(url), this.id, {
      compressed: compression === 'zlib-stream',
      unwanted,
      readyDeadlineMs: readyDeadlineMs(this.#retries.attempts),
      listener: this.#listener(url, AbortSignal.any([signal, left.signal])),
    });
    this.#connection = connection;
    const ended = connection.run();
    if (signal.aborted) await connection.leave();
    const end = await ended;
    left.abort();
    this.#connection = undefined;
    const endedAt = Date.now();
    this.#permission.ended(endedAt, end, this.#readyAt !== undefined);
    session.disconnected(endedAt, end.how === 'closed by Discord');
    const verdict = verdictOf(end, this.#options.intents);
    sends.ended(verdict.reason, end.how === 'closed by Discord' ? end.code : undefined);
    const reason = this.#replacement.takeReason();
    if (reason !== undefined) {
      session.replace(reason, endedAt);
      return { kind: 'resume', reason };
    }
    if (end.how !== 'undecodable' || this.#sent === undefined || !session.undecodable(endedAt)) return verdict;
    this.#leftOut(end.reason);
    return { ...verdict, kind: 'resume' };
  }

  #leftOut(reason: string): void {
    this.#options.metrics.add('invalidFrames');
    this.#options.log.warn(
      { shard: this.id, reason },
      'left out a frame that cannot be read: a RESUME brought it again',
    );
  }

  /** Resolves with the permission and a token. @throws when the signal aborts */
  async #mayConnect(signal: AbortSignal): Promise<void> {
    const askedAt = Date.now();
    this.#waitsFor = 'permission';
    // The token first: it may be waited for long, and the permission is of the moment.
    await this.#options.token.usable(signal);
    await this.#permission.toConnect(signal);
    this.#token = await this.#options.token.usable(signal);
    this.#waitsFor = undefined;
    if (Date.now() - askedAt > LONG_WAIT_MS) this.#unreachableSince = undefined;
  }

  #listener(url: string, signal: AbortSignal): ConnectionListener {
    const { log, metrics, nextReady, onDispatch, sends, session } = this.#options;
    return {
      hello: () => {
        this.#unreachableSince = undefined;
        if (session.resumable === undefined) this.#become('identifying');
      },
      sent: (what) => {
        this.#sent = { what, from: session.resumable?.sequence };
        this.#become(what === 'resume' ? 'resuming' : 'identifying');
        if (what === 'resume') session.resuming();
        metrics.add(what === 'resume' ? 'resumes' : 'identifies');
      },
      ready: (dispatch) => {
        this.#begin(dispatch, url);
        this.#options.gate.accepted();
        this.#replacement.over();
        this.#become('ready');
        nextReady.came();
        onDispatch(dispatch, Date.now());
        sends.connected();
      },
      resumed: (dispatch) => {
        session.resumed(dispatch?.s);
        if (dispatch === undefined)
          log.warn({ shard: this.id }, 'events come in, but no RESUMED: the session counts as resumed');
        else log.info({ shard: this.id }, 'the shard has resumed its session');
        this.#become('ready');
        sends.connected();
        void this.#permission.untilProven(signal);
        void this.#replacement.resumed(this.#connection, signal);
      },
      dispatch: (dispatch) => {
        const now = Date.now();
        this.#heardAt = now;
        const objection = session.objection(dispatch.s, now);
        if (objection === undefined) onDispatch(dispatch, now);
        return objection;
      },
      mayResume: () => this.#permission.isProven(signal),
      repeated: ({ t, s }) => {
        log.warn(
          { shard: this.id, dispatch: t.slice(0, 100), sequence: s },
          'dropped a frame that came twice (logged once per connection)',
        );
      },
      unreadable: (reason) => {
        if (!session.unreadable()) return false;
        this.#leftOut(reason);
        return true;
      },
      heartbeat: () => session.heartbeat(Date.now()),
      latency: (ms) => {
        this.#latencyMs = ms;
        this.#heardAt = Date.now();
      },
      defect: (err) => {
        log.error({ shard: this.id, err }, 'an unexpected error ended the gateway connection: report this defect');
      },
    };
  }

  #begin({ s, d }: ReadyDispatch, url: string): void {
    const { session, information, intents, log } = this.#options;
    const general = information.latest?.url ?? url;
    log.info({ shard: this.id }, 'the shard has a new session');
    session.begin({
      sessionId: d.session_id,
      resumeUrl: this.#usable(d.resume_gateway_url, 'READY') ?? general,
      sequence: s,
      shardCount: session.shardCount,
      startedAt: Date.now(),
      intents,
    });
  }

  /** @throws when the signal aborts */
  async #address(signal: AbortSignal): Promise<string> {
    const { information, session } = this.#options;
    const { resumable } = session;
    const resumeUrl = resumable && this.#usable(resumable.resumeUrl, 'the session');
    if (resumeUrl === undefined) {
      this.#waitsFor = 'address';
      const { url } = await information.fetch(signal);
      this.#waitsFor = undefined;
      return url;
    }
    if (addressToResume(this.#retries.attempts) === 'session') return resumeUrl;
    const fetched = await orAfter(information.fetch(signal), ADDRESS_DEADLINE_MS, () => information.latest);
    return fetched?.url ?? resumeUrl;
  }

  /** @returns the address, if the token may be sent there */
  #usable(address: unknown, from: 'READY' | 'the session'): string | undefined {
    const { apiUrl, log, metrics } = this.#options;
    const usable = gatewayAddress(address, apiUrl);
    if (usable !== undefined) return usable;
    metrics.add('addressesRefused');
    const got = typeof address === 'string' ? address.slice(0, MOST_QUOTED) : typeof address;
    if (got !== this.#refusedAddress)
      log.error(
        { shard: this.id, from, address: got },
        "the bot's token is not sent to this address of the gateway: the general one is used",
      );
    this.#refusedAddress = got;
    return undefined;
  }

  /** For the package. Its hooks must be synchronous and never throw. */
  #strategy(url: string): IContextFetchingStrategy {
    const { session, intents, compression } = this.#options;
    const { shardCount } = session;
    const strategy: IContextFetchingStrategy = {
      options: {
        // It reads nothing of this but the address.
        gatewayInformation: { url, shards: shardCount, session_start_limit: NO_LIMIT },
        shardCount,
        token: this.#token,
        intents,
        version: '10',
        encoding: Encoding.JSON,
        // It asks for the stream, which is decoded here.
        compression: compression === 'zlib-stream' ? CompressionMethod.ZlibNative : null,
        useIdentifyCompression: false,
        identifyProperties: { os: process.platform, browser: PRODUCT, device: PRODUCT },
        largeThreshold: null,
        initialPresence: null,
        // GatewayConnection has its own.
        handshakeTimeout: null,
        helloTimeout: null,
        readyTimeout: null,
      },
      retrieveSessionInfo: () => {
        const { resumable } = session;
        // The address was chosen above: the package prefers this one to its option.
        return resumable === undefined ? null : { ...resumable, shardId: this.id, resumeURL: url };
      },
      // It sees no dispatch, and passes null whenever a connection ends.
      updateSessionInfo: () => undefined,
      waitForIdentify: async (_, signal) => {
        await this.#replacement.toIdentify(signal);
        // It may have waited long, and the token be another one meanwhile.
        strategy.options.token = this.#token = this.#options.token.latest ?? this.#token;
        strategy.options.initialPresence = this.#options.sends.identify();
      },
    };
    return strategy;
  }

  #become(state: ShardState): void {
    if (this.#stopping.signal.aborted && state !== 'stopped') return;
    if (state === 'ready') {
      this.#readyAt ??= Date.now();
      this.#heardAt = Date.now();
      this.#retries.succeeded();
    }
    if (state === 'identifying') this.#identifyingSince ??= Date.now();
    if (state === 'ready' || state === 'stopped') this.#identifyingSince = undefined;
    if (state !== 'ready') this.#latencyMs = undefined;
    this.#state = state;
  }
}

/** Of an address, in the log. */
const MOST_QUOTED = 100;
const PRODUCT = 'discord-gateway-ingestor';
const NO_LIMIT = { total: 0, remaining: 0, reset_after: 0, max_concurrency: 1 };
