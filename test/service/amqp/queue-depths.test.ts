// When queues are asked for their depth, and which answers count, with a channel that answers when the test lets it.

import { EventEmitter } from 'node:events';
import type { ChannelModel } from 'amqplib';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { QueueDepths } from '../../../service/amqp/queue-depths.ts';
import { type LogLines, logLines } from '../../support/log-lines.ts';

/** By queue: after how many ms it answers, and what. */
let answers: Record<
  string,
  { readonly afterMs?: number; readonly messageCount: number; readonly consumerCount: number }
>;
let asked: string[];
let channels: { opened: number; closed: number };
let connection: EventEmitter;
let depths: QueueDepths;
let lines: LogLines;

const model = {
  createChannel: async () => {
    channels.opened += 1;
    return Object.assign(new EventEmitter(), {
      checkQueue: async (queue: string) => {
        asked.push(queue);
        const answer = answers[queue];
        if (answer === undefined) throw new Error(`NOT_FOUND - no queue '${queue}'`);
        await new Promise((resolve) => setTimeout(resolve, answer.afterMs ?? 0));
        return answer;
      },
      close: async () => {
        channels.closed += 1;
      },
    });
  },
} as unknown as ChannelModel;

const pass = async (ms: number) => void (await vi.advanceTimersByTimeAsync(ms));
const known = () => [depths.depths, depths.consumers].map((each) => Object.fromEntries(each));

beforeEach(() => {
  vi.useFakeTimers({ fakeNodeBuiltins: true });
  answers = { a: { messageCount: 3, consumerCount: 1 }, b: { messageCount: 0, consumerCount: 2 } };
  asked = [];
  channels = { opened: 0, closed: 0 };
  connection = new EventEmitter();
  lines = logLines();
  depths = new QueueDepths(connection as never, ['a', 'b'], lines.log);
});
afterEach(() => {
  depths.stop();
  vi.useRealTimers();
});

it('asks as soon as the connection is open, and every 15 s from the start until the stop', async () => {
  depths.start();
  depths.start();
  await pass(30_000);
  expect(asked).toEqual([]);
  connection.emit('open', model);
  await pass(1_000);
  expect([asked, known()]).toEqual([
    ['a', 'b'],
    [
      { a: 3, b: 0 },
      { a: 1, b: 2 },
    ],
  ]);
  answers.a = { messageCount: 4, consumerCount: 0 };
  await pass(13_900);
  expect(asked).toHaveLength(2);
  await pass(200);
  expect([asked.length, known()]).toEqual([
    4,
    [
      { a: 4, b: 0 },
      { a: 0, b: 2 },
    ],
  ]);
  await pass(15_000);
  expect([asked.length, channels]).toEqual([6, { opened: 6, closed: 6 }]);
  depths.stop();
  await pass(60_000);
  expect(asked).toHaveLength(6);
  depths.start();
  await pass(15_100);
  expect(asked).toHaveLength(8);
});

it.each([1_000, 3_000])('knows and logs nothing of a lost connection by an answer after %d ms', async (afterMs) => {
  connection.emit('open', model);
  await pass(1);
  connection.emit('lost');
  expect(known()).toEqual([{}, {}]);
  answers.b = { afterMs, messageCount: 9, consumerCount: 9 };
  connection.emit('open', model);
  await pass(10);
  connection.emit('lost');
  await pass(5_000);
  expect([known(), lines.lines]).toEqual([[{}, {}], []]);
});

it.each([
  [199, 0, 0, true],
  [200, 0, 0, false],
  [1_999, 1, 0, true],
  [1_999, 0, 1, true],
  [2_001, 1, 1, false],
])(
  'after %d ms %d messages and %d consumers are an answer: %s',
  async (afterMs, messageCount, consumerCount, counts) => {
    answers.a = { afterMs, messageCount, consumerCount };
    connection.emit('open', model);
    await pass(5_000);
    expect(known()).toEqual([
      { ...(counts && { a: messageCount }), b: 0 },
      { ...(counts && { a: consumerCount }), b: 2 },
    ]);
    expect(channels.closed).toBe(2);
  },
);

it('logs each reason once in a row for a queue that cannot be asked, and knows the others', async () => {
  delete answers.a;
  depths.start();
  connection.emit('open', model);
  await pass(31_000);
  expect(known()).toEqual([{ b: 0 }, { b: 2 }]);
  expect(lines.lines).toMatchObject([{ level: 'warn', queue: 'a', err: { message: "NOT_FOUND - no queue 'a'" } }]);
  answers = { b: { messageCount: 0, consumerCount: 2 }, a: { afterMs: 3_000, messageCount: 0, consumerCount: 0 } };
  await pass(20_000);
  expect(lines.lines.map(({ err }) => (err as Error).message).slice(1)).toEqual([
    'the broker did not answer within 2 s',
  ]);
});
