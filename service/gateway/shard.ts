// One shard: connects to the gateway, again and again, until it is stopped. A connection's end is judged (close-code),
// the session's law is asked, and the next connection follows after a pause that grows while nothing succeeds.
//
//   stopped:     before start(), after stop(); the session is kept
//   connecting:  towards HELLO, or waiting for the token or the gateway's address
//   identifying: waits at the identify gate, then for READY
//   resuming:    RESUME is sent; replays come in; RESUMED leaves it
//   ready:       READY or RESUMED has come; dispatches flow
//   waiting:     between two connections
//   failed:      Discord refuses for a reason that only a person can change; nothing leaves it but stop()

import { setTimeout as sleep } from 'node:timers/promises';
import { CompressionMethod, Encoding, type IContextFetchingStrategy, WebSocketShardEvents } from '@discordjs/ws';
import type { GatewayDispatchPayload } from 'discord-api-types/v10';
import type { Log } from '../log.ts';
import { backoffMs } from '../wait.ts';
import type { BotToken } from './bot-token.ts';
import { type ConnectionEnd, type Verdict, verdictOf } from './close-code.ts';
import { GatewayConnection } from './gateway-connection.ts';
import type { GatewayInformation } from './gateway-information.ts';
import type { IdentifyGate } from './identify-gate.ts';

export type ShardState = 'stopped' | 'connecting' | 'identifying' | 'resuming' | 'ready' | 'waiting' | 'failed';

/** What a shard asks of its session. */
export interface SessionPort {
  readonly record:
    | { readonly sessionId: string; readonly resumeUrl: string; readonly sequence: number; readonly shardCount: number }
    | undefined;
  readonly shardCount: number;
  begin(session: {
    readonly sessionId: string;
    readonly resumeUrl: string;
    readonly sequence: number;
    readonly shardCount: number;
    readonly startedAt: number;
  }): void;
  resumed(): void;
  /** A connection ended, however. */
  disconnected(at: number): void;
  /** @returns whether the session is kept for another try */
  refused(reason: string, at: number): boolean;
}

export interface ShardOptions {
  readonly id: number;
  readonly session: SessionPort;
  readonly token: BotToken;
  readonly information: GatewayInformation;
  readonly gate: IdentifyGate;
  readonly intents: number;
  readonly compression: 'none' | 'zlib-stream';
  readonly log: Log;
  /** Called in the order of the dispatches, with the time of receipt (Unix ms). Must not throw. */
  readonly onDispatch: (dispatch: GatewayDispatchPayload, receivedAt: number) => void;
  readonly onSent: (sent: 'identify' | 'resume') => void;
  /** Asked before each connection: resolves when this task may connect. @throws when the signal aborts */
  readonly permission: (signal: AbortSignal) => Promise<void>;
}

const HANDSHAKE_TIMEOUT_MS = 30_000;
const HELLO_TIMEOUT_MS = 30_000;
const READY_TIMEOUT_MS = 30_000;
/** Discord asks for a random pause of 1 to 5 s before a new session after op 9. */
const AFTER_REFUSAL_MS = [1_000, 5_000] as const;
/** A connection that lived this long succeeded: what follows is a first failure. */
const LIVED_MS = 10_000;
/** One that came to READY or RESUMED and ended sooner counts up to this many failures: a pause of up to 2 s. */
const MOST_AFTER_READY = 3;
/** After so many connections that nobody answered, the session is tried at the gateway's general address too, in turn. */
const RESUME_URL_TRIES = 2;
/** Discord's REST may be away while its gateway is not: the session does not wait for it. */
const GENERAL_ADDRESS_DEADLINE_MS = 5_000;

export class Shard {
  readonly id: number;
  readonly #options: ShardOptions;
  #state: ShardState = 'stopped';
  #latencyMs: number | undefined;
  #problem: string | undefined;
  #identifyingSince: number | undefined;
  #connection: GatewayConnection | undefined;
  #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  #unanswered = 0;
  /** The present or last connection came to READY or RESUMED. */
  #wasReady = false;
  #token = '';

  constructor(options: ShardOptions) {
    this.id = options.id;
    this.#options = options;
  }

  get state(): ShardState {
    return this.#state;
  }

  get connected(): boolean {
    return this.#state === 'ready';
  }

  /** The last heartbeat's round trip; none before the first. */
  get latencyMs(): number | undefined {
    return this.#latencyMs;
  }

  /** Since when it has been trying to IDENTIFY without coming to READY, Unix ms. */
  get identifyingSince(): number | undefined {
    return this.#identifyingSince;
  }

  /** Why the shard is failed, and what to change. */
  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    if (this.#loop !== undefined) return;
    this.#stopping = new AbortController();
    this.#loop = this.#run(this.#stopping.signal).finally(() => {
      this.#loop = undefined;
    });
  }

  /** Closes with a resumable code. After it no dispatch comes in. Settles within a few seconds. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#connection?.leave();
    await this.#loop;
    this.#become('stopped');
  }

  async #run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      const startedAt = Date.now();
      let verdict: Verdict;
      try {
        verdict = await this.#connect(signal);
      } catch (error) {
        // It was stopped while waiting for the token or the address. Nothing else throws here: a shard that ended by
        // itself would be missed by nobody, so anything else ends the task.
        if (signal.aborted) return;
        throw error;
      }
      if (signal.aborted) return;
      failures = Date.now() - startedAt > LIVED_MS ? 1 : failures + 1;
      if (this.#wasReady) failures = Math.min(failures, MOST_AFTER_READY);
      this.#options.log.warn(
        { shard: this.id, verdict: verdict.kind, reason: verdict.reason },
        'the gateway connection ended',
      );
      const pauseMs = this.#judge(verdict, failures);
      if (pauseMs === undefined) return;
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** @returns how long to wait before the next connection; nothing when there must be none */
  #judge(verdict: Verdict, failures: number): number | undefined {
    const { session, token, gate } = this.#options;
    this.#unanswered = verdict.kind === 'unreachable' ? this.#unanswered + 1 : 0;
    switch (verdict.kind) {
      case 'fatal':
        gate.close(verdict.reason);
        this.#problem = verdict.reason;
        this.#become('failed');
        this.#options.log.fatal({ shard: this.id }, verdict.reason);
        return undefined;
      case 'token rejected':
        token.reject(this.#token, verdict.reason);
        break;
      case 'refused': {
        const kept = session.record !== undefined && session.refused(verdict.reason, Date.now());
        this.#become('waiting');
        const [least, most] = AFTER_REFUSAL_MS;
        if (kept) return Math.random() * 500;
        // IDENTIFYs are few: those that are refused again and again are asked for ever more rarely.
        return Math.max(least + Math.random() * (most - least), failures > MOST_AFTER_READY ? backoffMs(failures) : 0);
      }
      case 'resume':
      case 'unreachable':
    }
    this.#become('waiting');
    // The first reconnect is quick, because Discord asks for many (op 7); then 1 s, 2 s … 30 s.
    return failures <= 1 ? 50 + Math.random() * 200 : backoffMs(failures - 1);
  }

  async #connect(signal: AbortSignal): Promise<Verdict> {
    this.#become('connecting');
    this.#wasReady = false;
    const { token, session, onDispatch, onSent, permission } = this.#options;
    await permission(signal);
    this.#token = await token.usable(signal);
    const url = await this.#address(signal);
    const connection = new GatewayConnection(this.#strategy(url), this.id);
    connection.onSent = (sent) => {
      this.#become(sent === 'resume' ? 'resuming' : 'identifying');
      onSent(sent);
    };
    connection.on(WebSocketShardEvents.Hello, () => {
      if (session.record === undefined) this.#become('identifying');
    });
    connection.on(WebSocketShardEvents.Ready, () => {
      this.#options.log.info({ shard: this.id }, 'the shard has a new session');
      this.#become('ready');
    });
    connection.on(WebSocketShardEvents.Resumed, () => {
      session.resumed();
      this.#options.log.info({ shard: this.id }, 'the shard has resumed its session');
      this.#become('ready');
    });
    connection.on(WebSocketShardEvents.HeartbeatComplete, ({ latency }) => {
      this.#latencyMs = latency;
    });
    connection.on(WebSocketShardEvents.Dispatch, (dispatch) => {
      // Frames on the way while it is closed belong to the replay, not to us.
      if (!signal.aborted) onDispatch(dispatch, Date.now());
    });
    this.#connection = connection;
    const ended = connection.run();
    if (signal.aborted) await connection.leave();
    const end: ConnectionEnd = await ended;
    session.disconnected(Date.now());
    this.#connection = undefined;
    return verdictOf(end);
  }

  /** Where to connect: to the session's own address, or in general. @throws when the signal aborts */
  async #address(signal: AbortSignal): Promise<string> {
    const { information, session } = this.#options;
    const { record } = session;
    if (record?.shardCount !== session.shardCount) return (await information.fetch(signal)).url;
    const turn = this.#unanswered - RESUME_URL_TRIES;
    if (turn < 0 || turn % 2 === 1) return record.resumeUrl;
    const fetched = information.fetch(signal);
    // It goes on asking for the next who needs it.
    fetched.catch(() => undefined);
    const late = sleep(GENERAL_ADDRESS_DEADLINE_MS, information.latest, { signal });
    return (await Promise.race([fetched, late]))?.url ?? record.resumeUrl;
  }

  /** What the package asks for. Its hooks must be synchronous and never throw: otherwise it reorders dispatches. */
  #strategy(url: string): IContextFetchingStrategy {
    const { session, gate, intents, compression } = this.#options;
    const { shardCount } = session;
    return {
      options: {
        // It reads nothing of this but the address.
        gatewayInformation: { url, shards: shardCount, session_start_limit: NO_LIMIT },
        shardCount,
        token: this.#token,
        intents,
        version: '10',
        encoding: Encoding.JSON,
        compression: compression === 'zlib-stream' ? CompressionMethod.ZlibNative : null,
        useIdentifyCompression: false,
        identifyProperties: { os: process.platform, browser: PRODUCT, device: PRODUCT },
        largeThreshold: null,
        initialPresence: null,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        helloTimeout: HELLO_TIMEOUT_MS,
        readyTimeout: READY_TIMEOUT_MS,
      },
      retrieveSessionInfo: () => {
        const { record } = session;
        if (record === undefined) return null;
        // The address was chosen above: the package prefers this one to its option.
        return { ...record, shardId: this.id, resumeURL: url };
      },
      updateSessionInfo: (_, info) => {
        // It also reports each sequence before its dispatch is handed over, and null whenever it reconnects:
        // neither is an acknowledgement. Only READY brings another session id.
        if (info === null || info.sessionId === session.record?.sessionId) return;
        session.begin({
          sessionId: info.sessionId,
          resumeUrl: info.resumeURL,
          sequence: info.sequence,
          shardCount,
          startedAt: Date.now(),
        });
      },
      waitForIdentify: (shardId, signal) => gate.wait(shardId, signal),
    };
  }

  #become(state: ShardState): void {
    if (this.#stopping.signal.aborted && state !== 'stopped') return;
    if (this.#state === 'failed' && state !== 'stopped') return;
    if (state === 'ready') this.#wasReady = true;
    if (state === 'identifying') this.#identifyingSince ??= Date.now();
    if (state === 'ready' || state === 'stopped') this.#identifyingSince = undefined;
    if (state !== 'ready') this.#latencyMs = undefined;
    this.#state = state;
  }
}

const PRODUCT = 'discord-gateway-ingestor';
const NO_LIMIT = { total: 0, remaining: 0, reset_after: 0, max_concurrency: 1 };
