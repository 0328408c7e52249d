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
  await vi.advanceTimersByTimeAsync(1_000);
  expect(walked.ended).toBe(false);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(walked.ended).toBe(true);
  await walking;
});

it('a broker that delivers nothing for half a minute, although the queue has messages, is an error', async () => {
  const { walked, walking } = begun({ delivered: 1, left: 2 }, () => false);
  const failed = expect(walking).rejects.toThrow('queue dead-letters: the broker delivers none of its messages');
  // A second until it is known that nothing came.
  await vi.advanceTimersByTimeAsync(30_000);
  expect(walked.ended).toBe(false);
  await vi.advanceTimersByTimeAsync(2_000);
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
