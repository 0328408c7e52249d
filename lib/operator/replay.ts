// Publishes messages again. One is published only when the broker has confirmed it and has not returned it: a message that no
// queue takes is confirmed as well, after its return. Where the topology is applied none is returned: the alternate exchange
// takes what no queue is bound to.

import type { ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import { EXCHANGES } from '../../service/contract/names.ts';
import { lostConnection } from './connect.ts';

export type Published = 'published' | 'returned' | 'refused';

export class Replay {
  readonly #channel: ConfirmChannel;
  /** How many copies were returned whose confirm is still to come. Two with the same id and key have the same way. */
  readonly #returned = new Map<string, number>();
  /** Why the broker closed the channel. */
  #closed: Error | undefined;

  static async on(model: ChannelModel): Promise<Replay> {
    return new Replay(await model.createConfirmChannel());
  }

  private constructor(channel: ConfirmChannel) {
    this.#channel = channel;
    channel.on('error', (error: Error) => {
      this.#closed = error;
    });
    channel.on('return', ({ fields, properties }: ConsumeMessage) => {
      const copy = nameOf(properties.messageId, fields.routingKey);
      this.#returned.set(copy, (this.#returned.get(copy) ?? 0) + 1);
    });
  }

  /** @throws Error when the channel is lost before the confirm */
  async publish(routingKey: string, body: Buffer, options: Options.Publish): Promise<Published> {
    const copy = nameOf(options.messageId, routingKey);
    return await new Promise((resolve, reject) => {
      const confirmed = (error: Error | null) => {
        const returned = this.#returned.get(copy) ?? 0;
        if (returned > 1) this.#returned.set(copy, returned - 1);
        else this.#returned.delete(copy);
        // amqplib's words; it has others for a channel that is closed.
        if (error?.message === 'message nacked') resolve('refused');
        else if (error) reject(this.#closed ?? lostConnection());
        else resolve(returned > 0 ? 'returned' : 'published');
      };
      try {
        this.#channel.publish(EXCHANGES.events, routingKey, body, options, confirmed);
      } catch (error) {
        // The client reads headers that it cannot write; it sends nothing then. The other error is of a closed channel.
        if ((error as Error).name === 'IllegalOperationError') reject(this.#closed ?? lostConnection());
        else resolve('refused');
      }
    });
  }
}

const nameOf = (id: unknown, routingKey: string): string => JSON.stringify([id, routingKey]);
