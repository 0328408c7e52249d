// What the publisher reports of its lanes together, such as that a queue is stuck: on a connection whose broker answers when
// the test has it do so, by a clock of the test.

import { EventEmitter } from 'node:events';
import type { ChannelModel } from 'amqplib';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
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

  publish(_exchange: string, routingKey: string): boolean {
    channels.set(routingKey, this);
    this.tag += 1;
    return true;
  }
}

let connection: EventEmitter & { blocked: boolean };
let deadline: { written(): void; confirmed(unconfirmed: number): void; stuck: boolean };
let unconfirmed: number[];
/** By routing key, the channel that had it last: each queue has its own. */
let channels: Map<string, Channel>;
/** By the publisher, while their connection lives. */
let closed: { readonly channel: Channel; readonly at: number }[];
let publisher: Publisher;
let lines: LogLines;

beforeEach(async () => {
  vi.useFakeTimers();
  channels = new Map();
  unconfirmed = [];
  closed = [];
  connection = Object.assign(new EventEmitter(), { blocked: false });
  deadline = { written: () => undefined, confirmed: (count) => unconfirmed.push(count), stuck: false };
  lines = logLines();
  const ignore = () => undefined;
  const listener = { flowing: ignore, published: ignore, confirmed: ignore, refused: ignore };
  publisher = new Publisher({
    ...{ connection, deadline, log: lines.log },
    listener: { ...listener, dropped: ignore, returned: ignore },
  });
  await open();
});

afterEach(() => {
  publisher.close();
  vi.useRealTimers();
});

async function open(): Promise<void> {
  connection.emit('open', { createConfirmChannel: async () => new Channel() } as unknown as ChannelModel);
  await vi.advanceTimersByTimeAsync(0);
}

function publish(queue: WorkerQueue): void {
  const names = { messageId: '1', correlationId: '1', type: queue, routingKey: queue, headers: {} };
  publisher.publish({ ...names, queue, body: Buffer.alloc(1), priority: 1, timestamp: 1 }, () => undefined);
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
