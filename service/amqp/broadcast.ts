// Messages to all tasks, or to one of them, by a direct exchange and an exclusive queue of this task, which vanishes with its
// connection. Nothing else depends on it: what cannot be sent is dropped, and a lost channel, a missing exchange or
// permission is logged and tried again. A flood fills this task's queue, whose oldest are dropped, and not this task.

import type { Buffer } from 'node:buffer';
import type { Channel, ChannelModel, Options } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import type { Log } from '../log.ts';
import { OutageLog } from '../outage-log.ts';
import { backoffMs, orAfter, sleep } from '../wait.ts';

export interface BroadcastOptions {
  /** Only what declares and receives: a declare on a node without a majority ends the connection. */
  readonly receiving: ConnectionEvents<ChannelModel>;
  /** A broker in memory alarm no longer reads from a connection that publishes, nor what is acknowledged there. */
  readonly publishing: ConnectionEvents<ChannelModel> & { readonly blocked: boolean };
  readonly exchange: string;
  readonly queue: string;
  /** What this task is sent. */
  readonly routingKeys: readonly string[];
  /** From now on it is sent messages, and can send some. It does not throw. */
  readonly onOpen: () => void;
  /** With its body, which anyone with the permission may have written. It does not throw. */
  readonly onMessage: (body: Buffer) => void;
  readonly log: Log;
}

type Models = { readonly [side in 'receiving' | 'publishing']?: ChannelModel };

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
  readonly #outage: OutageLog;
  #models: Models = {};
  /** Publishes. */
  #channel: Channel | undefined;

  constructor(options: BroadcastOptions) {
    this.#options = options;
    const message =
      'no reports of tasks are exchanged; retrying (if the exchange or a permission is missing: apply the topology)';
    this.#outage = new OutageLog(options.log, 'warn', message);
    for (const side of ['receiving', 'publishing'] as const) {
      options[side].on('open', (model) => {
        this.#models = { ...this.#models, [side]: model };
        void this.#run(this.#models);
      });
      options[side].on('lost', () => {
        const { [side]: _, ...others } = this.#models;
        this.#models = others;
      });
    }
  }

  /** Without a promise that it arrives: not while the broker blocks publishers, where it would only wait in memory. */
  publish(routingKey: string, body: Buffer): void {
    if (this.#options.publishing.blocked || body.length > MOST_BYTES) return;
    try {
      this.#channel?.publish(this.#options.exchange, routingKey, body, { contentType: 'application/json' });
    } catch {
      // The channel has just closed: `#run` opens another.
    }
  }

  /** What was published before is sent: the end of a connection would overtake it. Settles within a second. */
  async close(): Promise<void> {
    this.#models = {};
    await orAfter(closed(this.#channel), CLOSE_DEADLINE_MS, () => undefined);
  }

  async #run(models: Models): Promise<void> {
    const { receiving, publishing } = models;
    if (receiving === undefined || publishing === undefined) return;
    for (let failures = 1; this.#models === models; failures += 1) {
      const { promise, reject } = Promise.withResolvers<never>();
      promise.catch(() => undefined);
      const channels: Channel[] = [];
      const open = async (model: ChannelModel) => {
        const channel = await model.createChannel();
        channels.push(channel);
        channel.on('error', reject);
        channel.on('close', () => reject(new Error('the channel was closed')));
        return channel;
      };
      try {
        await this.#consume(await open(receiving), () => reject(new Error('the queue was deleted')));
        const channel = await open(publishing);
        const outage = this.#outage.over();
        if (outage !== undefined) this.#options.log.info(outage, 'reports of tasks are exchanged again');
        failures = 1;
        this.#channel = channel;
        this.#options.onOpen();
        await promise;
      } catch (err) {
        if (this.#models === models) this.#outage.failed(err, { queue: this.#options.queue });
      } finally {
        if (this.#models === models) this.#channel = undefined;
        for (const channel of channels) void closed(channel);
      }
      await sleep(backoffMs(failures));
    }
  }

  async #consume(channel: Channel, onDeleted: () => void): Promise<void> {
    const { exchange, onMessage, queue, routingKeys } = this.#options;
    await channel.assertQueue(queue, QUEUE);
    for (const key of routingKeys) await channel.bindQueue(queue, exchange, key);
    await channel.prefetch(PREFETCH);
    await channel.consume(queue, (message) => {
      if (message === null) return onDeleted();
      if (message.content.length <= MOST_BYTES) onMessage(message.content);
      // Its channel may have closed meanwhile.
      void sleep(SPACING_MS)
        .then(() => channel.ack(message))
        .catch(() => undefined);
    });
  }
}

async function closed(channel: Channel | undefined): Promise<void> {
  try {
    await channel?.close();
  } catch {
    // It is closed already.
  }
}
