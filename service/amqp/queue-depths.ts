// How many messages are ready in each queue, asked by passive declare: RabbitMQ 4 on Amazon MQ has no per-queue
// metrics in CloudWatch. A queue that cannot be asked has no depth, so that its alarm sees missing data, not zero.

import type { Channel, ChannelModel } from 'amqplib';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';

const EVERY_MS = 15_000;

export class QueueDepths {
  readonly #queues: readonly string[];
  readonly #log: Log;
  #depths = new Map<string, number>();
  #channel: Channel | undefined;
  #model: ChannelModel | undefined;
  #timer: NodeJS.Timeout | undefined;
  #said: string | undefined;

  constructor(
    connection: {
      on(event: 'open', listener: (model: ChannelModel) => void): unknown;
      on(event: 'lost', listener: () => void): unknown;
    },
    queues: readonly string[],
    log: Log,
  ) {
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

  /** By queue name; from the last time that somebody asked. */
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
    const depths = new Map<string, number>();
    for (const queue of this.#queues) {
      try {
        this.#channel ??= await this.#open(model);
        depths.set(queue, (await this.#channel.checkQueue(queue)).messageCount);
      } catch (error) {
        // A missing queue or permission closes the channel; the next question opens another.
        this.#channel = undefined;
        if (this.#model !== model) return;
        const reason = errorMessage(error);
        if (reason !== this.#said)
          this.#log.warn({ queue, reason }, 'cannot ask for the depth of a queue: apply the topology');
        this.#said = reason;
      }
    }
    if (this.#model === model) this.#depths = depths;
  }

  async #open(model: ChannelModel): Promise<Channel> {
    const channel = await model.createChannel();
    // What it says is thrown by the call as well.
    channel.on('error', () => undefined);
    return channel;
  }
}
