// When the lease queues are consumed again, which are claimed, and when a wait is over, on channels that the test ends.

import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type LeaseEvent, type LeaseState, startingLease, TIMING } from '../../../service/lease/lease.ts';
import type { LeaseChannels, QueueMessage } from '../../../service/lease/lease-channels.ts';
import { LeaseQueues } from '../../../service/lease/lease-queues.ts';
import { logLines } from '../../support/log-lines.ts';

beforeEach(() => void vi.useFakeTimers({ fakeNodeBuiltins: true }));
afterEach(() => void vi.useRealTimers());

class FakeChannels implements LeaseChannels {
  readonly #lost = Promise.withResolvers<string | undefined>();
  readonly lost = this.#lost.promise;
  readonly consumed = new Set<string>();
  readonly claimed: string[] = [];
  ended = false;
  refusing = false;
  consumes = (queue: string) => this.consumed.has(queue);
  /** By queue, in place of what `consume` does. */
  readonly instead = new Map<string, () => Promise<boolean>>();
  consume = async (queue: string) =>
    (await this.instead.get(queue)?.()) ?? this.consumed.size < this.consumed.add(queue).size;
  consumeExisting = async () => false;
  cancel = (queue: string) => void this.consumed.delete(queue);
  publish = async (queue: string) => {
    if (this.refusing) throw new Error('it is refused');
    this.claimed.push(queue);
  };
  after = (ms: number, then: () => void) => void setTimeout(() => this.ended || then(), ms);
  close = async () => this.end();

  end(reason?: string): void {
    this.ended = true;
    this.#lost.resolve(reason);
  }
}

const OWNER = {
  kind: 'owner',
  ...{ group: 1, epoch: 1, commit: 1, held: undefined, found: [], settled: true },
  tookOverFrom: { epoch: 0, commit: 0 },
} as const;

async function queues(
  groups: number,
  state: LeaseState<QueueMessage> = startingLease(),
  prepare: (channels: FakeChannels) => void = () => undefined,
) {
  const connection = Object.assign(new EventEmitter(), { blocked: false });
  const pauseMs = vi.fn((failures: number) => 1_000 * failures);
  const events: LeaseEvent<QueueMessage>[] = [];
  const opened: FakeChannels[] = [];
  const made = { connection, pauseMs, events, opened, state, failing: 0, untaken: 0 };
  const tested = new LeaseQueues<unknown>({
    ...{ connection, groups, pauseMs, timing: TIMING, log: logLines().log },
    openChannels: async () => {
      made.failing -= 1;
      if (made.failing >= 0) throw new Error('it fails');
      const channels = new FakeChannels();
      prepare(channels);
      opened.push(channels);
      return channels;
    },
    sender: { appId: 'me', headers: {} },
    state: () => made.state,
    untaken: () => made.untaken,
    onEvent: (event) => events.push(event),
  });
  connection.emit('open', {});
  await vi.advanceTimersByTimeAsync(0);
  return { tested, made };
}

it('channels are opened again after each loss, and the pauses grow only with failures in a row', async () => {
  const { tested, made } = await queues(1);
  made.opened[0]?.end('gone');
  made.failing = 2;
  await vi.advanceTimersByTimeAsync(199);
  expect([made.failing, tested.channels]).toEqual([2, undefined]);
  await vi.advanceTimersByTimeAsync(3_001);
  made.opened[1]?.end('gone');
  await vi.advanceTimersByTimeAsync(200);
  expect([made.opened.length, made.pauseMs.mock.calls.flat()]).toEqual([3, [0, 1, 2, 0]]);
  expect(made.events.map(({ kind }) => kind)).toEqual(['lost', 'lost', 'lost', 'lost']);
  made.connection.emit('lost', new Error('gone'));
  await vi.advanceTimersByTimeAsync(60_000);
  expect([made.opened.length, made.opened[2]?.ended]).toEqual([3, true]);
  // As after the loss of channels: the owner is to be first.
  made.pauseMs.mockClear();
  made.connection.emit('open', {});
  expect(made.pauseMs.mock.calls).toEqual([[0]]);
});

it('channels on which a queue cannot be consumed are closed, and opened again', async () => {
  const refuse = (channels: FakeChannels) =>
    channels.instead.set('ingestor.lease.1', () => Promise.reject(new Error('refused')));
  let refusals = 1;
  const { tested, made } = await queues(2, undefined, (channels) => refusals-- > 0 && refuse(channels));
  expect([made.opened[0]?.ended, made.events]).toEqual([true, [{ kind: 'lost' }]]);
  expect(made.pauseMs.mock.calls).toEqual([[1]]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect([made.opened.length, tested.consumesAll]).toEqual([2, true]);
  // Also where it is consumed again later.
  tested.leave(1);
  if (made.opened[1]) refuse(made.opened[1]);
  await vi.advanceTimersByTimeAsync(TIMING.standbyDelayMs);
  expect([made.opened[1]?.ended, made.events.length]).toEqual([true, 2]);
});

it('a queue that does not answer within 2 s is not claimed, and keeps no other group from its standby', async () => {
  const hang = (channels: FakeChannels) => channels.instead.set('ingestor.lease.0', () => new Promise(() => undefined));
  const { tested, made } = await queues(2, undefined, hang);
  await vi.advanceTimersByTimeAsync(1_999);
  expect(tested.consumed).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect([tested.consumed, made.opened[0]?.claimed]).toEqual([[1], ['ingestor.lease.1']]);
});

it('who becomes the owner meanwhile consumes and claims no further group', async () => {
  const own = Promise.withResolvers<boolean>();
  const { tested, made } = await queues(3, undefined, (channels) =>
    channels.instead.set('ingestor.lease.1', () => own.promise),
  );
  made.state = OWNER;
  own.resolve(true);
  await vi.advanceTimersByTimeAsync(TIMING.standbyClaimMs);
  tested.claimSome();
  expect([tested.consumed, made.opened[0]?.claimed]).toEqual([[0], ['ingestor.lease.0']]);
});

it('an owner consumes no other group', async () => {
  const { tested, made } = await queues(3);
  made.state = OWNER;
  tested.consumeOnly(1);
  expect(tested.consumed).toEqual([1]);
});

it('channels that confirm no claim are closed, unless the broker blocks publishers', async () => {
  const { tested, made } = await queues(1);
  const [channels] = made.opened as [FakeChannels];
  channels.refusing = made.connection.blocked = true;
  tested.claimSome();
  await vi.advanceTimersByTimeAsync(0);
  expect(channels.ended).toBe(false);
  made.connection.blocked = false;
  tested.claimSome();
  await vi.advanceTimersByTimeAsync(0);
  expect(channels.ended).toBe(true);
});

it('a standby consumes and claims every group, and then all again until records are renewed', async () => {
  const { tested, made } = await queues(45);
  const [channels] = made.opened;
  expect([tested.consumesAll, channels?.claimed.length]).toEqual([true, 45]);
  for (let times = 0; times < TIMING.renewEveryMs / TIMING.standbyClaimMs; times += 1) tested.claimSome();
  expect([channels?.claimed.length, new Set(channels?.claimed.slice(45)).size]).toEqual([105, 45]);
});

it('the group to claim is another one each time, and not the own one if there are others', async () => {
  const { tested } = await queues(3);
  expect([1, 1, 1, 1].map((owned) => tested.nextGroup(owned))).toEqual([0, 2, 0, 2]);
  expect((await queues(1)).tested.nextGroup(0)).toBe(0);
});

it.each([
  ['claim', 1_000],
  ['record', 25],
  ['owner', 400],
] as const)('a wait because of a %s ends after %d ms', async (because, ms) => {
  const { tested, made } = await queues(1);
  tested.wait({ kind: 'wait', group: 0, because });
  await vi.advanceTimersByTimeAsync(ms - 1);
  expect(made.events).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(made.events).toEqual([{ kind: 'waited', group: 0 }]);
});

it('each wait of a group ends the one before', async () => {
  const { tested, made } = await queues(1);
  tested.wait({ kind: 'wait', group: 0, because: 'claim' });
  await vi.advanceTimersByTimeAsync(TIMING.claimWaitMs - 1);
  tested.wait({ kind: 'wait', group: 0, because: 'owner' });
  await vi.advanceTimersByTimeAsync(TIMING.ownerWaitMs - 1);
  expect(made.events).toEqual([]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(made.events).toEqual([{ kind: 'waited', group: 0 }]);
});

it('a standby consumes a group again that it has left to its owner for a while', async () => {
  const { tested, made } = await queues(2);
  tested.leave(1);
  expect(tested.consumed).toEqual([0]);
  await vi.advanceTimersByTimeAsync(TIMING.standbyDelayMs - 1);
  expect(tested.consumed).toEqual([0]);
  await vi.advanceTimersByTimeAsync(1);
  expect(tested.consumed).toEqual([0, 1]);
  expect(made.opened[0]?.claimed).toEqual(['ingestor.lease.0', 'ingestor.lease.1', 'ingestor.lease.1']);
});

it('an uncertain owner consumes and claims only its own group, and reports silence when it may mean another owner', async () => {
  const { made } = await queues(3, { ...OWNER, kind: 'uncertain', group: 2 });
  expect([...(made.opened[0]?.consumed ?? [])]).toEqual(made.opened[0]?.claimed);
  made.untaken = 1;
  await vi.advanceTimersByTimeAsync(TIMING.silenceMs + 1_999);
  made.untaken = 0;
  expect(made.events).toEqual([]);
  // It looks each second.
  await vi.advanceTimersByTimeAsync(1);
  expect(made.events).toEqual([{ kind: 'silence' }]);
});
