// Consumes one queue at a time, at most so many messages unacknowledged, and again after each loss, until it is stopped. A
// queue that is missing, or may not be read, is logged and tried again: nothing else depends on it. Whoever refuses a
// message gives a reason, which the dead letter carries: it is published there, and then acknowledged, so that it is in
// one of the two queues at any time.

import type { Buffer } from 'node:buffer';
import type { ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import { MAX_COMMAND_BYTES } from '../contract/limits.ts';
import { EXCHANGES, HEADERS, QUEUES } from '../contract/names.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { OutageLog } from '../outage-log.ts';
import { backoffMs, orAfter, sleep } from '../wait.ts';

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
  readonly log: Log;
}

interface Wanted {
  readonly queue: string;
  readonly onMessage: (delivery: Delivery) => void;
  /** What was delivered and not answered is delivered again, perhaps to another task. */
  readonly onLost: () => void;
}

const MESSAGE =
  'no commands of workers are taken; retrying (if their queue or its permission is missing: apply the topology)';
const CLOSE_DEADLINE_MS = 3_000;
const LONGEST_REASON = 1_000;

export class QueueConsumer {
  readonly #options: QueueConsumerOptions;
  readonly #outage: OutageLog;
  #model: ChannelModel | undefined;
  #wanted: Wanted | undefined;
  #channel: ConfirmChannel | undefined;
  #problem: string | undefined;
  #stopped = new AbortController();
  /** A topology of before allows no publish to the dead-letter exchange: the queue's policy sends them, without a reason. */
  #mayPublish = true;

  constructor(options: QueueConsumerOptions) {
    this.#options = options;
    this.#outage = new OutageLog(options.log, 'warn', MESSAGE);
    options.connection.on('open', (model) => {
      this.#model = model;
      if (this.#wanted !== undefined) void this.#run(model, this.#wanted);
    });
    options.connection.on('lost', (cause) => {
      this.#model = undefined;
      this.#problem = `${MESSAGE}: ${errorMessage(cause)}`;
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
    this.#stopped = new AbortController();
    if (this.#model !== undefined) void this.#run(this.#model, wanted);
  }

  /** What is not answered goes back to the queue. Settles within seconds. */
  async stop(): Promise<void> {
    this.#wanted = undefined;
    this.#stopped.abort();
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel === undefined) return;
    // A refused message may be on its way to the dead letters.
    const confirmed = channel.waitForConfirms().catch(() => undefined);
    await orAfter(
      confirmed.then(() => closed(channel)),
      CLOSE_DEADLINE_MS,
      () => undefined,
    );
  }

  async #run(model: ChannelModel, wanted: Wanted): Promise<void> {
    const isOver = () => this.#wanted !== wanted || this.#model !== model;
    for (let failures = 1; !isOver(); failures += 1) {
      const { consumed, cause } = await this.#consume(model, wanted);
      if (isOver()) break;
      if (consumed) failures = 1;
      this.#problem = `${MESSAGE}: ${errorMessage(cause)}`;
      this.#outage.failed(cause, { queue: wanted.queue });
      await sleep(backoffMs(failures), this.#stopped.signal).catch(() => undefined);
    }
  }

  /** Resolves with the cause when it is over. */
  async #consume(
    model: ChannelModel,
    wanted: Wanted,
  ): Promise<{ readonly consumed: boolean; readonly cause: unknown }> {
    const { log, prefetch } = this.#options;
    const ended = Promise.withResolvers<unknown>();
    let channel: ConfirmChannel | undefined;
    let [consumed, held] = [false, false];
    try {
      channel = await model.createConfirmChannel();
      channel.on('error', (error: unknown) => {
        if (consumed && /ACCESS.REFUSED/.test(errorMessage(error))) this.#mayPublish = false;
        ended.resolve(error);
      });
      channel.on('close', () => ended.resolve(new Error('the channel was closed')));
      await channel.prefetch(prefetch);
      const opened = channel;
      await channel.consume(wanted.queue, (message) => {
        if (message === null) ended.resolve(new Error('the queue was deleted'));
        else if (this.#wanted === wanted) wanted.onMessage(this.#delivered(opened, message));
      });
      consumed = true;
      if (this.#wanted !== wanted) throw new Error('stopped meanwhile');
      this.#channel = channel;
      this.#problem = undefined;
      held = true;
      const outage = this.#outage.over();
      if (outage !== undefined) log.info({ queue: wanted.queue, ...outage }, 'commands of workers are taken again');
      const cause = await ended.promise;
      if (this.#wanted === wanted) wanted.onLost();
      return { consumed, cause };
    } catch (cause) {
      return { consumed, cause };
    } finally {
      // `stop` has taken it, and closes it.
      if (channel !== undefined && !(held && this.#channel !== channel)) {
        // Not that of the next consumer, where the end comes late.
        if (this.#channel === channel) this.#channel = undefined;
        void closed(channel);
      }
    }
  }

  #delivered(channel: ConfirmChannel, message: ConsumeMessage): Delivery {
    const { fields, properties, content } = message;
    const answer = (send: () => void): void => {
      try {
        send();
      } catch (err) {
        this.#options.log.debug({ err }, 'an answer came too late: the broker delivers the message again');
      }
    };
    const ack = () => answer(() => channel.ack(message));
    return {
      body: content,
      routingKey: fields.routingKey,
      timestamp: Number(properties.timestamp) || undefined,
      expiration: properties.expiration as unknown,
      ack,
      deadLetter: (reason) => {
        const byPolicy = () => answer(() => channel.nack(message, false, false));
        if (!this.#mayPublish || content.length > MAX_COMMAND_BYTES) {
          byPolicy();
          return;
        }
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

async function closed(channel: ConfirmChannel): Promise<void> {
  try {
    await channel.close();
  } catch {
    // It was lost: there is nothing to close.
  }
}

/** Without its life, or it would expire there too; and without what the broker allows its sender only. */
function asDeadLetter({ fields, properties }: ConsumeMessage, reason: string): Options.Publish {
  const { expiration: _, userId: __, headers: { CC: ___, ...headers } = {}, ...rest } = properties;
  const refused = { [HEADERS.refused]: reason.slice(0, LONGEST_REASON), [HEADERS.refusedKey]: fields.routingKey };
  return { ...rest, persistent: true, headers: { ...headers, ...refused } };
}
