// The channels, consumers and timers of one connection to the broker. They end together: with the first channel or consumer
// that is lost, or with `close()`, all of them do, and nothing is delivered any more. The broker then delivers what
// was not acknowledged to another consumer.

import type { Buffer } from 'node:buffer';
import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { sleep, withinDeadline } from '../wait.ts';

export interface ChannelSetOptions {
  /** A direct exchange. A queue is bound to it by its own name. */
  readonly exchange: string;
  readonly queueArguments: Readonly<Record<string, unknown>>;
  readonly log: Log;
}

type OnMessage = (message: ReturnType<typeof delivered>) => void;

interface Consumer {
  readonly channel: Channel;
  /** None while it is being started. */
  consumerTag?: string;
}

/** Amazon MQ's default limit on RabbitMQ 4. */
const CONSUMERS_PER_CHANNEL = 10;
const CONFIRM_DEADLINE_MS = 10_000;

export class ChannelSet {
  readonly #model: ChannelModel;
  readonly #publisher: ConfirmChannel;
  readonly #options: ChannelSetOptions;
  readonly #channels = new Set<Channel>();
  /** By queue. */
  readonly #consumers = new Map<string, Consumer>();
  readonly #lost = Promise.withResolvers<string | undefined>();
  readonly #ending = new AbortController();

  /** @throws when the broker opens no channel */
  static async open(model: ChannelModel, options: ChannelSetOptions): Promise<ChannelSet> {
    return new ChannelSet(model, await model.createConfirmChannel(), options);
  }

  private constructor(model: ChannelModel, publisher: ConfirmChannel, options: ChannelSetOptions) {
    this.#model = model;
    this.#publisher = publisher;
    this.#options = options;
    this.#watch(publisher);
  }

  get ended(): boolean {
    return this.#ending.signal.aborted;
  }

  /** With the reason, or with nothing after `close()`. */
  get lost(): Promise<string | undefined> {
    return this.#lost.promise;
  }

  consumes(queue: string): boolean {
    return this.#consumers.get(queue)?.consumerTag !== undefined;
  }

  /** Declares the queue, should it be missing, and consumes it. @returns false when it is already consumed */
  async consume(queue: string, onMessage: OnMessage): Promise<boolean> {
    if (this.#consumers.has(queue)) return false;
    const consumer = await this.#addConsumer(queue);
    await consumer.channel.assertQueue(queue, { durable: true, arguments: { ...this.#options.queueArguments } });
    await consumer.channel.bindQueue(queue, this.#options.exchange, queue);
    // The broker cancels a consumer when its queue is deleted or moves: the same as a lost channel.
    await this.#start(queue, consumer, onMessage, () => this.#end(`the broker cancelled the consumer of ${queue}`));
    return true;
  }

  /** Consumes the queue if it exists. It may be deleted later: then only this consumer ends. @returns whether it exists */
  async consumeExisting(queue: string, onMessage: OnMessage): Promise<boolean> {
    if (this.#consumers.has(queue)) return true;
    const probe = await this.#model.createChannel();
    probe.on('error', () => undefined);
    try {
      await probe.checkQueue(queue);
      await probe.close();
    } catch {
      return false;
    }
    await this.#start(queue, await this.#addConsumer(queue), onMessage, () => this.#consumers.delete(queue));
    return true;
  }

  cancel(queue: string): void {
    const consumer = this.#consumers.get(queue);
    this.#consumers.delete(queue);
    if (consumer?.consumerTag !== undefined) consumer.channel.cancel(consumer.consumerTag).catch(() => undefined);
  }

  /** Resolves when the broker has confirmed the message. @throws when it refuses, or does not answer within ten seconds */
  async publish(queue: string, body: Buffer, properties: Options.Publish): Promise<void> {
    const confirmed = new Promise<void>((resolve, reject) => {
      this.#publisher.publish(
        this.#options.exchange,
        queue,
        body,
        { persistent: true, contentType: 'application/json', ...properties },
        (error: unknown) => (error === null ? resolve() : reject(error)),
      );
    });
    await withinDeadline(confirmed, CONFIRM_DEADLINE_MS, `the broker did not confirm a ${properties.type}`);
  }

  /** Resolves when the broker has answered on this connection. @throws when the set has ended */
  async ping(): Promise<void> {
    await this.#publisher.checkExchange(this.#options.exchange);
  }

  after(ms: number, then: () => void): void {
    void sleep(ms, this.#ending.signal).then(then, () => undefined);
  }

  async close(): Promise<void> {
    this.#end(undefined);
    await Promise.all([this.#publisher, ...this.#channels].map(closed));
  }

  async #addConsumer(queue: string): Promise<Consumer> {
    const used = Map.groupBy(this.#consumers.values(), ({ channel }) => channel);
    let channel = [...this.#channels].find((each) => (used.get(each)?.length ?? 0) < CONSUMERS_PER_CHANNEL);
    if (channel === undefined) {
      channel = await this.#model.createChannel();
      this.#watch(channel);
      this.#channels.add(channel);
    }
    const consumer = { channel };
    this.#consumers.set(queue, consumer);
    return consumer;
  }

  async #start(queue: string, consumer: Consumer, onMessage: OnMessage, onCancelled: () => void): Promise<void> {
    const { channel } = consumer;
    const { consumerTag } = await channel.consume(queue, (message) => {
      if (this.ended) return;
      if (message === null) onCancelled();
      else onMessage(delivered(channel, message, this.#options.log));
    });
    consumer.consumerTag = consumerTag;
    // It was cancelled meanwhile.
    if (this.#consumers.get(queue) !== consumer) await channel.cancel(consumerTag);
  }

  #watch(channel: Channel): void {
    let reason = 'a channel was closed';
    channel.on('error', (error) => {
      reason = errorMessage(error);
    });
    channel.on('close', () => this.#end(reason));
  }

  #end(reason: string | undefined): void {
    this.#ending.abort();
    this.#lost.resolve(reason);
  }
}

/** A message to be answered once. */
function delivered(channel: Channel, message: ConsumeMessage, log: Log) {
  const { type, headers = {}, timestamp } = message.properties;
  const answer = (send: () => void) => () => {
    try {
      send();
    } catch (err) {
      log.debug({ err }, 'an answer came too late: the channel has closed, and the broker has requeued the message');
    }
  };
  return {
    type: type as unknown,
    body: message.content,
    headers,
    /** Unix seconds. */
    timestamp: Number(timestamp) || undefined,
    ack: answer(() => channel.ack(message)),
    requeue: answer(() => channel.nack(message, false, true)),
    deadLetter: answer(() => channel.nack(message, false, false)),
  };
}

async function closed(channel: Channel): Promise<void> {
  try {
    await channel.close();
  } catch {
    // It was lost, or its connection was: there is nothing to close.
  }
}
