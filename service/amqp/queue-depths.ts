// How many messages are ready in each queue, by passive declare: RabbitMQ 4 on Amazon MQ has no per-queue metrics in
// CloudWatch. Without an answer a queue has no depth, so that its alarm sees missing data, not zero.

import type { Channel, ChannelModel } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { withinDeadline } from '../wait.ts';

const EVERY_MS = 15_000;
/** Of each queue, so that all are asked before they are asked again. */
const ANSWER_DEADLINE_MS = 2_000;
/** RabbitMQ waits so long for a quorum queue, and then answers 0 messages and 0 consumers (4.3.6, tried). */
const UNKNOWN_AFTER_MS = 250;

export class QueueDepths {
  readonly #queues: readonly string[];
  readonly #log: Log;
  #depths = new Map<string, number>();
  #channel: Promise<Channel> | undefined;
  #model: ChannelModel | undefined;
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
    const depths = new Map<string, number>();
    for (const queue of this.#queues) {
      try {
        const answer = this.#depthOf(model, queue);
        const depth = await withinDeadline(answer, ANSWER_DEADLINE_MS, 'the broker did not answer');
        if (depth !== undefined) depths.set(queue, depth);
      } catch (error) {
        if (this.#model !== model) return;
        // A missing queue or permission closes the channel; one that does not answer may open or answer late.
        this.#channel?.then(async (channel) => await channel.close()).catch(() => undefined);
        this.#channel = undefined;
        const reason = errorMessage(error);
        if (reason !== this.#lastWarning)
          this.#log.warn(
            { queue, err: error },
            'cannot ask for the depth of a queue (if it is missing or refused: apply the topology)',
          );
        this.#lastWarning = reason;
      }
    }
    if (this.#model === model) this.#depths = depths;
  }

  /** @returns undefined where RabbitMQ does not know it */
  async #depthOf(model: ChannelModel, queue: string): Promise<number | undefined> {
    this.#channel ??= this.#open(model);
    const channel = await this.#channel;
    const askedAt = performance.now();
    const { messageCount } = await channel.checkQueue(queue);
    return messageCount > 0 || performance.now() - askedAt < UNKNOWN_AFTER_MS ? messageCount : undefined;
  }

  async #open(model: ChannelModel): Promise<Channel> {
    const channel = await model.createChannel();
    // The call rejects with the same error.
    channel.on('error', () => undefined);
    return channel;
  }
}
