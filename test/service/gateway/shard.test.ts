// One shard, on peers of real sockets that stay silent, or answer oddly, at one point each: its deadlines and pauses, when it
// asks for a token, permission and IDENTIFY, and what it reports meanwhile. Timers are fake, sockets are not.

import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import type { IContextFetchingStrategy } from '@discordjs/ws';
import { GatewayIntentBits, GatewayOpcodes } from 'discord-api-types/v10';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { BotToken } from '../../../service/gateway/bot-token.ts';
import { FrameDecoder, MOST_FRAME_BYTES } from '../../../service/gateway/frame-decoder.ts';
import { type ConnectionListener, GatewayConnection } from '../../../service/gateway/gateway-connection.ts';
import type { GatewayInformation } from '../../../service/gateway/gateway-information.ts';
import { IdentifyGate } from '../../../service/gateway/identify-gate.ts';
import { Shard } from '../../../service/gateway/shard.ts';
import { ShardSession } from '../../../service/session/session.ts';
import { orAborted } from '../../../service/wait.ts';
import { listening } from '../../support/fake-servers.ts';
import { type LogLines, logLines } from '../../support/log-lines.ts';
import { NO_SESSION_EVENTS } from '../../support/no-session-events.ts';
import { turns, turnsUntil } from '../../support/turns.ts';
import { Secret } from './secret.ts';

vi.setConfig({ testTimeout: 10_000, hookTimeout: 10_000 });

let lines: LogLines;
let shard: Shard;
let gate: IdentifyGate;
let token: BotToken;
let secret: Secret;

beforeEach(() => {
  lines = logLines();
  secret = new Secret('first');
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
});

afterEach(async () => {
  await shard?.stop();
  vi.useRealTimers();
});

interface Start {
  /** With a session if it has an address for it. */
  readonly resumeUrl?: string;
  /** Of that session. @default - those of the shard */
  readonly sessionIntents?: number;
  /** What Get Gateway Bot answers, if it does. */
  readonly general?: string;
  readonly unansweredSince?: number;
  /** @default - at once */
  readonly permitted?: () => Promise<void>;
  /** The budget has one IDENTIFY, and it is waited for. @default - at once */
  readonly turn?: () => void;
  /** @default - at once */
  readonly acquired?: Promise<void>;
}

function startShard({ resumeUrl, sessionIntents, general, unansweredSince, permitted, turn, acquired }: Start): void {
  const session_start_limit = { total: 1, remaining: 1, reset_after: 0, max_concurrency: 1 };
  const information = {
    latest: turn && { session_start_limit },
    unansweredSince,
    fetch: (signal: AbortSignal) =>
      general === undefined
        ? orAborted(new Promise(() => undefined), signal)
        : Promise.resolve({ url: general, shards: 1, session_start_limit }),
    identified: () => undefined,
  } as unknown as GatewayInformation;
  const session = new ShardSession(0, 1, NO_SESSION_EVENTS);
  if (resumeUrl !== undefined)
    session.restore(
      { sessionId: 'a', sequence: 7, shardCount: 1, startedAt: 0, resumeUrl, intents: sessionIntents },
      Date.now(),
    );
  token = new BotToken(secret, lines.log);
  const acquire = async () => {
    turn?.();
    await acquired;
    return () => undefined;
  };
  gate = new IdentifyGate(information, { acquire }, token, lines.log);
  shard = new Shard({
    id: 0,
    session,
    sends: { identify: () => null, connected: () => undefined, ended: () => undefined },
    token,
    information,
    gate,
    intents: GatewayIntentBits.GuildMembers,
    compression: 'none',
    unwanted: new Set(),
    apiUrl: 'http://127.0.0.1/api',
    metrics: { add: () => undefined },
    log: lines.log,
    onDispatch: () => undefined,
    permission: async () => {
      await permitted?.();
      return 'proven';
    },
    confirmed: async () => undefined,
  });
  shard.start();
}

/** A gateway that does what it is asked on each message, `undefined` being the connection itself. */
async function peer(onMessage: (socket: WebSocket, op: number | undefined, d?: unknown) => void) {
  const server = createHttpServer();
  const received: (number | undefined)[] = [];
  new WebSocketServer({ server }).on('connection', (socket) => {
    const take = (op: number | undefined, d?: unknown) => {
      received.push(op);
      onMessage(socket, op, d);
    };
    socket.on('message', (text) => {
      const { op, d } = JSON.parse(String(text)) as { op: number; d: unknown };
      take(op, d);
    });
    take(undefined);
  });
  const { port, close } = await listening(server);
  onTestFinished(close);
  return { url: `ws://127.0.0.1:${port}`, received };
}

const hello = (socket: WebSocket) =>
  socket.send(JSON.stringify({ op: GatewayOpcodes.Hello, d: { heartbeat_interval: 41_250 } }));

const READY = JSON.stringify({
  ...{ op: GatewayOpcodes.Dispatch, t: 'READY', s: 1 },
  d: { session_id: 'a', resume_gateway_url: 'x', guilds: [], user: { id: '1' }, v: 10 },
});

const ends = () => lines.lines.filter(({ msg }) => msg === 'the gateway connection ended');

/** The connection ends after so long, and not before. */
async function endsAfter(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms - 1);
  await turns(50);
  expect(ends()).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  await turnsUntil(() => ends().length > 0);
}

it('a peer that does not answer the handshake is given up after 30 s', async () => {
  const accepted = vi.fn();
  const { port, close } = await listening(createServer(accepted));
  onTestFinished(close);
  startShard({ general: `ws://127.0.0.1:${port}` });
  // It runs already.
  shard.start();
  await turnsUntil(() => accepted.mock.calls.length > 0);
  await endsAfter(30_000);
  expect(ends()[0]?.verdict).toBe('unreachable');
});

it('RESUME without a dispatch or RESUMED ends after 30 s', async () => {
  const { url, received } = await peer((socket, op) => op === undefined && hello(socket));
  startShard({ resumeUrl: url });
  await turnsUntil(() => received.includes(GatewayOpcodes.Resume));
  await endsAfter(30_000);
  expect(ends()[0]).toMatchObject({ verdict: 'unreachable', reason: 'no answer to RESUME' });
});

it('a session whose events come in, but no RESUMED, counts as resumed after 30 s', async () => {
  const { url, received } = await peer((socket, op) => {
    if (op === undefined) hello(socket);
    else socket.send(JSON.stringify({ op: GatewayOpcodes.Dispatch, t: 'TYPING_START', s: 8, d: {} }));
  });
  startShard({ resumeUrl: url });
  await turnsUntil(() => received.includes(GatewayOpcodes.Resume));
  await turns(500);
  await vi.advanceTimersByTimeAsync(29_999);
  expect(shard.state).toBe('resuming');
  await vi.advanceTimersByTimeAsync(1);
  expect(shard.state).toBe('ready');
  await vi.advanceTimersByTimeAsync(60_000);
  await turns(50);
  expect(ends()).toEqual([]);
  expect(lines.lines.filter(({ msg }) => /no RESUMED/.test(msg))).toHaveLength(1);
});

function lonelyConnection(listening: Partial<ConnectionListener> = {}): GatewayConnection {
  const listener = listening as ConnectionListener;
  const options = { compressed: false, unwanted: new Set<string>(), readyDeadlineMs: 1, listener, log: lines.log };
  const strategy = { options: {}, retrieveSessionInfo: () => new Promise(() => undefined) };
  return new GatewayConnection(strategy as unknown as IContextFetchingStrategy, 0, options);
}

it('an error of the socket is the cause, although the socket closes before what it received is inflated', async () => {
  const connection = lonelyConnection();
  const ended = connection.run();
  const inflated = Promise.withResolvers<void>();
  const written = vi.spyOn(FrameDecoder.prototype, 'written').mockReturnValueOnce(inflated.promise);
  onTestFinished(() => written.mockRestore());
  const socket = connection as unknown as { failed(error: Error): void; closed(code: number): void };
  socket.failed(Object.assign(new Error('invalid UTF-8'), { code: 'WS_ERR_INVALID_UTF8' }));
  socket.closed(1006);
  inflated.resolve();
  expect(await ended).toMatchObject({ how: 'undecodable', reason: 'invalid UTF-8 (WS_ERR_INVALID_UTF8)' });
});

it.each([
  [new Error('x'.repeat(201)), 'x'.repeat(200)],
  [Object.assign(new Error('x'.repeat(201)), { code: 'ENETDOWN' }), `${'x'.repeat(200)} (ENETDOWN)`],
  [Object.assign(new Error('connect ENETDOWN'), { code: 'ENETDOWN' }), 'connect ENETDOWN'],
])('an error of the socket is a reason of bounded length, with its code: %s', async (error, reason) => {
  const connection = lonelyConnection();
  const ended = connection.run();
  (connection as unknown as { failed(error: Error): void }).failed(error);
  expect(await ended).toMatchObject({ how: 'failed', reason });
});

describe('what Discord sends', () => {
  /** It resumes, over no socket. */
  async function resuming(listening: Partial<ConnectionListener>) {
    const connection = lonelyConnection({ sent: () => undefined, ...listening });
    const ended = connection.run();
    const resume = { token: 'first', session_id: 'a', seq: 7 };
    await expect(connection.send({ op: GatewayOpcodes.Resume, d: resume })).rejects.toThrow();
    return { connection, ended, receive: (text: string) => (connection as unknown as Receiving).received(text) };
  }
  interface Receiving {
    received(text: string): void;
    handle(frame: unknown): void;
  }
  const dispatch = (s: number, noise = '', t = 'TYPING_START') =>
    JSON.stringify({ op: GatewayOpcodes.Dispatch, t, s, d: { noise } });

  it('to have a heartbeat is followed once a second, and 117 times in 65 s', async () => {
    const { connection, receive } = await resuming({});
    const asked = vi.spyOn(connection as unknown as Receiving, 'handle').mockReturnValue();
    const clock = vi.spyOn(performance, 'now');
    onTestFinished(() => clock.mockRestore());
    const countAt = (now: number) => {
      clock.mockReturnValue(now);
      receive('{"op":1}');
      return asked.mock.calls.length;
    };
    const now = performance.now() + 1_000_000;
    expect([now, now + 999, now + 1_000].map(countAt)).toEqual([1, 1, 2]);
    clock.mockReturnValue(now + 1_000);
    for (let sends = 1; sends <= 116; sends += 1)
      await connection.send({ op: 3, d: {} as never }).catch(() => undefined);
    expect(countAt(now + 2_000)).toBe(3);
    await connection.send({ op: 3, d: {} as never }).catch(() => undefined);
    expect([now + 65_999, now + 66_000].map(countAt)).toEqual([3, 4]);
    await connection.closeResumably();
  });

  it('twice is logged with 100 characters of its type', async () => {
    const { connection, receive } = await resuming({ dispatch: () => undefined });
    for (let times = 0; times < 2; times += 1) receive(dispatch(8, '', 'T'.repeat(101)));
    expect(lines.lines.map((line) => line.dispatch)).toEqual(['T'.repeat(100)]);
    await connection.closeResumably();
  });

  it.each([
    [0, { how: 'closed here' }],
    [1, { how: 'hole', reason: 'too much came behind a hole' }],
  ])('behind a hole may have 16 MiB together, and %d more: %j', async (more, end) => {
    const { connection, ended, receive } = await resuming({
      dispatch: () => ({ how: 'hole', reason: 'a hole' }),
      mayResume: () => new Promise(() => undefined),
    });
    const [first, last] = [dispatch(9), dispatch(11)];
    const between = MOST_FRAME_BYTES + more - first.length - last.length - dispatch(10).length;
    for (const text of [first, dispatch(10, 'x'.repeat(between)), last]) receive(text);
    await connection.closeResumably();
    expect(await ended).toMatchObject(end);
  });
});

it('a connection is run once', async () => {
  const connection = lonelyConnection();
  const ended = connection.run();
  const again = 'expected a gateway connection to be run once';
  expect(() => connection.run()).toThrow(again);
  await connection.closeResumably();
  expect(() => connection.run()).toThrow(again);
  await ended;
});

it('READY that takes 40 s is waited for on the second connection, and 120 s on the third', async () => {
  const { url, received } = await peer((socket, op) => op === undefined && hello(socket));
  startShard({ general: url });
  for (const [tried, deadlineMs] of [30_000, 60_000, 120_000].entries()) {
    await turnsUntil(() => received.filter((op) => op === GatewayOpcodes.Identify).length > tried);
    await vi.advanceTimersByTimeAsync(deadlineMs - 1);
    await turns(50);
    expect(ends()).toHaveLength(tried);
    await vi.advanceTimersByTimeAsync(1);
    await turnsUntil(() => ends().length > tried);
    // The pause, and the gate's spacing.
    await vi.advanceTimersByTimeAsync(10_000);
  }
  expect(shard.problem).toMatch(/^the gateway sent no READY in time: 3 connections in a row ended/);
});

it('a peer that does not answer the close is given up after 2 s', async () => {
  const { url, received } = await peer((socket, op) => {
    if (op === undefined) hello(socket);
    // It reads no more.
    else socket.pause();
  });
  startShard({ resumeUrl: url });
  await turnsUntil(() => received.includes(GatewayOpcodes.Resume));
  let stopped = false;
  const stopping = shard.stop().then(() => {
    stopped = true;
  });
  await vi.advanceTimersByTimeAsync(1_999);
  await turns(50);
  expect(stopped).toBe(false);
  expect(() => shard.start()).toThrow('expected a shard to be started again only after stop() has settled');
  await vi.advanceTimersByTimeAsync(1);
  await stopping;
  expect(shard.state).toBe('stopped');
});

it("a session does not wait more than 5 s for the gateway's address, and falls back on its own", async () => {
  let refuses = true;
  const { url, received } = await peer((socket) => {
    if (refuses) socket.terminate();
    else hello(socket);
  });
  // The longest pauses.
  vi.spyOn(Math, 'random').mockReturnValue(1);
  onTestFinished(() => void vi.restoreAllMocks());
  startShard({ resumeUrl: url });
  // Two connections that are not answered: the next address is the gateway's, which does not come.
  for (let ended = 1; ended <= 2; ended += 1) {
    await turnsUntil(() => ends().length === ended);
    if (ended < 2) await vi.advanceTimersByTimeAsync(1_000);
  }
  refuses = false;
  await vi.advanceTimersByTimeAsync(1_000 + 4_999);
  await turns(50);
  expect(received).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(1);
  await turnsUntil(() => received.includes(GatewayOpcodes.Resume));
});

it('a rejected token is reported, and waited for', async () => {
  const { url } = await peer((socket, op) => (op === undefined ? hello(socket) : socket.close(4004)));
  startShard({ resumeUrl: url });
  await turnsUntil(() => ends().length === 1);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(lines.lines.at(-1)?.msg).toBe('no usable bot token: waiting for another one');
});

it.each(['a minute later', 'where the secret has a new version'])(
  'a shard whose intents Discord refuses is failed, and IDENTIFYs again %s, until READY',
  async (when) => {
    const { url, received } = await peer((socket, op) => {
      if (op === undefined) hello(socket);
      else if (secret.value === 'first') socket.close(4014);
      else socket.send(READY);
    });
    const identifies = () => received.filter((op) => op === GatewayOpcodes.Identify).length;
    startShard({ general: url });
    await turnsUntil(() => shard.state === 'failed');
    expect(shard.problem).toMatch(/\(4014\).*'Server Members Intent'.*\. Tried again at \S+: no restart is needed$/);
    await vi.advanceTimersByTimeAsync(9_999);
    await turns(50);
    expect(identifies()).toBe(1);
    if (when === 'a minute later') {
      await vi.advanceTimersByTimeAsync(50_001);
      await turnsUntil(() => identifies() === 2 && shard.state === 'failed');
    }
    secret.value = 'second';
    await vi.advanceTimersByTimeAsync(10_000);
    await turnsUntil(() => shard.connected);
    expect(shard.problem).toBeUndefined();
  },
);

it('IDENTIFY carries the newest token, though it waited at the gate with the one before', async () => {
  const identifies: unknown[] = [];
  const { url, received } = await peer((socket, op, d) => {
    if (op === undefined) hello(socket);
    else if (op === GatewayOpcodes.Identify) identifies.push(d);
  });
  const acquired = Promise.withResolvers<void>();
  startShard({ general: url, acquired: acquired.promise });
  await turnsUntil(() => received.length > 0 && shard.state === 'identifying');
  secret.value = 'second';
  token.reject('first', 'rejected');
  await token.usable(new AbortController().signal);
  acquired.resolve();
  await turnsUntil(() => identifies.length > 0);
  const product = 'discord-gateway-ingestor';
  // https://docs.discord.com/developers/events/gateway-events#identify
  expect(identifies).toEqual([
    {
      ...{ token: 'second', intents: GatewayIntentBits.GuildMembers, shard: [0, 1], compress: false },
      properties: { os: process.platform, browser: product, device: product },
    },
  ]);
});

it('a shard waits for its turn to IDENTIFY, and stays ready, longer than HELLO and READY may take', async () => {
  const { url } = await peer((socket, op) => {
    if (op === undefined) hello(socket);
    else if (op === GatewayOpcodes.Identify) socket.send(READY);
  });
  const acquired = Promise.withResolvers<void>();
  startShard({ general: url, acquired: acquired.promise });
  await turnsUntil(() => shard.state === 'identifying');
  await vi.advanceTimersByTimeAsync(31_000);
  await turns(50);
  expect(ends()).toEqual([]);
  expect(Date.now() - (shard.identifyingSince ?? Number.NaN)).toBeLessThan(10_000);
  acquired.resolve();
  await turnsUntil(() => shard.connected);
  expect(shard.identifyingSince).toBeUndefined();
  await vi.advanceTimersByTimeAsync(31_000);
  await turns(50);
  expect([ends(), shard.connected]).toEqual([[], true]);
});

it("the last heartbeat's round trip is known until the connection ends", async () => {
  let live: WebSocket | undefined;
  const { url } = await peer((socket, op) => {
    live = socket;
    if (op === undefined) hello(socket);
    else if (op === GatewayOpcodes.Identify) socket.send(READY);
    else socket.send(JSON.stringify({ op: GatewayOpcodes.HeartbeatAck }));
  });
  startShard({ general: url });
  await turnsUntil(() => shard.connected);
  // The first heartbeat is sent within the interval.
  await vi.advanceTimersByTimeAsync(41_250);
  await turnsUntil(() => shard.latencyMs !== undefined);
  live?.close(4000);
  await turnsUntil(() => ends().length === 1);
  expect(shard.latencyMs).toBeUndefined();
});

it('permission is asked for with a token at hand: it may wait long for one', async () => {
  const { url } = await peer((socket) => hello(socket));
  secret.value = undefined;
  const permitted = vi.fn(async () => undefined);
  startShard({ resumeUrl: url, permitted });
  await turns(50);
  expect(permitted).not.toHaveBeenCalled();
  secret.value = 'first';
  await vi.advanceTimersByTimeAsync(10_000);
  await turnsUntil(() => shard.state === 'resuming');
  expect(permitted).toHaveBeenCalledTimes(1);
});

it('a shard that is stopped as it gets permission settles, and has no connection', async () => {
  const { url, received } = await peer((socket) => hello(socket));
  let stopping: Promise<void> | undefined;
  const permitted = async () => {
    stopping = shard.stop();
  };
  startShard({ resumeUrl: url, permitted });
  await turnsUntil(() => stopping !== undefined);
  await stopping;
  await turns(50);
  expect([shard.state, received.filter((op) => op !== undefined)]).toEqual(['stopped', []]);
});

it('a shard that is started again pauses as after a first failure', async () => {
  const { url } = await peer((socket) => void socket.terminate());
  startShard({ resumeUrl: url, general: url });
  for (let ended = 1; ended <= 4; ended += 1) {
    await turnsUntil(() => ends().length === ended);
    // The longest pause of a fourth failure is 8 s.
    if (ended < 4) await vi.advanceTimersByTimeAsync(8_000);
  }
  await shard.stop();
  shard.start();
  await turnsUntil(() => ends().length === 5);
  await vi.advanceTimersByTimeAsync(1_000);
  await turnsUntil(() => ends().length === 6);
});

it('a session that is replaced ends after 2 s without an answer to the close, and a stop lets other shards replace theirs', async () => {
  const { url, received } = await peer((socket, op) => {
    if (op === undefined) return hello(socket);
    if (op !== GatewayOpcodes.Resume) return;
    socket.send(JSON.stringify({ op: GatewayOpcodes.Dispatch, t: 'RESUMED', s: 8, d: {} }));
    // It reads no more.
    socket.pause();
  });
  startShard({ resumeUrl: url, general: url, sessionIntents: GatewayIntentBits.Guilds });
  await turnsUntil(() => shard.connected);
  await turns(500);
  await vi.advanceTimersByTimeAsync(1_999);
  await turns(50);
  expect(ends()).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  await turnsUntil(() => ends().length === 1);
  await vi.advanceTimersByTimeAsync(5_000);
  await turnsUntil(() => received.includes(GatewayOpcodes.Identify));
  const lock = () => gate.replacing.lock(AbortSignal.timeout(100));
  await expect(lock()).rejects.toThrow();
  await shard.stop();
  (await lock())();
});

describe('IDENTIFYs that are refused', () => {
  it('are each counted once: a connection that ends before HELLO sent none', async () => {
    const { url } = await peer((socket, op) => {
      if (op !== undefined) socket.close(4000);
      else if (ends().length === 0) hello(socket);
      else socket.terminate();
    });
    startShard({ general: url });
    for (let ended = 1; ended <= 5; ended += 1) {
      await turnsUntil(() => ends().length === ended);
      await vi.advanceTimersByTimeAsync(20_000);
    }
    expect(pauses()).toEqual([]);
  });

  const pauses = () => lines.lines.filter(({ msg }) => /^IDENTIFYs led to no session/.test(String(msg)));

  it('are paced, however long each waited for its turn, and the pause is reported', async () => {
    const { url, received } = await peer((socket, op) => (op === undefined ? hello(socket) : socket.close(4000)));
    let now = Date.now();
    onTestFinished(() => void vi.restoreAllMocks());
    vi.spyOn(Date, 'now').mockImplementation(() => now);
    // The clock goes on by a minute while each waits for its turn.
    const turn = () => {
      now += 60_000;
    };
    startShard({ general: url, turn });
    const identifies = () => received.filter((op) => op === GatewayOpcodes.Identify).length;
    for (let ended = 1; ended <= 3; ended += 1) {
      await turnsUntil(() => ends().length === ended);
      await vi.advanceTimersByTimeAsync(ended < 3 ? 5_000 : 0);
    }
    await turnsUntil(() => pauses().length === 1);
    const [pause] = pauses();
    const pauseMs = Date.parse(String(pause?.until)) - now;
    expect(pause).toMatchObject({ level: 'warn', identifies: 3 });
    // The budget has one for the day.
    expect(pauseMs).toBeGreaterThanOrEqual(10_800_000);
    expect(shard.problem).toBe(`close code 4000: 3 connections in a row ended; it is retried at ${pause?.until}`);
    await vi.advanceTimersByTimeAsync(pauseMs - 1_000);
    await turns(50);
    expect([identifies(), shard.state]).toEqual([3, 'waiting']);
    await vi.advanceTimersByTimeAsync(1_001);
    await turnsUntil(() => identifies() === 4);
  });
});

describe('it has not reached Discord', () => {
  it('also without a session, as soon as it has the address', async () => {
    const { url } = await peer((socket) => void socket.terminate());
    startShard({ general: url });
    await turnsUntil(() => ends().length === 1);
    expect(shard.unreachableSince).toBeDefined();
  });

  it('since its first connection without HELLO, until HELLO', async () => {
    let answers = false;
    const { url, received } = await peer((socket) => (answers ? hello(socket) : socket.terminate()));
    startShard({ resumeUrl: url, general: url });
    await turnsUntil(() => ends().length === 1);
    const since = shard.unreachableSince ?? expect.fail('it has reached it');
    expect(Date.now() - since).toBeLessThan(5_000);
    await vi.advanceTimersByTimeAsync(1_000);
    await turnsUntil(() => ends().length === 2);
    expect(shard.unreachableSince).toBe(since);
    answers = true;
    await vi.advanceTimersByTimeAsync(2_000);
    await turnsUntil(() => received.includes(GatewayOpcodes.Resume));
    expect(shard.unreachableSince).toBeUndefined();
  });

  it('while Get Gateway Bot is not answered, but not while it waits for an answer that may come, or for permission', async () => {
    startShard({});
    await turnsUntil(() => shard.state === 'connecting');
    await turns(50);
    expect(shard.unreachableSince).toBeUndefined();
    await shard.stop();
    const permission = Promise.withResolvers<void>();
    startShard({ unansweredSince: 1_000, permitted: () => permission.promise });
    await turns(50);
    expect([shard.state, shard.unreachableSince]).toEqual(['connecting', undefined]);
    permission.resolve();
    await turnsUntil(() => shard.unreachableSince === 1_000);
    await shard.stop();
    expect(shard.unreachableSince).toBeUndefined();
  });

  it('does not include the time in which it waited for permission', async () => {
    const { url } = await peer((socket) => void socket.terminate());
    const permission = Promise.withResolvers<void>();
    startShard({
      resumeUrl: url,
      general: url,
      permitted: () => (ends().length === 0 ? Promise.resolve() : permission.promise),
    });
    await turnsUntil(() => ends().length === 1);
    const since = shard.unreachableSince ?? expect.fail('it has reached it');
    await vi.advanceTimersByTimeAsync(1_000);
    await turnsUntil(() => shard.unreachableSince === undefined);
    const now = Date.now();
    onTestFinished(() => void vi.restoreAllMocks());
    vi.spyOn(Date, 'now').mockReturnValue(now + 60_000);
    permission.resolve();
    await turnsUntil(() => shard.unreachableSince !== undefined);
    expect((shard.unreachableSince ?? 0) - since).toBeGreaterThanOrEqual(60_000);
  });
});
