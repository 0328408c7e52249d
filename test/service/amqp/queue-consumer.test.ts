// What consumes commands, with a broker whose answers come late.

import { EventEmitter } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import type { ChannelModel } from 'amqplib';
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { type Delivery, QueueConsumer } from '../../../service/amqp/queue-consumer.ts';
import { MAX_COMMAND_BYTES } from '../../../service/contract/limits.ts';
import { HEADERS } from '../../../service/contract/names.ts';
import { eventually, logLines } from '../../support/log-lines.ts';
import { FakeChannel } from './fake-channel.ts';

afterEach(() => void vi.useRealTimers());

function consumerOf() {
  const connection = new EventEmitter();
  const channels: FakeChannel[] = [];
  const createConfirmChannel = async () => {
    const channel = new FakeChannel();
    channels.push(channel);
    return channel;
  };
  const { log, lines } = logLines();
  const options = { connection: connection as never, prefetch: 7, what: 'commands of workers', log };
  const consumer = new QueueConsumer(options);
  connection.emit('open', { createConfirmChannel } as unknown as ChannelModel);
  const deliveries: Delivery[] = [];
  const [onOpen, onLost] = [vi.fn(), vi.fn()];
  const start = (queue: string) =>
    consumer.start({ queue, onMessage: (each) => deliveries.push(each), onOpen, onLost });
  return { connection, consumer, channels, deliveries, lines, onLost, onOpen, start };
}

it('the late end of a consumer that was stopped leaves the next one alone', async () => {
  const late = Promise.withResolvers<void>();
  const { consumer, channels, start } = consumerOf();
  start('former');
  channels[0]?.consume.mockReturnValueOnce(late.promise);
  await eventually('the first is asked for', () => channels[0]?.consume.mock.calls.length === 1);
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
  const model = { createConfirmChannel: async () => new FakeChannel() };
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

const message = (properties: object = {}, content = Buffer.from('{}')) => ({
  ...{ fields: { routingKey: 'command.shard' }, content },
  properties: { timestamp: 5, expiration: '9000', userId: 'worker', headers: { CC: ['x'], a: 1 }, ...properties },
});

/** A consumer with its queue. */
async function consuming() {
  const made = consumerOf();
  made.start('commands');
  await eventually('it consumes', () => made.consumer.consuming);
  const channel = made.channels[0] ?? expect.fail('there is no channel');
  return { ...made, channel };
}

it('takes at most the prefetch unacknowledged, each with its key, time and expiration, until it is stopped', async () => {
  const { channel, consumer, deliveries, onLost, onOpen } = await consuming();
  expect([channel.prefetch.mock.calls, onOpen.mock.calls.length]).toEqual([[[7]], 1]);
  const first = message();
  channel.deliver(first);
  channel.deliver(message({ timestamp: undefined, expiration: undefined }));
  expect(deliveries).toMatchObject([
    { routingKey: 'command.shard', timestamp: 5, expiration: '9000', body: Buffer.from('{}') },
    { timestamp: undefined, expiration: undefined },
  ]);
  deliveries[0]?.ack();
  expect(channel.ack.mock.calls).toEqual([[first]]);
  await consumer.stop();
  channel.deliver(message());
  expect([deliveries.length, onLost.mock.calls.length]).toEqual([2, 0]);
});

it('a refused message goes to the dead letters with a reason of 1,000 characters, and is acknowledged once it is there', async () => {
  const { channel, deliveries } = await consuming();
  const refused = message({ contentType: 'application/json' });
  channel.deliver(refused);
  deliveries[0]?.deadLetter('x'.repeat(1_001));
  const [exchange, queue, content, options, confirmed] = channel.publish.mock.lastCall ?? [];
  expect([exchange, queue, content]).toEqual(['discord.dlx', 'dead-letters', Buffer.from('{}')]);
  const headers = { a: 1, [HEADERS.refused]: 'x'.repeat(1_000), [HEADERS.refusedKey]: 'command.shard' };
  expect(options).toEqual({ timestamp: 5, contentType: 'application/json', persistent: true, headers });
  const answered = () => [channel.ack.mock.calls, channel.nack.mock.calls];
  expect(answered()).toEqual([[], []]);
  confirmed(null);
  expect(answered()).toEqual([[[refused]], []]);
  confirmed(new Error('refused'));
  expect(answered()).toEqual([[[refused]], [[refused, false, false]]]);
});

it('a refused message that cannot be published goes there by the policy, without a reason', async () => {
  const { channel, channels, consumer, deliveries, onLost } = await consuming();
  const messages = [MAX_COMMAND_BYTES, MAX_COMMAND_BYTES + 1].map((size) => message({}, Buffer.alloc(size)));
  for (const each of messages) channel.deliver(each);
  for (const each of deliveries) each.deadLetter('too large');
  expect([channel.publish.mock.calls.length, channel.nack.mock.calls]).toEqual([1, [[messages[1], false, false]]]);
  channel.publish.mockImplementationOnce(() => {
    throw new Error('the channel has closed');
  });
  deliveries[0]?.deadLetter('closed');
  expect(channel.nack.mock.lastCall).toEqual([messages[0], false, false]);
  // The topology of before allows no publish: from then on it is not tried.
  channel.emit('error', new Error('ACCESS_REFUSED - write access to exchange refused'));
  await eventually('it consumes again', () => channels.length === 2 && consumer.consuming);
  expect(onLost).toHaveBeenCalledTimes(1);
  const last = message();
  channels[1]?.deliver(last);
  deliveries.at(-1)?.deadLetter('refused');
  expect([channels[1]?.publish.mock.calls, channels[1]?.nack.mock.calls]).toEqual([[], [[last, false, false]]]);
});

it.each<[string, (channel: FakeChannel) => void]>([
  ['the queue was deleted', (channel) => channel.deliver(null)],
  ['the channel was closed', (channel) => void channel.emit('close')],
])('%s: reported, and tried again after a pause', async (reason, happens) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
  const made = consumerOf();
  const { channels, consumer, lines, onOpen } = made;
  made.start('commands');
  await vi.advanceTimersByTimeAsync(0);
  expect([consumer.consuming, consumer.problem]).toEqual([true, undefined]);
  happens(channels[0] ?? expect.fail('there is no channel'));
  while (consumer.problem === undefined) await turn();
  expect([consumer.consuming, channels[0]?.closed]).toEqual([false, true]);
  expect(consumer.problem).toMatch(new RegExp(`^no commands of workers are taken; retrying.*: ${reason}$`));
  await vi.advanceTimersByTimeAsync(499);
  expect(channels).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(501);
  expect([channels.length, consumer.consuming, consumer.problem, onOpen.mock.calls.length]).toEqual([
    ...[2, true, undefined, 2],
  ]);
  expect(lines).toMatchObject([
    { level: 'warn', queue: 'commands', err: { message: reason } },
    { level: 'info', queue: 'commands', msg: 'commands of workers are taken again' },
  ]);
});

it('waits up to 3 s for a refused message on its way when it is stopped', async () => {
  const { channel, consumer } = await consuming();
  channel.waitForConfirms.mockReturnValueOnce(new Promise(() => undefined));
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
  let stopped = false;
  const stopping = consumer.stop().then(() => {
    stopped = true;
  });
  await vi.advanceTimersByTimeAsync(2_999);
  expect([stopped, channel.closed, consumer.consuming]).toEqual([false, false, false]);
  await vi.advanceTimersByTimeAsync(1);
  expect(stopped).toBe(true);
  await stopping;
});

it('a connection that is lost closes its channels first: that is no line, and nothing is opened on it again', async () => {
  const { channel, channels, connection, consumer, lines, start } = await consuming();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
  channel.emit('close');
  await Promise.resolve();
  connection.emit('lost', new Error('a fault'));
  await turn();
  await vi.advanceTimersByTimeAsync(60_000);
  start('commands');
  await vi.advanceTimersByTimeAsync(60_000);
  expect([channels.length, lines, consumer.problem]).toEqual([1, [], expect.stringMatching(/: a fault$/)]);
});

it('a channel that cannot be opened is tried again after 1, 2 and 4 s at most; once it was open, after 1 s', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
  vi.spyOn(Math, 'random').mockReturnValue(1);
  onTestFinished(() => void vi.restoreAllMocks());
  const { connection, consumer, start } = consumerOf();
  const opened = new FakeChannel();
  const createConfirmChannel = vi.fn().mockResolvedValue(opened);
  for (let times = 0; times < 3; times += 1) createConfirmChannel.mockRejectedValueOnce(new Error('no channel'));
  connection.emit('open', { createConfirmChannel });
  start('commands');
  const tried = async (...pauses: number[]) => {
    const counts: number[] = [];
    for (const ms of pauses) {
      await vi.advanceTimersByTimeAsync(ms);
      await turn();
      counts.push(createConfirmChannel.mock.calls.length);
    }
    return counts;
  };
  expect([await tried(0, 999, 1, 1_999, 1, 3_999, 1), consumer.consuming]).toEqual([[1, 1, 2, 2, 3, 3, 4], true]);
  opened.deliver(null);
  expect(await tried(0, 999, 1)).toEqual([4, 4, 5]);
  await consumer.stop();
});
