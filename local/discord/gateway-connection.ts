// One client on the gateway's socket: HELLO, the order of opcodes, heartbeats, the limit of sends. What breaks the rules
// is answered as Discord does and reported as a violation. Who may identify or resume is the gateway's decision.
//
//   greeted:    HELLO was sent. IDENTIFY or RESUME leads to identified
//   identified: the gateway gives it a session, whose dispatches are written here. Op 9 leads back to greeted
//   closed:     the socket is closing or gone

import { GatewayOpcodes } from 'discord-api-types/v10';
import type { WebSocket } from 'ws';
import {
  type ClosedBy,
  maxSends,
  type Payload,
  Refusal,
  readHeartbeat,
  readPayload,
  SENDS_WINDOW_MS,
} from './rules.ts';
import type { Recipient, Session } from './session.ts';
import { plainTransport, type Transport, zlibStreamTransport } from './transport.ts';

/** What a client did wrong. */
export interface Violation {
  /** The close code that answers it; 9 stands for op 9. */
  readonly code: number;
  readonly sentence: string;
}

/** Satisfied by the Gateway. */
export interface ConnectionHandler {
  identify(connection: GatewayConnection, d: unknown): void;
  resume(connection: GatewayConnection, d: unknown): void;
  /** May close the connection. */
  heartbeat(connection: GatewayConnection, session: Session, sequence: number | null): void;
  /** Op 3, 4, 8 or 31. */
  send(connection: GatewayConnection, session: Session, op: number, d: unknown): void;
  closed(connection: GatewayConnection, code: number, by: ClosedBy): void;
  violation(violation: Violation): void;
}

/** Who gets an answer. A change may also end the connection in the answer's place. */
export interface AnswerTo {
  /** Undefined until the connection has a session. */
  readonly shardId: number | undefined;
  close(code: number): void;
  /** A reset. */
  terminate(): void;
}

/**
 * Makes another answer of one: text is sent as it is, a Buffer as a frame of bytes that no compression touches, an array
 * as several frames, anything else as JSON, and `undefined` not at all.
 */
export type AnswerChange = (answer: Record<string, unknown>, to: AnswerTo) => unknown;

interface ConnectionOptions {
  readonly heartbeatIntervalMs: number;
  readonly heartbeatGraceMs: number;
  /** `compress=zlib-stream` in the address. */
  readonly zlibStream: boolean;
  /** By the name of a dispatch or of an opcode; `Dispatch` is for dispatches without an own change. */
  readonly changes: ReadonlyMap<string, AnswerChange>;
}

const CLOSE_DEADLINE_MS = 2_000;
/** A client that leaves so much unread is disconnected; its session lives on. */
const MAX_UNREAD_BYTES = 256 * 1_048_576;

export class GatewayConnection implements Recipient, AnswerTo {
  readonly #socket: WebSocket;
  readonly #handler: ConnectionHandler;
  readonly #options: ConnectionOptions;
  readonly #transport: Transport;
  readonly #maxSends: number;
  /** When each payload of the last minute came. */
  readonly #sends: number[] = [];
  #state: 'greeted' | 'identified' | 'closed' = 'greeted';
  #session: Session | undefined;
  #heartbeatDeadline: NodeJS.Timeout | undefined;
  #closedBy: ClosedBy | undefined;
  #closedWith: number | undefined;
  #frozen: 'no' | 'acks' | 'silent' = 'no';

  constructor(socket: WebSocket, handler: ConnectionHandler, options: ConnectionOptions) {
    this.#socket = socket;
    this.#handler = handler;
    this.#options = options;
    this.#maxSends = maxSends(options.heartbeatIntervalMs);
    this.#transport = options.zlibStream ? zlibStreamTransport(socket) : plainTransport(socket);
    socket.on('message', (data) => this.#receive(Buffer.isBuffer(data) ? data : Buffer.from(String(data))));
    socket.on('error', () => undefined);
    socket.on('close', (code) => this.#ended(code));
  }

  get session(): Session | undefined {
    return this.#session;
  }

  get shardId(): number | undefined {
    return this.#session?.shardId;
  }

  get open(): boolean {
    return this.#state !== 'closed';
  }

  get writable(): boolean {
    return this.open && this.#frozen !== 'silent' && this.#socket.readyState === this.#socket.OPEN;
  }

  hello(): void {
    this.#send(GatewayOpcodes.Hello, { heartbeat_interval: this.#options.heartbeatIntervalMs, _trace: [] });
    this.#expectHeartbeat();
  }

  /** The gateway gave it a session. */
  join(session: Session): void {
    this.#session = session;
  }

  /** Op 9. It may identify or, if `resumable`, resume on this socket. */
  invalidate(resumable: boolean): void {
    this.#session?.detach(this);
    this.#session = undefined;
    if (this.open) this.#state = 'greeted';
    this.#send(GatewayOpcodes.InvalidSession, resumable);
  }

  /** Op 7. */
  reconnect(): void {
    this.#send(GatewayOpcodes.Reconnect, null);
  }

  /** Op 1: the client must send a heartbeat at once. */
  requestHeartbeat(): void {
    this.#send(GatewayOpcodes.Heartbeat, null);
  }

  write(dispatch: string, frame: string): void {
    const { changes } = this.#options;
    this.#answer(frame, changes.get(dispatch) ?? changes.get(GatewayOpcodes[GatewayOpcodes.Dispatch]));
  }

  /** A zombie: heartbeats are not acknowledged any more, and when silent nothing is sent or read at all. */
  freeze(silent: boolean): void {
    this.#frozen = silent ? 'silent' : 'acks';
    clearTimeout(this.#heartbeatDeadline);
    if (silent) this.#socket.pause();
  }

  close(code: number): void {
    if (!this.open) return;
    this.#leave('server');
    this.#closedWith = code;
    this.#transport.flushed(() => this.#socket.close(code));
    // A client that does not answer the close is not waited for.
    setTimeout(() => this.#socket.terminate(), CLOSE_DEADLINE_MS).unref();
  }

  /** The network breaks: a reset, without a close frame. */
  terminate(): void {
    this.#leave('network');
    this.#socket.terminate();
  }

  /** Reports a violation, and closes because of it. */
  refuse(refusal: Refusal): void {
    this.#handler.violation(refusal);
    this.close(refusal.code);
  }

  #receive(bytes: Buffer): void {
    if (!this.open) return;
    const payload = this.#sendsTooMuch() ?? readPayload(bytes);
    if (payload instanceof Refusal) this.refuse(payload);
    else this.#handle(payload);
  }

  #handle({ op, d }: Payload): void {
    if (op === GatewayOpcodes.Heartbeat) this.#heartbeat(d);
    else if (op === GatewayOpcodes.Identify || op === GatewayOpcodes.Resume) {
      if (this.#state !== 'greeted') {
        const sentence = `${GatewayOpcodes[op].toUpperCase()} came on a connection that is already identified`;
        return void this.refuse(new Refusal('AlreadyAuthenticated', sentence));
      }
      this.#state = 'identified';
      if (op === GatewayOpcodes.Identify) this.#handler.identify(this, d);
      else this.#handler.resume(this, d);
    } else if (this.#session === undefined)
      this.refuse(new Refusal('NotAuthenticated', `opcode ${op} came before IDENTIFY`));
    else this.#handler.send(this, this.#session, op, d);
  }

  #heartbeat(d: unknown): void {
    const sequence = readHeartbeat(d);
    if (sequence instanceof Refusal) return void this.refuse(sequence);
    if (this.#session && sequence !== null && sequence > this.#session.sequence) {
      const sentence = `a heartbeat has the sequence ${sequence}, but this session's last is ${this.#session.sequence}`;
      return void this.refuse(new Refusal('InvalidSeq', sentence));
    }
    if (this.#session) this.#handler.heartbeat(this, this.#session, sequence);
    if (this.#frozen !== 'no' || !this.open) return;
    this.#expectHeartbeat();
    this.#send(GatewayOpcodes.HeartbeatAck, null);
  }

  #expectHeartbeat(): void {
    const { heartbeatIntervalMs, heartbeatGraceMs } = this.#options;
    const waitMs = heartbeatIntervalMs + heartbeatGraceMs;
    clearTimeout(this.#heartbeatDeadline);
    this.#heartbeatDeadline = setTimeout(() => {
      const sentence = `no heartbeat came for ${waitMs} ms; the interval is ${heartbeatIntervalMs} ms`;
      this.refuse(new Refusal('UnknownError', sentence));
    }, waitMs).unref();
  }

  #sendsTooMuch(): Refusal | undefined {
    const now = performance.now();
    while (this.#sends[0] !== undefined && this.#sends[0] <= now - SENDS_WINDOW_MS) this.#sends.shift();
    this.#sends.push(now);
    if (this.#sends.length <= this.#maxSends) return undefined;
    const sentence = `more than ${this.#maxSends} payloads were sent within ${SENDS_WINDOW_MS / 1_000} s`;
    return new Refusal('RateLimited', sentence);
  }

  #send(op: GatewayOpcodes, d: unknown): void {
    this.#answer(JSON.stringify({ t: null, s: null, op, d }), this.#options.changes.get(GatewayOpcodes[op]));
  }

  #answer(text: string, change: AnswerChange | undefined): void {
    if (!this.writable) return;
    const answer = change ? change(JSON.parse(text), this) : text;
    for (const frame of Array.isArray(answer) ? answer : [answer]) this.#write(frame);
    if (this.#socket.bufferedAmount > MAX_UNREAD_BYTES) this.terminate();
  }

  #write(frame: unknown): void {
    // A change may have ended the connection.
    if (frame === undefined || !this.writable) return;
    if (Buffer.isBuffer(frame)) this.#socket.send(frame);
    else this.#transport.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  #ended(code: number): void {
    this.#leave(code === 1006 ? 'network' : 'client');
    this.#transport.destroy();
    this.#handler.closed(this, this.#closedWith ?? code, this.#closedBy ?? 'network');
  }

  /** Closed: the session goes on without this connection. */
  #leave(by: ClosedBy): void {
    this.#state = 'closed';
    this.#closedBy ??= by;
    clearTimeout(this.#heartbeatDeadline);
    this.#session?.detach(this);
  }
}
