// When a shard may connect: with the lease proven, or without any connection to the broker, seldom.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { connectPermission, unprovenAtMs } from '../../../service/lease/connect-permission.ts';

beforeEach(() => void vi.useFakeTimers({ fakeNodeBuiltins: true, now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

const END = { resumable: true, endedAt: 1_000_000, unproven: 0, perhapsTaken: true };
const always = async () => true;
const never = async () => false;

/** @returns what it has resolved with after this time */
async function permission(after: number, lease: Partial<Parameters<typeof connectPermission>[0]>, end = END) {
  let proof: string | undefined;
  const abort = new AbortController();
  const done = connectPermission({ isProven: never, brokerAway: () => true, ...lease }, end, abort.signal).then(
    (value) => {
      proof = value;
    },
    () => undefined,
  );
  await vi.advanceTimersByTimeAsync(after);
  abort.abort();
  await vi.advanceTimersByTimeAsync(1_000);
  await done;
  return proof;
}

it('with proof at once, also after an end that is not resumable', async () => {
  expect(await permission(0, { isProven: always }, { ...END, resumable: false })).toBe('proven');
});

it('asks again until the task is the owner', async () => {
  const isProven = vi.fn(async () => isProven.mock.calls.length > 4);
  expect(await permission(900, { isProven, brokerAway: () => false })).toBe('proven');
});

it.each([
  [0, 5_000],
  [1, 60_000],
  [2, 120_000],
  [3, 240_000],
  [9, 240_000],
])('without a broker, after %d connections without proof, %d ms after the socket ended', async (unproven, ms) => {
  expect(await permission(ms - 300, {}, { ...END, unproven })).toBeUndefined();
  vi.setSystemTime(1_000_000);
  expect(await permission(ms + 300, {}, { ...END, unproven })).toBe('unproven');
});

it('never without proof while a connection to the broker is open, nor after op 9', async () => {
  expect(await permission(600_000, { brokerAway: () => false })).toBeUndefined();
  expect(await permission(600_000, {}, { ...END, resumable: false })).toBeUndefined();
});

it.each([
  [0, 5_000],
  [1, 60_000],
])(
  'with a broker, where Discord did not close, after %d connections without proof, %d ms after the end',
  async (unproven, ms) => {
    const end = { ...END, unproven, perhapsTaken: false };
    expect(await permission(ms - 300, { brokerAway: () => false }, end)).toBeUndefined();
    vi.setSystemTime(1_000_000);
    expect(await permission(ms + 300, { brokerAway: () => false }, end)).toBe('unproven');
    vi.setSystemTime(1_000_000);
    expect(await permission(600_000, { brokerAway: () => false }, { ...end, resumable: false })).toBeUndefined();
  },
);

it('where Discord did not close, a proof that does not come is not waited for longer', async () => {
  const hanging = { brokerAway: () => false, isProven: () => new Promise<boolean>(() => undefined) };
  expect(await permission(4_700, hanging, { ...END, perhapsTaken: false })).toBeUndefined();
  vi.setSystemTime(1_000_000);
  expect(await permission(5_300, hanging, { ...END, perhapsTaken: false })).toBe('unproven');
  vi.setSystemTime(1_010_000);
  const late = async () => await new Promise<boolean>((resolve) => setTimeout(resolve, 900, true));
  expect(await permission(1_000, { ...hanging, isProven: late }, { ...END, perhapsTaken: false })).toBe('proven');
  vi.setSystemTime(1_000_000);
  expect(await permission(300_000, hanging)).toBeUndefined();
});

it('a connection to the broker that opens for a moment begins the first wait again', async () => {
  expect(await permission(7_000, { brokerAway: () => Math.floor(Date.now() / 1_000) !== 1_004 })).toBeUndefined();
  vi.setSystemTime(1_000_000);
  expect(await permission(11_000, { brokerAway: () => Math.floor(Date.now() / 1_000) !== 1_004 })).toBe('unproven');
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
