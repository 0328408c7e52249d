// Work that many wait for: nobody is ended by another's signal.

import { describe, expect, it } from 'vitest';
import { SharedWait } from '../../../service/gateway/shared-wait.ts';

/** Work that ends when it is told to; what it was given. */
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

const forever = new AbortController().signal;

describe('shared work', () => {
  it('runs once for all who wait', async () => {
    const { shared, runs } = work();
    const waiters = [shared.join(forever), shared.join(forever), shared.join(forever)];
    expect(runs).toHaveLength(1);
    runs[0]?.end.resolve('done');
    expect(await Promise.all(waiters)).toEqual(['done', 'done', 'done']);
  });

  it('runs again for who comes after it has ended', async () => {
    const { shared, runs } = work();
    const first = shared.join(forever);
    runs[0]?.end.resolve('one');
    await first;
    const second = shared.join(forever);
    runs[1]?.end.resolve('two');
    expect(await second).toBe('two');
  });

  it('goes on when the one who started it leaves', async () => {
    const { shared, runs } = work();
    const leaver = new AbortController();
    const left = shared.join(leaver.signal);
    const stays = shared.join(forever);
    leaver.abort(new Error('stopped'));
    await expect(left).rejects.toThrow('stopped');
    expect(runs[0]?.signal.aborted).toBe(false);
    runs[0]?.end.resolve('done');
    expect(await stays).toBe('done');
  });

  it('is aborted when the last one leaves, and begins anew for the next', async () => {
    const { shared, runs } = work();
    const leavers = [new AbortController(), new AbortController()];
    const left = leavers.map(({ signal }) => shared.join(signal));
    for (const leaver of leavers) leaver.abort(new Error('stopped'));
    for (const each of left) await expect(each).rejects.toThrow('stopped');
    const next = shared.join(forever);
    expect(runs.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    runs[1]?.end.resolve('done');
    expect(await next).toBe('done');
  });

  it('is not begun for a signal that is aborted already', async () => {
    const { shared, runs } = work();
    await expect(shared.join(AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped');
    expect(runs).toEqual([]);
  });

  it('fails for all who wait, and is tried again by the next', async () => {
    const { shared, runs } = work();
    const waiters = [shared.join(forever), shared.join(forever)];
    runs[0]?.end.reject(new Error('broken'));
    for (const each of waiters) await expect(each).rejects.toThrow('broken');
    const next = shared.join(forever);
    runs[1]?.end.resolve('done');
    expect(await next).toBe('done');
  });
});
