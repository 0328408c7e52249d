// One connection to the gateway: `WebSocketShard` of `@discordjs/ws` without its own reconnecting. The package implements
// the protocol (HELLO, heartbeats, IDENTIFY, RESUME, op 7 and 9, compression) and ends every connection by `destroy`,
// which is overridden here: a connection ends once, and its end is a value that close-code.ts judges.
// Why not its reconnecting: it ignores a stop between two connections, two ends at once connect twice, there is no
// backoff, and it forgets the session when the network fails (read in 2.0.4).

import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type IContextFetchingStrategy,
  WebSocketShard,
  type WebSocketShardDestroyOptions,
  WebSocketShardDestroyRecovery,
  WebSocketShardEvents,
  WebSocketShardStatus,
} from '@discordjs/ws';
import { GatewayOpcodes, type GatewaySendPayload } from 'discord-api-types/v10';
import { orAfter } from '../wait.ts';
import { type ConnectionEnd, RESUMABLE_CLOSE } from './close-code.ts';

/** A half-open peer never answers the close handshake; `ws` itself would wait 30 s. */
const CLOSE_DEADLINE_MS = 2_000;
/** After RESUME, without a dispatch or RESUMED for so long, the connection is closed. The package waits indefinitely. */
const RESUME_DEADLINE_MS = 30_000;

export class GatewayConnection extends WebSocketShard {
  readonly #ended = Promise.withResolvers<ConnectionEnd>();
  #ending = false;
  #answered = false;
  #socketFailed = false;
  #resumeTimedOut = false;
  #code: number | undefined;
  #resumeWatch: NodeJS.Timeout | undefined;

  /** Called for each IDENTIFY and RESUME that is sent. */
  onSent: (sent: 'identify' | 'resume') => void = () => undefined;

  constructor(strategy: IContextFetchingStrategy, shardId: number) {
    super(strategy, shardId);
    this.on(WebSocketShardEvents.Hello, () => {
      this.#answered = true;
    });
    this.on(WebSocketShardEvents.SocketError, () => {
      this.#socketFailed = true;
    });
    // Emitted for close codes after which the package stops; the code is the reason. Without a listener it throws.
    this.on(WebSocketShardEvents.Error, () => undefined);
    this.on(WebSocketShardEvents.Dispatch, () => this.#resumeWatch?.refresh());
    this.on(WebSocketShardEvents.Resumed, () => this.#unwatchResume());
    this.on(WebSocketShardEvents.Closed, (code) => {
      if (this.#ending) return;
      this.#code = code;
      // The package does nothing at all when the other side closes with its own code.
      if (code === RESUMABLE_CLOSE) void this.destroy({ code, recover: WebSocketShardDestroyRecovery.Resume });
    });
  }

  /** Connects, and resolves when the connection has ended for any reason. Never rejects. Once only. */
  run(): Promise<ConnectionEnd> {
    // Its promise settles on READY or RESUMED; the end is what is waited for.
    this.connect().catch(() => undefined);
    return this.#ended.promise;
  }

  /** Ends the connection so that the session can be resumed. */
  async leave(): Promise<void> {
    await this.destroy({ code: RESUMABLE_CLOSE, reason: 'leaving' });
    await this.#ended.promise;
  }

  override async destroy(options: WebSocketShardDestroyOptions = {}): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    this.#unwatchResume();
    // Between run() and its socket the package cannot be stopped; it takes a few turns of the event loop.
    for (
      let turns = 0;
      this.status === WebSocketShardStatus.Idle && this.#code === undefined && turns < 1_000;
      turns += 1
    )
      await nextTurn();
    // biome-ignore lint/complexity/useLiteralKeys: only an element access may reach a private member
    const socket = this['connection'];
    // Always with a code that keeps the session: whether it is given up is not for a connection to decide.
    const closing = super.destroy({ code: RESUMABLE_CLOSE, ...(options.reason && { reason: options.reason }) });
    await orAfter(closing, CLOSE_DEADLINE_MS, () => undefined).catch(() => undefined);
    if (socket !== null && socket.readyState !== socket.CLOSED) {
      // Still connecting (the package leaves such a socket open), or no answer to the close.
      socket.on('error', () => undefined);
      socket.terminate();
    }
    this.#ended.resolve({
      answered: this.#answered,
      advice: adviceOf(options.recover),
      socketFailed: this.#socketFailed,
      resumeTimedOut: this.#resumeTimedOut,
      code: this.#code,
      reason: options.reason,
    });
  }

  override async send(payload: GatewaySendPayload): Promise<void> {
    if (payload.op === GatewayOpcodes.Identify) this.onSent('identify');
    if (payload.op === GatewayOpcodes.Resume) {
      this.onSent('resume');
      this.#watchResume();
    }
    return super.send(payload);
  }

  #unwatchResume(): void {
    clearTimeout(this.#resumeWatch);
    // A cleared timer must not be refreshed: that would start it again.
    this.#resumeWatch = undefined;
  }

  #watchResume(): void {
    this.#unwatchResume();
    this.#resumeWatch = setTimeout(() => {
      this.#resumeTimedOut = true;
      void this.destroy({ reason: 'no answer to RESUME', recover: WebSocketShardDestroyRecovery.Resume });
    }, RESUME_DEADLINE_MS).unref();
  }
}

function adviceOf(recover: WebSocketShardDestroyRecovery | undefined): ConnectionEnd['advice'] {
  if (recover === undefined) return 'stop';
  return recover === WebSocketShardDestroyRecovery.Resume ? 'resume' : 'reconnect';
}
