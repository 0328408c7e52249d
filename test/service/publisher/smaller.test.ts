// Messages that are larger than the broker takes: what is published in their place is what a worker joins again. That it
// takes their place in the order: lane.test.ts.

import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { WholeBody } from '../../../local/whole-body.ts';
import type { Message } from '../../../service/publisher/message.ts';
import { smaller } from '../../../service/publisher/smaller.ts';

const KIB = 1024;

function message(body: Buffer, id = '250239c7-dc0d-560e-b175-9037305871d8'): Message {
  const names = { routingKey: 'dispatch.guild_create', type: 'dispatch.guild_create', correlationId: id };
  return {
    ...names,
    messageId: id,
    body,
    queue: 'events.dispatch',
    priority: 2,
    timestamp: 1,
    headers: { 'x-shard': 3 },
  };
}

/** As a worker gets it. */
const received = ({ body, headers, contentEncoding }: Message) =>
  ({ content: body, properties: { headers, contentEncoding: contentEncoding ?? 'utf-8' } }) as never;

const read = (worker: WholeBody, messages: readonly Message[]) => messages.map((each) => worker.of(received(each)));

/** Text that cannot be compressed to less than half. */
const text = (length: number) => Buffer.from(randomBytes(length / 2).toString('hex'));

it('what can be compressed is one message, with the id and headers of the whole', async () => {
  const whole = message(Buffer.from(JSON.stringify({ a: 'x'.repeat(3_000_000) })));
  const made = await smaller(whole, 1024 * KIB);
  expect(made).toEqual([{ ...whole, body: expect.any(Buffer), contentEncoding: 'gzip' }]);
  expect(read(new WholeBody(), made)).toEqual([String(whole.body)]);
});

it('the rest is in parts with ids of their own, which share what they are parts of', async () => {
  const whole = message(text(2000 * KIB));
  const made = await smaller(whole, 600 * KIB);
  expect(made.map(({ body }) => body.length).slice(0, -1)).toEqual(made.slice(1).map(() => 256 * KIB));
  expect(made.length).toBeGreaterThan(3);
  const [{ headers }] = made as [Message];
  for (const [index, part] of made.entries()) {
    expect(part).toMatchObject({
      ...whole,
      body: part.body,
      contentEncoding: 'gzip',
      messageId: `${headers['x-whole']}:${index + 1}`,
    });
    expect(part.headers).toEqual({
      ...whole.headers,
      ...{ 'x-whole': headers['x-whole'], 'x-part': index + 1, 'x-parts': made.length },
    });
  }
  expect(String(headers['x-whole'])).toMatch(RegExp(`^${whole.messageId}-[0-9a-f]{1,8}$`));
  expect(await smaller(made[0] as Message, 10)).toEqual([]);
});

it('a compressed one is put in parts when the broker turns out to take less', async () => {
  const whole = message(text(600 * KIB));
  const [once] = await smaller(whole, 512 * KIB);
  expect(once?.contentEncoding).toBe('gzip');
  const parts = await smaller(once as Message, 200 * KIB);
  expect(parts.length).toBeGreaterThan(1);
  expect(Math.max(...parts.map(({ body }) => body.length))).toBe(200 * KIB);
  expect(read(new WholeBody(), parts).at(-1)).toBe(String(whole.body));
});

it('parts of several events, of one published twice with another time, and repeated ones are told apart', async () => {
  const body = text(400 * KIB);
  const wholes = [message(body), message(Buffer.concat([body, Buffer.from('later')])), message(body, 'other')];
  const [first = [], again = [], other = []] = await Promise.all(wholes.map((each) => smaller(each, 50 * KIB)));
  const worker = new WholeBody();
  // The first owner ends before its last part; the next one begins again.
  const redelivered = first.slice(0, 2);
  const sent = [...first.slice(0, -1), ...other.slice(0, 2), ...again.slice(0, 3), ...redelivered, ...again, ...other];
  const bodies = read(worker, sent).filter((each) => each !== undefined);
  expect(bodies).toEqual([String(wholes[1]?.body), String(wholes[2]?.body)]);
  // A single one needs no joining.
  expect(worker.of(received(wholes[0] as Message))).toBe(String(body));
});
