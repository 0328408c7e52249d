// A mutex between tasks, made of exclusive queues: who has declared one holds it, and it vanishes with its holder's
// connection. Within the task a bucket is asked for by one waiter at a time, because a connection never locks itself out.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ChannelModel } from 'amqplib';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';

/** How often somebody who waits asks again. A refusal closes the channel, so not too often. */
const ASK_AGAIN_MS = 250;

export class ExclusiveQueueMutex {
  readonly #queueOf: (bucket: number) => string;
  readonly #log: Log;
  readonly #tails = new Map<number, Promise<void>>();
  #model: ChannelModel | undefined;

  constructor(
    connection: {
      on(event: 'open', listener: (model: ChannelModel) => void): unknown;
      on(event: 'lost', listener: () => void): unknown;
    },
    queueOf: (bucket: number) => string,
    log: Log,
  ) {
    this.#queueOf = queueOf;
    this.#log = log;
    connection.on('open', (model) => {
      this.#model = model;
    });
    connection.on('lost', () => {
      this.#model = undefined;
    });
  }

  /** Waits, for ever, until this task holds the bucket. @returns what gives it to the next @throws when the signal aborts */
  async acquire(bucket: number, signal: AbortSignal): Promise<() => void> {
    const before = this.#tails.get(bucket) ?? Promise.resolve();
    const held = Promise.withResolvers<void>();
    this.#tails.set(
      bucket,
      before.then(() => held.promise),
    );
    try {
      await orAborted(before, signal);
      const release = await this.#declare(bucket, signal);
      // The next waiter of this task declares the same queue on the same connection, where nothing locks it out: before
      // the queue is gone, its deletion would hit the next one's.
      return () => void release().then(held.resolve);
    } catch (error) {
      held.resolve();
      throw error;
    }
  }

  async #declare(bucket: number, signal: AbortSignal): Promise<() => Promise<void>> {
    const queue = this.#queueOf(bucket);
    while (true) {
      signal.throwIfAborted();
      const channel = await this.#model?.createChannel().catch(() => undefined);
      if (channel !== undefined) {
        // What it says is thrown by the call as well.
        channel.on('error', () => undefined);
        try {
          await channel.assertQueue(queue, {
            exclusive: true,
            durable: false,
            arguments: { 'x-queue-type': 'classic' },
          });
          return () => this.#delete(channel, queue);
        } catch (error) {
          if (!/RESOURCE.LOCKED/.test(errorMessage(error)))
            this.#log.warn(
              { queue, reason: errorMessage(error) },
              'cannot ask for the right to IDENTIFY; trying again',
            );
        }
      }
      await sleep(ASK_AGAIN_MS * (0.75 + 0.5 * Math.random()), undefined, { signal });
    }
  }

  async #delete(channel: Channel, queue: string): Promise<void> {
    // A connection lost meanwhile has taken the queue with it.
    await channel.deleteQueue(queue).catch(() => undefined);
    await channel.close().catch(() => undefined);
  }
}

async function orAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
