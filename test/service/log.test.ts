// What no line of the log may hold. Each secret is looked for in everything that was written.

import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createLog } from '../../service/log.ts';
import { logLines } from '../support/log-lines.ts';

const PASSWORD = 'hunter2/with"quote&more';
const TOKEN = 'MTIzNDU2Nzg5.GaBcDe.the-bots-token';

/** The message as it was logged. */
function logged(message: string, ...secrets: string[]): unknown {
  const { hide, lines, log } = logLines();
  for (const secret of secrets) hide(secret);
  log.info(message);
  return lines[0]?.msg;
}

describe('a secret that the service knows', () => {
  it.each<[string, string, string]>([
    ['a token with a line break behind it', `${TOKEN}\n`, TOKEN],
    ['a password of a JSON secret', JSON.stringify({ host: 'broker.example', password: PASSWORD }), PASSWORD],
    ['a password of an address', `amqps://u:${encodeURIComponent(PASSWORD)}@broker.example/v`, PASSWORD],
    ['a password of an address, encoded in another way', 'amqps://u:p%40ss%2fword@h/v', 'p%40ss%2fword'],
    ['a broken address', `amqps://${TOKEN}%`, `amqps://${TOKEN}%`],
  ])('%s is masked in every form', (_name, secret, value) => {
    const { hide, lines, log } = logLines();
    hide(secret);
    log.info(`as a message: ${value}`);
    log.info({ field: value, deep: { er: [{ est: value }] } }, 'as a field');
    log.error({ err: new Error(`cannot use ${value}`, { cause: new Error(value) }) }, 'as an error with its cause');
    log.warn({ json: JSON.stringify({ value }) }, 'as JSON in a text');
    log.warn({ address: `https://x/?q=${encodeURIComponent(value)}` }, 'as part of an address');
    log.debug({ [value]: 1 }, 'as a name');
    const text = JSON.stringify(lines);
    for (const form of [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value)])
      expect(text).not.toContain(form);
    expect(text.match(/\[redacted\]/g)?.length).toBeGreaterThan(6);
  });

  it.each<[string, readonly string[], string]>([
    ['also when another one replaces it', ['the-first', 'the-second'], '[redacted] [redacted] at broker.example 12345'],
    [
      'without the host beside it',
      ['{"host":"broker.example","token":"the-first"}'],
      '[redacted] the-second at broker.example 12345',
    ],
    ['with six characters, not with five', ['12345', 'the-fi'], '[redacted]rst the-second at broker.example 12345'],
  ])('is masked %s', (_, secrets, masked) => {
    expect(logged('the-first the-second at broker.example 12345', ...secrets)).toBe(masked);
  });
});

it('a line is one JSON object with level, time, the names of the process, and an error with stack and cause', async () => {
  const stream = new PassThrough();
  const { log } = createLog({ level: 'warn', base: { environment: 'test', task: 'me' } }, stream);
  log.info('below the level');
  log.error({ err: new Error('outer', { cause: new Error('inner') }), shard: 3 }, 'two\nlines');
  stream.end();
  const line = JSON.parse(String(await new Response(stream).text()));
  expect(line).toMatchObject({ level: 'error', environment: 'test', task: 'me', shard: 3, msg: 'two\nlines' });
  expect(line.err).toMatchObject({ message: 'outer', stack: expect.stringContaining('log.test.ts') });
  expect(line.err.cause).toMatchObject({ message: 'inner' });
  expect(Date.parse(line.time)).toBeGreaterThan(Date.now() - 60_000);
});
