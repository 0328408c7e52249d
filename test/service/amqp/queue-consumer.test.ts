// What consumes commands, with a broker whose answers come late.

import { EventEmitter } from 'node:events';
import type { ChannelModel } from 'amqplib';
import { expect, it } from 'vitest';
import { QueueConsumer } from '../../../service/amqp/queue-consumer.ts';
import { eventually, logLines } from '../../support/log-lines.ts';

class FakeChannel extends EventEmitter {
  readonly #answers: Readonly<Record<string, Promise<void>>>;
  closed = false;

  constructor(answers: Readonly<Record<string, Promise<void>>>) {
    super();
    this.#answers = answers;
  }

  async prefetch(): Promise<void> {}

  async consume(queue: string): Promise<void> {
    await this.#answers[queue];
  }

  async waitForConfirms(): Promise<void> {}

  async close(): Promise<void> {
    this.closed = true;
    this.emit('close');
  }
}

function consumerOf(answers: Readonly<Record<string, Promise<void>>> = {}) {
  const connection = new EventEmitter();
  const channels: FakeChannel[] = [];
  const createConfirmChannel = async () => {
    const channel = new FakeChannel(answers);
    channels.push(channel);
    return channel;
  };
  const options = { connection: connection as never, prefetch: 1, what: 'commands of workers', log: logLines().log };
  const consumer = new QueueConsumer(options);
  connection.emit('open', { createConfirmChannel } as unknown as ChannelModel);
  const start = (queue: string) => consumer.start({ queue, onMessage: () => undefined, onLost: () => undefined });
  return { connection, consumer, channels, start };
}

it('the late end of a consumer that was stopped leaves the next one alone', async () => {
  const late = Promise.withResolvers<void>();
  const { consumer, channels, start } = consumerOf({ former: late.promise });
  start('former');
  await eventually('the first is asked for', () => channels.length === 1);
  await consumer.stop();
  start('next');
  await eventually('the next has its queue', () => consumer.consuming);
  late.resolve();
  await eventually('the first is closed', () => channels[0]?.closed === true);
  expect(consumer.consuming).toBe(true);
  await consumer.stop();
  expect(channels.map(({ closed }) => closed)).toEqual([true, true]);
});

it('reports a lost connection until messages are delivered again, and only while they should be', async () => {
  const { connection, consumer, channels, start } = consumerOf();
  const model = { createConfirmChannel: async () => new FakeChannel({}) };
  start('commands');
  await eventually('it consumes', () => consumer.consuming);
  connection.emit('lost', new Error('a fault'));
  channels[0]?.emit('close');
  expect(consumer.problem).toMatch(/^no commands of workers are taken.*: a fault$/);
  connection.emit('open', model);
  await eventually('it consumes again', () => consumer.consuming && consumer.problem === undefined);
  connection.emit('lost', new Error('a fault'));
  await consumer.stop();
  expect(consumer.problem).toBeUndefined();
});
