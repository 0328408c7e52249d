// What amqplib's channels lack: errors without a listener would end the process, and closing a lost channel throws.

import type { Channel, ChannelModel } from 'amqplib';
import type { Log } from '../log.ts';

/** Its errors only reject what was asked on it. */
export async function openChannel(model: ChannelModel): Promise<Channel> {
  const channel = await model.createChannel();
  channel.on('error', () => undefined);
  return channel;
}

/** Never throws: a channel that was lost is closed. */
export async function closeChannel(channel: Pick<Channel, 'close'> | undefined): Promise<void> {
  try {
    await channel?.close();
  } catch {
    // It was lost, or its connection was.
  }
}

/** @returns what answers a delivery by `send`, and never throws */
export function answer(log: Log, send: () => void): () => void {
  return () => {
    try {
      send();
    } catch (err) {
      log.debug({ err }, 'an answer came too late: the channel has closed, and the broker delivers the message again');
    }
  };
}
