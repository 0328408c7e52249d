import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { backoffMs, orAborted, orAfter, sleep, withinDeadline } from '../../service/wait.ts';

beforeEach(() => void vi.useFakeTimers({ fakeNodeBuiltins: true }));
afterEach(() => {
  // Nothing is left over, however the wait ended.
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const never = new Promise<never>(() => undefined);
const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

it.each([
  [1, 1_000],
  [5, 16_000],
  [6, 30_000],
  [1_000_000, 30_000],
])('after %d failures the backoff is from half of %d ms to all of it', (failures, longest) => {
  expect(backoffMs(failures, () => 0)).toBe(longest / 2);
  expect(backoffMs(failures, () => 0.5)).toBe(0.75 * longest);
  expect(backoffMs(failures, () => 1 - Number.EPSILON)).toBe(longest);
});

it('sleeps neither shorter nor longer', async () => {
  let awake = false;
  const sleeping = sleep(1_000).then(() => {
    awake = true;
  });
  await vi.advanceTimersByTimeAsync(999);
  expect(awake).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await sleeping;
});

it('a sleep ends with its signal, and leaves no timer and no listener', async () => {
  const abort = new AbortController();
  const sleeping = sleep(1_000, abort.signal);
  abort.abort(new Error('enough'));
  await expect(sleeping).rejects.toThrow();
  await expect(sleep(1_000, abort.signal)).rejects.toThrow();
  expect(listeners(abort.signal)).toBe(0);
});

it('a promise is waited for until the signal aborts', async () => {
  const abort = new AbortController();
  await expect(orAborted(Promise.resolve(1), abort.signal)).resolves.toBe(1);
  const waiting = orAborted(never, abort.signal);
  expect(listeners(abort.signal)).toBe(1);
  abort.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await expect(orAborted(never, abort.signal)).rejects.toThrow('enough');
  expect(listeners(abort.signal)).toBe(0);
});

it('a promise in time wins against its deadline, with its value or its error', async () => {
  await expect(orAfter(Promise.resolve(1), 1_000, () => 2)).resolves.toBe(1);
  await expect(withinDeadline(Promise.resolve(1), 1_000, 'no answer')).resolves.toBe(1);
  await expect(withinDeadline(Promise.reject(new Error('refused')), 1_000, 'no answer')).rejects.toThrow('refused');
});

it('a promise that is late is replaced, or is an error, at the deadline and not before', async () => {
  const replaced = orAfter(never, 2_000, () => 2);
  const failed = expect(withinDeadline(never, 2_000, 'the broker did not answer')).rejects.toThrow(
    'the broker did not answer within 2 s',
  );
  await vi.advanceTimersByTimeAsync(1_999);
  expect(vi.getTimerCount()).toBe(2);
  await vi.advanceTimersByTimeAsync(1);
  await expect(replaced).resolves.toBe(2);
  await failed;
});
