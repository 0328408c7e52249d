// A connection with peers that are no broker, or an odd one: each ends that attempt, and no more. An exception that nothing
// catches fails the whole run.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { makeCertificates } from '../../../local/rabbitmq/certificates.ts';
import { readCertificateAuthority } from '../../../service/amqp/certificate-authority.ts';
import { BrokerConnection, type BrokerConnectionOptions, type LoginSource } from '../../../service/amqp/connection.ts';
import { type BrokerLogin, parseBrokerLogin } from '../../../service/credentials.ts';
import { fixedLogin } from '../../support/broker-client.ts';
import { closedPort } from '../../support/fake-servers.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';
import { turns, turnsUntil } from '../../support/turns.ts';
import { amqpPeer, close, frame, HEARTBEAT, handshakeThen, method, OPEN_OK, START } from './amqp-peer.ts';

vi.setConfig({ testTimeout: 30_000, hookTimeout: 15_000 });

let lines: LogLines;
const open: BrokerConnection[] = [];

beforeEach(() => {
  lines = logLines();
});

afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(open.splice(0).map((connection) => connection.close()));
});

function start(url: string, options: Partial<BrokerConnectionOptions> = {}): BrokerConnection {
  const connection = new BrokerConnection({
    name: 'tested',
    ...{ login: fixedLogin(url), log: lines.log, longestPauseMs: () => 10 },
    ...options,
  });
  open.push(connection);
  connection.start();
  return connection;
}

/** Resolves with what the connection emits next of this. */
const emitted = (connection: BrokerConnection, event: 'open' | 'lost' | 'blocked' | 'unblocked', within = 10_000) =>
  once(connection, event, { signal: AbortSignal.timeout(within) });

const reasons = () => lines.lines.map(({ err }) => (err as Error | undefined)?.message ?? '');

describe('in the handshake', () => {
  it.each<[string, Buffer, RegExp]>([
    ['what is no AMQP', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), /exceeds maxFrameSize 131072/],
    ['an unknown method', method(0, 99, 99), /Unknown class\/method/],
    ['half a method', frame(1, 0, Buffer.from([0, 10])), /outside buffer|bounds|range/i],
    ['a close without its text', frame(1, 0, Buffer.from([0, 10, 0, 50, 2, 18, 200])), /./],
    [
      'too small frames',
      Buffer.concat([START, method(0, 10, 30, Buffer.from([8, 0, 0, 0, 0, 1, 0, 0]))]),
      /below the protocol minimum/,
    ],
  ])('a peer that sends %s is tried again', async (_, bytes, reason) => {
    const peer = await amqpPeer((socket, chunk) => void (chunk === 1 && socket.write(bytes)));
    start(peer.url);
    await eventually('it is tried three times', () => peer.connections() >= 3);
    expect(reasons()[0]).toMatch(reason);
    expect(lines.lines[0]).toMatchObject({ broker: `127.0.0.1:${peer.port}`, failures: 1 });
    // Each later one is the same.
    expect(lines.lines).toHaveLength(1);
  });

  it('a peer that sends and sends is left at 64 KiB, and the rest is not read', async () => {
    // Well-formed, each of the largest size.
    const large = Buffer.concat([Buffer.from([1, 0, 0, 0, 1, 255, 255]), Buffer.alloc(131_071)]);
    const peer = await amqpPeer((socket, chunk) => void (chunk === 1 && socket.write(large)));
    start(peer.url);
    await eventually('it is left', () => reasons().some((reason) => /more than 64 KiB in the handshake/.test(reason)));
  });
});

it('a handshake that does not end is left after 5, 10, 20, 20 s and tried again; close waits 3 s for it', async () => {
  // The deadlines: sockets keep their own timers.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
  // One large frame, byte by byte: what it sends extends no deadline.
  const peer = await amqpPeer((socket, chunk) => {
    if (chunk > 1) return;
    const timer = setInterval(() => socket.write(Buffer.from([1, 0, 0, 0, 0, 255, 255])), 5);
    socket.on('close', () => clearInterval(timer));
  });
  const connection = start(peer.url);
  await turnsUntil(() => peer.connections() === 1);
  const deadlines = [5, 10, 20, 20];
  for (const [index, seconds] of deadlines.entries()) {
    await vi.advanceTimersByTimeAsync(seconds * 1_000 - 100);
    expect(reasons()).toHaveLength(Math.min(index, 3));
    await vi.advanceTimersByTimeAsync(150);
    await turnsUntil(() => vi.advanceTimersByTime(1) && peer.connections() === index + 2);
  }
  // The last is no other cause than the one before.
  expect(reasons()).toEqual([5, 10, 20].map((each) => `the broker did not finish the handshake within ${each} s`));
  let closed = false;
  const closing = connection.close().then(() => {
    closed = true;
  });
  await vi.advanceTimersByTimeAsync(2_900);
  expect(closed).toBe(false);
  await vi.advanceTimersByTimeAsync(100);
  await closing;
});

describe('together with the last frame of the handshake', () => {
  it.each<[string, Buffer, RegExp]>([
    ['a refusal', close(530, 'NOT_ALLOWED - no'), /NOT_ALLOWED - no/],
    ['what is no AMQP', Buffer.alloc(50, 0x41), /exceeds maxFrameSize/],
    ['the same frame again', OPEN_OK, /Unexpected frame on channel 0/],
  ])('%s is a lost connection, which is opened again after growing pauses', async (_, behind, reason) => {
    const pauses: number[] = [];
    const peer = await amqpPeer(handshakeThen(behind));
    const connection = start(peer.url, { longestPauseMs: () => pauses.push(1) });
    await emitted(connection, 'lost');
    await eventually('it is opened three times', () => peer.connections() >= 3);
    expect(reasons().join('\n')).toMatch(reason);
    // Not a jitter alone: each was another failure.
    expect(pauses.length).toBeGreaterThanOrEqual(2);
  });

  it('what a broker may send is read, once the connection is open', async () => {
    const blocked = method(0, 10, 60, Buffer.from([3]), Buffer.from('low'));
    const sockets = new Set<Socket>();
    const sent: Buffer[] = [];
    const peer = await amqpPeer(
      handshakeThen(Buffer.concat([HEARTBEAT, blocked]), (socket, _, data) => {
        sockets.add(socket);
        sent.push(data);
      }),
    );
    const connection = start(peer.url, { longestPauseMs: () => 60_000 });
    const [reason] = await emitted(connection, 'blocked');
    expect([reason, connection.connected, connection.blocked, peer.connections()]).toEqual(['low', true, true, 1]);
    const tuneOk = Buffer.concat(sent).subarray(sent[0]?.indexOf(Buffer.from([0, 10, 0, 31])));
    expect(tuneOk.readUInt16BE(10), 'seconds between heartbeats').toBe(10);
    const [socket] = sockets;
    const unblocked = emitted(connection, 'unblocked');
    socket?.write(method(0, 10, 61));
    await unblocked;
    expect(connection.blocked).toBe(false);
    const again = emitted(connection, 'blocked');
    socket?.write(blocked);
    await again;
    const lost = emitted(connection, 'lost');
    connection.fail('away');
    await lost;
    expect(connection.blocked).toBe(false);
  });
});

it('a peer that does not answer the close of an odd connection keeps no socket', async () => {
  const peer = await amqpPeer(handshakeThen(method(7, 20, 11, Buffer.alloc(4))));
  const connection = start(peer.url, { longestPauseMs: () => 60_000 });
  await emitted(connection, 'lost');
  expect(peer.open()).toBe(1);
  await eventually('the socket is closed', () => peer.connections() > peer.open());
});

it('a connection that fails is given up at once, although its peer is silent, and another is opened', async () => {
  const peer = await amqpPeer(handshakeThen(Buffer.alloc(0)));
  const connection = start(peer.url);
  connection.fail('not open yet: nothing happens');
  await emitted(connection, 'open');
  for (const times of [1, 2]) {
    const [lost, open] = [emitted(connection, 'lost', 5_000), emitted(connection, 'open', 5_000)];
    connection.fail(`nothing was confirmed, ${times}`);
    expect(await lost).toMatchObject([{ message: `nothing was confirmed, ${times}` }]);
    await open;
    expect([peer.connections(), connection.reconnects]).toEqual([times + 1, times]);
  }
});

const CLOSE = Buffer.from([0, 10, 0, 50]);
const answerClose = (socket: Socket, _: number, data: Buffer) =>
  void (data.includes(CLOSE) && socket.end(method(0, 10, 51)));

it('a connection that lasted 10 s is opened again within 0.2 s; after a pause where it ended sooner, or was refused something', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], fakeNodeBuiltins: true });
  const sockets = new Set<Socket>();
  const peer = await amqpPeer(
    handshakeThen(Buffer.alloc(0), (socket, chunk, data) => {
      sockets.add(socket);
      answerClose(socket, chunk, data);
    }),
  );
  let pauses = 0;
  const connection = start(peer.url, { longestPauseMs: () => 1_000 * ++pauses });
  const fails = () => connection.fail('away');
  const closes = (code: number, text: string) => () => void [...sockets].at(-1)?.write(close(code, text));
  for (const [lastedMs, ends, due] of [
    [10_000, fails, 0],
    [9_999, fails, 1],
    [10_000, closes(320, 'CONNECTION_FORCED'), 1],
    [10_000, closes(530, 'NOT_ALLOWED - a limit'), 2],
  ] as const) {
    await turnsUntil(() => connection.connected);
    const connections = peer.connections();
    const isPaused = due > pauses;
    vi.setSystemTime(Date.now() + lastedMs);
    ends();
    await turnsUntil(() => !connection.connected);
    await turns(1);
    expect(pauses).toBe(due);
    await vi.advanceTimersByTimeAsync(isPaused ? 499 : 200);
    if (isPaused) {
      expect([connection.connected, peer.connections()]).toEqual([false, connections]);
      await vi.advanceTimersByTimeAsync(501);
    }
    await turnsUntil(() => peer.connections() > connections);
  }
});

it('the time of the last attempt is now before the start and while open, and stays the same in between', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], fakeNodeBuiltins: true });
  vi.spyOn(Math, 'random').mockReturnValue(0);
  onTestFinished(() => void vi.restoreAllMocks());
  const peer = await amqpPeer(handshakeThen(Buffer.alloc(0), answerClose));
  const login: LoginSource = fixedLogin(peer.url);
  const attempt = Promise.withResolvers<never>();
  const read = vi.fn(login.read).mockReturnValueOnce(attempt.promise);
  const connection = new BrokerConnection({ name: 'tested', login: { ...login, read }, log: lines.log });
  open.push(connection);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(connection.lastAttemptAt).toBe(Date.now());
  connection.start();
  const startedAt = Date.now();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(connection.lastAttemptAt, 'during the attempt').toBe(startedAt);
  attempt.reject(new Error('no login'));
  await vi.advanceTimersByTimeAsync(499);
  expect([connection.lastAttemptAt, read.mock.calls.length]).toEqual([startedAt, 1]);
  await vi.advanceTimersByTimeAsync(1);
  expect([connection.lastAttemptAt, read.mock.calls.length]).toEqual([startedAt + 60_500, 2]);
  await turnsUntil(() => connection.connected);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(connection.lastAttemptAt).toBe(Date.now());
});

it('a connection that opens after close() is closed, and no event reports it', async () => {
  const peer = await amqpPeer(handshakeThen(Buffer.alloc(0), answerClose));
  const login: LoginSource = fixedLogin(peer.url);
  const asked = Promise.withResolvers<void>();
  const connection = start('', { login: { ...login, read: () => asked.promise.then(() => login.read()) } });
  const opened = vi.fn();
  connection.on('open', opened);
  const closing = connection.close();
  asked.resolve();
  await closing;
  expect([peer.connections(), opened.mock.calls.length, connection.connected]).toEqual([1, 0, false]);
});

it('close settles as soon as the socket ends, whatever timers do', async () => {
  const sockets: Socket[] = [];
  const peer = await amqpPeer(
    handshakeThen(Buffer.alloc(0), (socket, chunk) => void (chunk > 3 && sockets.push(socket))),
  );
  const connection = start(peer.url);
  await emitted(connection, 'open');
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
  const closing = connection.close();
  await turnsUntil(() => sockets.length > 0);
  sockets[0]?.destroy();
  await closing;
});

it('what is written to the broker is sent at once: nothing is held back for what may follow', async () => {
  const noDelay = vi.spyOn(Socket.prototype, 'setNoDelay');
  onTestFinished(() => void noDelay.mockRestore());
  const peer = await amqpPeer(handshakeThen(Buffer.alloc(0)));
  await emitted(start(peer.url), 'open');
  expect(noDelay.mock.calls).toEqual([[true]]);
});

it('a broker that is back is one line, with the time and the failures', async () => {
  let refuses = false;
  const peer = await amqpPeer((socket, chunk, data) => {
    if (refuses) socket.destroy();
    else handshakeThen(Buffer.alloc(0))(socket, chunk, data);
  });
  const connection = start(peer.url);
  await emitted(connection, 'open');
  refuses = true;
  connection.fail('away');
  await eventually('it fails often', () => peer.connections() > 10);
  refuses = false;
  await emitted(connection, 'open');
  const back = lines.lines.at(-1);
  expect(back?.awayMs).toBeGreaterThan(20);
  expect(back?.failures).toBeGreaterThanOrEqual(9);
  expect(lines.lines.map(({ msg }) => msg)).toEqual([
    'connected to the broker',
    'the connection to the broker was lost',
    'cannot connect to the broker; retrying',
    'connected to the broker',
  ]);
});

describe('a login that may have changed', () => {
  /** Its host is another one from now on, and found by reading again. */
  class MovingLogin implements LoginSource {
    readonly from = 'arn:of:the:login';
    url: string;
    /** Failures before each reading. */
    readonly readAfter: number[] = [];
    attempts = 0;
    #current: BrokerLogin;

    constructor(url: string) {
      this.url = url;
      this.#current = parseBrokerLogin(url);
    }

    async read(): Promise<BrokerLogin> {
      this.attempts += 1;
      return this.#current;
    }

    async refresh(): Promise<boolean> {
      this.readAfter.push(this.attempts);
      const { port } = this.#current;
      this.#current = parseBrokerLogin(this.url);
      return this.#current.port !== port;
    }
  }

  it('is read again at the third failure in a row, whatever it is, and then once a minute', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const login = new MovingLogin(`amqp://a:b@127.0.0.1:${await closedPort()}/`);
    start('', { login });
    await eventually('20 attempts', () => login.attempts >= 20);
    expect(login.readAfter).toEqual([3]);
    vi.advanceTimersByTime(59_999);
    await eventually('20 more', () => login.attempts >= 40);
    expect(login.readAfter).toEqual([3]);
    vi.advanceTimersByTime(2);
    await eventually('it is read again', () => login.readAfter.length === 2);
    const peer = await amqpPeer(handshakeThen(Buffer.alloc(0)));
    login.url = peer.url;
    vi.advanceTimersByTime(60_001);
    await eventually('the new broker is found', () => peer.connections() === 1);
    expect(lines.lines.filter(({ msg }) => msg.includes('read again'))).toMatchObject([
      { from: 'arn:of:the:login', renewed: true, msg: 'the broker login was read again' },
    ]);
  });

  it('that is refused is read again: another one is tried at once, and after a second refusal with a pause', async () => {
    const refused = close(403, 'ACCESS_REFUSED - Login was refused');
    const peer = await amqpPeer((socket, chunk) => void (chunk <= 2 && socket.write(chunk === 1 ? START : refused)));
    const login = new MovingLogin(peer.url);
    login.refresh = async () => true;
    const pausedAfter: number[] = [];
    start('', { login, longestPauseMs: () => pausedAfter.push(login.attempts) });
    await eventually('five attempts', () => login.attempts >= 5);
    expect(pausedAfter.slice(0, 3)).toEqual([2, 3, 4]);
  });

  it('that cannot be read again is a line, and no end', async () => {
    const login = new MovingLogin(`amqp://a:b@127.0.0.1:${await closedPort()}/`);
    login.refresh = async () => {
      throw new Error('Secrets Manager is away');
    };
    start('', { login });
    await eventually('it goes on', () => login.attempts >= 5);
    expect(lines.lines.filter(({ msg }) => msg === 'the broker login cannot be read again')).toHaveLength(1);
  });
});

it('the certificate authority is read before each connection; without a usable one the attempt fails', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'authority-'));
  const right = await makeCertificates(folder);
  const caFile = join(folder, 'given.pem');
  const peer = await amqpPeer(handshakeThen(Buffer.alloc(0)));
  const connection = start(peer.url, { caFile });
  const failsWith = async (reason: RegExp) =>
    await eventually(String(reason), () => reasons().some((each) => reason.test(each)));
  await failsWith(/^RABBITMQ_CA_FILE: expected a readable PEM file, got ENOENT/);
  await writeFile(caFile, '');
  await failsWith(/^RABBITMQ_CA_FILE: .*got no certificate in the 0 characters of .*given\.pem$/);
  await writeFile(caFile, (await readFile(right, 'utf8')).replace(/\nMI[^\n]{5}/, '\nAAAAAAA'));
  await failsWith(/^RABBITMQ_CA_FILE: expected a readable PEM file, got (?!no certificate|ENOENT)/);
  expect(peer.connections()).toBe(0);
  await copyFile(right, caFile);
  await eventually('it is open', () => connection.connected);
});

it('a certificate authority whose file cannot be opened is given up after 5 s', async () => {
  const pipe = join(await mkdtemp(join(tmpdir(), 'authority-')), 'pipe');
  execFileSync('mkfifo', [pipe]);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
  let sentence: string | undefined;
  const reading = readCertificateAuthority(pipe).catch(({ message }: Error) => {
    sentence = message;
  });
  await vi.advanceTimersByTimeAsync(4_999);
  expect(sentence).toBeUndefined();
  await vi.advanceTimersByTimeAsync(1);
  expect(sentence).toBe(`RABBITMQ_CA_FILE: expected a readable PEM file, got ${pipe} could not be read within 5 s`);
  // A writer lets the open call return.
  await writeFile(pipe, '');
  await reading;
});
