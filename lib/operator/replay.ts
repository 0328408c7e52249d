// Publishes messages again. One is published only when the broker has confirmed it and has not returned it: a message that no
// queue takes is confirmed as well, after its return. Where the topology is applied none is returned: the alternate exchange
// takes what no queue is bound to.

import type { ChannelModel, ConsumeMessage, Options } from 'amqplib';
import { EXCHANGES } from '../../service/contract/names.ts';
import { lostConnection } from './connect.ts';

type Published = 'published' | 'returned' | 'refused';

/** @returns publishes one; it throws when the channel is lost before the confirm */
export async function replayOn(
  model: ChannelModel,
): Promise<(routingKey: string, body: Buffer, options: Options.Publish) => Promise<Published>> {
  const channel = await model.createConfirmChannel();
  /** How many copies were returned whose confirm is still to come. Two with the same id and key have the same way. */
  const returned = new Map<string, number>();
  /** Why the broker closed the channel. */
  let closed: Error | undefined;
  channel.on('error', (error: Error) => {
    closed = error;
  });
  channel.on('return', ({ fields, properties }: ConsumeMessage) => {
    const copy = nameOf(properties.messageId, fields.routingKey);
    returned.set(copy, (returned.get(copy) ?? 0) + 1);
  });
  return async (routingKey, body, options) => {
    const copy = nameOf(options.messageId, routingKey);
    return await new Promise((resolve, reject) => {
      const onConfirm = (error: Error | null) => {
        const count = returned.get(copy) ?? 0;
        if (count > 1) returned.set(copy, count - 1);
        else returned.delete(copy);
        // amqplib's words; it has others for a channel that is closed.
        if (error?.message === 'message nacked') resolve('refused');
        else if (error) reject(closed ?? lostConnection());
        else resolve(count > 0 ? 'returned' : 'published');
      };
      try {
        channel.publish(EXCHANGES.events, routingKey, body, options, onConfirm);
      } catch (error) {
        // The client reads headers that it cannot write; it sends nothing then. The other error is of a closed channel.
        if ((error as Error).name === 'IllegalOperationError') reject(closed ?? lostConnection());
        else resolve('refused');
      }
    });
  };
}

const nameOf = (id: unknown, routingKey: string): string => JSON.stringify([id, routingKey]);
