// One request to Discord's REST API over real sockets: what it sends, how much it reads of an answer, and how it fails.

import { createServer, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect, it, onTestFinished, vi } from 'vitest';
import { restRequest } from '../../../service/gateway/rest-request.ts';
import { listening } from '../../support/fake-servers.ts';

const LIMIT = 64 * 1024;
/** 50 MB. */
const BOMB = gzipSync(Buffer.alloc(50_000_000));
const { signal: never } = new AbortController();

/** Answers each connection with these bytes. @returns the address */
async function rawServer(answerTo: (socket: Socket, request: Buffer) => void): Promise<string> {
  const server = createServer((socket) => void socket.once('data', (request) => answerTo(socket, request)));
  const { port, close } = await listening(server);
  onTestFinished(close);
  return `http://127.0.0.1:${port}/`;
}

const head = (...headers: string[]) =>
  `${['HTTP/1.1 200 OK', 'content-type: application/json', ...headers].join('\r\n')}\r\n\r\n`;
const answering = (bytes: number) =>
  rawServer((socket) => void socket.end(`${head(`content-length: ${bytes}`)}${'x'.repeat(bytes)}`));
const drip = (socket: Socket) => {
  socket.write(head());
  const timer = setInterval(() => socket.write(' '), 20);
  socket.on('close', () => clearInterval(timer));
};

it('reads an answer of 64 KiB with its content type, and no longer one', async () => {
  const answer = await restRequest(await answering(LIMIT), 'token', never);
  expect([answer.contentType, answer.body.length]).toEqual(['application/json', LIMIT]);
  await expect(restRequest(await answering(LIMIT + 1), 'token', never)).rejects.toThrow('more than 64 KiB (HTTP 200)');
});

it('has ten seconds', async () => {
  const timeout = vi.spyOn(AbortSignal, 'timeout');
  onTestFinished(() => timeout.mockRestore());
  await restRequest(await answering(1), 'token', never);
  expect(timeout).toHaveBeenCalledWith(10_000);
});

it("throws the signal's reason, in the middle of a body too", async () => {
  const reason = new Error('the task drains');
  const stopping = new AbortController();
  const url = await rawServer((socket) => socket.write(head(), () => stopping.abort(reason)));
  await expect(restRequest(url, 'token', stopping.signal)).rejects.toBe(reason);
  await expect(restRequest(url, 'token', stopping.signal)).rejects.toBe(reason);
});

it.each<[string, (socket: Socket) => void, RegExp]>([
  ['a body that comes slowly', drip, /^no complete answer within 0.3 s$/],
  ['nothing', () => undefined, /^no complete answer within 0.3 s$/],
  ['half a body', (socket) => socket.end(`${head('content-length: 500')}{"url":`), /./],
  ['a reset', (socket) => socket.resetAndDestroy(), /ECONNRESET|closed/],
  ['what is no HTTP', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'), /Parse|HTTP/],
  [
    'gzip that grows',
    (socket) => socket.end(Buffer.concat([Buffer.from(head('content-encoding: gzip')), BOMB])),
    /^an answer of more than 64 KiB/,
  ],
])('a request that is answered with %s fails in a sentence, and once', async (_, answerTo, sentence) => {
  let connections = 0;
  const url = await rawServer((socket) => {
    connections += 1;
    answerTo(socket);
  });
  // Only what never ends is to reach its deadline, whatever else the machine does.
  const deadlineMs = sentence.test('no complete answer within 0.3 s') ? 300 : 30_000;
  const failed = restRequest(url, 'the-token', never, deadlineMs);
  await expect(failed).rejects.toThrow(sentence);
  await expect(failed).rejects.not.toThrow(/fetch failed|terminated|\n/);
  expect(connections).toBe(1);
});

it('names the client, follows no redirect, and does not repeat the token', async () => {
  let sent = '';
  const redirect = 'HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/?the-token\r\nconnection: close\r\n\r\n';
  const url = await rawServer((socket, request) => {
    sent = String(request);
    socket.end(`${redirect}Bot the-token`);
  });
  expect(await restRequest(url, 'the-token', never)).toEqual({
    status: 302,
    contentType: '',
    retryAfter: undefined,
    location: 'http://127.0.0.1:1/?[redacted]',
    body: 'Bot [redacted]',
  });
  expect(sent).toMatch(/^GET \/ HTTP\/1\.1\r\n/);
  expect(sent).toMatch(/\r\nuser-agent: DiscordBot \([^,]+, [\d.]+\)\r\n/i);
  expect(sent).toMatch(/\r\nauthorization: Bot the-token\r\n/i);
});
