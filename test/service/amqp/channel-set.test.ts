// A set of channels: what it declares, publishes and consumes, how it ends, and what it reports to the deadline for confirms,
// with channels that answer when the test lets them.

import { EventEmitter } from 'node:events';
import { expect, it, onTestFinished, vi } from 'vitest';
import { ChannelSet } from '../../../service/amqp/channel-set.ts';
import { type LogLines, logLines } from '../../support/log-lines.ts';

it('the deadline learns of each message, and of each confirm how many are left; a refusal is none', async () => {
  const answers: ((error: unknown) => void)[] = [];
  const channel = Object.assign(new EventEmitter(), {
    checkExchange: async () => undefined,
    publish: (...args: unknown[]) => void answers.push(args[4] as (error: unknown) => void),
  });
  const deadline = { written: vi.fn(), confirmed: vi.fn() };
  const options = { exchange: 'leases', queueArguments: {}, deadline, log: logLines().log };
  const set = await ChannelSet.open({ createConfirmChannel: async () => channel } as never, options);
  const [first, second] = ['a', 'b'].map((queue) => set.publish(queue, Buffer.from('{}'), {}));
  expect([deadline.written.mock.calls.length, set.unconfirmed]).toEqual([2, ['a', 'b']]);
  answers[0]?.(null);
  await first;
  answers[1]?.(new Error('refused'));
  await expect(second).rejects.toThrow('refused');
  expect([deadline.confirmed.mock.calls, set.unconfirmed]).toEqual([[[1]], []]);
});

/** A channel that confirms and answers at once. */
class Channel extends EventEmitter {
  readonly published: { readonly exchange: string; readonly queue: string; readonly options: object }[] = [];
  readonly asserted: unknown[][] = [];
  readonly consumers = new Map<string, (message: unknown) => void>();
  readonly cancelled: string[] = [];
  readonly checked: string[] = [];
  readonly answered: unknown[][] = [];
  closed = 0;

  async checkExchange(exchange: string): Promise<void> {
    this.checked.push(exchange);
  }
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
  publish(exchange: string, queue: string, _body: Buffer, options: object, confirmed: (error: unknown) => void): void {
    this.published.push({ exchange, queue, options });
    if (missing.has(queue)) this.emit('return', { properties: options });
    confirmed(null);
  }
  async consume(queue: string, onMessage: (message: unknown) => void): Promise<{ consumerTag: string }> {
    this.consumers.set(queue, onMessage);
    await starting;
    return { consumerTag: `tag of ${queue}` };
  }
  async cancel(tag: string): Promise<void> {
    this.cancelled.push(tag);
  }
  ack(...args: unknown[]): void {
    this.answered.push(['ack', ...args.slice(1)]);
  }
  nack(...args: unknown[]): void {
    this.answered.push(['nack', ...args.slice(1)]);
  }
  async close(): Promise<void> {
    this.closed += 1;
  }
}

let missing: Set<string>;
let refused: Set<string>;
let starting: Promise<void>;
/** In the order in which they were opened: the first one publishes. */
let channels: Channel[];
let lines: LogLines;

async function openSet(): Promise<ChannelSet> {
  [missing, refused, starting, channels, lines] = [new Set(), new Set(), Promise.resolve(), [], logLines()];
  const createChannel = async () => {
    const channel = new Channel();
    channels.push(channel);
    return channel;
  };
  const deadline = { written: () => undefined, confirmed: () => undefined };
  const options = { exchange: 'leases', queueArguments: { 'x-queue-type': 'quorum' }, deadline, log: lines.log };
  return await ChannelSet.open({ createChannel, createConfirmChannel: createChannel } as never, options);
}

const withConsumers = () => channels.filter(({ consumers }) => consumers.size > 0);
const message = (properties: object) => ({
  properties: { headers: { a: 1 }, ...properties },
  content: Buffer.from('x'),
});

it('a message is persistent, mandatory JSON; a queue that is missing is declared and bound, and has the message then', async () => {
  const set = await openSet();
  expect(channels[0]?.checked).toEqual(['leases']);
  await set.publish('a', Buffer.from('{}'), { type: 'claim' });
  missing.add('a');
  await set.publish('a', Buffer.from('{}'), {});
  const always = { persistent: true, mandatory: true, contentType: 'application/json' };
  expect(channels[0]?.published).toEqual([
    { exchange: 'leases', queue: 'a', options: { ...always, type: 'claim', messageId: '1' } },
    { exchange: 'leases', queue: 'a', options: { ...always, messageId: '2' } },
    { exchange: 'leases', queue: 'a', options: { ...always, messageId: '3' } },
  ]);
  expect(channels[1]).toMatchObject({
    asserted: [
      ['a', { durable: true, arguments: { 'x-queue-type': 'quorum' } }],
      ['a', 'leases', 'a'],
    ],
    closed: 1,
  });
  expect(lines.lines).toMatchObject([{ level: 'error', queue: 'a' }]);
  // Whatever is declared, no queue takes it.
  vi.spyOn(Channel.prototype, 'assertQueue').mockResolvedValue();
  onTestFinished(() => void vi.restoreAllMocks());
  missing.add('a');
  await expect(set.publish('a', Buffer.from('{}'), {})).rejects.toThrow('expected a to take a message once it is');
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
  expect(withConsumers()[0]?.cancelled).toEqual(['tag of 3']);
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
  deliver(message({ type: 'claim', appId: 'task-1', timestamp: 5 }));
  deliver(message({ headers: undefined, timestamp: 'x' }));
  expect(got).toMatchObject([
    { type: 'claim', appId: 'task-1', headers: { a: 1 }, timestamp: 5, body: Buffer.from('x') },
    { type: undefined, headers: {}, timestamp: undefined },
  ]);
  for (const answer of ['ack', 'requeue', 'deadLetter'] as const) got[0]?.[answer]();
  expect(channel?.answered).toEqual([['ack'], ['nack', false, true], ['nack', false, false]]);
  set.cancel('a');
  deliver(message({}));
  expect([got.length, channel?.answered.at(-1)]).toEqual([2, ['nack', false, true]]);
  await set.close();
  deliver(message({}));
  expect([got.length, channel?.answered.length]).toEqual([2, 4]);
});

it('a consumer that is cancelled while it is started is cancelled then', async () => {
  const set = await openSet();
  const { promise, resolve } = Promise.withResolvers<void>();
  starting = promise;
  const consuming = set.consume('a', () => undefined);
  while (withConsumers().length === 0) await Promise.resolve();
  expect([set.consumes('a'), set.unconfirmed]).toEqual([false, ['a']]);
  set.cancel('a');
  expect(withConsumers()[0]?.cancelled).toEqual([]);
  resolve();
  await consuming;
  expect([withConsumers()[0]?.cancelled, set.consumes('a'), set.unconfirmed]).toEqual([['tag of a'], false, []]);
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
  expect(withConsumers()[0]?.closed).toBe(how === 'close()' ? 1 : 0);
});
