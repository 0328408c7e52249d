// One client on the gateway's socket: HELLO, the order of opcodes, heartbeats, the limit of sends. Whatever breaks the
// rules is answered as Discord does and reported as a violation. Who may identify or resume is for the gateway.
//
//   greeted: HELLO was sent. IDENTIFY or RESUME leads to asked
//   asked:   the gateway considers it. Leads to joined, or back to greeted by op 9
//   joined:  has a session; its dispatches are written here. Op 9 leads back to greeted
//   closed:  the socket is closing or gone

import { GatewayCloseCodes, GatewayOpcodes } from 'discord-api-types/v10';
import type { WebSocket } from 'ws';
import { maxSends, type Payload, type Refusal, readHeartbeat, readPayload, SENDS_WINDOW_MS } from './rules.ts';
import type { Outlet, Session } from './session.ts';
import { PlainTransport, type Transport, ZlibStreamTransport } from './transport.ts';

/** What a client did wrong. */
export interface Violation {
  readonly rule: string;
  /** Close code it was answered with; 9 stands for op 9. */
  readonly code: number;
  readonly sentence: string;
  readonly shardId: number | undefined;
  readonly sessionId: string | undefined;
}

export type Closer = 'client' | 'server' | 'network';

/** Owned here, satisfied by the Gateway. */
export interface Door {
  identify(connection: GatewayConnection, d: unknown): void;
  resume(connection: GatewayConnection, d: unknown): void;
  heartbeat(connection: GatewayConnection, sequence: number | null): void;
  closed(connection: GatewayConnection, code: number, by: Closer): void;
  violation(violation: Violation): void;
}

export interface ConnectionOptions {
  readonly heartbeatIntervalMs: number;
  readonly heartbeatGraceMs: number;
  /** `compress=zlib-stream` in the address. */
  readonly zlibStream: boolean;
  /** The path of the resume address. */
  readonly byResumeUrl: boolean;
}

const CLOSE_DEADLINE_MS = 2_000;
/** A client that reads so slowly is cut off; its session lives on. */
const MAX_UNREAD_BYTES = 256 * 1_048_576;

export class GatewayConnection implements Outlet {
  readonly byResumeUrl: boolean;
  readonly #socket: WebSocket;
  readonly #door: Door;
  readonly #options: ConnectionOptions;
  readonly #transport: Transport;
  readonly #plain: PlainTransport | undefined;
  readonly #maxSends: number;
  /** When each payload of the last minute came. */
  readonly #sends: number[] = [];
  #state: 'greeted' | 'asked' | 'joined' | 'closed' = 'greeted';
  #session: Session | undefined;
  #watch: NodeJS.Timeout | undefined;
  #closedBy: Closer | undefined;
  #closedWith: number | undefined;
  #frozen: 'no' | 'acks' | 'silent' = 'no';

  constructor(socket: WebSocket, door: Door, options: ConnectionOptions) {
    this.#socket = socket;
    this.#door = door;
    this.#options = options;
    this.byResumeUrl = options.byResumeUrl;
    this.#maxSends = maxSends(options.heartbeatIntervalMs);
    this.#plain = options.zlibStream ? undefined : new PlainTransport(socket);
    this.#transport = this.#plain ?? new ZlibStreamTransport(socket);
    socket.on('message', (data) => this.#receive(Buffer.isBuffer(data) ? data : Buffer.from(String(data))));
    socket.on('error', () => undefined);
    socket.on('close', (code) => this.#ended(code));
  }

  get session(): Session | undefined {
    return this.#session;
  }

  get open(): boolean {
    return this.#state !== 'closed';
  }

  get takes(): boolean {
    return this.open && this.#frozen !== 'silent' && this.#socket.readyState === this.#socket.OPEN;
  }

  hello(): void {
    this.#send(GatewayOpcodes.Hello, {
      heartbeat_interval: this.#options.heartbeatIntervalMs,
      _trace: ['["gateway-simulated",{"micros":0}]'],
    });
    this.#watchHeartbeat();
  }

  /** The gateway gave it a session. */
  join(session: Session, compressLarge = false): void {
    this.#state = 'joined';
    this.#session = session;
    if (this.#plain && compressLarge) this.#plain.compressLarge = true;
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

  /** Op 1: the client is to send a heartbeat at once. */
  requestHeartbeat(): void {
    this.#send(GatewayOpcodes.Heartbeat, null);
  }

  write(text: string): void {
    if (!this.takes) return;
    this.#transport.send(text);
    if (this.#socket.bufferedAmount > MAX_UNREAD_BYTES) this.terminate();
  }

  /** A zombie: heartbeats are not acknowledged any more, and when silent nothing is sent nor heard at all. */
  freeze(silent: boolean): void {
    this.#frozen = silent ? 'silent' : 'acks';
    clearTimeout(this.#watch);
    if (silent) this.#socket.pause();
  }

  thaw(): void {
    if (this.#frozen === 'no') return;
    this.#frozen = 'no';
    this.#socket.resume();
    if (!this.open) return;
    this.#watchHeartbeat();
    if (this.#session?.catchUp(this) === false) this.close(GatewayCloseCodes.UnknownError);
  }

  close(code: number, reason = ''): void {
    if (!this.open) return;
    this.#leave('server');
    this.#closedWith = code;
    this.#transport.flushed(() => this.#socket.close(code, reason));
    // A client that does not answer the close is not waited for.
    this.#watch = setTimeout(() => this.#socket.terminate(), CLOSE_DEADLINE_MS).unref();
  }

  /** The network breaks: a reset, without a close frame. */
  terminate(): void {
    this.#leave('network');
    this.#socket.terminate();
  }

  /** Answers something that breaks a rule, and reports it. */
  punish(rule: string, { code, sentence }: Pick<Refusal, 'code' | 'sentence'>): void {
    this.report(rule, code, sentence);
    this.close(code, CLOSE_REASONS[code] ?? '');
  }

  report(rule: string, code: number, sentence: string): void {
    const { shardId, id: sessionId } = this.#session ?? {};
    this.#door.violation({ rule, code, sentence, shardId, sessionId });
  }

  #receive(bytes: Buffer): void {
    if (!this.open) return;
    if (this.#sendsTooMuch()) {
      this.punish('send limit', {
        code: GatewayCloseCodes.RateLimited,
        sentence: `more than ${this.#maxSends} payloads were sent within ${SENDS_WINDOW_MS / 1_000} s`,
      });
      return;
    }
    const payload = readPayload(bytes);
    if (payload.kind === 'refused') this.punish('payload', payload);
    else this.#obey(payload);
  }

  #obey({ op, d }: Payload): void {
    switch (op) {
      case GatewayOpcodes.Heartbeat:
        this.#heartbeat(d);
        return;
      case GatewayOpcodes.Identify:
      case GatewayOpcodes.Resume:
        if (this.#state !== 'greeted') {
          const name = op === GatewayOpcodes.Identify ? 'IDENTIFY' : 'RESUME';
          this.punish('second identify', {
            code: GatewayCloseCodes.AlreadyAuthenticated,
            sentence: `${name} came on a connection that is already identified`,
          });
          return;
        }
        this.#state = 'asked';
        if (op === GatewayOpcodes.Identify) this.#door.identify(this, d);
        else this.#door.resume(this, d);
        return;
      default:
        if (this.#state === 'greeted')
          this.punish('not identified', {
            code: GatewayCloseCodes.NotAuthenticated,
            sentence: `opcode ${op} came before IDENTIFY`,
          });
      // Presence, voice state and requests for members are taken and not answered.
    }
  }

  #heartbeat(d: unknown): void {
    const heartbeat = readHeartbeat(d);
    if (heartbeat.kind === 'refused') {
      this.punish('payload', heartbeat);
      return;
    }
    const { sequence } = heartbeat;
    if (this.#session && sequence !== null && sequence > this.#session.sequence) {
      this.punish('heartbeat sequence', {
        code: GatewayCloseCodes.InvalidSeq,
        sentence: `a heartbeat says ${sequence}, but this session only came to ${this.#session.sequence}`,
      });
      return;
    }
    this.#door.heartbeat(this, sequence);
    if (this.#frozen !== 'no') return;
    this.#watchHeartbeat();
    this.#send(GatewayOpcodes.HeartbeatAck, undefined);
  }

  #watchHeartbeat(): void {
    const { heartbeatIntervalMs, heartbeatGraceMs } = this.#options;
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      this.punish('heartbeat missing', {
        code: GatewayCloseCodes.UnknownError,
        sentence: `no heartbeat came for ${heartbeatIntervalMs + heartbeatGraceMs} ms; the interval is ${heartbeatIntervalMs} ms`,
      });
    }, heartbeatIntervalMs + heartbeatGraceMs).unref();
  }

  #sendsTooMuch(): boolean {
    const now = performance.now();
    while (this.#sends[0] !== undefined && this.#sends[0] <= now - SENDS_WINDOW_MS) this.#sends.shift();
    this.#sends.push(now);
    return this.#sends.length > this.#maxSends;
  }

  #send(op: GatewayOpcodes, d: unknown): void {
    this.write(JSON.stringify({ t: null, s: null, op, d: d ?? null }));
  }

  #ended(code: number): void {
    this.#leave(code === 1006 ? 'network' : 'client');
    this.#transport.destroy();
    const by = this.#closedBy ?? 'network';
    this.#door.closed(this, by === 'server' ? (this.#closedWith ?? code) : code, by);
  }

  /** From here on its session goes on without it. */
  #leave(by: Closer): void {
    this.#state = 'closed';
    this.#closedBy ??= by;
    clearTimeout(this.#watch);
    this.#session?.detach(this);
  }
}

const CLOSE_REASONS: Readonly<Record<number, string>> = {
  [GatewayCloseCodes.UnknownError]: 'Unknown error.',
  [GatewayCloseCodes.UnknownOpcode]: 'Unknown opcode.',
  [GatewayCloseCodes.DecodeError]: 'Error while decoding payload.',
  [GatewayCloseCodes.NotAuthenticated]: 'Not authenticated.',
  [GatewayCloseCodes.AuthenticationFailed]: 'Authentication failed.',
  [GatewayCloseCodes.AlreadyAuthenticated]: 'Already authenticated.',
  [GatewayCloseCodes.InvalidSeq]: 'Invalid seq.',
  [GatewayCloseCodes.RateLimited]: 'Rate limited.',
  [GatewayCloseCodes.SessionTimedOut]: 'Session timed out.',
  [GatewayCloseCodes.InvalidShard]: 'Invalid shard.',
  [GatewayCloseCodes.ShardingRequired]: 'Sharding required.',
  [GatewayCloseCodes.InvalidAPIVersion]: 'Invalid API version.',
  [GatewayCloseCodes.InvalidIntents]: 'Invalid intent(s).',
  [GatewayCloseCodes.DisallowedIntents]: 'Disallowed intent(s).',
};
