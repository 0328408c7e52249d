// Every field of Get Gateway Bot, missing or of any other kind; every answer that is none; and how long each refusal waits.

import { describe, expect, it } from 'vitest';
import { readGatewayBotAnswer } from '../../../service/gateway/gateway-bot-answer.ts';

const API = 'https://discord.com/api';
const NOW = Date.UTC(2026, 10, 26);
const LIMIT = { total: 1_000, remaining: 42, reset_after: 14_400_000, max_concurrency: 16 };
const ANSWER = { url: 'wss://gateway.discord.gg', shards: 9, session_start_limit: LIMIT };
const MINUTE = 60_000;

interface Given {
  readonly status?: number;
  readonly contentType?: string;
  readonly retryAfter?: string;
  readonly location?: string;
  /** Text as it is, anything else as JSON. */
  readonly body?: unknown;
}

function read({ status = 200, contentType = 'application/json', retryAfter, location, body = ANSWER }: Given) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return readGatewayBotAnswer({ status, contentType, retryAfter, location, body: text }, API, NOW);
}

const reasonOf = (given: Given) => {
  const answer = read(given);
  return answer.kind === 'unusable' ? answer.reason : answer.kind;
};

describe('information', () => {
  it('is what Discord documents, and nothing else of the answer', () => {
    const { url, ...rest } = ANSWER;
    const more = { ...ANSWER, extra: 1, session_start_limit: { ...LIMIT, extra: 1 } };
    expect(read({ body: more })).toEqual({ kind: 'information', ...rest, url: `${url}/`, named: url });
    for (const contentType of ['application/json; charset=utf-8', 'text/plain', ''])
      expect(read({ contentType }).kind).toBe('information');
  });

  it.each<[string, object]>([
    [
      'the smallest numbers',
      { shards: 1, session_start_limit: { total: 0, remaining: 0, reset_after: 0, max_concurrency: 1 } },
    ],
    [
      'the largest numbers',
      {
        shards: 10_000,
        session_start_limit: {
          total: 1_000_000_000,
          remaining: 2_000,
          reset_after: 172_800_000,
          max_concurrency: 10_000,
        },
      },
    ],
  ])('has %s', (_, fields) => expect(read({ body: { ...ANSWER, ...fields } })).toMatchObject(fields));

  it.each(['wss://thief.example', 'ws://gateway.discord.gg', 'wss://u:p@gateway.discord.gg', 'nowhere', ''])(
    'has no address where the token may not be sent there: %j',
    (url) => {
      const answer = read({ body: { ...ANSWER, url } });
      expect(answer).toMatchObject({ kind: 'information', url: undefined, shards: 9 });
      expect(JSON.stringify(answer)).not.toContain('u:p');
    },
  );
});

/** Of no field of the answer. */
const STRANGE = [null, true, [], {}, 'NaN', '', Number.NaN, 1.5, -1, 1e300, 2 ** 53];

describe('an answer is unusable', () => {
  const numbers = ['total', 'remaining', 'reset_after', 'max_concurrency'] as const;
  it.each(['url', 'shards', 'session_start_limit'] as const)('without %s, or with another kind of it', (field) => {
    for (const value of [undefined, ...STRANGE]) {
      // A text is an address, if only one without use.
      if (field === 'url' && typeof value === 'string') continue;
      expect(reasonOf({ body: { ...ANSWER, [field]: value } }), String(value)).toMatch(
        new RegExp(`^${field}.*HTTP 200`),
      );
    }
  });

  it.each(numbers)('without session_start_limit.%s, or with another kind of it', (field) => {
    for (const value of [undefined, ...STRANGE, '5'])
      expect(
        reasonOf({ body: { ...ANSWER, session_start_limit: { ...LIMIT, [field]: value } } }),
        String(value),
      ).toMatch(new RegExp(`^session_start_limit\\.${field}.*HTTP 200`));
  });

  it.each<[string, object, RegExp]>([
    ['no shards', { shards: 0 }, /^shards/],
    ['too many shards', { shards: 10_001 }, /^shards/],
    ['a concurrency of 0', { session_start_limit: { ...LIMIT, max_concurrency: 0 } }, /max_concurrency/],
    [
      'a concurrency beyond the shards',
      { session_start_limit: { ...LIMIT, max_concurrency: 10_001 } },
      /max_concurrency/,
    ],
    ['more remaining than there are', { session_start_limit: { ...LIMIT, remaining: 1_001 } }, /remaining up to total/],
    ['too large a total', { session_start_limit: { ...LIMIT, total: 1_000_000_001 } }, /total/],
    ['a reset in more than two days', { session_start_limit: { ...LIMIT, reset_after: 172_800_001 } }, /reset_after/],
  ])('with %s', (_, fields, reason) => expect(reasonOf({ body: { ...ANSWER, ...fields } })).toMatch(reason));

  const page =
    '<!DOCTYPE html>\n<html><head><title>\n discord.com | 520: Web server\tis returning an unknown error</title>';
  it.each<[string, Given, string]>([
    [
      'a page of maintenance',
      { contentType: 'text/html', body: page },
      "expected JSON, got HTTP 200, a page with the title 'discord.com | 520: Web server is returning an unknown error'",
    ],
    ['null', { body: null }, 'the answer: expected object, received null (HTTP 200)'],
    ['nothing', { body: '' }, 'expected JSON, got HTTP 200 without a body'],
    ['half an answer', { body: '{"url":' }, "expected JSON, got HTTP 200 with 7 characters of 'application/json'"],
    [
      'a redirect',
      { status: 301, location: 'https://u:p@thief.example/x?y', body: '' },
      'HTTP 301, a redirect to https://thief.example, which is not followed',
    ],
    ...[300, 399].map((status): [string, Given, string] => [
      `a redirect by ${status}`,
      { status, body: '' },
      `HTTP ${status}, a redirect to no full address, which is not followed`,
    ]),
    ['no redirect by 299', { status: 299, body: '' }, 'HTTP 299 without a body'],
    [
      'a redirect to a path',
      { status: 307, location: '/login', body: '' },
      'HTTP 307, a redirect to no full address, which is not followed',
    ],
    [
      'a page with a title of 100 characters',
      { status: 500, body: `<title>${'x'.repeat(100)}</title>` },
      `HTTP 500, a page with the title '${'x'.repeat(100)}'`,
    ],
    [
      'a page with a longer one',
      { status: 500, body: `<title>${'x'.repeat(101)}</title>` },
      `HTTP 500, a page with the title '${'x'.repeat(100)}…'`,
    ],
    ["Discord's own error", { status: 404, body: { message: 'Not Found', code: 0 } }, 'HTTP 404: Not Found'],
    [
      "Discord's own error with a code",
      { status: 400, body: { message: 'no', code: 50_035 } },
      'HTTP 400: no (code 50035)',
    ],
    [
      'an error of a proxy',
      { status: 503, contentType: 'text/plain', body: 'upstream connect error' },
      "HTTP 503 with 22 characters of 'text/plain'",
    ],
  ])('that is %s', (_, given, reason) => expect(reasonOf(given)).toBe(reason));

  it('in a reason of bounded length, on one line', () => {
    for (const given of [
      { status: 500, contentType: 'text/html', body: `<title>${'x'.repeat(5_000)}</title>` },
      { status: 500, body: { message: `a\u0000b\r\n\u202e${'x'.repeat(5_000)}` } },
      { status: 302, location: `https://${'x'.repeat(5_000)}` },
      { status: 500, contentType: 'x'.repeat(5_000), body: 'x' },
    ]) {
      expect(reasonOf(given).length).toBeLessThan(180);
      expect(reasonOf(given)).toMatch(/^[\x20-\x7e…]+$/);
    }
  });
});

describe('a refusal', () => {
  const limited = { message: 'You are being rate limited.', retry_after: 0, global: false };
  const asked = (given: Given) => read({ status: 429, body: limited, ...given });

  it.each<[string, string | undefined, number]>([
    ['nothing', undefined, MINUTE],
    ['0', '0', MINUTE],
    ['a little more', '60.25', 60_250],
    ['nearly a day', '82721', 82_721_000],
    ['a week', '604800', 604_800_000],
    ['more than a timer can wait', '9999999999', 604_800_000],
    ['beyond all numbers', '9'.repeat(400), 604_800_000],
    ['spaces around', ' 90 ', 90_000],
    ['another notation', '0x1000', MINUTE],
    ['words that Node takes for a date', 'wait 9999', MINUTE],
    ['a date', 'Thu, 26 Nov 2026 00:10:00 GMT', 600_000],
    ['a date of the past', 'Thu, 26 Nov 2020 00:10:00 GMT', MINUTE],
    ['a date far away', 'Thu, 26 Nov 9999 00:10:00 GMT', 604_800_000],
    ['no date', 'Thu, soon', MINUTE],
  ])('that asks for %s (Retry-After: %s) waits %d ms', (_, retryAfter, pauseMs) => {
    expect(asked(retryAfter === undefined ? {} : { retryAfter })).toEqual({
      kind: 'refused',
      limited: true,
      pauseMs,
      reason: 'HTTP 429: You are being rate limited.',
    });
  });

  it.each<[unknown, number]>([
    [90.5, 90_500],
    ['90', MINUTE],
    [-1, MINUTE],
    [1e300, 604_800_000],
    [null, MINUTE],
  ])('that asks for it in its body alone waits as well: %j', (retry_after, pauseMs) => {
    expect(asked({ body: { ...limited, retry_after } })).toMatchObject({ pauseMs });
    expect(asked({ body: { ...limited, retry_after }, retryAfter: '100' })).toMatchObject({
      pauseMs: Math.max(pauseMs, 100_000),
    });
  });

  it("of Cloudflare, by whatever status, waits a minute; only 429 is Discord's rate limit", () => {
    const contentType = 'text/html; charset=UTF-8';
    const body = '<html><title>Access denied | discord.com used Cloudflare to restrict access</title></html>';
    for (const status of [401, 403, 429])
      expect(read({ status, contentType, body })).toEqual({
        kind: 'refused',
        limited: status === 429,
        pauseMs: MINUTE,
        reason: `HTTP ${status}, a page with the title 'Access denied | discord.com used Cloudflare to restrict access'`,
      });
  });

  it("of the token is Discord's own 401 alone", () => {
    const body = { message: '401: Unauthorized', code: 0 };
    const reason = 'Discord rejected the token (401)';
    expect(read({ status: 401, body })).toEqual({ kind: 'token rejected', pauseMs: 0, reason });
    for (const given of [{ body: 'Unauthorized' }, { body: {} }, { body: null }])
      expect(read({ status: 401, ...given }).kind).toBe('refused');
    for (const status of [400, 403, 404, 500]) expect(read({ status, body }).kind).not.toBe('token rejected');
  });
});
