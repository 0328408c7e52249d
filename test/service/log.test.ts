// Secrets that no line of the log may hold, in whatever form they are logged.

import { describe, expect, it } from 'vitest';
import { createLog } from '../../service/log.ts';
import { logLines } from '../support/log-lines.ts';

const PASSWORD = 'hunter2/with"quote&more';
const TOKEN = 'MTIzNDU2Nzg5.GaBcDe.the-bots-token';

describe('a secret that the service knows', () => {
  it.each<[string, string, string]>([
    ['a token', TOKEN, TOKEN],
    ['a token with a line break behind it', `${TOKEN}\n`, TOKEN],
    ['a password of a JSON secret', JSON.stringify({ host: 'broker.example', password: PASSWORD }), PASSWORD],
    ['a token of a JSON secret', `\n${JSON.stringify({ token: TOKEN })}`, TOKEN],
    ['a password of an address', `amqps://u:${encodeURIComponent(PASSWORD)}@broker.example/v`, PASSWORD],
    ['a password of an address, encoded in another way', 'amqps://u:p%40ss%2fword@h/v', 'p%40ss%2fword'],
  ])('%s is in no line, in whatever form', (_name, secret, value) => {
    const lines = logLines();
    lines.hide(secret);
    const cause = new Error(`inner: ${value}`);
    const error = new Error(`cannot connect with ${value}`, { cause });
    lines.log.info(`as a message: ${value}`);
    lines.log.info({ field: value, deep: { er: [{ est: value }] } }, 'as a field');
    lines.log.error({ err: error }, 'as an error with its cause');
    lines.log.error({ reason: error.message }, 'as a reason');
    lines.log.warn({ json: JSON.stringify({ value }) }, 'as JSON in a text');
    lines.log.warn({ address: `https://x/?q=${encodeURIComponent(value)}` }, 'as part of an address');
    lines.log.debug({ [value]: 1 }, 'as a name');
    expect(lines.lines).toHaveLength(7);
    expect(lines.text).not.toContain(value);
    expect(lines.text).not.toContain(JSON.stringify(value).slice(1, -1));
    expect(lines.text).not.toContain(encodeURIComponent(value));
    expect(lines.text).toContain('[redacted]');
  });

  it('stays hidden after another one; the rest of its fields is logged', () => {
    const lines = logLines();
    lines.hide('the-first-password');
    lines.hide(JSON.stringify({ host: 'broker.example', username: 'ingestor', password: PASSWORD }));
    // Too short to hide: every line would be garbled.
    lines.hide('a');
    lines.log.info(`the broker at broker.example refused ingestor with the-first-password and ${PASSWORD}`);
    expect(lines.lines[0]?.msg).toBe('the broker at broker.example refused ingestor with [redacted] and [redacted]');
  });
});

describe('an unknown secret', () => {
  it.each([
    ['amqps://ingestor:hunter2@broker.example:5671/discord', 'amqps://[redacted]@broker.example:5671/discord'],
    ['AMQP://ingestor:hunter2@h', 'AMQP://[redacted]@h'],
    ['https://user:hunter2@proxy.example/x and more', 'https://[redacted]@proxy.example/x and more'],
    ['amqps://ingestor:hunter2@hunter2@h/v', 'amqps://[redacted]@h/v'],
    ['(amqp://ingestor:hunter2@h), (amqp://b:hunter2@i)', '(amqp://[redacted]@h), (amqp://[redacted]@i)'],
  ])('of an address is masked: %s', (text, masked) => {
    const lines = logLines();
    lines.log.info(text);
    lines.log.error({ err: new Error(text, { cause: new Error(text) }), deep: [{ text }] }, 'x');
    expect(lines.lines[0]?.msg).toBe(masked);
    expect(lines.text).not.toContain('hunter2');
  });

  it('in a field of that name is masked, at any depth', () => {
    const lines = logLines();
    for (const name of ['token', 'password', 'interactionToken', 'interaction_token', 'botToken', 'Password']) {
      lines.log.info({ [name]: 'hunter2' }, 'x');
      lines.log.info({ a: { [name]: 'hun"ter2' } }, 'x');
      lines.log.info({ a: { b: [{ c: { [name]: 'hunter2' } }] } }, 'x');
      lines.log.info(`got ${JSON.stringify({ id: 1, [name]: 'hunter2', more: 2 })}`);
      lines.log.info({ text: JSON.stringify({ [name]: 'hun"ter2\\', more: 2 }), [name]: 'hunter2\\' }, 'x');
      lines.log.error({ err: new Error(JSON.stringify({ [name]: 'hunter2' }, null, 2)) }, 'x');
    }
    expect(lines.text).not.toMatch(/hunter2|hun.*ter2/);
    expect(lines.lines).toHaveLength(36);
    expect(lines.text).toContain('more');
  });

  it('is not suspected in other text', () => {
    const lines = logLines();
    const message = 'mail team@example.org about https://example.org/a@b, "token" is missing';
    lines.log.info({ tokens: 5, passwords: ['x'], url: 'wss://gateway.discord.gg/?v=10' }, message);
    expect(lines.lines[0]).toMatchObject({ msg: message, tokens: 5, url: 'wss://gateway.discord.gg/?v=10' });
  });
});

it('a line is one JSON object with level, time, fields, and an error with its stack and cause', () => {
  const lines = logLines();
  lines.log.warn({ shard: 3, err: new Error('outer', { cause: new Error('inner') }) }, 'two\nlines');
  expect(lines.text.trimEnd().split('\n')).toHaveLength(1);
  expect(lines.lines[0]).toMatchObject({
    level: 'warn',
    shard: 3,
    msg: 'two\nlines',
    err: { message: 'outer', stack: expect.stringContaining('log.test.ts'), cause: { message: 'inner' } },
  });
  expect(Date.parse(String(lines.lines[0]?.time))).toBeGreaterThan(Date.now() - 60_000);
});

it('each line has the fields of the process; below the level there is none', () => {
  let written = '';
  const { log } = createLog(
    { level: 'warn', base: { task: 'me' } },
    {
      write: (line: string) => {
        written += line;
      },
    },
  );
  log.info('not this one');
  log.error('this one');
  expect(JSON.parse(written)).toMatchObject({ task: 'me', msg: 'this one' });
});
