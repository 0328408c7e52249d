// Where the lease stands: the channels, consumers and timers of one opening of the lease connection. They live and die
// together: when one channel or consumer is lost, so is the footing, which says so once and then delivers nothing more.
// It knows queues and messages; what they mean is for lease.ts. One channel carries at most ten consumers (Amazon MQ's
// default on RabbitMQ 4).

import type { Buffer } from 'node:buffer';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage } from 'amqplib';
import { EXCHANGES, LEASE_QUEUE_ARGUMENTS, leaseQueue } from '../contract/names.ts';
import { DeadlineError, errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';

/** What is needed to answer a delivery. */
export interface Tag {
  readonly channel: Channel;
  readonly message: ConsumeMessage;
}

export interface FootingListener {
  deliver(group: number, tag: Tag): void;
  lost(reason: string): void;
}

const CONSUMERS_PER_CHANNEL = 10;
const CONFIRM_DEADLINE_MS = 10_000;

export class LeaseFooting {
  readonly #model: ChannelModel;
  readonly #publisher: ConfirmChannel;
  readonly #listener: FootingListener;
  readonly #log: Log;
  readonly #channels = new Map<Channel, number>();
  readonly #consumers = new Map<number, { readonly channel: Channel; readonly consumerTag: string }>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #isWanted: (group: number) => boolean = () => true;
  #ended = false;

  /** @throws when the broker gives no channel */
  static async open(model: ChannelModel, listener: FootingListener, log: Log): Promise<LeaseFooting> {
    return new LeaseFooting(model, await model.createConfirmChannel(), listener, log);
  }

  private constructor(model: ChannelModel, publisher: ConfirmChannel, listener: FootingListener, log: Log) {
    this.#model = model;
    this.#publisher = publisher;
    this.#listener = listener;
    this.#log = log;
    this.#watch(publisher);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Groups whose queues are consumed. */
  get groups(): readonly number[] {
    return [...this.#consumers.keys()];
  }

  /** Declares the group's queue, should it be missing, and consumes it. @returns whether it did not before */
  async consume(group: number): Promise<boolean> {
    if (this.#consumers.has(group)) return false;
    const channel = await this.#roomyChannel();
    const queue = leaseQueue(group);
    await channel.assertQueue(queue, { durable: true, arguments: { ...LEASE_QUEUE_ARGUMENTS } });
    await channel.bindQueue(queue, EXCHANGES.leases, queue);
    // The broker cancels a consumer when its queue is deleted or moves: as good as a lost channel.
    await this.#start(group, channel, () => this.#lose(`the broker cancelled the consumer of ${queue}`));
    return true;
  }

  /** Consumes the queue of a group that is of no division any more, if there is one. @returns whether there is */
  async consumeLeftover(group: number): Promise<boolean> {
    if (this.#consumers.has(group)) return true;
    const asking = await this.#model.createChannel();
    asking.on('error', () => undefined);
    try {
      await asking.checkQueue(leaseQueue(group));
      await asking.close();
    } catch {
      return false;
    }
    // It may be deleted at any time: that concerns nobody.
    await this.#start(group, await this.#roomyChannel(), () => this.#consumers.delete(group));
    return true;
  }

  /** Consumes this group no more; what is delivered and not answered stays so. */
  leave(group: number): void {
    this.#cancel(group);
  }

  /** Cancels the consumers of all other groups, those on their way too. */
  keepOnly(isWanted: (group: number) => boolean): void {
    this.#isWanted = isWanted;
    for (const group of this.groups) if (!isWanted(group)) this.#cancel(group);
  }

  answer({ channel, message }: Tag, how: 'ack' | 'give back' | 'set aside'): void {
    try {
      if (how === 'ack') channel.ack(message);
      else channel.nack(message, false, how === 'give back');
    } catch (error) {
      // The channel has closed, and the broker has given the message back by itself.
      this.#log.debug({ reason: errorMessage(error) }, 'an answer came too late');
    }
  }

  /** Resolves when the broker has it. @throws when it refuses, or does not answer within ten seconds */
  async publish(
    group: number,
    message: {
      readonly type: 'claim' | 'record';
      readonly body: Buffer;
      readonly appId: string;
      readonly headers: Readonly<Record<string, number>>;
      readonly timestamp?: number;
    },
  ): Promise<void> {
    const { body, ...properties } = message;
    const confirmed = new Promise<void>((resolve, reject) => {
      this.#publisher.publish(
        EXCHANGES.leases,
        leaseQueue(group),
        body,
        { persistent: true, contentType: 'application/json', ...properties },
        (error: unknown) => (error === null ? resolve() : reject(error)),
      );
    });
    const late = new AbortController();
    const deadline = sleep(CONFIRM_DEADLINE_MS, undefined, { signal: late.signal, ref: false }).then(() => {
      throw new DeadlineError(`the broker did not confirm a ${message.type} within ${CONFIRM_DEADLINE_MS / 1_000} s`);
    });
    deadline.catch(() => undefined);
    try {
      await Promise.race([confirmed, deadline]);
    } finally {
      late.abort();
    }
  }

  /** Resolves when the broker has answered on this connection: then it still holds what was delivered. @throws when lost */
  async prove(): Promise<void> {
    await this.#publisher.checkExchange(EXCHANGES.leases);
  }

  /** @returns what calls it off; the end of the footing does too */
  after(ms: number, then: () => void): () => void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      then();
    }, ms);
    this.#timers.add(timer);
    return () => {
      clearTimeout(timer);
      this.#timers.delete(timer);
    };
  }

  /** Closes the channels: the broker gives what is unacknowledged to whoever is next. Says nothing to the listener. */
  async close(): Promise<void> {
    this.#ended = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all([this.#publisher, ...this.#channels.keys()].map(closed));
  }

  async #roomyChannel(): Promise<Channel> {
    for (const [channel, consumers] of this.#channels) if (consumers < CONSUMERS_PER_CHANNEL) return channel;
    const channel = await this.#model.createChannel();
    this.#watch(channel);
    this.#channels.set(channel, 0);
    return channel;
  }

  async #start(group: number, channel: Channel, cancelled: () => void): Promise<void> {
    this.#channels.set(channel, (this.#channels.get(channel) ?? 0) + 1);
    const { consumerTag } = await channel.consume(leaseQueue(group), (message) => {
      if (this.#ended) return;
      if (message === null) cancelled();
      else this.#listener.deliver(group, { channel, message });
    });
    this.#consumers.set(group, { channel, consumerTag });
    // The task became an owner of another group while this was on its way.
    if (!this.#isWanted(group)) this.#cancel(group);
  }

  #cancel(group: number): void {
    const consumer = this.#consumers.get(group);
    if (consumer === undefined) return;
    this.#consumers.delete(group);
    const { channel, consumerTag } = consumer;
    this.#channels.set(channel, (this.#channels.get(channel) ?? 1) - 1);
    channel.cancel(consumerTag).catch(() => undefined);
  }

  /** A lost channel is a lost footing: whatever it held is given back by the broker. */
  #watch(channel: Channel): void {
    let reason = 'a channel of the lease was closed';
    channel.on('error', (error) => {
      reason = errorMessage(error);
    });
    channel.on('close', () => this.#lose(reason));
  }

  #lose(reason: string): void {
    if (this.#ended) return;
    void this.close();
    this.#listener.lost(reason);
  }
}

async function closed(channel: Channel): Promise<void> {
  try {
    await channel.close();
  } catch {
    // It was lost, or its connection was: there is nothing to close.
  }
}
