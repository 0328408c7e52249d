// When a shard may connect: only with the lease proven, but not never.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { confirmLease } from '../../../service/lease/confirm-lease.ts';

beforeEach(() => void vi.useFakeTimers({ fakeNodeBuiltins: true }));
afterEach(() => void vi.useRealTimers());

const answers = { ping: async () => undefined };
const fails = { ping: () => Promise.reject(new Error('closed')) };
const silent = { ping: () => new Promise<void>(() => undefined) };
const free = { blocked: false };

/** @returns whether it has resolved after this time */
async function confirmed(after: number, ...[holding, connection = free]: [() => unknown, { blocked: boolean }?]) {
  let resolved = false;
  const abort = new AbortController();
  const done = confirmLease(holding as Parameters<typeof confirmLease>[0], connection, abort.signal).then(
    () => {
      resolved = true;
    },
    () => undefined,
  );
  await vi.advanceTimersByTimeAsync(after);
  abort.abort();
  await done;
  return resolved;
}

it.each<[string, boolean, () => unknown, { blocked: boolean }?]>([
  ['the broker answers', true, () => answers],
  ['it answers on channels that are replaced meanwhile', false, () => ({ ...answers })],
  ['it does not answer', false, () => silent],
  ['the channels have ended', false, () => fails],
  ['it blocks publishers, which it has sent itself', true, () => silent, { blocked: true }],
  ['it blocks publishers, and the task is not the owner', false, () => undefined, { blocked: true }],
])('%s: %s', async (_, expected, holding, connection) => {
  expect(await confirmed(50, holding, connection)).toBe(expected);
});

it('asks again until the task is the owner', async () => {
  const asked = vi.fn(() => (asked.mock.calls.length > 4 ? answers : undefined));
  expect(await confirmed(1_500, asked)).toBe(true);
  expect(asked.mock.calls.length).toBe(6);
});

it('gives up after a minute', async () => {
  expect([await confirmed(59_000, () => undefined), await confirmed(60_500, () => silent)]).toEqual([false, true]);
});

it('throws when the signal aborts', async () => {
  const abort = new AbortController();
  const done = confirmLease(() => silent, free, abort.signal);
  abort.abort(new Error('stopped'));
  await expect(done).rejects.toThrow('stopped');
  await expect(confirmLease(() => answers, free, abort.signal)).rejects.toThrow('stopped');
});
