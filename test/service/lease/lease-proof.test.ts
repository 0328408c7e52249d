// What proves the lease, and when a record that does not come back ends the connection.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LeaseProof, type Ownership } from '../../../service/lease/lease-proof.ts';

beforeEach(() => void vi.useFakeTimers({ fakeNodeBuiltins: true }));
afterEach(() => void vi.useRealTimers());

const channels = { after: (ms: number, then: () => void) => void setTimeout(then, ms) };

function proof(owner: Partial<Ownership> | undefined) {
  const connection = { blocked: false, fail: vi.fn() };
  const store = vi.fn();
  let owned: Ownership | undefined = owner && { epoch: 1, commit: 3, held: 3, channels, ...owner };
  const lease = new LeaseProof(connection, store, 5_000);
  lease.changed(owned);
  const made = {
    ...{ connection, store, lease },
    proven: undefined as boolean | undefined,
    async ask(ms = 10_000) {
      void lease.isProven(new AbortController().signal).then((proven) => {
        made.proven = proven;
      });
      await vi.advanceTimersByTimeAsync(ms);
      return made.proven;
    },
    async change(change: Partial<Ownership> | undefined) {
      owned = change && owned && { ...owned, ...change };
      lease.changed(owned);
      await vi.advanceTimersByTimeAsync(0);
      return made.proven;
    },
  };
  return made;
}

it('a task that is not the owner stores nothing and is not proven', async () => {
  const made = proof(undefined);
  expect([await made.ask(), made.store.mock.calls.length]).toEqual([false, 0]);
});

it('a record that was stored after the question, delivered back', async () => {
  const made = proof({ commit: 4, held: 3 });
  expect([await made.ask(), made.store.mock.calls.length]).toEqual([undefined, 1]);
  // It was under way.
  expect(await made.change({ held: 4 })).toBeUndefined();
  expect(await made.change({ commit: 5 })).toBeUndefined();
  expect(await made.change({ held: 5 })).toBe(true);
});

it.each([{ epoch: 2, held: 9 }, { channels: { ...channels }, held: 9 }, undefined])(
  'not on other channels, in another epoch, or for a task that is the owner no longer: %j',
  async (change) => {
    const made = proof({});
    await made.ask();
    expect(await made.change(change)).toBe(false);
  },
);

it('it is unproven from the first record that does not come back, until one comes back or the task is no owner', async () => {
  const made = proof({ commit: 3, held: 3 });
  const unproven = async (change: Partial<Ownership> | undefined) => {
    await made.change(change);
    await vi.advanceTimersByTimeAsync(1_000);
    return made.lease.unprovenMs;
  };
  expect(await unproven({})).toBe(0);
  expect(await unproven({ commit: 4 })).toBe(1_000);
  expect(await unproven({ commit: 5 })).toBe(2_000);
  // A later one is still on its way.
  expect(await unproven({ held: 4 })).toBe(1_000);
  expect(await unproven({ held: 5 })).toBe(0);
  expect(await unproven({ commit: 6 })).toBe(1_000);
  // It has lost its channels.
  expect(await unproven({ held: 0, channels: undefined })).toBe(2_000);
  expect(await unproven(undefined)).toBe(0);
});

it('reports that a record came back, the first too, and once', () => {
  const { lease } = proof(undefined);
  const held = (commit: number) => lease.changed({ epoch: 1, commit: 2, held: commit, channels });
  expect([held(0), held(1), held(1), held(2), lease.changed(undefined)]).toEqual([false, true, false, true, false]);
});

it('an owner stays certain while the broker blocks publishers', async () => {
  const made = proof({});
  made.connection.blocked = true;
  expect([await made.ask(0), made.store.mock.calls.length]).toEqual([true, 0]);
  const later = proof({});
  expect(await later.ask()).toBeUndefined();
  later.connection.blocked = true;
  await vi.advanceTimersByTimeAsync(199);
  expect(later.proven).toBeUndefined();
  await vi.advanceTimersByTimeAsync(1);
  expect(later.proven).toBe(true);
});

it.each<[string, Partial<Ownership>, boolean, number, number]>([
  ['not before the deadline', {}, false, 4_999, 0],
  ['at the deadline', {}, false, 5_000, 1],
  ['not when it has come back', { held: 4 }, false, 5_001, 0],
  ['not in another epoch', { epoch: 2, held: 0 }, false, 5_001, 0],
  ['not while the broker blocks publishers', {}, true, 5_001, 0],
])('a record that does not come back ends the connection: %s', async (_name, change, blocked, ms, times) => {
  const made = proof({ commit: 4 });
  made.lease.watch(4);
  await made.change(change);
  made.connection.blocked = blocked;
  await vi.advanceTimersByTimeAsync(ms);
  expect(made.connection.fail).toHaveBeenCalledTimes(times);
});
