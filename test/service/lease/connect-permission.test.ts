// When a shard may connect: with the lease proven, or without any connection to the broker, seldom.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { connectPermission, unprovenAtMs } from '../../../service/lease/connect-permission.ts';

beforeEach(() => void vi.useFakeTimers({ fakeNodeBuiltins: true, now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

const END = { resumable: true, endedAt: 1_000_000, unproven: 0, perhapsTaken: true };
const always = async () => true;
const never = async () => false;

/** @returns what it resolves with within this time of the last connection's end */
async function permission(ms: number, lease: Partial<Parameters<typeof connectPermission>[0]>, end: object = {}) {
  vi.setSystemTime(END.endedAt);
  const abort = new AbortController();
  const asked = { isProven: never, brokerAway: () => true, ...lease };
  let proof: string | undefined;
  const done = connectPermission(asked, { ...END, ...end }, abort.signal).then(
    (value) => {
      proof = value;
    },
    () => undefined,
  );
  await vi.advanceTimersByTimeAsync(ms);
  abort.abort();
  await vi.advanceTimersByTimeAsync(1_000);
  await done;
  return proof;
}

it('with proof at once, also after an end that is not resumable', async () => {
  expect(await permission(0, { isProven: always }, { resumable: false })).toBe('proven');
});

it('asks again until the task is the owner', async () => {
  const isProven = vi.fn(async () => isProven.mock.calls.length > 4);
  expect(await permission(900, { isProven, brokerAway: () => false })).toBe('proven');
});

describe.each([
  ['without a broker', true, true],
  ['with a broker, where Discord did not close the connection', false, false],
])('%s', (_name, brokerAway, perhapsTaken) => {
  it.each([
    [0, 5_000],
    [1, 60_000],
    [2, 120_000],
    [3, 240_000],
    [9, 240_000],
  ])('after %d connections without proof, %d ms after the end', async (unproven, ms) => {
    const lease = { brokerAway: () => brokerAway };
    expect(await permission(ms - 1, lease, { unproven, perhapsTaken })).toBeUndefined();
    expect(await permission(ms, lease, { unproven, perhapsTaken })).toBe('unproven');
    // A moment later it ended: the next question is 200 ms later.
    const endedAt = END.endedAt + 1;
    expect(await permission(ms + 199, lease, { unproven, perhapsTaken, endedAt })).toBeUndefined();
    expect(await permission(ms + 200, lease, { unproven, perhapsTaken, endedAt })).toBe('unproven');
    expect(await permission(600_000, lease, { unproven, perhapsTaken, resumable: false })).toBeUndefined();
  });
});

it('never without proof while a connection to the broker is open and Discord closed its own', async () => {
  expect(await permission(600_000, { brokerAway: () => false })).toBeUndefined();
});

it('where Discord did not close, a proof that does not come is not waited for longer', async () => {
  const hanging = { brokerAway: () => false, isProven: () => new Promise<boolean>(() => undefined) };
  expect(await permission(4_999, hanging, { perhapsTaken: false })).toBeUndefined();
  expect(await permission(5_000, hanging, { perhapsTaken: false })).toBe('unproven');
  const isProven = async () => await new Promise<boolean>((resolve) => setTimeout(resolve, 900, true));
  expect(await permission(1_000, { ...hanging, isProven }, { perhapsTaken: false })).toBe('proven');
});

it('a proof that does not come is waited for from 1 s to 60 s', async () => {
  const hanging = { isProven: () => new Promise<boolean>(() => undefined) };
  const longAgo = { perhapsTaken: false, endedAt: END.endedAt - 60_000 };
  expect(await permission(999, hanging, longAgo)).toBeUndefined();
  expect(await permission(1_000, hanging, longAgo)).toBe('unproven');
  // It begins to count after the first question, and asks again after 200 ms.
  expect(await permission(120_199, hanging)).toBeUndefined();
  expect(await permission(120_200, hanging)).toBe('unproven');
});

it('a connection to the broker that opens for a moment begins the first wait again', async () => {
  const brokerAway = () => Date.now() - END.endedAt < 4_000 || Date.now() - END.endedAt >= 5_000;
  expect(await permission(7_000, { brokerAway })).toBeUndefined();
  expect(await permission(11_000, { brokerAway })).toBe('unproven');
});

it('before the first connection the wait begins with the question', () => {
  expect(unprovenAtMs({ ...END, endedAt: undefined }, 7)).toBe(5_007);
});

it('throws when the signal aborts', async () => {
  const abort = new AbortController();
  const done = connectPermission({ isProven: never, brokerAway: () => false }, END, abort.signal);
  abort.abort(new Error('stopped'));
  await expect(done).rejects.toThrow();
});
