// Get Gateway Bot over real HTTP, from a server that answers as Discord does.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { BotToken } from '../../../service/gateway/bot-token.ts';
import { GatewayInformation } from '../../../service/gateway/gateway-information.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';

const ANSWER = {
  url: 'wss://gateway.discord.gg',
  shards: 9,
  session_start_limit: { total: 1_000, remaining: 42, reset_after: 14_400_000, max_concurrency: 1 },
};

let server: Server;
let asked: { readonly path: string | undefined; readonly authorization: string | undefined }[];
/** What is answered to a token, by its value. */
let answer: (token: string) => { status: number; body: object; headers?: Record<string, string> };
let lines: LogLines;
let value: string;
let token: BotToken;
let information: GatewayInformation;

const unaborted = new AbortController().signal;

beforeEach(async () => {
  asked = [];
  answer = () => ({ status: 200, body: ANSWER });
  server = createServer((request, response) => {
    asked.push({ path: request.url, authorization: request.headers.authorization });
    const { status, body, headers } = answer(String(request.headers.authorization).replace('Bot ', ''));
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  lines = logLines();
  value = 'the-token';
  let last = '';
  const source = {
    from: 'DISCORD_BOT_TOKEN',
    read: async () => value,
    refresh: async () => {
      const changed = value !== last;
      last = value;
      return changed;
    },
  };
  token = new BotToken(source, lines.log, 5);
  const { port } = server.address() as AddressInfo;
  information = new GatewayInformation(`http://127.0.0.1:${port}/api`, token, lines.log);
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

it('asks version 10 with the token, once for all who ask within moments', async () => {
  const answers = await Promise.all(Array.from({ length: 5 }, () => information.fetch(unaborted)));
  expect(answers).toEqual(Array.from({ length: 5 }, () => ANSWER));
  expect(await information.fetch(unaborted)).toEqual(ANSWER);
  expect(asked).toEqual([{ path: '/api/v10/gateway/bot', authorization: 'Bot the-token' }]);
});

it('an answer is kept for two seconds, and is the latest after that too', async () => {
  await information.fetch(unaborted);
  vi.useFakeTimers({ toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
  vi.setSystemTime(Date.now() + 1_900);
  await information.fetch(unaborted);
  expect(asked).toHaveLength(1);
  vi.setSystemTime(Date.now() + 200);
  expect(information.latest).toEqual(ANSWER);
  await information.fetch(unaborted);
  expect(asked).toHaveLength(2);
});

it.each([
  [42, 40],
  [1, 0],
])('of %d IDENTIFYs left, %d are after two', async (remaining, left) => {
  const session_start_limit = { ...ANSWER.session_start_limit, remaining };
  answer = () => ({ status: 200, body: { ...ANSWER, session_start_limit } });
  information.identified();
  await information.fetch(unaborted);
  information.identified();
  information.identified();
  expect((await information.fetch(unaborted)).session_start_limit.remaining).toBe(left);
});

it('a refused token is rejected for all, and the next one is used', async () => {
  answer = (given) =>
    given === 'the-token'
      ? { status: 401, body: { message: '401: Unauthorized', code: 0 } }
      : { status: 200, body: ANSWER };
  const waiting = information.fetch(unaborted);
  await eventually('the token is rejected', () => token.problem !== undefined);
  expect(token.problem).toMatch(/Discord rejected the token \(401\).*DISCORD_BOT_TOKEN/);
  value = 'the-next-token';
  expect(await waiting).toEqual(ANSWER);
  expect(asked.at(-1)?.authorization).toBe('Bot the-next-token');
  expect(lines.text).not.toContain('the-token');
});

it('another refusal is a problem, retried, and no problem when the last one stops waiting', async () => {
  answer = () => ({ status: 403, body: { message: 'not now', code: 0 } });
  const stopping = new AbortController();
  const stopped = information.fetch(stopping.signal);
  await eventually('a second request', () => asked.length > 1);
  expect(information.problem).toMatch(/does not answer Get Gateway Bot: not now/);
  stopping.abort(new Error('stopped'));
  await expect(stopped).rejects.toThrow();
  await eventually('no problem', () => information.problem === undefined);
  answer = () => ({ status: 200, body: ANSWER });
  expect(await information.fetch(unaborted)).toEqual(ANSWER);
});

it('a rate limit is known for as long as Discord asks to wait, and is no problem', async () => {
  answer = () => ({
    status: 429,
    headers: { 'retry-after': '0.5' },
    body: { message: 'You are being rate limited.', retry_after: 0.5, global: false },
  });
  expect(information.limited).toBe(false);
  const waiting = information.fetch(unaborted);
  await eventually('the rate limit is known', () => information.limited);
  expect(information.problem).toBeUndefined();
  answer = () => ({ status: 200, body: ANSWER });
  expect(await waiting).toEqual(ANSWER);
  expect(information.limited).toBe(false);
});
