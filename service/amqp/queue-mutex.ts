// A mutex between tasks, made of exclusive queues: the task that has declared one holds it, and it vanishes with that
// task's connection. The connection is its own, opened when a bucket is asked for and closed when none is held or asked
// for: on a node without a majority a declare ends it after half a minute (541 INTERNAL_ERROR), and nothing else may end
// with it. Within a task one waiter at a time asks for a bucket, because a connection never locks itself out.

import type { Channel, ChannelModel } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { OutageLog } from '../outage-log.ts';
import { orAborted, orAfter, sleep } from '../wait.ts';
import { openChannel } from './channels.ts';

/** Satisfied by `BrokerConnection`. */
type MutexConnection = ConnectionEvents<ChannelModel> & {
  fail(reason: string): void;
  start(): void;
  close(): Promise<void>;
};

/** A refusal closes the channel: the broker is not asked more often. */
const ASK_AGAIN_MS = 250;
/** For the broker's answer. A node that is silent for longer is left for another. */
const ANSWER_DEADLINE_MS = 10_000;

export class QueueMutex {
  readonly #connect: () => MutexConnection;
  readonly #queueOf: (bucket: number) => string;
  readonly #log: Log;
  readonly #outage: OutageLog;
  readonly #tails = new Map<number, Promise<void>>();
  #connection: MutexConnection | undefined;
  #opened = Promise.withResolvers<ChannelModel>();
  /** Buckets that are held or asked for. */
  #used = 0;
  /** Of the queues that this task has declared. */
  readonly #held = new Set<Channel>();
  #closing: Promise<unknown> = Promise.resolve();

  /** @param connect makes a connection, each time that one is needed and none is there */
  constructor(connect: () => MutexConnection, queueOf: (bucket: number) => string, log: Log) {
    this.#connect = connect;
    this.#queueOf = queueOf;
    this.#log = log;
    this.#outage = new OutageLog(log, 'warn', 'cannot ask for the identify lock; retrying');
  }

  /** Whether the broker keeps a bucket from other tasks, because this one holds it. */
  get holds(): boolean {
    return this.#held.size > 0;
  }

  /** Waits, indefinitely, until this task holds the bucket. @returns what releases it @throws when the signal aborts */
  async acquire(bucket: number, signal: AbortSignal): Promise<() => void> {
    const before = this.#tails.get(bucket) ?? Promise.resolve();
    const free = Promise.withResolvers<void>();
    this.#tails.set(
      bucket,
      before.then(() => free.promise),
    );
    const queue = this.#queueOf(bucket);
    this.#used += 1;
    this.#connection ??= this.#open();
    const declared = orAborted(before, signal).then(() => this.#declare(queue, signal));
    // The next waiter of this task would find the same queue on the same connection, where nothing locks it out: it
    // asks when the queue is deleted.
    const release = (channel: Channel) => void this.#release(channel, queue).then(free.resolve);
    try {
      const channel = await orAborted(declared, signal);
      this.#held.add(channel);
      channel.on('close', () => this.#held.delete(channel));
      return () => {
        this.#held.delete(channel);
        release(channel);
      };
    } catch (error) {
      // The broker may be answering a declare.
      declared.then(release, () => {
        this.#leave();
        free.resolve();
      });
      throw error;
    }
  }

  /** Ends the connection, and with it what is held. Nothing may be asked for any more. */
  async close(): Promise<void> {
    await Promise.all([this.#closing, this.#connection?.close()]);
  }

  #open(): MutexConnection {
    const connection = this.#connect();
    this.#opened = Promise.withResolvers();
    connection.on('open', (model) => this.#opened.resolve(model));
    connection.on('lost', () => {
      if (this.#connection === connection) this.#opened = Promise.withResolvers();
    });
    connection.start();
    return connection;
  }

  async #declare(queue: string, signal: AbortSignal): Promise<Channel> {
    while (true) {
      const model = await orAborted(this.#opened.promise, signal);
      try {
        const channel = await this.#answer(declareExclusive(model, queue));
        this.#answered();
        return channel;
      } catch (error) {
        if (/RESOURCE.LOCKED/.test(errorMessage(error))) this.#answered();
        else this.#outage.failed(error, { queue });
      }
      await sleep(ASK_AGAIN_MS * (0.75 + 0.5 * Math.random()), signal);
    }
  }

  async #release(channel: Channel, queue: string): Promise<void> {
    // The queue vanishes with the connection, and has vanished with a lost one.
    if (this.#leave()) return;
    const deleted = channel.deleteQueue(queue).then(() => channel.close());
    await this.#answer(deleted).catch(() => undefined);
  }

  /** @returns whether nothing is used any more, so that the connection closes */
  #leave(): boolean {
    this.#used -= 1;
    if (this.#used > 0) return false;
    this.#closing = Promise.all([this.#closing, this.#connection?.close()]);
    this.#connection = undefined;
    return true;
  }

  /** @throws what the answer throws, or Error when there is none: then on another connection, to another node */
  #answer<T>(answer: Promise<T>): Promise<T> {
    const connection = this.#connection;
    return orAfter(answer, ANSWER_DEADLINE_MS, () => {
      const reason = `the broker did not answer within ${ANSWER_DEADLINE_MS / 1_000} s`;
      connection?.fail(reason);
      throw new Error(reason);
    });
  }

  #answered(): void {
    const outage = this.#outage.over();
    if (outage !== undefined) this.#log.info(outage, 'the identify lock can be asked for again');
  }
}

async function declareExclusive(model: ChannelModel, queue: string): Promise<Channel> {
  const channel = await openChannel(model);
  await channel.assertQueue(queue, { exclusive: true, durable: false, arguments: { 'x-queue-type': 'classic' } });
  return channel;
}
