// Clients that are not honest, over raw sockets: whatever they send, keep open or do not read, the server's memory and
// connections are bounded, nothing ends, and the next honest client has its answer.

import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, connect, Socket } from 'node:net';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { PATHS } from '../../service/contract/names.ts';
import { Pace } from '../../service/http/pace.ts';
import { guarded } from '../../service/http/request-guard.ts';
import { listen } from '../../service/http-server.ts';
import { HEALTHY } from '../support/health-snapshot.ts';
import { eventually, logLines } from '../support/log-lines.ts';

const lines = logLines();
const sockets: Socket[] = [];
let collected: number;
let page: () => { title: string; body: string };
let server: Awaited<ReturnType<typeof listen>>;

function start() {
  const text = async () => {
    collected += 1;
    return `scrape ${collected}\n`;
  };
  const metrics = { contentType: 'text/plain', text };
  const sources = { lastAttemptAt: Date.now, snapshot: () => HEALTHY, metrics, page: () => page() };
  return listen({ port: 0, host: '127.0.0.1' }, sources, lines.log);
}

beforeEach(async () => {
  collected = 0;
  page = () => ({ title: 'a title', body: 'the\n\nfleet' });
  server = await start();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await server.close();
  expect(lines.lines).toEqual([]);
});

async function open(port = server.port): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
}

/** Everything that is answered to these bytes, until the server closes. */
async function answerTo(bytes: string | Buffer, port = server.port): Promise<string> {
  const socket = await open(port);
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1');
  });
  socket.write(bytes);
  await new Promise((resolve) => socket.once('close', resolve));
  return answer;
}

const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 ([2-5]\d\d) /m.exec(answer)?.[1] ?? 0);
const get = (path: string, host = 'localhost') => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
const live = async () => statusOf(await answerTo(get(PATHS.live)));

describe('a connection carries one request', () => {
  it.each(['HTTP/1.1', 'HTTP/1.0'])('of a thousand that are pipelined by %s the first is answered', async (version) => {
    let asked = 0;
    const answer = (_: unknown, response: ServerResponse) => {
      asked += 1;
      setImmediate(() => response.end('answered'));
    };
    const { close, server: listener } = guarded(answer);
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const request = `GET / ${version}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n`;
    const text = await answerTo(request.repeat(1_000), (listener.address() as AddressInfo).port);
    // None, where the reset of the connection overtakes it.
    expect(text.split('answered').length - 1).toBeLessThanOrEqual(1);
    expect(asked).toBe(1);
    await close();
  });

  it('whose client sends no more is answered', async () => {
    const socket = await open();
    socket.end(get(PATHS.metrics));
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
  });

  it.each<[string, number, string | Buffer]>([
    ['HTTP/1.0, without a host', 200, 'GET /live HTTP/1.0\r\n\r\n'],
    ['empty lines before it', 200, `\r\n\r\n\n${get(PATHS.live)}`],
    ['HTTP/1.1 without a host', 400, 'GET /live HTTP/1.1\r\n\r\n'],
    [
      'a body that is announced and does not come',
      404,
      'POST /live HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n',
    ],
    [
      'chunks without an end',
      404,
      `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${'5\r\nhello\r\n'.repeat(9_999)}`,
    ],
    ['a proxy request', 0, 'CONNECT discord.com:443 HTTP/1.1\r\nHost: discord.com\r\n\r\n'],
    ['no request', 400, '\0\0\0\r\n\r\n'],
    ['a header of 7,000 bytes', 200, `GET /live HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(7_000)}\r\n\r\n`],
    ['a large header', 431, `GET /live HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(9_000)}\r\n\r\n`],
    ['a header without an end', 431, `GET /live HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(100_000)}`],
    ['many headers', 431, `GET /live HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(2_000)}\r\n`],
  ])('%s: %d, and closed', async (_, status, bytes) => {
    expect(statusOf(await answerTo(bytes))).toBe(status);
    expect(await live()).toBe(200);
  });

  it('that comes byte by byte is answered', async () => {
    const socket = await open();
    socket.setNoDelay();
    for (const byte of get(PATHS.live)) {
      socket.write(byte);
      await sleep(0);
    }
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe('connections', () => {
  it('are a hundred at most: the oldest makes room, so that /live is answered while others hold all', async () => {
    const held = await Promise.all(Array.from({ length: 150 }, () => open()));
    let closed = 0;
    for (const socket of held) socket.once('close', () => (closed += 1));
    for (const socket of held) socket.write('GET /live HTTP/1.1\r\n');
    expect(await live()).toBe(200);
    await eventually('the oldest are closed', () => closed >= 51);
    expect([closed, held[0]?.destroyed, held.at(-1)?.destroyed]).toEqual([51, true, false]);
  });

  describe('without a network', () => {
    const guard = (...bounds: Parameters<typeof guarded>[1][]) => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      onTestFinished(() => void vi.useRealTimers());
      const { close, hold, server: listener } = guarded(() => undefined, ...bounds);
      const connected = (count: number) =>
        Array.from({ length: count }, () => {
          const socket = new Socket();
          listener.emit('connection', socket);
          return socket;
        });
      return { close, hold, connected };
    };
    const closed = (sockets: readonly Socket[]) => sockets.map(({ destroyed }) => destroyed);

    it('that come in one moment are as few', async () => {
      const { connected, close } = guard({ connections: 5, longestMs: 9_999 });
      expect(closed(connected(20))).toEqual([...Array(15).fill(true), ...Array(5).fill(false)]);
      await close();
    });

    it('end after 5 s, but for those that are held', () => {
      const { connected, hold } = guard();
      const [short, long] = connected(2) as [Socket, Socket];
      hold(long);
      vi.advanceTimersByTime(4_999);
      expect(closed([short, long])).toEqual([false, false]);
      vi.advanceTimersByTime(1);
      expect(closed([short, long])).toEqual([true, false]);
      long.destroy();
    });

    it('that have ended leave no timer, and make room for others', async () => {
      const { connected, hold, close } = guard({ connections: 2, longestMs: 9_999, held: 2 });
      const all = connected(2);
      all[1]?.destroy();
      await once(all[1] as Socket, 'close');
      expect(vi.getTimerCount()).toBe(1);
      all.push(...connected(1));
      expect(closed(all)).toEqual([false, true, false]);
      // The same among those that are held: not one that has ended, which is not held either.
      for (const socket of all) hold(socket);
      all[0]?.destroy();
      await once(all[0] as Socket, 'close');
      all.push(...connected(1));
      for (const socket of all.slice(3)) hold(socket);
      expect(closed(all)).toEqual([true, true, false, false]);
      all.push(...connected(1));
      for (const socket of all.slice(4)) hold(socket);
      expect(closed(all)).toEqual([true, true, true, false, false]);
      all.push(...connected(1));
      await close();
      expect(closed(all)).toEqual(Array(6).fill(true));
    });
  });

  it.each<[string, string, (socket: Socket) => void]>([
    ['that sends nothing', '', () => undefined],
    ['that sends a request slowly', 'GET / HTTP/1.1\r\n', (socket) => socket.write('A: b\r\n')],
    ['that does not read its answer', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', (socket) => socket.pause()],
    [
      'that sends and does not read',
      'POST / HTTP/1.1\r\nHost: x\r\n\r\n',
      (socket) => socket.pause().write('x'.repeat(9_999)),
    ],
  ])('one %s is closed within the time', async (_, first, again) => {
    // An answer that no buffer of the system takes.
    const answer = (_: unknown, response: ServerResponse) => response.end(Buffer.alloc(64 * 1024 * 1024));
    const { close, server: listener } = guarded(answer, { connections: 5, longestMs: 300 });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const count = async () => await new Promise((resolve) => listener.getConnections((_error, open) => resolve(open)));
    const socket = await open((listener.address() as AddressInfo).port);
    socket.write(first);
    const repeat = setInterval(() => again(socket), 20);
    await eventually('it is open', async () => (await count()) === 1);
    const start = performance.now();
    await eventually('it is closed', async () => (await count()) === 0);
    expect(performance.now() - start).toBeLessThan(3_000);
    clearInterval(repeat);
    await close();
  });
});

describe('streams of the status page', () => {
  const stream = async () => {
    const socket = await open();
    let read = '';
    socket.on('data', (chunk) => {
      read += chunk.toString();
    });
    socket.write(get(PATHS.events));
    await eventually('it has begun', () => read.includes('retry: '));
    return { socket, text: () => read };
  };

  it('outlast what other answers may take, and get the page again and again', async () => {
    const { socket, text } = await stream();
    expect(text()).toMatch(/^HTTP\/1\.1 200 OK\r\n.*content-type: text\/event-stream\r\n/is);
    const events = () => text().split('data: {"title":"a title","body":"the\\n\\nfleet"}\n\n').length - 1;
    await eventually('longer than 5 s', () => events() >= 3);
    expect(text()).toContain('\nretry: 2000\n\n');
    expect(socket.destroyed).toBe(false);
  });

  it('are twenty at most, beside other connections: the oldest makes room', async () => {
    const all: Awaited<ReturnType<typeof stream>>[] = [];
    for (let index = 0; index < 22; index += 1) all.push(await stream());
    await eventually('two are closed', () => all.filter(({ socket }) => socket.destroyed).length >= 2);
    expect(all.map(({ socket }) => socket.destroyed).indexOf(false)).toBe(2);
    expect(await live()).toBe(200);
  });

  it('one that is not read is ended', async () => {
    // Three are more than the buffers of both systems take.
    const bytes = 6 * 1024 * 1024;
    page = () => ({ title: '', body: 'x'.repeat(bytes) });
    const slow = await stream();
    slow.socket.pause();
    let other = await stream();
    await eventually('four pages', async () => {
      // A slow machine may not have read one page when the next is written.
      if (other.socket.destroyed) other = await stream();
      return other.text().length > 4 * bytes;
    });
    slow.socket.resume();
    await once(slow.socket, 'close');
  });

  it('end when the page cannot be rendered, which is logged once', async () => {
    page = () => {
      throw new Error('a defect');
    };
    for (let times = 0; times < 2; times += 1) await once((await stream()).socket, 'close');
    expect(lines.lines.splice(0)).toMatchObject([{ level: 'error', msg: 'cannot render the status page' }]);
  });

  it('end with the server', async () => {
    const { socket } = await stream();
    await Promise.all([server.close(), once(socket, 'close')]);
    await expect(open()).rejects.toThrow('ECONNREFUSED');
    server = await start();
  });

  it('answer to no other name, and to GET only', async () => {
    expect(statusOf(await answerTo(get(PATHS.events, 'evil.example')))).toBe(421);
    expect(statusOf(await answerTo(get(PATHS.events).replace('GET', 'HEAD')))).toBe(404);
  });
});

describe('answers', () => {
  it('many scrapes at once collect the metrics ten times a second at most, and each later one again', async () => {
    const startedAt = performance.now();
    const answers = await Promise.all(Array.from({ length: 90 }, () => answerTo(get(PATHS.metrics))));
    expect(answers.every((answer) => statusOf(answer) === 200)).toBe(true);
    expect(collected).toBeLessThanOrEqual(1 + (performance.now() - startedAt) / 100);
    const before = collected;
    await eventually('a newer one', async () =>
      (await answerTo(get(PATHS.metrics))).includes(`scrape ${before + 1}\n`),
    );
  });

  it('wait for their turn: a burst at once, then one in each spacing; rest gives the burst back', () => {
    const pace = new Pace({ spacingMs: 5, burst: 3 });
    const at = (now: number) => Array.from({ length: 6 }, () => pace.turn(now));
    expect(at(1_000)).toEqual([0, 0, 0, 0, 5, 10]);
    expect(pace.turn(1_015)).toBe(0);
    expect(at(9_000)).toEqual([0, 0, 0, 0, 5, 10]);
  });

  it('tell a browser to load nothing, to take nothing for what it is not, and to frame nothing', async () => {
    for (const path of [PATHS.root, PATHS.health, PATHS.live, PATHS.metrics, '/nothing']) {
      const answer = (await answerTo(get(path).replace('\r\n\r\n', '\r\nAccept: text/html\r\n\r\n'))).toLowerCase();
      expect(answer).toMatch(
        /^content-security-policy: default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; connect-src 'self'; .*frame-ancestors 'none'\r$/m,
      );
      expect(answer).toContain('\r\nx-content-type-options: nosniff\r\n');
      expect(answer).toContain('\r\nx-frame-options: deny\r\n');
      expect(answer).toContain('\r\nconnection: close\r\n');
      expect(answer).toContain('\r\nreferrer-policy: no-referrer\r\n');
      expect(answer).not.toContain('\r\naccess-control');
    }
  });
});

describe('the name that is asked for (a web page may point its own name at this address)', () => {
  it.each<[number, string]>([
    [200, '127.0.0.1:8080'],
    [200, '[::1]:8080'],
    [200, 'localhost:8080'],
    [200, 'ingestor:8080'],
    [200, hostname()],
    [421, 'evil.example:8080'],
    [421, '127.0.0.1.evil.example'],
    [421, 'evil.example@127.0.0.1'],
    [421, '[::1].evil.example'],
    [421, ''],
  ])('%d for %s, page and JSON; liveness and metrics to any', async (status, host) => {
    for (const path of [PATHS.root, PATHS.health]) expect(statusOf(await answerTo(get(path, host)))).toBe(status);
    for (const path of [PATHS.live, PATHS.metrics]) expect(statusOf(await answerTo(get(path, host)))).toBe(200);
  });

  it('is refused with what to do', async () => {
    const answer = await answerTo(get(PATHS.health, 'evil.example'));
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toEqual({
      error: expect.stringMatching(/^Host: expected .*'evil\.example'/),
    });
    expect(answer).not.toContain('status');
  });
});
