// Consumes one queue at a time, at most so many messages unacknowledged, and again after each loss, until it is stopped. A
// queue that is missing, or may not be read, is logged and tried again: nothing else depends on it. Whoever refuses a
// message gives a reason, which the dead letter carries: it is published there, and then acknowledged, so that it is in
// one of the two queues at any time.

import type { Buffer } from 'node:buffer';
import { setImmediate } from 'node:timers/promises';
import type { ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import { MAX_COMMAND_BYTES } from '../contract/limits.ts';
import { EXCHANGES, HEADERS, QUEUES } from '../contract/names.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { OutageLog } from '../outage-log.ts';
import { backoffMs, orAfter, sleep } from '../wait.ts';
import { answer, closeChannel } from './channels.ts';

export interface Delivery {
  readonly body: Buffer;
  readonly routingKey: string;
  /** Unix seconds. */
  readonly timestamp: number | undefined;
  /** The message's own life, ms, as it was published. */
  readonly expiration: unknown;
  ack(): void;
  deadLetter(reason: string): void;
}

export interface QueueConsumerOptions {
  readonly connection: ConnectionEvents<ChannelModel>;
  readonly prefetch: number;
  /** For the log: what the messages are. */
  readonly what: string;
  readonly log: Log;
}

interface Wanted {
  readonly queue: string;
  readonly declare?: (channel: ConfirmChannel) => Promise<void>;
  readonly onMessage: (delivery: Delivery) => void;
  readonly onOpen?: () => void;
  /** What was delivered and not answered is delivered again, perhaps to another task. */
  readonly onLost?: () => void;
}

const CLOSE_DEADLINE_MS = 3_000;
const LONGEST_REASON = 1_000;

export class QueueConsumer {
  readonly #options: QueueConsumerOptions;
  readonly #failed: string;
  readonly #outage: OutageLog;
  #model: ChannelModel | undefined;
  #wanted: Wanted | undefined;
  #channel: ConfirmChannel | undefined;
  #problem: string | undefined;
  /** Of the loop: aborts with the connection, and when the queue is no longer wanted. */
  #ending = new AbortController();
  /** A topology of before allows no publish to the dead-letter exchange: the queue's policy sends them, without a reason. */
  #mayPublish = true;

  constructor(options: QueueConsumerOptions) {
    this.#options = options;
    const { connection, log, what } = options;
    this.#failed = `no ${what} are taken; retrying (if a queue, an exchange or a permission is missing: apply the topology)`;
    this.#outage = new OutageLog(log, 'warn', this.#failed);
    connection.on('open', (model) => {
      this.#model = model;
      this.#begin();
    });
    connection.on('lost', (cause) => {
      this.#model = undefined;
      this.#ending.abort();
      this.#problem = `${this.#failed}: ${errorMessage(cause)}`;
    });
  }

  /** Whether messages are delivered. */
  get consuming(): boolean {
    return this.#channel !== undefined;
  }

  /** Why they are not, where they should be. */
  get problem(): string | undefined {
    return this.#wanted === undefined ? undefined : this.#problem;
  }

  start(wanted: Wanted): void {
    this.#wanted = wanted;
    this.#begin();
  }

  /** What is not answered goes back to the queue. Settles within seconds. */
  async stop(): Promise<void> {
    this.#wanted = undefined;
    this.#ending.abort();
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel === undefined) return;
    // A refused message may be on its way to the dead letters.
    const confirmed = channel.waitForConfirms().catch(() => undefined);
    await orAfter(
      confirmed.then(() => closeChannel(channel)),
      CLOSE_DEADLINE_MS,
      () => undefined,
    );
  }

  #begin(): void {
    if (this.#model === undefined || this.#wanted === undefined) return;
    this.#ending = new AbortController();
    void this.#keepConsuming(this.#model, this.#wanted, this.#ending.signal);
  }

  async #keepConsuming(model: ChannelModel, wanted: Wanted, signal: AbortSignal): Promise<void> {
    const { queue } = wanted;
    for (let failures = 1; !signal.aborted; failures += 1) {
      const ended = Promise.withResolvers<never>();
      ended.promise.catch(() => undefined);
      let channel: ConfirmChannel | undefined;
      try {
        channel = await model.createConfirmChannel();
        channel.on('error', ended.reject);
        channel.on('close', () => ended.reject(new Error('the channel was closed')));
        await this.#consume(channel, wanted, () => ended.reject(new Error('the queue was deleted')));
        signal.throwIfAborted();
        this.#channel = channel;
        this.#problem = undefined;
        failures = 1;
        const outage = this.#outage.over();
        if (outage !== undefined) this.#options.log.info({ queue, ...outage }, `${this.#options.what} are taken again`);
        wanted.onOpen?.();
        await ended.promise;
      } catch (err) {
        // `stop` takes an open one.
        if (channel !== undefined && this.#channel === channel) {
          this.#channel = undefined;
          if (/ACCESS.REFUSED/.test(errorMessage(err))) this.#mayPublish = false;
          wanted.onLost?.();
        }
        // A lost connection closes its channels before it emits `lost`.
        await setImmediate();
        if (!signal.aborted) {
          this.#problem = `${this.#failed}: ${errorMessage(err)}`;
          this.#outage.failed(err, { queue });
        }
      } finally {
        void closeChannel(channel);
      }
      await sleep(backoffMs(failures), signal).catch(() => undefined);
    }
  }

  async #consume(channel: ConfirmChannel, wanted: Wanted, onDeleted: () => void): Promise<void> {
    await wanted.declare?.(channel);
    await channel.prefetch(this.#options.prefetch);
    await channel.consume(wanted.queue, (message) => {
      if (message === null) onDeleted();
      else if (this.#wanted === wanted) wanted.onMessage(this.#delivered(channel, message));
    });
  }

  #delivered(channel: ConfirmChannel, message: ConsumeMessage): Delivery {
    const { fields, properties, content } = message;
    const { log } = this.#options;
    const ack = answer(log, () => channel.ack(message));
    const byPolicy = answer(log, () => channel.nack(message, false, false));
    return {
      body: content,
      routingKey: fields.routingKey,
      timestamp: Number(properties.timestamp) || undefined,
      expiration: properties.expiration as unknown,
      ack,
      deadLetter: (reason) => {
        if (!this.#mayPublish || content.length > MAX_COMMAND_BYTES) return byPolicy();
        const confirmed = (error: unknown) => (error === null ? ack() : byPolicy());
        try {
          channel.publish(EXCHANGES.deadLetter, QUEUES.deadLetters, content, asDeadLetter(message, reason), confirmed);
        } catch {
          // The channel has closed, or the headers are as large as the client can write already.
          byPolicy();
        }
      },
    };
  }
}

/** Without its life, or it would expire there too; and without what the broker allows its sender only. */
function asDeadLetter({ fields, properties }: ConsumeMessage, reason: string): Options.Publish {
  const { expiration: _, userId: __, headers: { CC: ___, ...headers } = {}, ...rest } = properties;
  const refused = { [HEADERS.refused]: reason.slice(0, LONGEST_REASON), [HEADERS.refusedKey]: fields.routingKey };
  return { ...rest, persistent: true, headers: { ...headers, ...refused } };
}
