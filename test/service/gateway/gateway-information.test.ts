// Get Gateway Bot over real sockets, from servers that answer as Discord does, and as anything else may.

import { createServer } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { BotToken } from '../../../service/gateway/bot-token.ts';
import { GatewayInformation } from '../../../service/gateway/gateway-information.ts';
import { type FakeServer, listening } from '../../support/fake-servers.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';
import { turns, turnsUntil } from '../../support/turns.ts';
import { Secret } from './secret.ts';

const ANSWER = {
  url: 'wss://gateway.discord.gg/',
  shards: 9,
  session_start_limit: { total: 1_000, remaining: 42, reset_after: 14_400_000, max_concurrency: 1 },
};
const remain = (remaining: number) => ({
  ...ANSWER,
  session_start_limit: { ...ANSWER.session_start_limit, remaining },
});
const THIEF = { ...ANSWER, url: 'wss://thief.example' };
const REJECTED = { status: 401, body: { message: '401: Unauthorized', code: 0 } };
const LIMITED = { status: 429, body: { message: 'You are being rate limited.', retry_after: 0, global: false } };

interface Answer {
  readonly status: number;
  readonly body: object;
  readonly headers?: Record<string, string>;
}

let server: FakeServer;
let asked: { readonly path: string | undefined; readonly authorization: string | undefined }[];
/** What is answered to a token, by its value. */
let answer: (token: string) => Answer;
let lines: LogLines;
let secret: Secret;
let token: BotToken;
let refusedAddresses: number;
let information: GatewayInformation;

const unaborted = new AbortController().signal;

beforeEach(async () => {
  asked = [];
  answer = () => ({ status: 200, body: ANSWER });
  const http = createServer((request, response) => {
    asked.push({ path: request.url, authorization: request.headers.authorization });
    const { status, body, headers } = answer(String(request.headers.authorization).replace('Bot ', ''));
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  });
  server = await listening(http);
  lines = logLines();
  secret = new Secret('the-token');
  token = new BotToken(secret, lines.log, 5);
  refusedAddresses = 0;
  information = new GatewayInformation({
    apiUrl: `http://127.0.0.1:${server.port}/api`,
    token,
    metrics: {
      add: (name) => {
        expect(name).toBe('addressesRefused');
        refusedAddresses += 1;
      },
    },
    log: lines.log,
  });
});

afterEach(async () => {
  vi.useRealTimers();
  await server.close();
});

/** Pauses are fake, sockets are not. */
function fakePauses(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], fakeNodeBuiltins: true });
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  onTestFinished(() => void vi.restoreAllMocks());
}

/** The pause is this long: another request comes after it, and none before. */
async function asksAgainAfter(ms: number): Promise<void> {
  const before = asked.length;
  await vi.advanceTimersByTimeAsync(ms - 1);
  await turns(200);
  expect(asked).toHaveLength(before);
  await vi.advanceTimersByTimeAsync(1);
  await turnsUntil(() => asked.length > before);
}

it('asks version 10 with the token, once for all who ask within moments', async () => {
  const answers = await Promise.all(Array.from({ length: 5 }, () => information.fetch(unaborted)));
  expect(answers).toEqual(Array.from({ length: 5 }, () => ANSWER));
  expect(await information.fetch(unaborted)).toEqual(ANSWER);
  expect(asked).toEqual([{ path: '/api/v10/gateway/bot', authorization: 'Bot the-token' }]);
});

it('an answer is kept for two seconds, and is the latest after that too', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  await information.fetch(unaborted);
  vi.setSystemTime(Date.now() + 1_999);
  await information.fetch(unaborted);
  expect(asked).toHaveLength(1);
  vi.setSystemTime(Date.now() + 1);
  expect(information.latest).toEqual(ANSWER);
  await information.fetch(unaborted);
  expect(asked).toHaveLength(2);
});

it.each([
  [42, 40],
  [1, 0],
])('of %d IDENTIFYs left, %d are after two', async (remaining, left) => {
  answer = () => ({ status: 200, body: remain(remaining) });
  information.identified();
  await information.fetch(unaborted);
  information.identified();
  information.identified();
  expect((await information.fetch(unaborted)).session_start_limit.remaining).toBe(left);
});

it('a refused token is rejected for all, and the next one is used', async () => {
  answer = (given) => (given === 'the-token' ? REJECTED : { status: 200, body: ANSWER });
  const waiting = information.fetch(unaborted);
  await eventually('the token is rejected', () => token.problem !== undefined);
  expect(token.problem).toMatch(/Discord rejected the token \(401\).*arn:of:the:token/);
  expect(information.problem).toBeUndefined();
  expect(information.invalidRequests).toBe(1);
  secret.value = 'the-next-token';
  expect(await waiting).toEqual(ANSWER);
  expect(asked.at(-1)?.authorization).toBe('Bot the-next-token');
  expect(lines.text).not.toContain('the-token');
});

describe('an answer that no shard needs', () => {
  it('is fetched three minutes after the one before; a failure is reported nowhere but in the log, and not retried', async () => {
    fakePauses();
    await information.fetch(unaborted);
    for (const remaining of [7, 1_000]) {
      answer = () => ({ status: 200, body: remain(remaining) });
      await asksAgainAfter(180_000);
      await turnsUntil(() => information.latest?.session_start_limit.remaining === remaining);
    }
    answer = () => ({ status: 500, body: {} });
    for (let failed = 0; failed < 2; failed += 1) {
      await asksAgainAfter(180_000);
      await turnsUntil(() => vi.getTimerCount() > 1);
    }
    expect([information.problem, information.unansweredSince, lines.lines.length]).toEqual([undefined, undefined, 1]);
    expect(information.latest).toEqual(remain(1_000));
  });

  it.each([true, false])(
    'is asked for when a pause is over, and once with one that a shard needs (%s)',
    async (needs) => {
      fakePauses();
      await information.fetch(unaborted);
      await vi.advanceTimersByTimeAsync(2_000);
      answer = () => ({ status: 429, body: { retry_after: 300 } });
      const stopping = new AbortController();
      const waiting = information.fetch(stopping.signal).catch(() => undefined);
      await turnsUntil(() => lines.lines.length > 0);
      answer = () => ({ status: 200, body: ANSWER });
      if (!needs) stopping.abort();
      await asksAgainAfter(305_000);
      await turnsUntil(() => lines.lines.length > 1);
      await waiting;
      expect(asked).toHaveLength(3);
    },
  );

  it('is no reason to reject the token, but to read it again; the next one who needs it is', async () => {
    fakePauses();
    await information.fetch(unaborted);
    answer = () => REJECTED;
    await asksAgainAfter(180_000);
    await turnsUntil(() => lines.lines.length > 0);
    expect([token.problem, information.problem, information.invalidRequests]).toEqual([undefined, undefined, 1]);
    const msg = "cannot get the gateway's address from Discord; retrying";
    expect(lines.lines).toMatchObject([{ level: 'warn', reason: 'Discord rejected the token (401)', msg }]);
    secret.value = 'the-next-token';
    await asksAgainAfter(180_000);
    await turnsUntil(() => information.invalidRequests === 2 && token.latest === secret.value);
    await asksAgainAfter(180_000);
    expect(asked.at(-1)?.authorization).toBe('Bot the-next-token');
    await turnsUntil(() => information.invalidRequests === 3);
    void information.fetch(unaborted).catch(() => undefined);
    await asksAgainAfter(3_000);
    await turnsUntil(() => token.problem !== undefined);
  });
});

describe('an unusable answer', () => {
  it('is retried after a growing pause, logged once for each reason, and a problem until the next good one', async () => {
    fakePauses();
    answer = () => ({ status: 500, body: { message: 'not now', code: 0 } });
    const waiting = information.fetch(unaborted);
    await turnsUntil(() => information.problem !== undefined);
    expect(information.problem).toBe('no usable answer to Get Gateway Bot: HTTP 500: not now. It is asked again');
    expect(information.limited).toBe(false);
    for (const ms of [750, 1_500, 3_000, 6_000, 12_000, 22_500, 22_500]) {
      await asksAgainAfter(ms);
      await turnsUntil(() => vi.getTimerCount() > 0);
    }
    expect(lines.lines).toHaveLength(1);
    answer = () => ({ status: 503, body: {} });
    await asksAgainAfter(22_500);
    await turnsUntil(() => lines.lines.length === 2);
    answer = () => ({ status: 200, body: ANSWER });
    await vi.advanceTimersByTimeAsync(22_500);
    expect(await waiting).toEqual(ANSWER);
    expect(information.problem).toBeUndefined();
    expect(lines.lines).toMatchObject([
      { level: 'warn', failures: 1, reason: 'HTTP 500: not now' },
      { level: 'warn', failures: 9, reason: expect.stringContaining('HTTP 503') },
      { level: 'info', failures: 9, msg: 'Discord answers Get Gateway Bot again' },
    ]);
    expect(information.invalidRequests).toBe(0);
  });

  it('is no problem when the last one stops waiting; the next one who asks waits for the rest of the pause', async () => {
    fakePauses();
    answer = () => ({ status: 500, body: {} });
    const stopping = new AbortController();
    const stopped = information.fetch(stopping.signal);
    await turnsUntil(() => information.problem !== undefined);
    stopping.abort(new Error('stopped'));
    await expect(stopped).rejects.toThrow('stopped');
    expect(information.problem).toBeUndefined();
    answer = () => ({ status: 200, body: ANSWER });
    const waiting = information.fetch(unaborted);
    await asksAgainAfter(750);
    expect(await waiting).toEqual(ANSWER);
  });

  it('is none when the last one stops waiting before the answer: the next one asks at once, and nothing is logged', async () => {
    const stopping = new AbortController();
    answer = () => {
      stopping.abort(new Error('stopped'));
      return { status: 200, body: ANSWER };
    };
    await expect(information.fetch(stopping.signal)).rejects.toThrow('stopped');
    expect(await information.fetch(unaborted)).toEqual(ANSWER);
    expect([asked.length, lines.lines]).toEqual([2, []]);
  });

  it('makes Discord unanswered since the first request; a usable one ends that, and so does a refusal', async () => {
    fakePauses();
    for (const end of [{ status: 200, body: ANSWER }, LIMITED]) {
      answer = () => ({ status: 503, body: {} });
      const [askedAt, requests] = [Date.now(), asked.length];
      const waiting = information.fetch(unaborted);
      await turnsUntil(() => information.unansweredSince !== undefined);
      await asksAgainAfter(750);
      expect([information.unansweredSince, asked.length - requests]).toEqual([askedAt, 2]);
      await turnsUntil(() => vi.getTimerCount() > 0);
      answer = () => end;
      await asksAgainAfter(1_500);
      await turnsUntil(() => information.unansweredSince === undefined);
      if (end === LIMITED) break;
      await waiting;
      await vi.advanceTimersByTimeAsync(2_001);
    }
  });
});

describe('an address to which the token may not be sent', () => {
  it('is counted, reported and unusable', async () => {
    fakePauses();
    answer = () => ({ status: 200, body: THIEF });
    const waiting = information.fetch(unaborted);
    await turnsUntil(() => information.problem !== undefined);
    expect(information.problem).toContain(
      'the token may not be sent to the address that it names, wss://thief.example',
    );
    await asksAgainAfter(750);
    await turnsUntil(() => refusedAddresses === 2);
    expect(information.latest).toBeUndefined();
    expect(lines.lines.filter(({ level }) => level === 'error')).toMatchObject([{ address: 'wss://thief.example' }]);
    answer = () => ({ status: 200, body: ANSWER });
    await vi.advanceTimersByTimeAsync(1_500);
    expect(await waiting).toEqual(ANSWER);
  });

  it('is replaced by the last usable one, and the rest of the answer counts', async () => {
    await information.fetch(unaborted);
    vi.useFakeTimers({ toFake: ['Date'] });
    for (const shards of [10, 11]) {
      vi.setSystemTime(Date.now() + 3_000);
      answer = () => ({ status: 200, body: { ...THIEF, shards } });
      expect(await information.fetch(unaborted)).toEqual({ ...ANSWER, shards });
    }
    expect(refusedAddresses).toBe(2);
    expect(lines.lines).toMatchObject([{ level: 'error', address: 'wss://thief.example' }]);
  });
});

describe('a rate limit', () => {
  it.each<[string, Record<string, string>, number]>([
    ['nothing', {}, 60_000],
    ['nearly a day', { 'retry-after': '82721' }, 82_721_000],
  ])(
    'that asks for %s is kept, with a jitter, by all who ask; with one line and one sentence',
    async (_, headers, ms) => {
      fakePauses();
      answer = () => ({ ...LIMITED, headers });
      const stopping = new AbortController();
      const all = [unaborted, unaborted, stopping.signal].map((signal) => information.fetch(signal));
      void all[2]?.catch(() => undefined);
      await turnsUntil(() => information.limited);
      const end = new Date(Date.now() + ms + 5_000).toISOString();
      const reason = 'HTTP 429: You are being rate limited.';
      expect(information.problem).toBe(`Discord asks to wait until ${end}: ${reason}`);
      expect(lines.lines).toMatchObject([{ level: 'warn', until: end, failures: 1, invalidRequests: 1, reason }]);
      expect(information.invalidRequests).toBe(1);
      stopping.abort(new Error('stopped'));
      await expect(all[2]).rejects.toThrow('stopped');
      await asksAgainAfter(ms + 5_000);
      await turnsUntil(() => lines.lines.length === 2);
      expect(information.limited).toBe(true);
      answer = () => ({ status: 200, body: ANSWER });
      await asksAgainAfter(ms + 5_000);
      expect(await Promise.all(all.slice(0, 2))).toEqual([ANSWER, ANSWER]);
      expect([information.limited, information.problem]).toEqual([false, undefined]);
    },
  );
});

it('a hundred refused requests in ten minutes are followed by none, until the first is ten minutes old', async () => {
  fakePauses();
  // A secret that changes all the time.
  answer = () => {
    secret.value = `token-${asked.length}`;
    return REJECTED;
  };
  void information.fetch(unaborted).catch(() => undefined);
  const startedAt = Date.now();
  for (let turn = 0; asked.length < 100 || information.problem === undefined; turn += 1) {
    if (turn > 500_000) throw new Error('it does not happen');
    await vi.advanceTimersByTimeAsync(5);
    await turns(1);
  }
  expect(asked).toHaveLength(100);
  expect(information.invalidRequests).toBe(100);
  expect(information.problem).toMatch(
    /^Discord refuses requests, so none is sent until .*refused 100 .*bans at 10,000$/,
  );
  expect(lines.lines.filter(({ invalidRequests }) => invalidRequests !== undefined)).toMatchObject([
    { level: 'error', invalidRequests: 100, msg: 'Discord refused too many requests: none is sent until then' },
  ]);
  await vi.advanceTimersByTimeAsync(startedAt + 599_000 - Date.now());
  expect(asked).toHaveLength(100);
});
