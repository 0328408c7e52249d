// How many messages are ready in each queue, and how many consumers it has, by passive declare: RabbitMQ 4 on Amazon MQ has
// no per-queue metrics in CloudWatch. Without an answer a queue has neither, so that its alarms see missing data, not zero.

import type { Channel, ChannelModel, Replies } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { withinDeadline } from '../wait.ts';

const EVERY_MS = 15_000;
/** Of each queue, so that all are asked before they are asked again. */
const ANSWER_DEADLINE_MS = 2_000;
/** RabbitMQ waits 250 ms for a quorum queue, and then answers 0 messages and 0 consumers (4.3.6, tried). */
const UNKNOWN_AFTER_MS = 200;

export class QueueDepths {
  readonly #queues: readonly string[];
  readonly #log: Log;
  #depths = new Map<string, number>();
  #consumers = new Map<string, number>();
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
      this.#depths = this.#consumers = new Map();
    });
  }

  /** By queue name, from the last answers. */
  get depths(): ReadonlyMap<string, number> {
    return this.#depths;
  }

  /** By queue name, from the last answers. */
  get consumers(): ReadonlyMap<string, number> {
    return this.#consumers;
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
    const consumers = new Map<string, number>();
    for (const queue of this.#queues) {
      try {
        const answering = this.#check(model, queue);
        const answer = await withinDeadline(answering, ANSWER_DEADLINE_MS, 'the broker did not answer');
        if (answer === undefined) continue;
        depths.set(queue, answer.messageCount);
        consumers.set(queue, answer.consumerCount);
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
    if (this.#model !== model) return;
    this.#depths = depths;
    this.#consumers = consumers;
  }

  /** @returns undefined where RabbitMQ does not know it */
  async #check(model: ChannelModel, queue: string): Promise<Replies.AssertQueue | undefined> {
    this.#channel ??= this.#open(model);
    const channel = await this.#channel;
    const askedAt = performance.now();
    const answer = await channel.checkQueue(queue);
    const isKnown = answer.messageCount + answer.consumerCount > 0 || performance.now() - askedAt < UNKNOWN_AFTER_MS;
    return isKnown ? answer : undefined;
  }

  async #open(model: ChannelModel): Promise<Channel> {
    const channel = await model.createChannel();
    // The call rejects with the same error.
    channel.on('error', () => undefined);
    return channel;
  }
}
