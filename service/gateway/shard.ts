// One shard: connects to the gateway, again and again, until it is stopped. What the end of a connection means is decided
// in close-code.ts, what follows from it in reconnect.ts.
//
//   stopped:     before start(), after stop(); the session is kept
//   connecting:  until HELLO; before that it waits for the token and the gateway's address
//   identifying: waits at the identify gate, then for READY
//   resuming:    RESUME is sent; replays come in until RESUMED
//   ready:       READY or RESUMED has come; dispatches come in
//   waiting:     between two connections
//   failed:      Discord refuses for a reason that only a person can change; only stop() leaves it

import { CompressionMethod, Encoding, type IContextFetchingStrategy, WebSocketShardEvents } from '@discordjs/ws';
import type { GatewayDispatchPayload } from 'discord-api-types/v10';
import type { Log } from '../log.ts';
import { orAfter, sleep } from '../wait.ts';
import type { BotToken } from './bot-token.ts';
import { type Verdict, verdictOf } from './close-code.ts';
import { GatewayConnection } from './gateway-connection.ts';
import type { GatewayInformation } from './gateway-information.ts';
import type { IdentifyGate } from './identify-gate.ts';
import { type Attempts, addressToResume, reconnectAfter } from './reconnect.ts';

export type ShardState = 'stopped' | 'connecting' | 'identifying' | 'resuming' | 'ready' | 'waiting' | 'failed';

interface Resumable {
  readonly sessionId: string;
  readonly resumeUrl: string;
  readonly sequence: number;
  readonly shardCount: number;
}

/** What a shard asks of its session. */
export interface SessionPort {
  readonly resumeState: Resumable | undefined;
  readonly shardCount: number;
  begin(session: Resumable & { readonly startedAt: number }): void;
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

/** From the attempt to connect; the package waits for both indefinitely by itself. */
const HELLO_DEADLINE_MS = 30_000;
/** From IDENTIFY. */
const READY_DEADLINE_MS = 30_000;
/** Discord's REST may be away while its gateway is not: a session does not wait for it. */
const ADDRESS_DEADLINE_MS = 5_000;

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
  #attempts: Attempts = { failures: 0, unanswered: 0 };
  /** The current or last connection came to READY or RESUMED. */
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
    this.#attempts = { ...this.#attempts, failures: 0 };
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
    while (!signal.aborted) {
      const startedAt = Date.now();
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
      const { kind, reason } = verdict;
      this.#options.log.warn({ shard: this.id, verdict: kind, reason }, 'the gateway connection ended');
      const next = reconnectAfter(
        {
          verdict: kind,
          lastedMs: Date.now() - startedAt,
          wasReady: this.#wasReady,
          hasSession: this.#keepsSession(verdict),
        },
        this.#attempts,
      );
      if (next === undefined) return this.#fail(reason);
      if (kind === 'token rejected') this.#options.token.reject(this.#token, reason);
      this.#attempts = next.attempts;
      this.#become('waiting');
      await sleep(next.pauseMs, signal).catch(() => undefined);
    }
  }

  #keepsSession({ kind, reason }: Verdict): boolean {
    const { session } = this.#options;
    return kind === 'refused' ? session.refused(reason, Date.now()) : session.resumeState !== undefined;
  }

  #fail(reason: string): void {
    this.#options.gate.close(reason);
    this.#problem = reason;
    this.#become('failed');
    this.#options.log.fatal({ shard: this.id }, reason);
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
      if (session.resumeState === undefined) this.#become('identifying');
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
    const end = await ended;
    session.disconnected(Date.now());
    this.#connection = undefined;
    return verdictOf(end);
  }

  /** @throws when the signal aborts */
  async #address(signal: AbortSignal): Promise<string> {
    const { information, session } = this.#options;
    const resumeUrl = session.resumeState?.resumeUrl;
    if (resumeUrl === undefined) return (await information.fetch(signal)).url;
    if (addressToResume(this.#attempts) === 'session') return resumeUrl;
    const fetched = await orAfter(information.fetch(signal), ADDRESS_DEADLINE_MS, () => information.latest);
    return fetched?.url ?? resumeUrl;
  }

  /** For the package. Its hooks must be synchronous and never throw: otherwise it reorders dispatches. */
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
        handshakeTimeout: null,
        helloTimeout: HELLO_DEADLINE_MS,
        readyTimeout: READY_DEADLINE_MS,
      },
      retrieveSessionInfo: () => {
        const { resumeState } = session;
        if (resumeState === undefined) return null;
        // The address was chosen above: the package prefers this one to its option.
        return { ...resumeState, shardId: this.id, resumeURL: url };
      },
      updateSessionInfo: (_, info) => {
        // It also reports each sequence before its dispatch is handed over, and null whenever it reconnects:
        // neither is an acknowledgement. Only READY brings another session id.
        if (info === null || info.sessionId === session.resumeState?.sessionId) return;
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
