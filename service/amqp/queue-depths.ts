// How many messages are ready in each queue, and how many consumers it has, by passive declare: RabbitMQ 4 on Amazon MQ has
// no per-queue metrics in CloudWatch. Without an answer a queue has neither, so that its alarms see missing data, not zero.

import type { Channel, ChannelModel } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { withinDeadline } from '../wait.ts';
import { closeChannel, openChannel } from './channels.ts';

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
      // Its own, as a missing queue or permission closes it.
      const channel = openChannel(model);
      try {
        const asked = channel.then((opened) => ready(opened, queue));
        const answer = await withinDeadline(asked, ANSWER_DEADLINE_MS, 'the broker did not answer');
        if (answer === undefined) continue;
        depths.set(queue, answer.messageCount);
        consumers.set(queue, answer.consumerCount);
      } catch (err) {
        if (this.#model !== model) return;
        const reason = errorMessage(err);
        if (reason !== this.#lastWarning)
          this.#log.warn(
            { queue, err },
            'cannot ask for the depth of a queue (if it is missing or refused: apply the topology)',
          );
        this.#lastWarning = reason;
      } finally {
        channel.then(closeChannel, () => undefined);
      }
    }
    if (this.#model !== model) return;
    this.#depths = depths;
    this.#consumers = consumers;
  }
}

/** @returns undefined where RabbitMQ does not know it */
async function ready(channel: Channel, queue: string) {
  const askedAt = performance.now();
  const answer = await channel.checkQueue(queue);
  const isKnown = answer.messageCount + answer.consumerCount > 0 || performance.now() - askedAt < UNKNOWN_AFTER_MS;
  return isKnown ? answer : undefined;
}
