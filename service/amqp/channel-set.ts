// The channels, consumers and timers of one connection to the broker. They end together: with the first channel or consumer
// that is lost, or with `close()`, all of them do, and nothing is delivered any more. The broker then delivers what
// was not acknowledged to another consumer.

import type { Buffer } from 'node:buffer';
import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import type { Log } from '../log.ts';
import { sleep } from '../wait.ts';
import { answer, closeChannel, openChannel } from './channels.ts';

export interface ChannelSetOptions {
  /** A direct exchange. A queue is bound to it by its own name. */
  readonly exchange: string;
  readonly queueArguments: Readonly<Record<string, unknown>>;
  /** Ends the connection of a broker that confirms nothing: nothing here has a deadline of its own. Of all channels. */
  readonly deadline: { written(): void; confirmed(unconfirmed: number): void };
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
/** AMQP's NOT_FOUND. */
const NOT_FOUND = 404;

export class ChannelSet {
  readonly #model: ChannelModel;
  readonly #publisher: ConfirmChannel;
  readonly #options: ChannelSetOptions;
  readonly #channels = new Set<Channel>();
  /** By queue. */
  readonly #consumers = new Map<string, Consumer>();
  readonly #lost = Promise.withResolvers<unknown>();
  readonly #ending = new AbortController();
  /** Queues of what the broker has not confirmed: messages, and consumers that are being started. */
  readonly #unconfirmed = new Set<{ readonly queue: string }>();
  /** By message id: in no queue. */
  readonly #returned = new Set<unknown>();
  #published = 0;

  /** @throws when the broker opens no channel, or does not have the exchange */
  static async open(model: ChannelModel, options: ChannelSetOptions): Promise<ChannelSet> {
    const set = new ChannelSet(model, await model.createConfirmChannel(), options);
    await set.#publisher.checkExchange(options.exchange);
    return set;
  }

  private constructor(model: ChannelModel, publisher: ConfirmChannel, options: ChannelSetOptions) {
    this.#model = model;
    this.#publisher = publisher;
    this.#options = options;
    this.#watch(publisher);
    publisher.on('return', ({ properties }) => this.#returned.add(properties.messageId));
  }

  get ended(): boolean {
    return this.#ending.signal.aborted;
  }

  /** Resolves when they have ended: with the error, or with nothing after `close()`. */
  get lost(): Promise<unknown> {
    return this.#lost.promise;
  }

  /** Queues that confirm nothing while others may. */
  get unconfirmed(): string[] {
    return [...new Set([...this.#unconfirmed].map(({ queue }) => queue))];
  }

  consumes(queue: string): boolean {
    return this.#consumers.get(queue)?.consumerTag !== undefined;
  }

  /**
   * Declares the queue, should it be missing, and consumes it. What is there is only read: metadata cannot be written on
   * a node without a majority. @returns false when it is already consumed
   */
  async consume(queue: string, onMessage: OnMessage): Promise<boolean> {
    if (this.#consumers.has(queue)) return false;
    const consumer = await this.#addConsumer(queue);
    if (!(await this.#exists(queue))) await this.#declare(queue);
    // The broker cancels a consumer when its queue is deleted or moves: the same as a lost channel.
    await this.#start(queue, consumer, onMessage, () =>
      this.#end(new Error(`the broker cancelled the consumer of ${queue}`)),
    );
    return true;
  }

  /** Consumes the queue if it exists. It may be deleted later: then only this consumer ends. @returns whether it exists */
  async consumeExisting(queue: string, onMessage: OnMessage): Promise<boolean> {
    if (this.#consumers.has(queue)) return true;
    if (!(await this.#exists(queue))) return false;
    await this.#start(queue, await this.#addConsumer(queue), onMessage, () => this.#consumers.delete(queue));
    return true;
  }

  /** Ends the consumer, also one that is being started; what is delivered and not answered stays unacknowledged. */
  cancel(queue: string): void {
    const consumer = this.#consumers.get(queue);
    this.#consumers.delete(queue);
    if (consumer?.consumerTag !== undefined) consumer.channel.cancel(consumer.consumerTag).catch(() => undefined);
  }

  /**
   * Resolves when the broker has confirmed the message in the queue, which is declared and bound again if that is missing.
   * @throws when the broker refuses it, or the set has ended
   */
  async publish(queue: string, body: Buffer, properties: Options.Publish): Promise<void> {
    if (await this.#isQueued(queue, body, properties)) return;
    this.#options.log.error({ queue }, 'a queue or its binding is missing: declaring it again');
    await this.#declare(queue);
    if (!(await this.#isQueued(queue, body, properties)))
      throw new Error(`expected ${queue} to take a message once it is declared, but the broker returns it`);
  }

  /** Calls it after this time, unless they have ended by then. */
  after(ms: number, then: () => void): void {
    void sleep(ms, this.#ending.signal).then(then, () => undefined);
  }

  async close(): Promise<void> {
    this.#end(undefined);
    await Promise.all([this.#publisher, ...this.#channels].map(closeChannel));
  }

  /** Resolves with whether a queue took it. */
  async #isQueued(queue: string, body: Buffer, properties: Options.Publish): Promise<boolean> {
    this.#published += 1;
    const messageId = String(this.#published);
    const { exchange } = this.#options;
    const options = { persistent: true, mandatory: true, contentType: 'application/json', ...properties, messageId };
    await this.#confirmed(
      queue,
      new Promise<void>((resolve, reject) => {
        this.#publisher.publish(exchange, queue, body, options, (error: unknown) =>
          error === null ? resolve() : reject(error),
        );
      }),
    );
    // It is returned before it is confirmed.
    return !this.#returned.delete(messageId);
  }

  async #confirmed<T>(queue: string, answer: Promise<T>): Promise<T> {
    const { deadline } = this.#options;
    const waiting = { queue };
    this.#unconfirmed.add(waiting);
    deadline.written();
    try {
      const value = await answer;
      deadline.confirmed(this.#unconfirmed.size - 1);
      return value;
    } finally {
      this.#unconfirmed.delete(waiting);
    }
  }

  async #exists(queue: string): Promise<boolean> {
    try {
      await this.#onOwnChannel((channel) => channel.checkQueue(queue));
      return true;
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === NOT_FOUND) return false;
      throw error;
    }
  }

  async #declare(queue: string): Promise<void> {
    const { exchange, queueArguments } = this.#options;
    await this.#onOwnChannel(async (channel) => {
      await channel.assertQueue(queue, { durable: true, arguments: { ...queueArguments } });
      await channel.bindQueue(queue, exchange, queue);
    });
  }

  /** A refusal ends the channel. */
  async #onOwnChannel(ask: (channel: Channel) => Promise<unknown>): Promise<void> {
    const channel = await openChannel(this.#model);
    try {
      await ask(channel);
    } finally {
      await closeChannel(channel);
    }
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
    const started = channel.consume(queue, (message) => {
      if (this.ended) return;
      if (message === null) return onCancelled();
      const delivery = delivered(channel, message, this.#options.log);
      // A consumer that is being cancelled may still get something.
      if (this.#consumers.get(queue) === consumer) onMessage(delivery);
      else delivery.requeue();
    });
    const { consumerTag } = await this.#confirmed(queue, started);
    consumer.consumerTag = consumerTag;
    // It was cancelled meanwhile.
    if (this.#consumers.get(queue) !== consumer) await channel.cancel(consumerTag);
  }

  #watch(channel: Channel): void {
    channel.on('error', (error) => this.#end(error));
    channel.on('close', () => this.#end(new Error('a channel was closed')));
  }

  /** The first call counts. */
  #end(error: unknown): void {
    this.#ending.abort();
    this.#lost.resolve(error);
  }
}

/** A message to be answered once. */
function delivered(channel: Channel, message: ConsumeMessage, log: Log) {
  const { type, appId, headers = {}, timestamp } = message.properties;
  return {
    type: type as unknown,
    appId: appId as unknown,
    body: message.content,
    headers,
    /** Unix seconds. */
    timestamp: Number(timestamp) || undefined,
    ack: answer(log, () => channel.ack(message)),
    requeue: answer(log, () => channel.nack(message, false, true)),
    deadLetter: answer(log, () => channel.nack(message, false, false)),
  };
}
