// A walk ends although messages that it counted never come: they expired, or the broker is stuck.

import { EventEmitter } from 'node:events';
import type { ChannelModel, ConsumeMessage } from 'amqplib';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { walk } from '../../../lib/operator/walk.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

/** A queue of three messages, of which the broker delivers so many. */
function begun({ delivered, left }: { delivered: number; left: number }, leaves: () => Promise<boolean> | boolean) {
  const counts = [3];
  const channel = Object.assign(new EventEmitter(), {
    checkQueue: async () => ({ messageCount: counts.shift() ?? left, consumerCount: 0 }),
    prefetch: async () => undefined,
    consume: async (_queue: string, take: (message: ConsumeMessage) => void) => {
      for (let sent = 0; sent < delivered; sent += 1) take({} as ConsumeMessage);
      return { consumerTag: 'tag' };
    },
    cancel: async () => undefined,
    close: async () => undefined,
  });
  const model = { createChannel: async () => channel } as unknown as ChannelModel;
  const walked = { ended: false };
  const walking = walk(model, { queue: 'dead-letters', leaves, signal: new AbortController().signal }).finally(() => {
    walked.ended = true;
  });
  return { walked, walking };
}

it('the rest of a queue that is empty is not waited for', async () => {
  const { walked, walking } = begun({ delivered: 1, left: 0 }, () => false);
  await vi.advanceTimersByTimeAsync(1_999);
  expect(walked.ended).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(walked.ended).toBe(true);
  await walking;
});

it('a broker that delivers nothing for half a minute, although the queue has messages, is an error', async () => {
  const { walked, walking } = begun({ delivered: 1, left: 2 }, () => false);
  const failed = expect(walking).rejects.toThrow('queue dead-letters: the broker delivers none of its messages');
  // A second until it is known that nothing came, and half a minute more at the next look.
  await vi.advanceTimersByTimeAsync(31_999);
  expect(walked.ended).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(walked.ended).toBe(true);
  await failed;
});

it('a message that its caller is busy with is no silence', async () => {
  const busy = Promise.withResolvers<boolean>();
  const { walked, walking } = begun({ delivered: 3, left: 0 }, () => busy.promise);
  await vi.advanceTimersByTimeAsync(600_000);
  expect(walked.ended).toBe(false);
  busy.resolve(false);
  await walking;
});

it('so many bodies are in memory at once: what comes after 200 that are held has another consumer', async () => {
  const [prefetched, canceled, closed] = [vi.fn(async () => undefined), vi.fn(async () => undefined), vi.fn()];
  const left = Array.from({ length: 201 }, () => ({}) as ConsumeMessage);
  const windows: number[] = [];
  const channel = Object.assign(new EventEmitter(), {
    checkQueue: async () => ({ messageCount: 201, consumerCount: 0 }),
    prefetch: prefetched,
    consume: async (_queue: string, take: (message: ConsumeMessage) => void) => {
      const window = left.splice(0, 200);
      windows.push(window.length);
      for (const message of window) take(message);
      return { consumerTag: `tag ${windows.length}` };
    },
    cancel: canceled,
    close: async () => closed(),
  });
  const model = { createChannel: async () => channel } as unknown as ChannelModel;
  const looked = vi.fn(() => false);
  await walk(model, { queue: 'dead-letters', leaves: looked, signal: new AbortController().signal });
  expect(prefetched.mock.calls).toEqual([[200], [200]]);
  expect(windows).toEqual([200, 1]);
  expect(canceled.mock.calls).toEqual([['tag 1'], ['tag 2']]);
  expect(looked).toHaveBeenCalledTimes(201);
  expect(closed).toHaveBeenCalledOnce();
});
