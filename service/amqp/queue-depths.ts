// How many messages are ready in each queue, by passive declare: RabbitMQ 4 on Amazon MQ has no per-queue metrics in
// CloudWatch. Without an answer a queue has no depth, so that its alarm sees missing data, not zero.

import type { Channel, ChannelModel } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';

const EVERY_MS = 15_000;
/** RabbitMQ waits so long for a quorum queue, and then answers 0 messages and 0 consumers (4.3.6, tried). */
const UNKNOWN_AFTER_MS = 250;

export class QueueDepths {
  readonly #queues: readonly string[];
  readonly #log: Log;
  #depths = new Map<string, number>();
  #channel: Channel | undefined;
  #model: ChannelModel | undefined;
  /** On this connection the last round has not ended. */
  #asking: ChannelModel | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastWarning: string | undefined;

  constructor(connection: ConnectionEvents<ChannelModel>, queues: readonly string[], log: Log) {
    this.#queues = queues;
    this.#log = log;
    connection.on('open', (model) => {
      this.#model = model;
      void this.#ask();
    });
    connection.on('lost', () => {
      this.#model = undefined;
      this.#channel = undefined;
      this.#depths = new Map();
    });
  }

  /** By queue name, from the last answers. */
  get depths(): ReadonlyMap<string, number> {
    return this.#depths;
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.#ask(), EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #ask(): Promise<void> {
    const model = this.#model;
    if (model === undefined) return;
    if (this.#asking === model) {
      // Without an answer for so long.
      this.#depths = new Map();
      return;
    }
    this.#asking = model;
    const depths = new Map<string, number>();
    for (const queue of this.#queues) {
      try {
        this.#channel ??= await this.#open(model);
        const askedAt = performance.now();
        const { messageCount } = await this.#channel.checkQueue(queue);
        if (messageCount > 0 || performance.now() - askedAt < UNKNOWN_AFTER_MS) depths.set(queue, messageCount);
      } catch (error) {
        // A missing queue or permission closes the channel; the next request opens another.
        this.#channel = undefined;
        if (this.#model !== model) return;
        const reason = errorMessage(error);
        if (reason !== this.#lastWarning)
          this.#log.warn({ queue, err: error }, 'cannot ask for the depth of a queue: apply the topology');
        this.#lastWarning = reason;
      }
    }
    if (this.#model !== model) return;
    this.#asking = undefined;
    this.#depths = depths;
  }

  async #open(model: ChannelModel): Promise<Channel> {
    const channel = await model.createChannel();
    // The call rejects with the same error.
    channel.on('error', () => undefined);
    return channel;
  }
}
