// The filter of secrets on what an adversary can have logged: nothing of it may hold a secret, and nothing may take time.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redact } from '../../service/redact.ts';
import { LONGEST_LINE, shortLine } from '../../service/short-line.ts';
import { logLines } from '../support/log-lines.ts';

const MEGABYTE = 1_000_000;
const SECRET = 'MTIzNDU2Nzg5.GaBcDe.the-bots-token';
const MARKER = 'hunter2';

/** Text around a marker, with everything that means something to JSON or to an address. */
const around = fc
  .array(fc.constantFrom('"', '\\', '\\"', '\\\\', 'x', ' ', ':', ',', '{', '}', 'token', '"token":"', '\n', 'é'), {
    maxLength: 8,
  })
  .map((parts) => parts.join(''));
const value = fc.tuple(around, around).map(([before, behind]) => `${before}${MARKER}${behind}`);
const name = fc.constantFrom('token', 'password', 'interactionToken', 'x_token', 'PASSWORD');

describe('the value of a secret field', () => {
  it.each([0, 1, 2])('is masked, whatever it is, in JSON inside %d texts, and the rest stays', (depth) => {
    fc.assert(
      fc.property(name, value, fc.string(), (field, secret, other) => {
        fc.pre(!other.includes(MARKER) && !/token|password/i.test(other));
        // Compact, and with a space behind the colon.
        let text = JSON.stringify({ before: other, deep: [{ [field]: secret }], behind: 2 }, null, depth);
        for (let level = 0; level < depth; level += 1) text = JSON.stringify({ text });
        const clean = redact(text, []);
        expect(clean).not.toContain(MARKER);
        let read = JSON.parse(clean);
        for (let level = 0; level < depth; level += 1) read = JSON.parse(read.text);
        expect(read).toEqual({ before: other, deep: [{ [field]: '[redacted]' }], behind: 2 });
      }),
      { numRuns: 300 },
    );
  });

  it('is masked to the end when it has none', () => {
    expect(redact(`x "token":"${MARKER}`, [])).toBe('x "token":"[redacted]');
    expect(redact(`{"err":"x \\"token\\":\\"${MARKER} cut","more":1}`, [])).toBe(
      '{"err":"x \\"token\\":\\"[redacted]","more":1}',
    );
  });
});

it('no secret is suspected in other texts and fields', () => {
  const msg = 'mail team@example.org about https://example.org/a@b, "token" is missing';
  const line = JSON.stringify({ tokens: 5, url: 'wss://gateway.discord.gg/?v=10', msg });
  expect(redact(line, [])).toBe(line);
});

it.each([
  ['amqp://a:b@h, amqps://c:d@e@i/v', 'amqp://[redacted]@h, amqps://[redacted]@i/v'],
  ['1://a:b@h', '1://[redacted]@h'],
  ['a://b://c:d@h', 'a://b://[redacted]@h'],
  ['a://@h a:// b@h ://', 'a://@h a:// b@h ://'],
])('the login of an address is masked: %s', (text, masked) => {
  expect(redact(text, [])).toBe(masked);
});

it.each([
  ['User: arn:aws:sts::111122223333:assumed-role/a/b may not', 'User: [redacted] may not'],
  ['"on arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:token-AbCdEf","x"', '"on [redacted]","x"'],
  ['expected arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME', undefined],
])('an ARN is masked, an example of one is not: %s', (text, masked = text) => {
  expect(redact(text, [])).toBe(masked);
});

const SHAPES: Readonly<Record<string, string>> = {
  'ARNs with an account': 'arn:aws:s::111122223333:',
  schemes: 'a://',
  'addresses with a login': 'a://b:c@d ',
  'secret fields without an end': '"token":"',
  'twice quoted secret fields': '\\\\\\"token\\\\\\":\\\\\\"x',
  'names of secret fields': '"tokentoken',
  quotes: '"',
  backslashes: '\\',
  'almost the secret': SECRET.slice(0, -1),
  'one letter': 'a',
};

describe('a megabyte', () => {
  it.each(Object.entries(SHAPES))('of %s takes no time', (_, shape) => {
    const text = shape.repeat(Math.ceil(MEGABYTE / shape.length));
    const secrets = [SECRET, `b${'a'.repeat(70)}`];
    const { hide, log, lines, text: nothing } = logLines();
    expect(nothing).toBe('');
    for (const secret of secrets) hide(secret);
    const start = performance.now();
    for (const first of ['', '"token":"', 'a://', '"']) redact(first + text, secrets);
    log.error({ err: new Error(text), text, texts: [text] }, text);
    // Quadratic time would be hours; this bound is for a slow machine.
    expect(performance.now() - start).toBeLessThan(4_000);
    expect(lines).toHaveLength(1);
    expect(JSON.stringify(lines[0]).length).toBeLessThan(LONGEST_LINE + 100);
  });
});

describe('a long line', () => {
  it('keeps level, time, message and short fields; each long text is cut and has its length', () => {
    const { lines, log } = logLines();
    log.warn({ shard: 3, answer: 'x'.repeat(50_000), list: Array.from({ length: 99 }, () => 1) }, 'bad answer');
    expect(lines[0]).toMatchObject({ level: 'warn', msg: 'bad answer', shard: 3, time: expect.any(String) });
    expect(lines[0]?.answer).toBe(`${'x'.repeat(2_000)}… (50000 characters)`);
    expect(lines[0]?.list).toHaveLength(31);
  });

  it('is one JSON object of bounded length, whatever was logged', () => {
    const long = fc.constantFrom('"', '\\', 'x', '\0').map((sign) => sign.repeat(30_000));
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.anything({ maxDepth: 7, values: [long, fc.string()] })), (fields) => {
        const { lines, log, text } = logLines();
        log.info({ ...fields, long: 'x'.repeat(20_000), shard: 1 }, 'it happened');
        expect(lines[0]?.msg).toBe('it happened');
        expect(text.length).toBeLessThanOrEqual(LONGEST_LINE + 1);
      }),
      { numRuns: 30 },
    );
  });

  it('has no part of a secret where it is cut', () => {
    const { hide, lines, log } = logLines();
    hide(SECRET);
    for (let before = 1_900; before <= 2_000; before += 1) {
      log.info(
        {
          text: `${'x'.repeat(before)}${SECRET}${'y'.repeat(20_000)}`,
          address: `${'x'.repeat(before)} a://me:${MARKER}@h${'y'.repeat(9_999)}`,
        },
        'x',
      );
    }
    expect(JSON.stringify(lines)).not.toMatch(/MTIz|hunter/);
    expect(JSON.stringify(lines)).toContain('[redacted]');
  });

  it('with the first of the entries of a list, each short', () => {
    const list = [...Array.from({ length: 29 }, (_, id) => id), 'x'.repeat(20_000), 'left out'];
    const { short } = JSON.parse(shortLine(JSON.stringify({ short: list, msg: 'm' }), (text) => text));
    expect(short.slice(0, 29)).toEqual(list.slice(0, 29));
    expect(short.slice(29)).toEqual([`${'x'.repeat(2_000)}… (20000 characters)`, '… (31 entries)']);
  });

  it('with what is five levels deep, and a sign for what is deeper', () => {
    const line = JSON.stringify({
      a: { b: { c: { d: [1, 'e'] } } },
      x: { b: { c: { d: [{ e: 1 }, 'e', [2]] } } },
      msg: 'm',
    });
    expect(shortLine(line, (text) => text)).toBe(
      '{"a":{"b":{"c":{"d":[1,"e"]}}},"x":{"b":{"c":{"d":["…","e","…"]}}},"msg":"m"}',
    );
  });

  it('with texts of 2,000 characters, and as it is while it is not too long itself', () => {
    const { log, lines } = logLines();
    const text = 'x'.repeat(2_000);
    const without = JSON.stringify({ fields: [text, `${text}y`, text], msg: 'm' });
    expect(JSON.parse(shortLine(without, (each) => each)).fields).toEqual([text, `${text}… (2001 characters)`, text]);
    log.info({ text: '' }, 'm');
    const rest = JSON.stringify(lines[0]).length + '\n'.length;
    for (const length of [LONGEST_LINE - rest, LONGEST_LINE - rest + 1]) log.info({ text: 'x'.repeat(length) }, 'm');
    expect(lines.map((line) => String(line.text).endsWith(' characters)'))).toEqual([false, false, true]);
  });

  it('without its fields when it is one character too long', () => {
    const of = (length: number) => {
      const texts = Array.from({ length: 8 }, () => 'x'.repeat(2_000));
      const empty = JSON.stringify({ msg: 'm', texts, rest: '' }).length;
      return shortLine(JSON.stringify({ msg: 'm', texts, rest: 'x'.repeat(length - empty) }), (text) => text);
    };
    expect(of(LONGEST_LINE)).toHaveLength(LONGEST_LINE);
    expect(JSON.parse(of(LONGEST_LINE + 1))).toMatchObject({ leftOut: expect.stringContaining('the line had 16385 ') });
  });

  it('without a long secret that the cut divides', () => {
    const secret = 's'.repeat(4_097);
    const line = JSON.stringify({ text: `${'x'.repeat(1_999)}${secret}`, msg: 'm' });
    expect(JSON.parse(shortLine(line, (text) => redact(text, [secret]))).text).toMatch(/^x{1999}\[… /);
  });

  it('without its fields when they are too many', () => {
    const line = JSON.stringify({
      level: 'error',
      ...Object.fromEntries(Array.from({ length: 40 }, (_, id) => [`f${id}`, 'x'.repeat(1_999)])),
      ...{ brief: 'x'.repeat(100), long: 'x'.repeat(101), list: [], nothing: null },
      ...Object.fromEntries(Array.from({ length: 40 }, (_, id) => [`n${id}`, id])),
      msg: 'm',
    });
    expect(JSON.parse(shortLine(line, (text) => text))).toEqual({
      level: 'error',
      brief: 'x'.repeat(100),
      ...Object.fromEntries(Array.from({ length: 28 }, (_, id) => [`n${id}`, id])),
      msg: 'm',
      leftOut: `the other fields: the line had ${line.length} characters`,
    });
  });
});
