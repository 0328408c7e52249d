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
import type { GatewaySendPayload } from 'discord-api-types/v10';
import { orAfter } from '../wait.ts';
import { type Verdict, verdictOf } from './close-code.ts';
import type { ReadyDispatch } from './frame.ts';
import { gatewayAddress } from './gateway-address.ts';
import { type ConnectionListener, GatewayConnection } from './gateway-connection.ts';
import { Permission } from './permission.ts';
import { addressToResume, readyDeadlineMs } from './reconnect.ts';
import { type Progress, Retries } from './retries.ts';
import { SessionReplacement } from './session-replacement.ts';
import type { ShardOptions } from './shard-options.ts';

type ShardState = 'stopped' | 'connecting' | 'identifying' | 'resuming' | 'ready' | 'waiting' | 'failed';

/** Discord's REST may not answer while its gateway does: a session does not wait longer for it. */
const ADDRESS_DEADLINE_MS = 5_000;
/** A shard that waited longer for permission or a token did not try to reach Discord meanwhile. */
const LONG_WAIT_MS = 1_000;
const MAX_ADDRESS_IN_LOG = 100;
const PRODUCT = 'discord-gateway-ingestor';

export class Shard {
  readonly id: number;
  readonly #options: ShardOptions;
  readonly #permission: Permission;
  readonly #replacement: SessionReplacement;
  readonly #retries: Retries;
  #state: ShardState = 'stopped';
  #latencyMs: number | undefined;
  #heardAt: number | undefined;
  #refusedAddress: unknown;
  #identifyingSince: number | undefined;
  #waitsFor: 'permission' | 'address' | undefined;
  #unreachableSince: number | undefined;
  #connection: GatewayConnection | undefined;
  #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  /** Of the current or last connection. */
  #sent: Progress['sent'];
  #readyAt: number | undefined;
  #token = '';

  constructor(options: ShardOptions) {
    this.id = options.id;
    this.#options = options;
    this.#permission = new Permission(options.permission, options.session);
    this.#replacement = new SessionReplacement(options, (signal) => this.#permission.isProven(signal));
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

  /** The last heartbeat's round trip; nothing before the first. */
  get latencyMs(): number | undefined {
    return this.#latencyMs;
  }

  /** When READY, RESUMED, a dispatch or the answer to a heartbeat came last, Unix ms. */
  get heardAt(): number | undefined {
    return this.#heardAt;
  }

  /** Since when it has been trying to IDENTIFY without READY, Unix ms. */
  get identifyingSince(): number | undefined {
    return this.#identifyingSince;
  }

  /** Since when it has been trying to reach the gateway without HELLO, Unix ms. */
  get unreachableSince(): number | undefined {
    if (this.#waitsFor === 'permission') return undefined;
    return this.#waitsFor === 'address' ? this.#options.information.unansweredSince : this.#unreachableSince;
  }

  /** Why the shard is failed, and what to change; or why READY or RESUMED does not come, and that it is retried. */
  get problem(): string | undefined {
    return this.#state === 'stopped' ? this.#retries.fatal : this.#retries.problem;
  }

  start(): void {
    if (this.#loop !== undefined) {
      if (!this.#stopping.signal.aborted) return;
      throw new Error('expected a shard to be started again only after stop() has settled');
    }
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

  /** Closes with a resumable code. No dispatch comes after it. Settles within a few seconds. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#connection?.closeResumably();
    await this.#loop;
    this.#replacement.release();
    this.#waitsFor = this.#unreachableSince = undefined;
    this.#become('stopped');
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const verdict = await this.#connect(signal).catch((error: unknown) => {
        // Stopped while it waited. Anything else is a defect and ends the task: a shard that ended alone would go unnoticed.
        if (!signal.aborted) throw error;
      });
      if (signal.aborted || !verdict) return;
      const next = this.#retries.after(verdict, { token: this.#token, sent: this.#sent, readyAt: this.#readyAt });
      this.#become(next === undefined ? 'failed' : 'waiting');
      await this.#retries.wait(next, signal);
    }
  }

  /** One connection, until it ends. @throws when the signal aborts before it begins */
  async #connect(signal: AbortSignal): Promise<Verdict> {
    this.#become('connecting');
    this.#sent = this.#readyAt = undefined;
    const { compression, session, sends, confirmed, unwanted, log } = this.#options;
    await confirmed(signal);
    await this.#mayConnect(signal);
    const url = await this.#address(signal);
    this.#unreachableSince ??= Date.now();
    const over = new AbortController();
    const connection = new GatewayConnection(this.#strategy(url), this.id, {
      ...{ compressed: compression === 'zlib-stream', unwanted, log },
      readyDeadlineMs: readyDeadlineMs(this.#retries.attempts),
      listener: this.#listener(url, over.signal),
    });
    this.#connection = connection;
    const ended = connection.run();
    if (signal.aborted) await connection.closeResumably();
    const end = await ended;
    over.abort();
    this.#connection = undefined;
    const endedAt = Date.now();
    const closeCode = end.how === 'closed by Discord' ? end.code : undefined;
    this.#permission.ended(endedAt, end, this.#readyAt !== undefined);
    session.disconnected(endedAt, closeCode !== undefined);
    const verdict = verdictOf(end, this.#options.intents);
    sends.ended(verdict.reason, closeCode);
    const reason = this.#replacement.takeReason();
    if (reason !== undefined) {
      session.replace(reason, endedAt);
      return { kind: 'resume', reason };
    }
    if (end.how !== 'undecodable' || this.#sent === undefined || !session.undecodable(endedAt)) return verdict;
    this.#skipped(end.reason);
    return { ...verdict, kind: 'resume' };
  }

  #skipped(reason: string): void {
    this.#options.metrics.add('invalidFrames');
    this.#options.log.warn(
      { shard: this.id, reason },
      'skipped a frame that cannot be read: a RESUME brought it again',
    );
  }

  /** Resolves with the permission and a token. @throws when the signal aborts */
  async #mayConnect(signal: AbortSignal): Promise<void> {
    const { token } = this.#options;
    const askedAt = Date.now();
    this.#waitsFor = 'permission';
    // The token first: it may take long, and the permission is for now.
    await token.usable(signal);
    await this.#permission.toConnect(signal);
    this.#token = await token.usable(signal);
    this.#waitsFor = undefined;
    if (Date.now() - askedAt > LONG_WAIT_MS) this.#unreachableSince = undefined;
  }

  #listener(url: string, signal: AbortSignal): ConnectionListener {
    const { gate, log, metrics, onDispatch, sends, session } = this.#options;
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
        gate.accepted();
        this.#replacement.release();
        this.#become('ready');
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
        const rejection = session.rejection(dispatch.s, now);
        if (rejection === undefined) onDispatch(dispatch, now);
        return rejection;
      },
      mayResume: () => this.#permission.isProven(signal),
      unreadable: (reason) => {
        const isSkipped = session.unreadable();
        if (isSkipped) this.#skipped(reason);
        return isSkipped;
      },
      heartbeat: () => session.heartbeat(Date.now()),
      latency: (ms) => {
        this.#latencyMs = ms;
        this.#heardAt = Date.now();
      },
    };
  }

  #begin({ s, d }: ReadyDispatch, url: string): void {
    const { session, information, intents, log } = this.#options;
    log.info({ shard: this.id }, 'the shard has a new session');
    session.begin({
      sessionId: d.session_id,
      resumeUrl: this.#usable(d.resume_gateway_url, 'READY') ?? information.latest?.url ?? url,
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
    const got = typeof address === 'string' ? address.slice(0, MAX_ADDRESS_IN_LOG) : typeof address;
    const line = "the bot's token is not sent to this address of the gateway: the general one is used";
    if (got !== this.#refusedAddress) log.error({ shard: this.id, from, address: got }, line);
    this.#refusedAddress = got;
    return undefined;
  }

  /** For the package. Its hooks must be synchronous and never throw. */
  #strategy(url: string): IContextFetchingStrategy {
    const { session, intents, compression } = this.#options;
    const { shardCount } = session;
    const session_start_limit = { total: 0, remaining: 0, reset_after: 0, max_concurrency: 1 };
    const strategy: IContextFetchingStrategy = {
      options: {
        // It reads only the address of this.
        gatewayInformation: { url, shards: shardCount, session_start_limit },
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
      // The address was chosen above: the package prefers this one to its option.
      retrieveSessionInfo: () =>
        session.resumable ? { ...session.resumable, shardId: this.id, resumeURL: url } : null,
      // It sees no dispatch, and passes null whenever a connection ends.
      updateSessionInfo: () => undefined,
      waitForIdentify: async (_, signal) => {
        await this.#replacement.toIdentify(signal);
        // It may have waited long, and the token may be another one.
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
