// How long a drain waits, with an outbox that confirms as a test lets it.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { drainOutbox } from '../../service/drain-outbox.ts';

beforeEach(() => void vi.useFakeTimers({ fakeNodeBuiltins: true }));
afterEach(() => {
  // Nothing is left over, however the wait ended.
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

function draining() {
  const emptied = Promise.withResolvers<void>();
  const outbox = {
    publishCount: 0,
    drained: async (signal: AbortSignal) => {
      signal.addEventListener('abort', () => emptied.resolve());
      await emptied.promise;
    },
  };
  const broker = { connected: true };
  const end = new AbortController();
  let ended = false;
  const done = drainOutbox(outbox, () => broker.connected, end.signal).then(() => {
    ended = true;
  });
  return { outbox, broker, end, emptied, done, ended: () => ended };
}

const seconds = async (count: number) => await vi.advanceTimersByTimeAsync(count * 1_000);

it('ends when everything is confirmed', async () => {
  const { emptied, done } = draining();
  await seconds(1);
  emptied.resolve();
  await done;
});

it('ends after 5 s with a broker that confirms nothing, and not before', async () => {
  const { ended } = draining();
  await seconds(4.999);
  expect(ended()).toBe(false);
  await seconds(0.001);
  expect(ended()).toBe(true);
});

it('goes on for as long as the broker confirms, however slowly', async () => {
  const { outbox, ended } = draining();
  for (let times = 0; times < 10; times += 1) {
    await seconds(4.5);
    outbox.publishCount += 1;
  }
  expect(ended()).toBe(false);
  await seconds(5.5);
  expect(ended()).toBe(true);
});

it('waits without a connection until the signal, and five seconds from when one is open', async () => {
  const waiting = draining();
  waiting.broker.connected = false;
  await seconds(90);
  expect(waiting.ended()).toBe(false);
  waiting.end.abort();
  await waiting.done;
  const back = draining();
  back.broker.connected = false;
  await seconds(60);
  back.broker.connected = true;
  await seconds(4.999);
  expect(back.ended()).toBe(false);
  await seconds(0.001);
  expect(back.ended()).toBe(true);
});
