// Publishes messages again. One is published only when the broker has confirmed it and has not returned it: a message that no
// queue takes is confirmed as well, after its return.

import type { ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import { EXCHANGES } from '../../service/contract/names.ts';

export type Published = 'published' | 'returned' | 'refused';

export class Replay {
  readonly #channel: ConfirmChannel;
  readonly #lost = Promise.withResolvers<never>();
  /** How many copies were returned whose confirm is still to come. Two with the same id and key have the same way. */
  readonly #returned = new Map<string, number>();

  static async on(model: ChannelModel): Promise<Replay> {
    return new Replay(await model.createConfirmChannel());
  }

  private constructor(channel: ConfirmChannel) {
    this.#channel = channel;
    this.#lost.promise.catch(() => undefined);
    channel.on('error', this.#lost.reject);
    channel.on('close', () =>
      this.#lost.reject(
        new Error('the connection to the broker was lost: what was not confirmed is in the queue still. Start again'),
      ),
    );
    channel.on('return', ({ fields, properties }: ConsumeMessage) => {
      const copy = nameOf(properties.messageId, fields.routingKey);
      this.#returned.set(copy, (this.#returned.get(copy) ?? 0) + 1);
    });
  }

  /** @throws Error when the channel is lost before the confirm */
  async publish(routingKey: string, body: Buffer, options: Options.Publish): Promise<Published> {
    const confirmed = Promise.withResolvers<Published>();
    const copy = nameOf(options.messageId, routingKey);
    this.#channel.publish(EXCHANGES.events, routingKey, body, options, (error: unknown) => {
      const returned = this.#returned.get(copy) ?? 0;
      if (returned > 1) this.#returned.set(copy, returned - 1);
      else this.#returned.delete(copy);
      confirmed.resolve(error ? 'refused' : returned > 0 ? 'returned' : 'published');
    });
    return await Promise.race([confirmed.promise, this.#lost.promise]);
  }
}

const nameOf = (id: unknown, routingKey: string): string => JSON.stringify([id, routingKey]);
