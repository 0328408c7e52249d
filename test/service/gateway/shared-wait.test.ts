import { expect, it } from 'vitest';
import { SharedWait } from '../../../service/gateway/shared-wait.ts';

/** Work that the test ends; one entry for each run. */
function work() {
  const runs: { readonly signal: AbortSignal; readonly end: PromiseWithResolvers<string> }[] = [];
  const shared = new SharedWait((signal) => {
    const end = Promise.withResolvers<string>();
    signal.addEventListener('abort', () => end.reject(signal.reason), { once: true });
    runs.push({ signal, end });
    return end.promise;
  });
  return { shared, runs };
}

const unaborted = new AbortController().signal;

it('runs once for all who wait, and again for the next', async () => {
  const { shared, runs } = work();
  const waiters = [shared.join(unaborted), shared.join(unaborted)];
  expect(runs).toHaveLength(1);
  runs[0]?.end.resolve('one');
  expect(await Promise.all(waiters)).toEqual(['one', 'one']);
  const next = shared.join(unaborted);
  runs[1]?.end.resolve('two');
  expect(await next).toBe('two');
});

it('fails for all who wait, and is started again for the next', async () => {
  const { shared, runs } = work();
  const waiters = [shared.join(unaborted), shared.join(unaborted)];
  runs[0]?.end.reject(new Error('broken'));
  for (const each of waiters) await expect(each).rejects.toThrow('broken');
  void shared.join(unaborted);
  expect(runs).toHaveLength(2);
});

it('goes on while one waits, and is aborted when the last one leaves', async () => {
  const { shared, runs } = work();
  const [first, second] = [new AbortController(), new AbortController()];
  const waiters = [first, second].map(({ signal }) => shared.join(signal));
  first.abort(new Error('stopped'));
  await expect(waiters[0]).rejects.toThrow('stopped');
  expect(runs[0]?.signal.aborted).toBe(false);
  second.abort(new Error('stopped'));
  await expect(waiters[1]).rejects.toThrow('stopped');
  void shared.join(unaborted);
  expect(runs.map(({ signal }) => signal.aborted)).toEqual([true, false]);
});

it('is started again for one that asks again at once, while others still take the result', async () => {
  const { shared, runs } = work();
  const again = shared.join(unaborted).then(() => void shared.join(unaborted));
  const other = shared.join(unaborted);
  runs[0]?.end.resolve('one');
  await Promise.all([again, other]);
  expect(runs).toHaveLength(2);
});

it('is not started for an aborted signal', async () => {
  const { shared, runs } = work();
  await expect(shared.join(AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped');
  expect(runs).toEqual([]);
});
