// A gateway that keeps Discord's rules, but a test may change, drop or add to each frame that it sends. And a client: the
// service from the gateway to the publisher, connected to it over real sockets.

import { createServer } from 'node:http';
import { onTestFinished } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { plainTransport, zlibStreamTransport } from '../../../local/discord/transport.ts';
import type { Delivery } from '../../../service/amqp/queue-consumer.ts';
import { CommandRelay } from '../../../service/command-relay.ts';
import { DEFAULT_EVENTS, parseEvents } from '../../../service/events/choice.ts';
import { GapReporter } from '../../../service/gap-reporter.ts';
import { BotToken } from '../../../service/gateway/bot-token.ts';
import type { GatewayInformation } from '../../../service/gateway/gateway-information.ts';
import { IdentifyGate } from '../../../service/gateway/identify-gate.ts';
import type { ShardOptions } from '../../../service/gateway/shard-options.ts';
import { Ingestor } from '../../../service/ingestor.ts';
import type { CounterName } from '../../../service/metrics.ts';
import type { Message } from '../../../service/publisher/message.ts';
import type { ResumeState } from '../../../service/session/session.ts';
import { NO_OPT_INS } from '../../support/dispatch-context.ts';
import { listening } from '../../support/fake-servers.ts';
import { eventually, logLines } from '../../support/log-lines.ts';
import { Secret } from './secret.ts';

export interface Sent {
  readonly op: number;
  readonly t?: string;
  readonly s?: number;
  readonly d?: unknown;
}

/**
 * What is sent in place of a frame: bytes and text as they are, an object as JSON; of a list each, of nothing none. A
 * function gets the socket, and what compresses.
 */
type Instead = unknown;

export class HostileGateway {
  readonly url: string;
  /** Of all sessions, in order. */
  readonly connections: WebSocket[] = [];
  /** Opcodes with the number of the connection, as they came. */
  readonly received: { readonly op: number; readonly d: unknown; readonly connection: number }[] = [];
  /** Of the current session; the sequence is the index and one. */
  events: { readonly t: string; readonly d: unknown }[] = [];
  sessions = 0;
  resumeUrl: unknown;
  /** @param connection from 1 */
  instead: (frame: Sent, connection: number) => Instead = (frame) => frame;
  /** In place of the answer to IDENTIFY or RESUME. @returns whether it did answer */
  answer: (op: number, socket: WebSocket, connection: number) => boolean = () => false;
  #live: { readonly socket: WebSocket; readonly send: (frame: Sent) => void } | undefined;
  /** Resolves when all that was sent is with the socket. */
  flushed: () => Promise<void> = async () => undefined;

  private constructor(url: string, server: WebSocketServer, compressed: boolean) {
    this.url = url;
    this.resumeUrl = url;
    server.on('connection', (socket) => this.#connected(socket, compressed));
  }

  static async start(compressed = false): Promise<HostileGateway> {
    const server = createServer();
    const { port, close } = await listening(server);
    onTestFinished(close);
    return new HostileGateway(`ws://127.0.0.1:${port}`, new WebSocketServer({ server }), compressed);
  }

  get live(): WebSocket | undefined {
    return this.#live?.socket;
  }

  count(op: number): number {
    return this.received.filter((each) => each.op === op).length;
  }

  dispatch(t = 'GUILD_MEMBER_ADD', d: unknown = { guild_id: '1', user: { id: String(this.events.length) } }): void {
    this.events.push({ t, d });
    // In Discord's order.
    this.#live?.send({ t, s: this.events.length, op: 0, d });
  }

  #connected(socket: WebSocket, compressed: boolean): void {
    const connection = this.connections.push(socket);
    const transport = compressed ? zlibStreamTransport(socket) : plainTransport(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => transport.destroy());
    const write = (each: unknown) => {
      if (socket.readyState !== socket.OPEN) return;
      if (typeof each === 'function') each(socket, transport);
      else if (Buffer.isBuffer(each)) transport.flushed(() => socket.send(each));
      else transport.send(typeof each === 'string' ? each : JSON.stringify(each));
    };
    this.flushed = () => new Promise((resolve) => transport.flushed(resolve));
    const send = (frame: Sent) => {
      const instead = this.instead(frame, connection);
      for (const each of Array.isArray(instead) ? instead : instead === undefined ? [] : [instead]) write(each);
    };
    socket.on('message', (data) => {
      const { op, d } = JSON.parse(String(data)) as { op: number; d: { seq?: number } };
      this.received.push({ op, d, connection });
      if ((op === 2 || op === 6) && this.answer(op, socket, connection)) return;
      if (op === 1) send({ op: 11 });
      if (op === 2) {
        this.sessions += 1;
        const ids = { user: { id: '2' }, application: { id: '2' }, guilds: [] };
        this.events = [
          { t: 'READY', d: { session_id: `s${this.sessions}`, resume_gateway_url: this.resumeUrl, ...ids } },
        ];
        this.#live = { socket, send };
        send({ op: 0, s: 1, ...this.events[0] } as Sent);
      }
      if (op === 6) {
        this.#live = { socket, send };
        // A stored session, of which only its sequence is known.
        while (this.events.length < (d.seq ?? 0)) this.events.push({ t: 'TYPING_START', d: {} });
        this.events.push({ t: 'RESUMED', d: {} });
        for (const [index, event] of this.events.entries())
          if (index >= (d.seq ?? 0)) send({ op: 0, s: index + 1, ...event });
      }
    });
    send({ op: 10, d: { heartbeat_interval: 1_000 } });
  }
}

/** HELLO with another interval. */
export const withInterval =
  (heartbeat_interval: number) =>
  (frame: Sent): Sent =>
    frame.op === 10 ? { op: 10, d: { heartbeat_interval } } : frame;

/** Discord's own interval, for what takes a slow machine longer than the short one. */
export const unhurried = withInterval(41_250);

interface ClientOptions {
  readonly session?: Partial<ResumeState>;
  readonly compression?: 'none' | 'zlib-stream';
  /** Confirms are held back until `confirm` is called. */
  readonly holds?: boolean;
  readonly intents?: number;
  readonly events?: string;
  /** Of the group record. */
  readonly presences?: CommandRelay['presences'];
  /** Of the lock before an IDENTIFY. */
  readonly acquire?: () => Promise<void>;
  /** @default - given */
  readonly permission?: ShardOptions['permission'];
}

/** A client that has come to READY or RESUMED. */
export async function connect({ instead, ...options }: ClientOptions & Partial<Pick<HostileGateway, 'instead'>> = {}) {
  const gateway = await HostileGateway.start(options.compression === 'zlib-stream');
  if (instead !== undefined) gateway.instead = instead;
  const client = startClient(gateway.url, options);
  await eventually('READY or RESUMED', () => client.shard.connected, 55_000);
  return { gateway, client };
}

/** The shard with its session, and what it publishes. */
export function startClient(
  url: string,
  {
    session,
    compression = 'none',
    holds = false,
    intents = 0,
    events = DEFAULT_EVENTS.join(),
    presences = [],
    acquire = async () => undefined,
    permission = async () => 'proven',
  }: ClientOptions = {},
) {
  const lines = logLines();
  const published: Message[] = [];
  const held: (() => void)[] = [];
  const counted: Partial<Record<CounterName, number>> = {};
  const metrics = {
    add: (name: CounterName, by = 1) => {
      counted[name] = (counted[name] ?? 0) + by;
    },
    observe: () => undefined,
  };
  const publisher = {
    outbox: { count: 0, bytes: 0 },
    flowing: true,
    dropOutbox: (isDropped: (message: Message) => boolean) => published.filter(isDropped).length,
    publish: (message: Message, settled: () => void) => {
      published.push(message);
      if (holds) held.push(settled);
      else settled();
    },
  };
  const session_start_limit = { total: 1_000, remaining: 1_000, reset_after: 0, max_concurrency: 1 };
  const answer = { url, shards: 1, session_start_limit };
  const information = {
    latest: answer,
    fetch: async () => answer,
    identified: () => undefined,
  } as unknown as GatewayInformation;
  const token = new BotToken(new Secret('THE-TOKEN'), lines.log);
  const gate = new IdentifyGate(
    information,
    { acquire: () => acquire().then(() => () => undefined) },
    token,
    lines.log,
  );
  const gaps = new GapReporter(publisher as never, metrics as never, lines.log);
  const answers: string[] = [];
  let deliver: ((delivery: Delivery) => void) | undefined;
  const consumer = {
    consuming: true,
    problem: undefined,
    start: ({ onMessage }: { readonly onMessage: (delivery: Delivery) => void }) => {
      deliver = onMessage;
    },
    stop: async () => undefined,
  };
  const commands = new CommandRelay({
    ...{ consumer, intents, initialPresence: undefined, metrics: metrics as never, log: lines.log },
  });
  const ingestor = new Ingestor({
    publisher: publisher as never,
    gaps,
    commands,
    token,
    information,
    gate,
    bounds: { maxEvents: 1_000, maxBytes: 1_000_000 },
    onSessionStarted: () => undefined,
    metrics: metrics as never,
    permission,
    apiUrl: `${url.replace('ws', 'http')}/api`,
    ...{ intents, compression, log: lines.log },
    choice: parseEvents(events),
    optIns: NO_OPT_INS,
  });
  const now = Date.now();
  const state = { sessionId: 's0', resumeUrl: url, sequence: 1, shardCount: 1, startedAt: now, ...session };
  ingestor.own({
    group: 0,
    presences,
    shardIds: [0],
    shardCount: 1,
    sessions: new Map(session === undefined ? [] : [[0, state]]),
    storedAt: now,
    takenOverAt: now,
  });
  onTestFinished(() => ingestor.stopReceiving());
  const [member] = ingestor.members;
  if (member === undefined) throw new Error('there is no shard');
  return {
    ...{ ingestor, ...member, publisher, lines, published, counted, gaps, gate },
    confirm: () => {
      for (const settled of held.splice(0)) settled();
    },
    /** What came of the commands: 'ack', or why it is a dead letter. */
    answers,
    command: (body: object) =>
      deliver?.({
        body: Buffer.from(JSON.stringify(body)),
        ...{ routingKey: 'shard.0', timestamp: undefined, expiration: undefined },
        ack: () => answers.push('ack'),
        deadLetter: (reason) => answers.push(reason),
      }),
    /** Of the events of a session, in the order of publishing. */
    sequences: (id?: string) =>
      published
        .filter(
          ({ type, headers }) => !type.startsWith('gateway.') && (id === undefined || headers['x-session'] === id),
        )
        .map(({ headers }) => headers['x-sequence']),
    reported: () =>
      published.flatMap(({ type, body }) =>
        type === 'gateway.gap'
          ? [(JSON.parse(String(body)) as { data: { reason: string; sessionId: string } }).data]
          : [],
      ),
    ends: () => lines.lines.filter(({ msg }) => msg === 'the gateway connection ended'),
  };
}
