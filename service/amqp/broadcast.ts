// Messages to all tasks, or to one of them, by a direct exchange and an exclusive queue of this task, which vanishes with its
// connection. Nothing else depends on it: what cannot be sent is dropped, and a lost channel, a missing exchange or
// permission is logged and tried again. A flood fills this task's queue, whose oldest are dropped, and not this task.

import type { Buffer } from 'node:buffer';
import type { Channel, ChannelModel, Options } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import type { Log } from '../log.ts';
import { OutageLog } from '../outage-log.ts';
import { orAfter, sleep } from '../wait.ts';
import { closeChannel } from './channels.ts';
import { QueueConsumer } from './queue-consumer.ts';

export interface BroadcastOptions {
  /** Only what declares and receives: a declare on a node without a majority ends the connection. */
  readonly receiving: ConnectionEvents<ChannelModel>;
  /** A broker in memory alarm no longer reads from a connection that publishes, nor what is acknowledged there. */
  readonly publishing: ConnectionEvents<ChannelModel> & { readonly blocked: boolean };
  readonly exchange: string;
  readonly queue: string;
  /** Of messages to this task. */
  readonly routingKeys: readonly string[];
  /** From now on messages are received and published. It does not throw. */
  readonly onOpen: () => void;
  /** With its body, which anyone with the permission may have written. It does not throw. */
  readonly onMessage: (body: Buffer) => void;
  readonly log: Log;
}

const QUEUE: Options.AssertQueue = {
  exclusive: true,
  durable: false,
  arguments: {
    'x-queue-type': 'classic',
    'x-max-length': 1_000,
    'x-max-length-bytes': 4 * 1024 * 1024,
    'x-overflow': 'drop-head',
    'x-message-ttl': 60_000,
  },
};
/** Unacknowledged, and how long one is kept so: a hundred a second. */
const PREFETCH = 20;
const SPACING_MS = 200;
const CLOSE_DEADLINE_MS = 1_000;
const MOST_BYTES = 64 * 1024;

export class Broadcast {
  readonly #options: BroadcastOptions;
  readonly #consumer: QueueConsumer;
  readonly #outage: OutageLog;
  /** Of the connection that publishes. */
  #model: ChannelModel | undefined;
  #channel: Promise<Channel> | undefined;

  constructor(options: BroadcastOptions) {
    this.#options = options;
    const { exchange, log, onMessage, onOpen, publishing, queue, receiving, routingKeys } = options;
    this.#outage = new OutageLog(log, 'warn', 'the broker closed the channel that publishes reports; opening another');
    this.#consumer = new QueueConsumer({ connection: receiving, prefetch: PREFETCH, what: 'reports of tasks', log });
    publishing.on('open', (model) => {
      this.#model = model;
      this.#outage.over();
      if (this.#consumer.consuming) onOpen();
    });
    publishing.on('lost', () => {
      this.#model = undefined;
      this.#channel = undefined;
    });
    this.#consumer.start({
      queue,
      declare: async (channel) => {
        await channel.assertQueue(queue, QUEUE);
        for (const key of routingKeys) await channel.bindQueue(queue, exchange, key);
      },
      onOpen,
      onMessage: ({ body, ack }) => {
        if (body.length <= MOST_BYTES) onMessage(body);
        void sleep(SPACING_MS).then(ack);
      },
    });
  }

  /** Without a promise that it arrives: not while the broker blocks publishers, where it would only wait in memory. */
  publish(routingKey: string, body: Buffer): void {
    const { exchange, publishing } = this.#options;
    // Where the exchange is missing, nothing is consumed, and a publish would only end its channel.
    if (this.#model === undefined || !this.#consumer.consuming || publishing.blocked || body.length > MOST_BYTES)
      return;
    this.#channel ??= this.#open(this.#model);
    const channel = this.#channel;
    channel
      .then((open) => open.publish(exchange, routingKey, body, { contentType: 'application/json' }))
      .catch(() => this.#forget(channel));
  }

  /** What was published before is sent: the end of a connection would overtake it. Settles within a second. */
  async close(): Promise<void> {
    void this.#consumer.stop();
    const closed = this.#channel?.then(closeChannel).catch(() => undefined);
    await orAfter(Promise.resolve(closed), CLOSE_DEADLINE_MS, () => undefined);
  }

  #open(model: ChannelModel): Promise<Channel> {
    const opening = model.createChannel().then((channel) => {
      channel.on('error', (err) => this.#outage.failed(err));
      channel.on('close', () => this.#forget(opening));
      return channel;
    });
    return opening;
  }

  #forget(channel: Promise<Channel>): void {
    if (this.#channel === channel) this.#channel = undefined;
  }
}
