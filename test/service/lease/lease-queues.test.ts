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
  consumes = (queue: string) => this.consumed.has(queue);
  consume = async (queue: string) => this.consumed.size < this.consumed.add(queue).size;
  consumeExisting = async () => false;
  cancel = (queue: string) => void this.consumed.delete(queue);
  publish = async (queue: string) => void this.claimed.push(queue);
  after = (ms: number, then: () => void) => void setTimeout(() => this.ended || then(), ms);
  close = async () => this.end();

  end(reason?: string): void {
    this.ended = true;
    this.#lost.resolve(reason);
  }
}

async function queues(groups: number, state: LeaseState<QueueMessage> = startingLease()) {
  const connection = Object.assign(new EventEmitter(), { blocked: false });
  const pauseMs = vi.fn((failures: number) => 1_000 * failures);
  const events: LeaseEvent<QueueMessage>[] = [];
  const opened: FakeChannels[] = [];
  const made = { connection, pauseMs, events, opened, failing: 0, untaken: 0 };
  const tested = new LeaseQueues<unknown>({
    ...{ connection, groups, pauseMs, timing: TIMING, log: logLines().log },
    openChannels: async () => {
      made.failing -= 1;
      if (made.failing >= 0) throw new Error('it fails');
      opened.push(new FakeChannels());
      return opened.at(-1) as FakeChannels;
    },
    sender: { appId: 'me', headers: {} },
    state: () => state,
    untaken: () => made.untaken,
    onEvent: (event) => events.push(event),
  });
  connection.emit('open', {});
  await vi.advanceTimersByTimeAsync(0);
  return { tested, made };
}

it('channels are opened again after each loss, and the pauses grow only with failures in a row', async () => {
  const { made } = await queues(1);
  made.opened[0]?.end('gone');
  made.failing = 2;
  await vi.advanceTimersByTimeAsync(199);
  expect(made.failing).toBe(2);
  await vi.advanceTimersByTimeAsync(3_001);
  made.opened[1]?.end('gone');
  await vi.advanceTimersByTimeAsync(200);
  expect([made.opened.length, made.pauseMs.mock.calls.flat()]).toEqual([3, [0, 1, 2, 0]]);
  expect(made.events.map(({ kind }) => kind)).toEqual(['lost', 'lost', 'lost', 'lost']);
  made.connection.emit('lost', new Error('gone'));
  await vi.advanceTimersByTimeAsync(60_000);
  expect([made.opened.length, made.opened[2]?.ended]).toEqual([3, true]);
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
  const { tested } = await queues(2);
  tested.leave(1);
  expect(tested.consumed).toEqual([0]);
  await vi.advanceTimersByTimeAsync(TIMING.standbyDelayMs - 1);
  expect(tested.consumed).toEqual([0]);
  await vi.advanceTimersByTimeAsync(1);
  expect(tested.consumed).toEqual([0, 1]);
});

it('an uncertain owner consumes and claims only its own group, and reports silence when it may mean another owner', async () => {
  const owner = { kind: 'uncertain', group: 2, epoch: 1, commit: 1, held: undefined, found: [] } as const;
  const { made } = await queues(3, { ...owner, tookOverFrom: { epoch: 0, commit: 0 }, settled: true });
  expect([...(made.opened[0]?.consumed ?? [])]).toEqual(made.opened[0]?.claimed);
  made.untaken = 1;
  await vi.advanceTimersByTimeAsync(TIMING.silenceMs + 2_000);
  expect(made.events).toEqual([]);
  made.untaken = 0;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(made.events[0]).toEqual({ kind: 'silence' });
});
