// One connection to the gateway. What Discord sends is decoded, parsed and held against the order of the protocol before
// anything acts on it; what does not hold ends this connection. Its end is a value that close-code.ts judges, and comes
// once. The package connects, sends IDENTIFY or RESUME after HELLO, and beats; dispatches and op 9 are not for it.
// Why not its reconnecting: it ignores a stop between two connections, two ends at once connect twice, there is no
// backoff, it forgets the session when the network fails, and resumes at once after op 9 (read in 2.0.4).
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
const LEAST_BETWEEN_ASKED_BEATS_MS = 1_000;
const MOST_REASON = 200;
/** Frames that a RESUME brought again as they were, and that are left out of a connection. Beyond these it ends. */
const MOST_LEFT_OUT = 10;

/** What comes of a connection, in order. */
export interface ConnectionListener {
  hello(): void;
  sent(what: 'identify' | 'resume'): void;
  ready(dispatch: ReadyDispatch): void;
  /** @param dispatch missing when events flow, and RESUMED did not come in time */
  resumed(dispatch: ResumedDispatch | undefined): void;
  /** @returns why the connection must end and the dispatch was not taken */
  dispatch(dispatch: OtherDispatch): EndCause | undefined;
  /** @returns whether another connection could RESUME now. Otherwise the dispatch that leaves a hole comes once more */
  mayResume(): Promise<boolean>;
  /** The frame of the dispatch before came once more; the first such frame of a connection. */
  repeated(dispatch: OtherDispatch): void;
  /** What may be a dispatch cannot be read. @returns whether it is left out, and the connection goes on */
  unreadable(reason: string): boolean;
  /** @returns what the heartbeat that is sent now carries; nothing without a session */
  heartbeat(): number | null;
  /** A heartbeat's round trip. */
  latency(ms: number): void;
  /** An error that nothing here expects. */
  defect(error: unknown): void;
}

export interface ConnectionOptions {
  readonly compressed: boolean;
  /** Names of dispatches of whose `d` nothing is wanted. */
  readonly unwanted: ReadonlySet<string>;
  /** From IDENTIFY. */
  readonly readyDeadlineMs: number;
  readonly listener: ConnectionListener;
}

interface Held {
  readonly dispatch: AnyDispatch;
  readonly text: string;
}

type State = 'greeting' | 'waiting' | 'identifying' | 'resuming' | 'ready' | 'ended';

export class GatewayConnection extends OwnedShard {
  readonly #options: ConnectionOptions;
  readonly #decoder: FrameDecoder;
  readonly #sends = new SendWindow();
  readonly #ended = Promise.withResolvers<ConnectionEnd>();
  #state: State = 'greeting';
  #failedToStart = false;
  #deadline: NodeJS.Timeout | undefined;
  /** The last dispatch, as it came. */
  #lastText = '';
  #dispatched = false;
  /** Dispatches behind a hole, while it is asked whether the connection may end for it. */
  #held: Held[] | undefined;
  #heldLength = 0;
  #repeated = false;
  /** Why each was. */
  readonly #leftOut: string[] = [];
  #askedToBeatAt = Number.NEGATIVE_INFINITY;

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

  /** Connects, and resolves when the connection has ended for any reason. Never rejects. Once only. */
  run(): Promise<ConnectionEnd> {
    this.#within(HELLO_DEADLINE_MS, () => this.#end({ how: 'no HELLO' }));
    this.open();
    return this.#ended.promise;
  }

  /** Ends the connection so that the session can be resumed. */
  async leave(): Promise<void> {
    this.#end({ how: 'left' });
    await this.#ended.promise;
  }

  /**
   * Ends the connection and with it the session. What Discord sends before it closes is taken.
   * @returns whether it does: not when the connection is ending for another reason
   */
  endSession(): boolean {
    if (this.#state !== 'ready') return false;
    this.#within(CLOSE_DEADLINE_MS, () => this.#end({ how: 'left' }));
    this.socket?.close(SESSION_ENDING_CLOSE);
    return true;
  }

  /** The package gives up by itself, on what was seen before it. */
  override async destroy({ reason = 'the package ended it' }: WebSocketShardDestroyOptions = {}): Promise<void> {
    this.#end({ how: 'failed', reason });
  }

  override async send(payload: GatewaySendPayload): Promise<void> {
    if (this.#state === 'ended') return;
    const { listener, readyDeadlineMs } = this.#options;
    this.#sends.sent(performance.now());
    if (payload.op === GatewayOpcodes.Identify) {
      this.#state = 'identifying';
      this.#within(readyDeadlineMs, () => this.#end({ how: 'no READY' }));
      listener.sent('identify');
    }
    if (payload.op === GatewayOpcodes.Resume) {
      this.#state = 'resuming';
      this.#within(RESUME_DEADLINE_MS, () => this.#resumeIsDue());
      listener.sent('resume');
    }
    // The package sends the sequence that a RESUME asks from.
    if (payload.op === GatewayOpcodes.Heartbeat) await super.send({ ...payload, d: listener.heartbeat() });
    else await super.send(payload);
  }

  /**
   * Sends what is no part of the protocol. Not by the package, which would keep it until READY after a RESUME.
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
    if (this.#state !== 'ended') this.#decoder.write(data);
  }

  protected override failed(error: Error): void {
    const { code = '' } = error as NodeJS.ErrnoException;
    const message = errorMessage(error).slice(0, MOST_REASON);
    const reason = message.includes(code) ? message : `${message} (${code})`;
    // What `ws` refuses of a frame: its size, its UTF-8, its opcode. What came before it is taken.
    const how = code.startsWith('WS_ERR_') ? 'undecodable' : 'failed';
    void this.#decoder.written().then(() => this.#end({ how, reason }));
  }

  protected override closed(code: number): void {
    void this.#decoder.written().then(() => this.#end({ how: 'closed by Discord', code }));
  }

  protected override zombie(): void {
    this.#end({ how: 'zombie' });
  }

  protected override defect(error: unknown): void {
    this.#failedToStart ||= this.socket === null;
    this.#options.listener.defect(error);
    this.#end({ how: 'failed', reason: 'an error in the ingestor: report this defect' });
  }

  #text(text: string): void {
    if (this.#state === 'ended') return;
    const frame = parseFrame(text, this.#options.unwanted);
    if ('reason' in frame) this.#unreadable(frame);
    else this.#frame(frame, text);
  }

  #unreadable({ reason, mayBeDispatch }: Unreadable): void {
    const expected = this.#state === 'resuming' || this.#state === 'ready';
    const { listener } = this.#options;
    if (mayBeDispatch && expected && this.#leftOut.length < MOST_LEFT_OUT && listener.unreadable(reason))
      this.#leftOut.push(reason);
    else this.#end({ how: 'malformed', reason });
  }

  #frame(frame: Frame, text: string): void {
    if (isDispatch(frame)) {
      this.#dispatch(frame, text);
      return;
    }
    switch (frame.op) {
      case GatewayOpcodes.InvalidSession:
        return void this.#end({ how: 'op 9', resumable: frame.d });
      case GatewayOpcodes.Reconnect:
        return void this.#end({ how: 'op 7' });
      case GatewayOpcodes.Hello:
        // The package would beat twice, and stop only one of them.
        if (this.#state !== 'greeting') return void this.#end({ how: 'malformed', reason: 'HELLO came twice' });
        this.#state = 'waiting';
        this.#within(undefined);
        this.#options.listener.hello();
        return void this.handle(frame);
      case GatewayOpcodes.Heartbeat: {
        const now = performance.now();
        if (now - this.#askedToBeatAt < LEAST_BETWEEN_ASKED_BEATS_MS) return;
        if (this.#sends.waitMs(now, 'askedHeartbeat') > 0) return;
        this.#askedToBeatAt = now;
        return void this.handle(frame);
      }
      default:
        if (this.#state !== 'greeting') this.handle(frame);
    }
  }

  #dispatch(dispatch: AnyDispatch, text: string): void {
    if (this.#held !== undefined) return void this.#hold(this.#held, dispatch, text);
    const { listener } = this.#options;
    const state = this.#state;
    const early = (): void => this.#end({ how: 'malformed', reason: `${nameOf(dispatch)} came while ${state}` });
    if (isReady(dispatch)) {
      if (state !== 'identifying' && state !== 'resuming') return void early();
      this.#becomeReady();
      listener.ready(dispatch);
    } else if (isResumed(dispatch)) {
      if (state !== 'resuming' && state !== 'ready') return void early();
      this.#becomeReady();
      listener.resumed(dispatch);
    } else if (state !== 'resuming' && state !== 'ready') return void early();
    else if (text === this.#lastText) this.#repeat(dispatch);
    else {
      this.#lastText = text;
      this.#dispatched = true;
      const cause = listener.dispatch(dispatch);
      if (cause?.how === 'malformed') this.#unreadable({ ...cause, mayBeDispatch: true });
      else if (cause?.how === 'hole') void this.#askToResume(cause, dispatch, text);
      else if (cause !== undefined) this.#end(cause);
    }
  }

  /** A task that took the session over may cause the hole: without permission to RESUME this connection is kept. */
  async #askToResume(cause: EndCause, dispatch: AnyDispatch, text: string): Promise<void> {
    const held: Held[] = [];
    this.#held = held;
    this.#heldLength = 0;
    this.#lastText = '';
    this.#hold(held, dispatch, text);
    if (await this.#options.listener.mayResume()) return void this.#end(cause);
    this.#held = undefined;
    for (const each of held) if (this.#state !== 'ended') this.#dispatch(each.dispatch, each.text);
  }

  #hold(held: Held[], dispatch: AnyDispatch, text: string): void {
    this.#heldLength += text.length;
    if (this.#heldLength > MOST_FRAME_BYTES) this.#end({ how: 'hole', reason: 'too much came behind a hole' });
    else held.push({ dispatch, text });
  }

  /** Reported once: it may happen to each. */
  #repeat(dispatch: OtherDispatch): void {
    if (!this.#repeated) this.#options.listener.repeated(dispatch);
    this.#repeated = true;
  }

  #becomeReady(): void {
    this.#state = 'ready';
    this.#within(undefined);
  }

  #resumeIsDue(): void {
    if (!this.#dispatched) {
      const [reason] = this.#leftOut;
      return void this.#end(reason === undefined ? { how: 'no answer to RESUME' } : { how: 'malformed', reason });
    }
    // Discord sends dispatches to a session that it knows only.
    this.#becomeReady();
    this.#options.listener.resumed(undefined);
  }

  /** In place of the deadline before. */
  #within(ms: number | undefined, overdue: () => void = () => undefined): void {
    clearTimeout(this.#deadline);
    this.#deadline = ms === undefined ? undefined : setTimeout(overdue, ms).unref();
  }

  #end(cause: EndCause): void {
    if (this.#state === 'ended') return;
    const answered = this.#state !== 'greeting';
    this.#state = 'ended';
    this.#within(undefined);
    this.#decoder.close();
    this.#lastText = '';
    void this.#close().then(() => this.#ended.resolve({ ...cause, answered }));
  }

  async #close(): Promise<void> {
    // Between run() and its socket the package cannot be stopped; it takes a few turns of the event loop.
    for (let turns = 0; this.status === WebSocketShardStatus.Idle && !this.#failedToStart && turns < 1_000; turns += 1)
      await nextTurn();
    const { socket } = this;
    // Always with a code that keeps the session: whether it is given up is not for a connection to decide.
    const closing = this.shut({ code: RESUMABLE_CLOSE });
    await orAfter(closing, CLOSE_DEADLINE_MS, () => undefined).catch(() => undefined);
    if (socket === null || socket.readyState === socket.CLOSED) return;
    // Still connecting (the package leaves such a socket open), or no answer to the close.
    socket.on('error', () => undefined);
    socket.terminate();
  }
}

const nameOf = (dispatch: AnyDispatch): string =>
  isReady(dispatch) || isResumed(dispatch) ? dispatch.t : 'a dispatch';
