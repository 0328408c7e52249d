// The publisher on a real connection to the real broker, and the broker's faults. Whichever: nothing is lost, each message
// is settled once, and repeats keep the order.

import { randomBytes } from 'node:crypto';
import type { ChannelModel, ConsumeMessage } from 'amqplib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WholeBody } from '../../../local/whole-body.ts';
import { ConfirmDeadline } from '../../../service/amqp/confirm-deadline.ts';
import { BrokerConnection } from '../../../service/amqp/connection.ts';
import { MAX_MESSAGE_BYTES } from '../../../service/contract/limits.ts';
import { EXCHANGES } from '../../../service/contract/names.ts';
import { MOST_CLOSES } from '../../../service/publisher/lane.ts';
import type { Message } from '../../../service/publisher/message.ts';
import { Publisher } from '../../../service/publisher/publisher.ts';
import { makeVhost, manage, type Vhost } from '../../support/broker.ts';
import { type BrokerClient, brokerClient, fixedLogin, makeUser, type User } from '../../support/broker-client.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';

const QUEUE = 'everything';

let vhost: Vhost;
let user: User;
let broker: BrokerClient;
let lines: LogLines;
let connection: BrokerConnection;
let publisher: Publisher;
let counts: Record<'flowing' | 'published' | 'confirmed' | 'refused' | 'dropped' | 'returned', number>;
let settled: string[];

beforeEach(async () => {
  vhost = await makeVhost('publisher');
  user = await makeUser(vhost);
  broker = await brokerClient(vhost.url());
  lines = logLines();
  counts = { flowing: 0, published: 0, confirmed: 0, refused: 0, dropped: 0, returned: 0 };
  settled = [];
  claim = () => Promise.reject(new Error('expected confirms within 5 s'));
  connection = new BrokerConnection({ name: vhost.vhost, login: fixedLogin(user.url), log: lines.log });
  const count = (name: string) => () => {
    counts[name as keyof typeof counts] += 1;
  };
  const counting = Object.keys(counts).map((name) => [name, count(name)]);
  const listener = Object.fromEntries(counting) as Record<keyof typeof counts, () => void>;
  const deadline = new ConfirmDeadline<ChannelModel>({ connection, claim: () => claim(), log: lines.log });
  publisher = new Publisher({ connection, deadline, listener, log: lines.log });
});

/** Here a connection that confirms nothing is a defect, unless the test makes its queue the cause. */
let claim: () => Promise<void>;

afterEach(async () => {
  publisher.close();
  await connection.close();
  await broker.close();
  await user.remove();
  await vhost.remove();
});

async function declare(queueArguments: Record<string, unknown> = {}): Promise<void> {
  await broker.channel.assertExchange(EXCHANGES.events, 'topic');
  await broker.channel.assertQueue(QUEUE, { arguments: { 'x-queue-type': 'classic', ...queueArguments } });
  await broker.channel.bindQueue(QUEUE, EXCHANGES.events, '#');
}

function message(id: number, fields: Partial<Message> = {}): Message {
  return {
    routingKey: 'message.create',
    queue: 'events.guild',
    body: Buffer.from(JSON.stringify({ id })),
    priority: 1,
    messageId: String(id),
    correlationId: `c${id}`,
    type: 'message.create',
    timestamp: 1_763_900_000,
    headers: { 'x-shard': 0, 'x-sequence': id },
    ...fields,
  };
}

function publish(from: number, to: number, fields: Partial<Message> = {}): void {
  for (let id = from; id <= to; id += 1) publisher.publish(message(id, fields), () => settled.push(String(id)));
}

const ids = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => String(from + index));
const idsOf = (messages: readonly ConsumeMessage[]) => messages.map(({ properties }) => String(properties.messageId));
/** The first of each; later ones are repeats. */
const firsts = (all: readonly string[]) => [...new Set(all)];
const drained = () => publisher.drained(AbortSignal.timeout(30_000));

async function connected(): Promise<void> {
  connection.start();
  await eventually('a channel is open', () => publisher.channelOpen);
}

describe('a message', () => {
  it('that no queue takes is settled, counted, and logged with its id', async () => {
    await broker.channel.assertExchange(EXCHANGES.events, 'topic');
    await connected();
    publish(1, 1);
    await drained();
    expect(settled).toEqual(['1']);
    expect(counts).toMatchObject({ confirmed: 1, returned: 1 });
    expect(publisher.errorCount).toBe(1);
    expect(await lines.line('no queue takes this message')).toMatchObject({ eventId: '1', level: 'error' });
  });

  it.each<[string, Partial<Message>]>([
    ['whose key cannot be written', { routingKey: 'x'.repeat(300) }],
    ['whose headers cannot be written', { headers: { large: 'x'.repeat(70_000) } }],
  ])('%s is dropped and logged, and those behind it arrive', async (_name, fields) => {
    await declare();
    const read = await broker.read(QUEUE);
    await connected();
    publish(1, 3);
    publish(4, 4, fields);
    publish(5, 8);
    await drained();
    expect(settled.toSorted()).toEqual(ids(1, 8));
    await eventually('the others arrive', () => read.length >= 7);
    expect(idsOf(read)).toEqual(ids(1, 8).filter((id) => id !== '4'));
    expect(counts).toMatchObject({ published: 7, confirmed: 7, refused: 0, dropped: 1 });
    expect(await lines.line('cannot be written')).toMatchObject({ level: 'error', eventId: '4' });
    expect(connection.reconnects).toBe(0);
  });
});

describe('the largest message', () => {
  it('is as large as the broker takes: its body, whatever the properties; one byte more closes a channel', async () => {
    await declare();
    const read = await broker.read(QUEUE);
    await connected();
    publish(1, 1, { body: Buffer.alloc(MAX_MESSAGE_BYTES), headers: { large: 'x'.repeat(1_000) } });
    await drained();
    await eventually('it arrives', () => read.length === 1);
    expect(counts).toMatchObject({ confirmed: 1, refused: 0, dropped: 0 });
    const refused = new Promise<Error>((resolve) => broker.channel.once('error', resolve));
    broker.channel.publish(EXCHANGES.events, 'x', Buffer.alloc(MAX_MESSAGE_BYTES + 1));
    expect((await refused).message).toContain(`larger than configured max size ${MAX_MESSAGE_BYTES}`);
  });

  it('is compressed when it is larger, and in parts when that is not enough, in its place; those behind it wait', async () => {
    await declare();
    const read = await broker.read(QUEUE);
    await connected();
    publish(1, 3);
    publish(4, 4, { body: Buffer.alloc(5 * MAX_MESSAGE_BYTES, 'x') });
    publish(5, 5, { body: Buffer.from(randomBytes(MAX_MESSAGE_BYTES).toString('hex')) });
    publish(6, 8);
    await drained();
    expect(settled.toSorted()).toEqual(ids(1, 8));
    const parts = Array.from({ length: 5 }, (_, index) => expect.stringMatching(`^5-[0-9a-f]+:${index + 1}$`));
    await eventually('all arrive', () => read.length >= 12);
    expect(idsOf(read)).toEqual([...ids(1, 4), ...parts, ...ids(6, 8)]);
    expect(counts).toMatchObject({ published: 12, confirmed: 12, refused: 0, dropped: 0 });
    const whole = new WholeBody();
    const bodies = read.flatMap((each) => whole.of(each) ?? []);
    expect(bodies.map(({ length }) => length).slice(3, 5)).toEqual([5 * MAX_MESSAGE_BYTES, 2 * MAX_MESSAGE_BYTES]);
  });
});

describe('under load', () => {
  it('a full socket slows down and loses, repeats, shuffles nothing', async () => {
    await declare();
    const read = await broker.read(QUEUE);
    // These wait in the outbox for the connection.
    publish(1, 100);
    expect(publisher).toMatchObject({ channelOpen: false, flowing: false });
    await connected();
    publish(101, 12_000, { body: Buffer.alloc(2_000, 'x') });
    await drained();
    expect(settled).toEqual(ids(1, 12_000));
    await eventually('all arrive', () => read.length >= 12_000);
    expect(idsOf(read)).toEqual(ids(1, 12_000));
    // Each was written once: what the socket could not take at once was not taken for refused.
    expect(counts).toMatchObject({ published: 12_000, confirmed: 12_000, refused: 0 });
    expect(publisher).toMatchObject({ publishCount: 12_000, errorCount: 0, flowing: true });
  });
});

describe('a channel closed by the broker', () => {
  beforeEach(() => {
    claim = () => Promise.resolve();
  });

  it.each<[string, RegExp, Partial<Message>]>([
    ['whose property it refuses', /406.*expiration/, { expirationMs: -1 }],
    ['whose key it may not write', /403.*access to topic 'interaction.secret'/, { routingKey: 'interaction.secret' }],
  ])('again and again over a message %s: that is dropped, and the others arrive in order', async (_, cause, fields) => {
    await declare();
    const rights = { exchange: EXCHANGES.events, write: '^message', read: '' };
    await manage('PUT', `/api/topic-permissions/${encodeURIComponent(vhost.vhost)}/${user.username}`, rights);
    const read = await broker.read(QUEUE);
    await connected();
    publish(1, 20);
    publish(21, 22, { ...fields, type: 'interaction.secret' });
    publish(23, 40);
    await drained();
    expect(settled.toSorted((a, b) => Number(a) - Number(b))).toEqual(ids(1, 40));
    await eventually('the others arrive', () => firsts(idsOf(read)).length >= 38);
    expect(firsts(idsOf(read))).toEqual(ids(1, 40).filter((id) => id !== '21' && id !== '22'));
    expect(counts).toMatchObject({ confirmed: 38, dropped: 2 });
    expect(counts.refused).toBeGreaterThanOrEqual(2 * MOST_CLOSES);
    const dropped = lines.lines.filter(({ msg }) => msg.includes('over which the broker closes the channel'));
    expect(dropped).toMatchObject(
      ['21', '22'].map((eventId) => ({
        ...{ level: 'error', eventId, eventType: 'interaction.secret', closes: MOST_CLOSES },
        err: { message: expect.stringMatching(cause) },
      })),
    );
    expect(connection.reconnects).toBe(0);
  });

  it('is opened again on the same connection, and the exchange that was missing gets everything in order', async () => {
    await declare();
    await broker.channel.deleteExchange(EXCHANGES.events);
    await connected();
    publish(1, 500);
    // As often as one message may close it.
    await eventually('it is closed again and again', () => counts.refused > MOST_CLOSES);
    expect(await lines.line('the broker closed the channel')).toMatchObject({ level: 'error' });
    expect(await lines.line('apply the topology')).toMatchObject({
      err: { message: expect.stringContaining('NOT_FOUND') },
    });
    expect(settled).toEqual([]);
    await declare();
    const read = await broker.read(QUEUE);
    await drained();
    expect(settled.toSorted((a, b) => Number(a) - Number(b))).toEqual(ids(1, 500));
    await eventually('all arrive', () => firsts(idsOf(read)).length >= 500);
    expect(firsts(idsOf(read))).toEqual(ids(1, 500));
    expect(connection.reconnects).toBe(0);
    expect(publisher.errorCount).toBeGreaterThanOrEqual(1);
    // That is a refusal too, and must not be quieter than a nack.
    expect(counts.refused).toBe(publisher.errorCount);
    // Probed with one message at a time: a missing exchange costs no flood.
    expect(counts.published).toBeLessThan(500 + 20);
  });
});

it('a queue that is full, and emptied as soon as it has refused, gets everything in order', async () => {
  await declare({ 'x-queue-type': 'quorum', 'x-max-length': 2_000, 'x-overflow': 'reject-publish' });
  const filler = await broker.model.createConfirmChannel();
  const answers = Array.from({ length: 2_500 }, () => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    filler.publish(EXCHANGES.events, 'x', Buffer.from('x'), { messageId: 'filler' }, (error) =>
      resolve(error !== null),
    );
    return promise;
  });
  expect((await Promise.all(answers)).at(-1), 'it refuses').toBe(true);
  // What a new owner has replayed.
  publish(1, 5_000);
  await connected();
  await eventually('it is refused', () => counts.refused > 0);
  expect(publisher.refusing).toEqual(['events.guild']);
  const read = await broker.read(QUEUE);
  await eventually('it is taken', () => publisher.refusing.length === 0);
  expect(publisher.outbox.count, 'while others wait').toBeGreaterThan(0);
  await drained();
  await eventually('all arrive', () => firsts(idsOf(read)).length > 5_000);
  expect(firsts(idsOf(read))).toEqual(['filler', ...ids(1, 5_000)]);
  expect(counts.published, 'one message was refused').toBe(5_000 + counts.refused);
});
