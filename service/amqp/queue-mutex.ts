// A mutex between tasks, made of exclusive queues: the task that has declared one holds it, and it vanishes with that
// task's connection. Within a task one waiter at a time asks for a bucket, because a connection never locks itself out.

import type { Channel, ChannelModel } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { orAborted, sleep } from '../wait.ts';

/** A refusal closes the channel, so not too often. */
const ASK_AGAIN_MS = 250;

export class QueueMutex {
  readonly #queueOf: (bucket: number) => string;
  readonly #log: Log;
  readonly #tails = new Map<number, Promise<void>>();
  #model: ChannelModel | undefined;

  constructor(connection: ConnectionEvents<ChannelModel>, queueOf: (bucket: number) => string, log: Log) {
    this.#queueOf = queueOf;
    this.#log = log;
    connection.on('open', (model) => {
      this.#model = model;
    });
    connection.on('lost', () => {
      this.#model = undefined;
    });
  }

  /** Waits, indefinitely, until this task holds the bucket. @returns what releases it @throws when the signal aborts */
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
      // The next waiter of this task would find the same queue on the same connection, where nothing locks it out: it
      // asks when the queue is deleted.
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
        // The call rejects with the same error.
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
            this.#log.warn({ queue, err: error }, 'cannot ask for the identify lock; retrying');
        }
      }
      await sleep(ASK_AGAIN_MS * (0.75 + 0.5 * Math.random()), signal);
    }
  }

  async #delete(channel: Channel, queue: string): Promise<void> {
    // A connection lost meanwhile has taken the queue with it.
    await channel.deleteQueue(queue).catch(() => undefined);
    await channel.close().catch(() => undefined);
  }
}
