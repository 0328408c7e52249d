// A set of channels: what it declares, publishes and consumes, how it ends, and what it reports to the deadline for confirms,
// with channels that answer when the test lets them.

import { EventEmitter } from 'node:events';
import { expect, it, onTestFinished, vi } from 'vitest';
import { ChannelSet } from '../../../service/amqp/channel-set.ts';
import { type LogLines, logLines } from '../../support/log-lines.ts';

/** A channel that confirms and answers at once. */
class Channel extends EventEmitter {
  readonly asserted: unknown[][] = [];
  readonly consumers = new Map<string, (message: unknown) => void>();
  readonly checkExchange = vi.fn(async () => undefined);
  readonly cancel = vi.fn(async () => undefined);
  readonly ack = vi.fn();
  readonly nack = vi.fn();
  readonly close = vi.fn(async () => undefined);
  readonly publish = vi.fn(
    (_exchange: string, queue: string, _body: Buffer, properties: object, confirmed: (error: unknown) => void) => {
      if (missing.has(queue)) this.emit('return', { properties });
      confirmed(null);
    },
  );

  async checkQueue(queue: string): Promise<void> {
    if (missing.has(queue)) throw Object.assign(new Error(`NOT_FOUND - no queue '${queue}'`), { code: 404 });
    if (refused.has(queue)) throw Object.assign(new Error('ACCESS_REFUSED'), { code: 403 });
  }
  async assertQueue(...args: unknown[]): Promise<void> {
    this.asserted.push(args);
    missing.delete(String(args[0]));
  }
  async bindQueue(...args: unknown[]): Promise<void> {
    this.asserted.push(args);
  }
  async consume(queue: string, onMessage: (message: unknown) => void): Promise<{ consumerTag: string }> {
    this.consumers.set(queue, onMessage);
    await starting;
    return { consumerTag: `tag of ${queue}` };
  }
}

let missing: Set<string>;
let refused: Set<string>;
let starting: Promise<void>;
/** In the order in which they were opened: the first one publishes. */
let channels: Channel[];
let lines: LogLines;

async function openSet(deadline = { written: vi.fn(), confirmed: vi.fn() }): Promise<ChannelSet> {
  [missing, refused, starting, channels, lines] = [new Set(), new Set(), Promise.resolve(), [], logLines()];
  const createChannel = async () => {
    const channel = new Channel();
    channels.push(channel);
    return channel;
  };
  const options = { exchange: 'leases', queueArguments: { 'x-queue-type': 'quorum' }, deadline, log: lines.log };
  return await ChannelSet.open({ createChannel, createConfirmChannel: createChannel } as never, options);
}

const withConsumers = () => channels.filter(({ consumers }) => consumers.size > 0);
const message = (properties: object) => ({
  properties: { headers: { a: 1 }, ...properties },
  content: Buffer.from('x'),
});

it('the deadline learns of each message, and of each confirm how many are left; a refusal is none', async () => {
  const deadline = { written: vi.fn(), confirmed: vi.fn() };
  const set = await openSet(deadline);
  const publish = channels[0]?.publish.mockImplementation(() => undefined);
  const [first, second] = ['a', 'b'].map((queue) => set.publish(queue, Buffer.from('{}'), {}));
  expect([deadline.written.mock.calls.length, set.unconfirmed]).toEqual([2, ['a', 'b']]);
  const [answerFirst, answerSecond] = publish?.mock.calls.map(([, , , , confirmed]) => confirmed) ?? [];
  answerFirst?.(null);
  await first;
  answerSecond?.(new Error('refused'));
  await expect(second).rejects.toThrow('refused');
  expect([deadline.confirmed.mock.calls, set.unconfirmed]).toEqual([[[1]], []]);
});

it('a message is persistent, mandatory JSON; a queue that is missing is declared and bound, and has the message then', async () => {
  const set = await openSet();
  expect(channels[0]?.checkExchange.mock.calls).toEqual([['leases']]);
  const body = Buffer.from('{}');
  await set.publish('a', body, { type: 'claim' });
  missing.add('a');
  await set.publish('a', body, {});
  const always = { persistent: true, mandatory: true, contentType: 'application/json' };
  expect(channels[0]?.publish.mock.calls).toEqual([
    ['leases', 'a', body, { ...always, type: 'claim', messageId: '1' }, expect.any(Function)],
    ['leases', 'a', body, { ...always, messageId: '2' }, expect.any(Function)],
    ['leases', 'a', body, { ...always, messageId: '3' }, expect.any(Function)],
  ]);
  expect(channels[1]?.asserted).toEqual([
    ['a', { durable: true, arguments: { 'x-queue-type': 'quorum' } }],
    ['a', 'leases', 'a'],
  ]);
  expect(channels[1]?.close).toHaveBeenCalledTimes(1);
  expect(lines.lines).toMatchObject([{ level: 'error', queue: 'a' }]);
  // Whatever is declared, no queue takes it.
  vi.spyOn(Channel.prototype, 'assertQueue').mockResolvedValue();
  onTestFinished(() => void vi.restoreAllMocks());
  missing.add('a');
  await expect(set.publish('a', body, {})).rejects.toThrow('expected a to take a message once it is');
});

it('a queue is consumed once, and declared only if it is missing; ten consumers share a channel', async () => {
  const set = await openSet();
  missing.add('0');
  for (let queue = 0; queue < 11; queue += 1) expect(await set.consume(String(queue), () => undefined)).toBe(true);
  expect(await set.consume('0', () => undefined)).toBe(false);
  expect(withConsumers().map(({ consumers }) => consumers.size)).toEqual([10, 1]);
  expect(channels.flatMap(({ asserted }) => asserted.map(([queue]) => queue))).toEqual(['0', '0']);
  set.cancel('3');
  expect([set.consumes('3'), set.consumes('4')]).toEqual([false, true]);
  await set.consume('11', () => undefined);
  expect(withConsumers().map(({ consumers }) => consumers.size)).toEqual([11, 1]);
  expect(withConsumers()[0]?.cancel.mock.calls).toEqual([['tag of 3']]);
  refused.add('12');
  await expect(set.consume('12', () => undefined)).rejects.toThrow('ACCESS_REFUSED');
});

it('a queue that may be missing is consumed if it exists, and its deletion ends that consumer alone', async () => {
  const set = await openSet();
  missing.add('a');
  expect(await set.consumeExisting('a', () => undefined)).toBe(false);
  missing.clear();
  const first = vi.fn();
  expect(await set.consumeExisting('a', first)).toBe(true);
  expect(await set.consumeExisting('a', () => expect.fail('it is consumed twice'))).toBe(true);
  withConsumers()[0]?.consumers.get('a')?.(message({}));
  expect([first.mock.calls.length, withConsumers().length]).toEqual([1, 1]);
  withConsumers()[0]?.consumers.get('a')?.(null);
  expect([set.consumes('a'), set.ended]).toEqual([false, false]);
  await set.consume('b', () => undefined);
  withConsumers()[0]?.consumers.get('b')?.(null);
  expect(set.ended).toBe(true);
  expect(await set.lost).toMatchObject({ message: 'the broker cancelled the consumer of b' });
});

it('a delivery has what the lease reads, and one answer each way', async () => {
  const set = await openSet();
  const got: Parameters<Parameters<ChannelSet['consume']>[1]>[0][] = [];
  await set.consume('a', (each) => got.push(each));
  const [channel] = withConsumers();
  const deliver = channel?.consumers.get('a') ?? expect.fail('there is no consumer');
  const claim = message({ type: 'claim', appId: 'task-1', timestamp: 5 });
  deliver(claim);
  deliver(message({ headers: undefined, timestamp: 'x' }));
  expect(got).toMatchObject([
    { type: 'claim', appId: 'task-1', headers: { a: 1 }, timestamp: 5, body: Buffer.from('x') },
    { type: undefined, headers: {}, timestamp: undefined },
  ]);
  for (const answer of ['ack', 'requeue', 'deadLetter'] as const) got[0]?.[answer]();
  expect(channel?.ack.mock.calls).toEqual([[claim]]);
  expect(channel?.nack.mock.calls).toEqual([
    [claim, false, true],
    [claim, false, false],
  ]);
  set.cancel('a');
  const late = message({});
  deliver(late);
  expect([got.length, channel?.nack.mock.lastCall]).toEqual([2, [late, false, true]]);
  await set.close();
  deliver(message({}));
  expect([got.length, channel?.ack.mock.calls.length, channel?.nack.mock.calls.length]).toEqual([2, 1, 3]);
});

it('a consumer that is cancelled while it is started is cancelled then', async () => {
  const set = await openSet();
  const { promise, resolve } = Promise.withResolvers<void>();
  starting = promise;
  const consuming = set.consume('a', () => undefined);
  while (withConsumers().length === 0) await Promise.resolve();
  expect([set.consumes('a'), set.unconfirmed]).toEqual([false, ['a']]);
  set.cancel('a');
  expect(withConsumers()[0]?.cancel).not.toHaveBeenCalled();
  resolve();
  await consuming;
  expect(withConsumers()[0]?.cancel.mock.calls).toEqual([['tag of a']]);
  expect([set.consumes('a'), set.unconfirmed]).toEqual([false, []]);
});

it.each(['error', 'close', 'close()', 'close of the publisher'])('all end with the first: %s', async (how) => {
  vi.useFakeTimers({ fakeNodeBuiltins: true });
  onTestFinished(() => void vi.useRealTimers());
  const set = await openSet();
  await set.consume('a', () => undefined);
  const calls: number[] = [];
  set.after(1_000, () => calls.push(1_000));
  set.after(2_000, () => calls.push(2_000));
  await vi.advanceTimersByTimeAsync(1_500);
  if (how === 'close()') await set.close();
  else if (how === 'close of the publisher') channels[0]?.emit('close');
  else withConsumers()[0]?.emit(how, new Error('a fault'));
  await vi.advanceTimersByTimeAsync(1_500);
  expect([set.ended, calls]).toEqual([true, [1_000]]);
  const reason = await set.lost;
  if (how === 'close()') expect(reason).toBeUndefined();
  else expect(reason).toMatchObject({ message: how === 'error' ? 'a fault' : 'a channel was closed' });
  expect(withConsumers()[0]?.close).toHaveBeenCalledTimes(how === 'close()' ? 1 : 0);
});
