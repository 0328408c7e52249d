// What the keeper does and when, on a lease queue in memory: one set of channels after the other, as the test ends them.

import { Buffer } from 'node:buffer';
import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { TIMING } from '../../../service/lease/lease.ts';
import type { LeaseChannels, MessageProperties, QueueMessage } from '../../../service/lease/lease-channels.ts';
import { LeaseKeeper } from '../../../service/lease/lease-keeper.ts';
import type { ShardRunner } from '../../../service/lease/shard-handover.ts';
import { logLines } from '../../support/log-lines.ts';
import { groupRecord, resumeState } from './records.ts';

beforeEach(() => void vi.useFakeTimers({ fakeNodeBuiltins: true }));
afterEach(() => void vi.useRealTimers());

type Message = QueueMessage & { readonly ack: ReturnType<typeof vi.fn> };

class FakeQueue {
  readonly messages = new Set<Message>();
  readonly opened: FakeChannels[] = [];
  /** Of the records, in order. */
  readonly records: { readonly commit: number; readonly epoch: number; readonly released?: true }[] = [];
  readonly taken: Message[] = [];
  /** What a publisher waits for. */
  confirmed: Promise<unknown> = Promise.resolve();
  delivers = true;
  closes: Promise<unknown> = Promise.resolve();
  leftoversSought = 0;
  /** So many times channels do not open. */
  failing = 0;

  put(body: object, { type, appId }: Pick<MessageProperties, 'type' | 'appId'>): void {
    const message: Message = {
      ...{ type, appId, body: Buffer.from(JSON.stringify(body)), headers: {}, timestamp: undefined },
      ack: vi.fn(() => void this.messages.delete(message)),
      requeue: () => undefined,
      deadLetter: () => void this.messages.delete(message),
    };
    this.messages.add(message);
    if (type === 'record') this.taken.push(message);
    if (this.delivers) this.opened.at(-1)?.deliver(message);
  }
}

class FakeChannels implements LeaseChannels {
  readonly #queue: FakeQueue;
  readonly #lost = Promise.withResolvers<undefined>();
  readonly lost = this.#lost.promise;
  ended = false;
  deliver: (message: Message) => void = () => undefined;

  constructor(queue: FakeQueue) {
    this.#queue = queue;
  }

  consumes = () => true;
  cancel = () => undefined;
  after = (ms: number, then: () => void) => void setTimeout(() => this.ended || then(), ms);

  async consume(_: string, onMessage: (message: QueueMessage) => void): Promise<boolean> {
    this.deliver = (message) => void (this.ended || onMessage(message));
    for (const message of this.#queue.messages) this.deliver(message);
    return true;
  }

  async consumeExisting(): Promise<boolean> {
    this.#queue.leftoversSought += 1;
    return false;
  }

  async publish(_: string, body: Buffer, properties: MessageProperties): Promise<void> {
    const content = JSON.parse(body.toString()) as FakeQueue['records'][number];
    if (properties.type === 'record') this.#queue.records.push(content);
    this.#queue.put(content, properties);
    await this.#queue.confirmed;
  }

  async close(): Promise<void> {
    this.ended = true;
    this.#lost.resolve(undefined);
    await this.#queue.closes;
  }
}

/** A task that is connected. */
async function standby(delivers = true) {
  const queue = Object.assign(new FakeQueue(), { delivers });
  const connection = Object.assign(new EventEmitter(), { blocked: false, fail: vi.fn() });
  const counted: string[] = [];
  const held = { sequence: 1 };
  const runner = {
    connected: 0,
    untaken: 0,
    unreachableSince: undefined as number | undefined,
    get sessions() {
      return { '0': resumeState({ shardCount: 1, sequence: held.sequence }) };
    },
    own: vi.fn(),
    stepDown: vi.fn(async () => undefined),
    stored: vi.fn(),
  } satisfies ShardRunner;
  const { log, lines } = logLines();
  const keeper = new LeaseKeeper<unknown>({
    ...{ connection, shards: runner, me: 'me', log, metrics: { add: (name) => counted.push(name) } },
    gaps: { unreportedGaps: [], report: async () => undefined },
    shardLayout: { shardCount: 1, shardsPerTask: 1 },
    brokerAway: () => false,
    openChannels: async () => {
      queue.failing -= 1;
      if (queue.failing >= 0) throw new Error('it fails');
      queue.opened.push(new FakeChannels(queue));
      return queue.opened.at(-1) as FakeChannels;
    },
  });
  keeper.start();
  // What follows is not at a tick.
  await vi.advanceTimersByTimeAsync(500);
  connection.emit('open', {});
  await vi.advanceTimersByTimeAsync(0);
  return { queue, connection, counted, held, runner, keeper, lines };
}

/** A task that has become the owner just now. */
async function owner() {
  const made = await standby();
  await vi.advanceTimersByTimeAsync(999);
  expect(made.runner.own).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(made.runner.own).toHaveBeenCalledTimes(1);
  return made;
}

/** A record of another owner, which this task knows nothing of. */
const later = (queue: FakeQueue) =>
  queue.put({ ...groupRecord({ owner: 'other', epoch: 9 }), untoldGaps: [] }, { type: 'record', appId: 'other' });

it('a new owner stores a record at once, and looks for former groups then, and every five minutes', async () => {
  const { queue, counted, keeper } = await standby();
  expect([queue.leftoversSought, keeper.role]).toEqual([0, 'standby']);
  await vi.advanceTimersByTimeAsync(TIMING.claimWaitMs);
  expect(queue.records).toMatchObject([{ commit: 1, epoch: 1 }]);
  expect([counted, queue.leftoversSought, keeper.role]).toEqual([['leaseCommits'], 1, 'owner']);
  // Its first 1.5 s are over.
  await vi.advanceTimersByTimeAsync(298_499);
  expect(queue.leftoversSought).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(queue.leftoversSought).toBe(2);
  expect(() => keeper.start()).toThrow('expected the lease keeper to be started once');
});

it('an owner reports what it stored, and hands on what came back', async () => {
  const { keeper, runner } = await owner();
  const now = new Date().toISOString();
  const reported = { state: 'owner', epoch: 1, commit: 1, sessions: 1, storedAt: now, ownedSince: now };
  expect([keeper.detail, keeper.unprovenMs]).toEqual([reported, 0]);
  expect(runner.stored.mock.calls).toEqual([[{ '0': resumeState({ shardCount: 1, sequence: 1 }) }]]);
  await keeper.release();
  expect(keeper.detail).toEqual({ state: 'released' });
});

it('a record that does not come back within 5 s ends the connection', async () => {
  const { connection, held, keeper, queue } = await owner();
  queue.delivers = false;
  held.sequence = 2;
  // At its next tick.
  await vi.advanceTimersByTimeAsync(500 + 4_999);
  expect([connection.fail.mock.calls.length, keeper.unprovenMs]).toEqual([0, 4_999]);
  await vi.advanceTimersByTimeAsync(1);
  expect(connection.fail).toHaveBeenCalledExactlyOnceWith('the group record was not delivered back within 5 s');
});

it('a standby claims again every 10 s', async () => {
  const { queue, keeper } = await standby(false);
  await vi.advanceTimersByTimeAsync(9_499);
  expect(queue.messages.size).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect([queue.messages.size, keeper.role]).toEqual([2, 'standby']);
});

it('an owner whose channels do not open tries again after 1.5 s at most', async () => {
  const { queue } = await owner();
  vi.spyOn(Math, 'random').mockReturnValue(1);
  onTestFinished(() => void vi.restoreAllMocks());
  queue.failing = 3;
  queue.opened[0]?.close();
  await vi.advanceTimersByTimeAsync(200 + 1_000 + 1_500 + 1_499);
  expect(queue.opened).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(queue.opened).toHaveLength(2);
});

it('an owner that loses its channels consumes again after 200 ms, keeps the lease, and stores', async () => {
  const { queue, keeper, runner } = await owner();
  queue.opened[0]?.close();
  await vi.advanceTimersByTimeAsync(199);
  expect([queue.opened.length, keeper.role, keeper.detail.state]).toEqual([1, 'owner', 'uncertain']);
  await vi.advanceTimersByTimeAsync(1);
  expect([queue.opened.length, keeper.detail.state, queue.leftoversSought]).toEqual([2, 'owner', 2]);
  expect(queue.records.map(({ commit }) => commit)).toEqual([1, 2]);
  expect(runner.stepDown).not.toHaveBeenCalled();
});

it('nothing is stored while the broker blocks publishers', async () => {
  const { queue, connection, held } = await owner();
  connection.blocked = true;
  held.sequence = 2;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(queue.records).toHaveLength(1);
  connection.blocked = false;
  // Its ticks are each second.
  await vi.advanceTimersByTimeAsync(499);
  expect(queue.records).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(queue.records).toHaveLength(2);
});

it('nothing is stored while shards are given up; what is taken over then is released with its last record', async () => {
  const { queue, counted, keeper, runner } = await owner();
  const closed = Promise.withResolvers<undefined>();
  runner.stepDown.mockReturnValueOnce(closed.promise);
  later(queue);
  await vi.advanceTimersByTimeAsync(10_000);
  expect([queue.records.length, runner.own.mock.calls.length, counted.at(-1)]).toEqual([1, 1, 'leaseLosses']);
  let retired = false;
  const retiring = keeper.retire().then(() => {
    retired = true;
  });
  const released = keeper.release();
  await vi.advanceTimersByTimeAsync(0);
  expect(retired).toBe(false);
  closed.resolve(undefined);
  await Promise.all([retiring, released]);
  expect(runner.own).toHaveBeenCalledTimes(2);
  expect(queue.records.at(-1)).toMatchObject({ epoch: 10, released: true });
});

describe('a release', () => {
  it.each([
    ['leaves the last record to the next owner, which has come back', true],
    ['leaves the last record to the next owner, which has not come back', false],
  ])('%s, and acknowledges the one before', async (_, delivers) => {
    const { queue, keeper } = await owner();
    queue.delivers = delivers;
    await keeper.release();
    expect(queue.taken.map(({ ack }) => ack.mock.calls.length)).toEqual([1, 0]);
    expect(queue.records.at(-1)).toMatchObject({ commit: 2, released: true });
    expect([keeper.role, queue.opened[0]?.ended]).toEqual(['released', true]);
    // It stores no more, and opens no more channels.
    await vi.advanceTimersByTimeAsync(TIMING.renewEveryMs);
    expect([queue.records.length, queue.opened.length]).toEqual([2, 1]);
  });

  it('waits 3 s for a confirm of the last record, and 2 s for the close, and leaves the record before', async () => {
    const { queue, keeper, lines } = await owner();
    queue.delivers = false;
    queue.confirmed = queue.closes = new Promise(() => undefined);
    let released = false;
    void keeper.release().then(() => {
      released = true;
    });
    await vi.advanceTimersByTimeAsync(2_999);
    expect(keeper.role).toBe('owner');
    await vi.advanceTimersByTimeAsync(1);
    expect(keeper.role).toBe('released');
    await vi.advanceTimersByTimeAsync(1_999);
    expect(released).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect([released, queue.taken[0]?.ack.mock.calls.length]).toEqual([true, 0]);
    expect(lines.filter(({ level }) => level === 'error')).toMatchObject([{ group: 0, epoch: 1, commit: 2 }]);
  });

  it('stores nothing while the broker blocks publishers, and waits for nothing', async () => {
    const { queue, connection, keeper } = await owner();
    connection.blocked = true;
    await keeper.release();
    expect([queue.records.length, queue.taken[0]?.ack.mock.calls.length]).toEqual([1, 0]);
  });
});

describe('an owner that does not reach Discord', () => {
  /** It is unreachable from now on, and gives the group away after this time, at its next tick. */
  async function givenAwayAfter(ms: number, { runner }: Awaited<ReturnType<typeof owner>>): Promise<void> {
    runner.stepDown.mockClear();
    runner.unreachableSince = Date.now();
    await vi.advanceTimersByTimeAsync(ms - 1);
    expect(runner.stepDown).not.toHaveBeenCalled();
    for (let more = 0; more <= 1_000 && runner.stepDown.mock.calls.length === 0; more += 1)
      await vi.advanceTimersByTimeAsync(1);
    expect(runner.stepDown).toHaveBeenCalledTimes(1);
  }

  /** Channels are opened this time after that tick. */
  async function openedAfter(ms: number, queue: FakeQueue): Promise<void> {
    const before = queue.opened.length;
    await vi.advanceTimersByTimeAsync(ms - 1);
    expect(queue.opened).toHaveLength(before);
    await vi.advanceTimersByTimeAsync(1);
    expect(queue.opened).toHaveLength(before + 1);
  }

  it('gives the group away after 30 s, takes it back after 5 s if no other task does, and then keeps it twice as long', async () => {
    const made = await owner();
    const { queue, runner, keeper } = made;
    await givenAwayAfter(30_000, made);
    expect([queue.records.at(-1), queue.opened[0]?.ended]).toMatchObject([{ released: true }, true]);
    expect(keeper.role).toBe('standby');
    await openedAfter(5_000, queue);
    await vi.advanceTimersByTimeAsync(TIMING.claimWaitMs);
    expect(runner.own).toHaveBeenCalledTimes(2);
    await givenAwayAfter(60_000, made);
    await openedAfter(5_000, queue);
    await vi.advanceTimersByTimeAsync(TIMING.claimWaitMs);
    // It reaches Discord for a moment.
    runner.connected = 1;
    runner.unreachableSince = undefined;
    await vi.advanceTimersByTimeAsync(TIMING.commitEveryMs);
    runner.connected = 0;
    await givenAwayAfter(30_000, made);
  });

  it('keeps the group while its last record is not confirmed, and stores another one', async () => {
    const made = await owner();
    const { queue, runner, keeper } = made;
    queue.confirmed = new Promise(() => undefined);
    runner.unreachableSince = Date.now();
    await vi.advanceTimersByTimeAsync(TIMING.unreachableMs + TIMING.commitEveryMs);
    expect(queue.records.at(-1)).toMatchObject({ released: true });
    queue.confirmed = Promise.resolve();
    runner.unreachableSince = undefined;
    await vi.advanceTimersByTimeAsync(3_000);
    expect([keeper.role, runner.stepDown.mock.calls.length]).toEqual(['owner', 0]);
    expect(queue.records.at(-1)?.released).toBeUndefined();
    await givenAwayAfter(30_000, made);
  });

  it('keeps it while it drains', async () => {
    const made = await owner();
    await made.keeper.retire();
    made.runner.unreachableSince = Date.now();
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect([made.keeper.role, made.runner.stepDown.mock.calls.length]).toEqual(['owner', 0]);
  });
});

it('a standby that loses its channels opens them after the owner has', async () => {
  const { queue } = await standby();
  queue.opened[0]?.close();
  await vi.advanceTimersByTimeAsync(1_999);
  expect(queue.opened).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(queue.opened).toHaveLength(2);
});

it('a standby that retires closes its channels at once, opens none, and takes nothing over', async () => {
  const { queue, keeper, runner } = await standby();
  await keeper.retire();
  expect([keeper.role, queue.opened[0]?.ended]).toEqual(['released', true]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(queue.opened).toHaveLength(1);
  expect(runner.own).not.toHaveBeenCalled();
});
