// One connection to the gateway. What Discord sends is decoded, parsed and checked against the order of the protocol before
// anything acts on it; what fails ends this connection. It ends once, with a cause that close-code.ts judges. The package
// connects, sends IDENTIFY or RESUME after HELLO, and heartbeats; it gets neither dispatches nor op 9.
// Why it does not reconnect by itself: it ignores a stop between two connections, two ends at once connect twice, there is
// no backoff, it forgets the session when the network fails, and resumes at once after op 9 (read in 2.0.4).
//
//   greeting:    until HELLO
//   waiting:     until IDENTIFY or RESUME is sent
//   identifying: until READY
//   resuming:    until RESUMED. Dispatches are replays
//   ready:       dispatches are live
//   ended

import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type IContextFetchingStrategy,
  type WebSocketShardDestroyOptions,
  WebSocketShardEvents,
  WebSocketShardStatus,
} from '@discordjs/ws';
import { GatewayOpcodes, type GatewaySendPayload } from 'discord-api-types/v10';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { orAfter } from '../wait.ts';
import { type ConnectionEnd, type EndCause, RESUMABLE_CLOSE, SESSION_ENDING_CLOSE } from './close-code.ts';
import {
  type AnyDispatch,
  type Frame,
  isDispatch,
  isReady,
  isResumed,
  type OtherDispatch,
  parseFrame,
  type ReadyDispatch,
  type ResumedDispatch,
  type Unreadable,
} from './frame.ts';
import { FrameDecoder, MOST_FRAME_BYTES } from './frame-decoder.ts';
import { OwnedShard } from './owned-shard.ts';
import { SendWindow } from './send-window.ts';

/** A half-open peer never answers the close handshake; `ws` itself would wait 30 s. */
const CLOSE_DEADLINE_MS = 2_000;
/** From the attempt to connect. */
const HELLO_DEADLINE_MS = 30_000;
/** From RESUME to RESUMED, or to the first dispatch. */
const RESUME_DEADLINE_MS = 30_000;
/** However often Discord asks. */
const LEAST_BETWEEN_ASKED_HEARTBEATS_MS = 1_000;
const MOST_REASON = 200;
const MOST_TYPE_IN_LOG = 100;
/** Frames of one connection that are skipped, because a RESUME brought them again unchanged. One more ends it. */
const MOST_SKIPPED = 10;

/** What happens on a connection, in order. */
export interface ConnectionListener {
  hello(): void;
  sent(what: 'identify' | 'resume'): void;
  ready(dispatch: ReadyDispatch): void;
  /** @param dispatch missing when dispatches came, but RESUMED did not come in time */
  resumed(dispatch: ResumedDispatch | undefined): void;
  /** @returns why the dispatch was not received, and the connection must end */
  dispatch(dispatch: OtherDispatch): EndCause | undefined;
  /** @returns whether another connection could RESUME now. Otherwise `dispatch` gets the dispatch behind the hole again */
  mayResume(): Promise<boolean>;
  /** What may be a dispatch cannot be read. @returns whether it is skipped, and the connection goes on */
  unreadable(reason: string): boolean;
  /** @returns the sequence that the next heartbeat carries; nothing without a session */
  heartbeat(): number | null;
  /** A heartbeat's round trip. */
  latency(ms: number): void;
}

export interface ConnectionOptions {
  readonly compressed: boolean;
  /** Names of dispatches whose `d` is not needed. */
  readonly unwanted: ReadonlySet<string>;
  /** From IDENTIFY. */
  readonly readyDeadlineMs: number;
  readonly listener: ConnectionListener;
  readonly log: Log;
}

interface Held {
  readonly texts: string[];
  length: number;
}

export class GatewayConnection extends OwnedShard {
  readonly #options: ConnectionOptions;
  readonly #decoder: FrameDecoder;
  readonly #sends = new SendWindow();
  readonly #ended = Promise.withResolvers<ConnectionEnd>();
  #state: 'greeting' | 'waiting' | 'identifying' | 'resuming' | 'ready' | 'ended' = 'greeting';
  #failedToStart = false;
  #deadline: NodeJS.Timeout | undefined;
  /** Of the socket's end. */
  #cause: EndCause | undefined;
  /** The last dispatch, as it came. */
  #lastText = '';
  #dispatched = false;
  /** Dispatches behind a hole, as they came, until it is known whether the connection may end for it. */
  #held: Held | undefined;
  #repeatLogged = false;
  /** The reason of each skipped frame. */
  readonly #skipped: string[] = [];
  #askedHeartbeatAt = Number.NEGATIVE_INFINITY;

  constructor(strategy: IContextFetchingStrategy, shardId: number, options: ConnectionOptions) {
    super(strategy, shardId);
    this.#options = options;
    this.#decoder = new FrameDecoder(options.compressed, {
      text: (text) => this.#text(text),
      failed: (reason) => this.#end({ how: 'undecodable', reason }),
    });
    this.on(WebSocketShardEvents.HeartbeatComplete, ({ heartbeatAt, latency }) => {
      // Discord may acknowledge what was not sent.
      if (heartbeatAt > 0) options.listener.latency(latency);
    });
  }

  /** Connects. Resolves when the connection has ended for any reason; never rejects. @throws when it is called again */
  run(): Promise<ConnectionEnd> {
    if (this.#deadline !== undefined || this.#state !== 'greeting')
      throw new Error('expected a gateway connection to be run once');
    this.#setDeadline(HELLO_DEADLINE_MS, () => this.#end({ how: 'no HELLO' }));
    this.open();
    return this.#ended.promise;
  }

  /** Ends the connection, and keeps the session. */
  async closeResumably(): Promise<void> {
    this.#end({ how: 'closed here' });
    await this.#ended.promise;
  }

  /**
   * Ends the connection and with it the session. What Discord sends before it closes is received.
   * @returns whether it does: not when the connection is ending for another reason
   */
  endSession(): boolean {
    if (this.#state !== 'ready') return false;
    this.#setDeadline(CLOSE_DEADLINE_MS, () => this.#end({ how: 'closed here' }));
    this.socket?.close(SESSION_ENDING_CLOSE);
    return true;
  }

  /** The package ends the connection by itself. */
  override async destroy({ reason = 'the package ended it' }: WebSocketShardDestroyOptions = {}): Promise<void> {
    this.#end({ how: 'failed', reason });
  }

  override async send(payload: GatewaySendPayload): Promise<void> {
    if (this.#state === 'ended') return;
    const { listener, readyDeadlineMs } = this.#options;
    this.#sends.sent(performance.now());
    if (payload.op === GatewayOpcodes.Identify) {
      this.#state = 'identifying';
      this.#setDeadline(readyDeadlineMs, () => this.#end({ how: 'no READY' }));
      listener.sent('identify');
    }
    if (payload.op === GatewayOpcodes.Resume) {
      this.#state = 'resuming';
      this.#setDeadline(RESUME_DEADLINE_MS, () => this.#resumeDeadlinePassed());
      listener.sent('resume');
    }
    // The package's own heartbeats carry the sequence from which a RESUME continues.
    if (payload.op === GatewayOpcodes.Heartbeat) await super.send({ ...payload, d: listener.heartbeat() });
    else await super.send(payload);
  }

  /**
   * Sends what is not part of the protocol. Not by the package, which would keep it until READY after a RESUME.
   * @returns 0 when it is written, or in how many ms it may be; nothing while the session is not ready
   */
  write(payload: GatewaySendPayload): number | undefined {
    const { socket } = this;
    if (this.#state !== 'ready' || socket?.readyState !== socket?.OPEN) return undefined;
    const now = performance.now();
    const waitMs = this.#sends.waitMs(now, 'command');
    if (waitMs > 0) return waitMs;
    this.#sends.sent(now);
    socket?.send(JSON.stringify(payload));
    return 0;
  }

  protected override received(data: string | ArrayBuffer): void {
    this.#decoder.write(data);
  }

  protected override failed(error: Error): void {
    const { code = '' } = error as NodeJS.ErrnoException;
    const message = errorMessage(error).slice(0, MOST_REASON);
    const reason = message.includes(code) ? message : `${message} (${code})`;
    // `ws` refuses a frame for its size, its UTF-8 or its opcode. What came before it is received.
    this.#endReceived({ how: code.startsWith('WS_ERR_') ? 'undecodable' : 'failed', reason });
  }

  protected override closed(code: number): void {
    this.#endReceived({ how: 'closed by Discord', code });
  }

  protected override zombie(): void {
    this.#end({ how: 'zombie' });
  }

  protected override defect(error: unknown): void {
    this.#failedToStart ||= this.socket === null;
    const line = 'an unexpected error ended the gateway connection: report this defect';
    this.#options.log.error({ shard: this.id, err: error }, line);
    this.#end({ how: 'failed', reason: 'an error in the ingestor: report this defect' });
  }

  #text(text: string): void {
    if (this.#state === 'ended') return;
    const frame = parseFrame(text, this.#options.unwanted);
    if ('reason' in frame) this.#unreadable(frame);
    else if (isDispatch(frame)) this.#dispatch(frame, text);
    else this.#frame(frame);
  }

  #unreadable({ reason, mayBeDispatch }: Unreadable): void {
    const expected = this.#state === 'resuming' || this.#state === 'ready';
    const { listener } = this.#options;
    if (mayBeDispatch && expected && this.#skipped.length < MOST_SKIPPED && listener.unreadable(reason))
      this.#skipped.push(reason);
    else this.#end({ how: 'malformed', reason });
  }

  #frame(frame: Exclude<Frame, AnyDispatch>): void {
    switch (frame.op) {
      case GatewayOpcodes.InvalidSession:
        return void this.#end({ how: 'op 9', resumable: frame.d });
      case GatewayOpcodes.Reconnect:
        return void this.#end({ how: 'op 7' });
      case GatewayOpcodes.Hello:
        // After a second one the package would send twice as many heartbeats, and stop only half of them.
        if (this.#state !== 'greeting') return void this.#end({ how: 'malformed', reason: 'HELLO came twice' });
        this.#state = 'waiting';
        this.#setDeadline(undefined);
        this.#options.listener.hello();
        return void this.handle(frame);
      case GatewayOpcodes.Heartbeat: {
        const now = performance.now();
        if (now - this.#askedHeartbeatAt < LEAST_BETWEEN_ASKED_HEARTBEATS_MS) return;
        if (this.#sends.waitMs(now, 'askedHeartbeat') > 0) return;
        this.#askedHeartbeatAt = now;
        return void this.handle(frame);
      }
      default:
        if (this.#state !== 'greeting') this.handle(frame);
    }
  }

  #dispatch(dispatch: AnyDispatch, text: string): void {
    if (this.#held !== undefined) return void this.#hold(this.#held, text);
    const { listener } = this.#options;
    const state = this.#state;
    const named = isReady(dispatch) || isResumed(dispatch);
    if (state !== 'resuming' && state !== (isReady(dispatch) ? 'identifying' : 'ready'))
      return void this.#end({ how: 'malformed', reason: `${named ? dispatch.t : 'a dispatch'} came while ${state}` });
    if (named) this.#becomeReady();
    if (isReady(dispatch)) listener.ready(dispatch);
    else if (isResumed(dispatch)) listener.resumed(dispatch);
    else if (text === this.#lastText) this.#repeat(dispatch);
    else {
      this.#lastText = text;
      this.#dispatched = true;
      const cause = listener.dispatch(dispatch);
      if (cause?.how === 'malformed') this.#unreadable({ ...cause, mayBeDispatch: true });
      else if (cause?.how === 'hole') void this.#askToResume(cause, text);
      else if (cause !== undefined) this.#end(cause);
    }
  }

  /** A task that took the session over may cause the hole: without permission to RESUME this connection goes on. */
  async #askToResume(cause: EndCause, text: string): Promise<void> {
    const held = { texts: [text], length: text.length };
    this.#held = held;
    this.#lastText = '';
    if (await this.#options.listener.mayResume()) return void this.#end(cause);
    this.#held = undefined;
    for (const each of held.texts) this.#text(each);
  }

  #hold(held: Held, text: string): void {
    held.length += text.length;
    if (held.length > MOST_FRAME_BYTES) this.#end({ how: 'hole', reason: 'too much came behind a hole' });
    else held.texts.push(text);
  }

  #repeat({ t, s }: OtherDispatch): void {
    const line = 'dropped a frame that came twice (logged once per connection)';
    const fields = { shard: this.id, dispatch: t.slice(0, MOST_TYPE_IN_LOG), sequence: s };
    if (!this.#repeatLogged) this.#options.log.warn(fields, line);
    this.#repeatLogged = true;
  }

  #becomeReady(): void {
    this.#state = 'ready';
    this.#setDeadline(undefined);
  }

  #resumeDeadlinePassed(): void {
    if (!this.#dispatched) {
      const [reason] = this.#skipped;
      return void this.#end(reason === undefined ? { how: 'no answer to RESUME' } : { how: 'malformed', reason });
    }
    // Discord sends dispatches only to a session that it knows.
    this.#becomeReady();
    this.#options.listener.resumed(undefined);
  }

  /** Replaces the deadline before. */
  #setDeadline(ms: number | undefined, passed: () => void = () => undefined): void {
    clearTimeout(this.#deadline);
    this.#deadline = ms === undefined ? undefined : setTimeout(passed, ms).unref();
  }

  /** When all that came before it is received. The first cause counts: the socket closes after its error. */
  #endReceived(cause: EndCause): void {
    this.#cause ??= cause;
    const first = this.#cause;
    void this.#decoder.written().then(() => this.#end(first));
  }

  #end(cause: EndCause): void {
    if (this.#state === 'ended') return;
    const answered = this.#state !== 'greeting';
    this.#state = 'ended';
    this.#setDeadline(undefined);
    this.#decoder.close();
    this.#lastText = '';
    void this.#close().then(() => this.#ended.resolve({ ...cause, answered }));
  }

  async #close(): Promise<void> {
    // Between run() and its socket the package cannot be stopped; it takes a few turns of the event loop.
    for (let turns = 0; this.status === WebSocketShardStatus.Idle && !this.#failedToStart && turns < 1_000; turns += 1)
      await nextTurn();
    const { socket } = this;
    // Always with a code that keeps the session: only the shard may give it up.
    const closing = this.shut({ code: RESUMABLE_CLOSE });
    await orAfter(closing, CLOSE_DEADLINE_MS, () => undefined).catch(() => undefined);
    if (socket === null || socket.readyState === socket.CLOSED) return;
    // Still connecting (the package leaves such a socket open), or no answer to the close.
    socket.on('error', () => undefined);
    socket.terminate();
  }
}
