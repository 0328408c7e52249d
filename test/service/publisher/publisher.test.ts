// What the publisher reports of its lanes together, such as that a queue is stuck: on a connection whose broker answers when
// the test has it do so, by a clock of the test.

import { EventEmitter } from 'node:events';
import { type ChannelModel, IllegalOperationError } from 'amqplib';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import type { WorkerQueue } from '../../../service/contract/names.ts';
import { MOST_CLOSES } from '../../../service/publisher/lane.ts';
import { Publisher, STUCK_MS } from '../../../service/publisher/publisher.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';

const GUILD = 'events.guild';
const INTERACTIONS = 'interactions';

class Channel extends EventEmitter {
  tag = 0;

  async close(): Promise<void> {
    closed.push({ channel: this, at: Date.now() });
  }

  publish(exchange: string, routingKey: string, body: Buffer, properties: object): boolean {
    channels.set(routingKey, this);
    const error = unwritable.shift();
    if (error !== undefined) throw error;
    this.tag += 1;
    written.push({ exchange, routingKey, body, properties });
    return !isFull;
  }
}

let connection: EventEmitter & { blocked: boolean };
let deadline: { written(): void; confirmed(unconfirmed: number): void; stuck: boolean };
let unconfirmed: number[];
/** By routing key, the channel that had it last: each queue has its own. */
let channels: Map<string, Channel>;
/** By the publisher, while their connection lives. */
let closed: { readonly channel: Channel; readonly at: number }[];
let written: {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Buffer;
  readonly properties: object;
}[];
/** Of the next messages that are to be written: they are not. */
let unwritable: Error[];
/** The sockets ask to wait for their `drain`. */
let isFull: boolean;
/** What the listener was called for. */
let reported: string[];
let publisher: Publisher;
let lines: LogLines;

beforeEach(async () => {
  vi.useFakeTimers({ fakeNodeBuiltins: true });
  channels = new Map();
  unconfirmed = [];
  closed = [];
  written = [];
  unwritable = [];
  isFull = false;
  reported = [];
  connection = Object.assign(new EventEmitter(), { blocked: false });
  deadline = { written: () => undefined, confirmed: (count) => unconfirmed.push(count), stuck: false };
  lines = logLines();
  const report = (what: string) => () => void reported.push(what);
  publisher = new Publisher({
    ...{ connection, deadline, log: lines.log },
    listener: {
      ...{ flowing: report('flowing'), published: report('published'), refused: report('refused') },
      ...{ dropped: report('dropped'), returned: report('returned') },
      confirmed: (type) => void reported.push(`confirmed ${type}`),
    },
  });
  await open();
  reported = [];
});

afterEach(() => {
  publisher.close();
  vi.useRealTimers();
});

async function open(): Promise<void> {
  connection.emit('open', { createConfirmChannel: async () => new Channel() } as unknown as ChannelModel);
  await vi.advanceTimersByTimeAsync(0);
}

function publish(queue: WorkerQueue, settled: () => void = () => undefined): void {
  const names = { messageId: '1', correlationId: '1', type: queue, routingKey: queue, headers: {} };
  publisher.publish({ ...names, queue, body: Buffer.alloc(1), priority: 1, timestamp: 1 }, settled);
}

function answer(queue: WorkerQueue, how: 'ack' | 'nack' = 'ack'): void {
  const channel = channels.get(queue);
  channel?.emit(how, { deliveryTag: channel.tag, multiple: true });
}

/** Seconds pass, in each of which an interaction is confirmed. */
async function pass(seconds: number, whileOthersConfirm = true): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    if (whileOthersConfirm) {
      publish(INTERACTIONS);
      answer(INTERACTIONS);
    }
    await vi.advanceTimersByTimeAsync(1_000);
  }
}

const logged = () => lines.lines.map(({ queue, seconds, msg }) => `${queue} ${seconds}: ${msg.split(' (')[0]}`);

it('reports a queue that confirms nothing for ten seconds while others are confirmed, once, and for how long it did', async () => {
  publish(GUILD);
  publish(GUILD);
  await pass(9);
  expect(publisher.stuck).toEqual([]);
  await pass(1);
  expect(publisher).toMatchObject({ stuck: [GUILD], oldestUnconfirmedMs: STUCK_MS });
  await pass(20);
  expect(publisher.nothingConfirmedMs).toBeLessThanOrEqual(1_000);
  expect(unconfirmed.at(-1), 'written, and not answered').toBe(1);
  answer(GUILD);
  answer(GUILD);
  expect(publisher).toMatchObject({ stuck: [], oldestUnconfirmedMs: 0 });
  const OTHER = 'a channel gets no confirm: opening another';
  expect(logged().filter((line) => !line.includes(OTHER))).toEqual([
    ...[`${GUILD} 10: a queue confirms nothing`, `${GUILD} 30: the queue confirms again`],
  ]);
});

it('opens another channel for a queue that confirms nothing while others are confirmed, after longer each time', async () => {
  const from = Date.now();
  publish(GUILD);
  const first = channels.get(GUILD);
  await pass(210);
  const seconds = closed.map(({ at }, index) => Math.floor((at - (closed[index - 1]?.at ?? from)) / 1_000));
  // Looked at once a second.
  expect(seconds).toEqual(
    [5, 10, 20, 40, 60, 60].map((least) => expect.toSatisfy((s) => s >= least && s <= least + 2)),
  );
  expect(closed[0]?.channel).toBe(first);
  // Only answers of the newest one count.
  first?.emit('nack', { deliveryTag: 1, multiple: true });
  first?.emit('ack', { deliveryTag: 1, multiple: true });
  first?.emit('close');
  expect([publisher.outbox.count, publisher.refusing, publisher.channelOpen]).toEqual([1, [], true]);
  answer(GUILD);
  publish(GUILD);
  await pass(4);
  expect(closed).toHaveLength(seconds.length);
  await pass(3);
  expect([closed.length, publisher.outbox.count]).toEqual([seconds.length + 1, 1]);
});

it('keeps the channel of a queue that refuses, has nothing to confirm, or of a silent broker', async () => {
  await pass(30);
  publish(GUILD);
  await pass(60, false);
  for (let times = 0; times < 8; times += 1) {
    answer(GUILD, 'nack');
    await pass(4);
  }
  expect(closed).toEqual([]);
});

it('does not take a silent broker for a stuck queue, until it confirms a claim', async () => {
  publish(GUILD);
  await pass(60, false);
  expect(publisher).toMatchObject({ stuck: [], nothingConfirmedMs: 60_000 });
  deadline.stuck = true;
  await pass(1, false);
  expect(publisher.stuck).toEqual([GUILD]);
});

it('does not report a queue as stuck that confirms what waited, or waits for the connection or for a blocked broker', async () => {
  for (let count = 0; count < 100; count += 1) publish(GUILD);
  for (let deliveryTag = 1; deliveryTag <= 20; deliveryTag += 1) {
    await pass(1);
    channels.get(GUILD)?.emit('ack', { deliveryTag, multiple: false });
  }
  expect([publisher.oldestUnconfirmedMs, ...logged()]).toEqual([20_000]);
  connection.emit('lost', undefined);
  publish(GUILD);
  await pass(30, false);
  await open();
  await pass(9);
  connection.blocked = true;
  await pass(30, false);
  connection.blocked = false;
  connection.emit('unblocked');
  const replaced = closed.length;
  await pass(4);
  expect(closed, 'the channel is kept while the broker is blocked').toHaveLength(replaced);
  await pass(5);
  expect(publisher.stuck).toEqual([]);
  await pass(1);
  expect(publisher.stuck).toEqual([GUILD]);
});

it('reports no queue as stuck before ten seconds are over, and replaces no channel before five are', async () => {
  // Between two looks, which are each second.
  await vi.advanceTimersByTimeAsync(1);
  publish(GUILD);
  await vi.advanceTimersByTimeAsync(999);
  await pass(5);
  expect(closed).toEqual([]);
  await pass(4);
  expect([publisher.stuck, closed.length]).toEqual([[], 1]);
  await pass(1);
  expect(publisher.stuck).toEqual([GUILD]);
});

it('reports a queue that refuses, and none of which everything was dropped', async () => {
  publish(GUILD);
  answer(GUILD, 'nack');
  expect(await lines.line('refused a message')).toMatchObject({ queue: GUILD, refusals: 1 });
  expect(publisher).toMatchObject({ flowing: true, refusing: [GUILD], stuck: [] });
  await pass(10);
  expect(publisher).toMatchObject({ refusing: [GUILD], stuck: [GUILD] });
  expect(publisher.dropOutbox(({ queue }) => queue === GUILD)).toBe(1);
  await pass(1);
  expect(publisher).toMatchObject({ stuck: [], refusing: [], outbox: { count: 0, bytes: 0 } });
});

it('has the deadline watch a connection on which messages wait and no channel opens, until nothing waits', async () => {
  let written = 0;
  deadline.written = () => {
    written += 1;
  };
  const opensNone = { createConfirmChannel: () => new Promise(() => undefined) } as unknown as ChannelModel;
  connection.emit('lost', undefined);
  connection.emit('open', opensNone);
  expect(written).toBe(0);
  connection.emit('lost', undefined);
  publish(GUILD);
  connection.emit('open', opensNone);
  expect([written, unconfirmed]).toEqual([1, []]);
  publisher.dropOutbox(() => true);
  expect(unconfirmed).toEqual([0]);
});

it('opens its channels on one connection at a time', async () => {
  await expect(open()).rejects.toThrow('expected a lane to be closed before it opens on a connection');
});

it('the wait for confirms ends when there are none, when the outbox is dropped, and at the deadline', async () => {
  await publisher.drained(AbortSignal.timeout(60_000));
  publish(GUILD);
  const waiting = publisher.drained(AbortSignal.timeout(60_000));
  publisher.dropOutbox(() => true);
  await waiting;
  publish(GUILD);
  await publisher.drained(AbortSignal.timeout(50));
  expect(publisher.outbox.count).toBe(1);
});

it('is drained when everything is confirmed, also after it was empty before', async () => {
  publish(GUILD);
  answer(GUILD);
  publish(GUILD);
  let drained = false;
  const draining = publisher.drained(AbortSignal.timeout(60_000)).then(() => {
    drained = true;
  });
  await vi.advanceTimersByTimeAsync(0);
  expect(drained).toBe(false);
  answer(GUILD);
  await draining;
  expect(publisher.outbox.count).toBe(0);
});

it('has its channels when none is missing, and flows while any of them does', async () => {
  publish(GUILD);
  expect(publisher).toMatchObject({ channelOpen: true, flowing: true });
  channels.get(GUILD)?.emit('close');
  expect(publisher).toMatchObject({ channelOpen: false, flowing: true });
  connection.emit('lost', undefined);
  expect(publisher).toMatchObject({ channelOpen: false, flowing: false });
});

it.each([
  // The first close teaches the limit.
  ['of a size within the limit that it names', 'message size 1 is larger than configured max size 9', MOST_CLOSES + 1],
  ['for a reason that is not known', 'something else', MOST_CLOSES],
])('gives up a message over which the broker closes each channel, %s', async (_, text, closes) => {
  vi.useRealTimers();
  publish(GUILD);
  const closed = new Set<Channel>();
  for (let close = 1; close <= closes; close += 1) {
    expect(publisher.outbox.count).toBe(1);
    const channel = await eventually('it is written to another channel', () => {
      const last = channels.get(GUILD);
      return last !== undefined && !closed.has(last) && last;
    });
    closed.add(channel);
    channel.emit('error', Object.assign(new Error(`PRECONDITION_FAILED - ${text}`), { code: 406 }));
    channel.emit('close');
  }
  expect(publisher.outbox.count).toBe(0);
  const expected = { eventId: '1', eventType: GUILD, closes: MOST_CLOSES };
  expect(await lines.line('over which the broker closes the channel')).toMatchObject(expected);
});

it('keeps a message that it can make smaller, however often the connection is lost before that', async () => {
  vi.useRealTimers();
  const text = 'message size 700000 is larger than configured max size 524288';
  const names = { messageId: '1', correlationId: '1', type: GUILD, routingKey: GUILD, headers: {} };
  const body = Buffer.alloc(700_000);
  publisher.publish({ ...names, queue: GUILD, body, priority: 1, timestamp: 1 }, () => undefined);
  for (let loss = 0; loss <= MOST_CLOSES; loss += 1) {
    const channel = channels.get(GUILD);
    channel?.emit('error', Object.assign(new Error(`PRECONDITION_FAILED - ${text}`), { code: 406 }));
    channel?.emit('close');
    connection.emit('lost', undefined);
    connection.emit('open', { createConfirmChannel: async () => new Channel() } as unknown as ChannelModel);
    await eventually('it is written again', () => channels.get(GUILD) !== channel);
  }
  expect(publisher.outbox.count).toBe(1);
});

it('writes a message to the exchange of events, persistent and mandatory, with all of its properties', () => {
  const ids = { messageId: 'event', correlationId: 'cause', type: 'guild.join', routingKey: 'guild.join.7' };
  const rest = { priority: 4, expirationMs: 3_000, timestamp: 1_763_900_000, headers: { 'x-shard': 3 } };
  const body = Buffer.from('{}');
  const message = { ...ids, ...rest, queue: GUILD, body } as const;
  publisher.publish(message, () => undefined);
  const { expirationMs: expiration, ...same } = rest;
  const { routingKey, ...properties } = { ...ids, ...same, expiration };
  const always = { persistent: true, mandatory: true, appId: 'discord-gateway-ingestor' };
  const json = { contentType: 'application/json', contentEncoding: 'utf-8' };
  expect(written).toEqual([
    { exchange: 'discord.events', routingKey, body, properties: { ...properties, ...always, ...json } },
  ]);
  channels.get(routingKey)?.emit('ack', { deliveryTag: 1, multiple: false });
  publisher.publish({ ...message, contentEncoding: 'gzip' }, () => undefined);
  expect(written[1]?.properties).toMatchObject({ contentType: 'application/json', contentEncoding: 'gzip' });
});

it('counts what is published, confirmed, refused, returned and dropped', async () => {
  const settled: string[] = [];
  publish(GUILD, () => settled.push('confirmed'));
  answer(GUILD);
  expect([reported, settled]).toEqual([['published', `confirmed ${GUILD}`], ['confirmed']]);
  expect(publisher).toMatchObject({ publishCount: 1, errorCount: 0, outbox: { count: 0, bytes: 0 } });
  publish(GUILD);
  expect(publisher.outbox).toEqual({ count: 1, bytes: 513 });
  const channel = channels.get(GUILD);
  channel?.emit('return', { fields: { routingKey: GUILD }, properties: { messageId: '1' } });
  channel?.emit('nack', { deliveryTag: 2, multiple: false });
  expect(publisher).toMatchObject({ publishCount: 1, errorCount: 2 });
  // Written again after the pause.
  await vi.advanceTimersByTimeAsync(1_000);
  answer(GUILD);
  unwritable = [new Error('not a message')];
  publish(GUILD, () => settled.push('dropped'));
  expect(reported.slice(2)).toEqual([
    ...['published', 'returned', 'refused', 'published', 'flowing', `confirmed ${GUILD}`, 'dropped'],
  ]);
  expect(settled).toEqual(['confirmed', 'dropped']);
  expect(publisher).toMatchObject({ publishCount: 2, errorCount: 3, outbox: { count: 0, bytes: 0 } });
  expect(lines.lines.filter(({ level }) => level === 'error')).toMatchObject([
    { queue: GUILD, eventId: '1', routingKey: GUILD },
    { queue: GUILD, eventId: '1', eventType: GUILD, bytes: 1 },
  ]);
});

it('writes to a socket that is full only after its drain, and behind a message that could not be written', () => {
  publish(GUILD);
  answer(GUILD);
  isFull = true;
  for (let times = 0; times < 3; times += 1) publish(GUILD);
  expect(written).toHaveLength(2);
  channels.get(GUILD)?.emit('drain');
  expect(written).toHaveLength(3);
  answer(GUILD);
  expect(written, 'an answer is no drain').toHaveLength(3);
  isFull = false;
  unwritable = [new Error('not a message')];
  publish(GUILD);
  channels.get(GUILD)?.emit('drain');
  expect([written.length, publisher.outbox.count]).toEqual([4, 1]);
});

it('keeps a message that a closed channel cannot write, and writes it to the next one', async () => {
  const first = channels.get(GUILD);
  unwritable = [new IllegalOperationError('Channel closed')];
  publish(GUILD);
  expect([publisher.outbox.count, publisher.channelOpen, written.length]).toEqual([1, false, 0]);
  expect(publisher.errorCount).toBe(0);
  await vi.advanceTimersByTimeAsync(499);
  expect(publisher.channelOpen).toBe(false);
  await vi.advanceTimersByTimeAsync(501);
  expect([publisher.channelOpen, written.length]).toEqual([true, 1]);
  expect(channels.get(GUILD)).not.toBe(first);
  expect(lines.lines).toMatchObject([{ level: 'warn', queue: GUILD, err: { message: 'Channel closed' } }]);
});

it('opens a channel again after a growing pause, until it is closed', async () => {
  onTestFinished(() => void vi.restoreAllMocks());
  vi.spyOn(Math, 'random').mockReturnValue(1);
  connection.emit('lost', undefined);
  let opened = 0;
  const createConfirmChannel = async () => {
    opened += 1;
    throw new Error('no channel');
  };
  connection.emit('open', { createConfirmChannel } as unknown as ChannelModel);
  await vi.advanceTimersByTimeAsync(0);
  const lanes = opened;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(opened).toBe(2 * lanes);
  await vi.advanceTimersByTimeAsync(1_999);
  expect(opened).toBe(2 * lanes);
  await vi.advanceTimersByTimeAsync(1);
  expect(opened).toBe(3 * lanes);
  publisher.close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(opened).toBe(3 * lanes);
  expect(lines.lines.slice(-lanes)).toMatchObject(Array(lanes).fill({ failures: 3, err: { message: 'no channel' } }));
});

it.each<[string, number, string, times: number]>([
  ['a missing exchange', 404, "NOT_FOUND - no exchange 'discord.events' in vhost '/'", 9],
  ['a missing permission', 403, "ACCESS_REFUSED - write access to exchange 'discord.events' refused", 9],
  ['a missing permission for its key', 403, "ACCESS_REFUSED - write access to topic 'x' in exchange refused", 3],
])(
  'keeps a message where the broker closes the channel over %s (%d %s), for %d closes',
  async (_, code, text, times) => {
    publish(GUILD);
    for (let close = 1; close <= times; close += 1) {
      expect(publisher.outbox.count).toBe(1);
      channels.get(GUILD)?.emit('error', Object.assign(new Error(text), { code }));
      channels.get(GUILD)?.emit('close');
      expect(publisher.refusing).toEqual(times === 3 && close === 3 ? [] : close === 1 ? [] : [GUILD]);
      await vi.advanceTimersByTimeAsync(30_000);
    }
    expect(publisher.outbox.count).toBe(times === 3 ? 0 : 1);
  },
);
