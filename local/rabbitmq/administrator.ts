// AMQP operations with the login of the administrator.

import { type ConfirmChannel, connect } from 'amqplib';
import { VHOST } from '../../service/contract/names.ts';
import type { RabbitMq } from './node.ts';

/** @returns what the work returns, when the broker has confirmed what it published */
export async function asAdministrator<T>(broker: RabbitMq, work: (channel: ConfirmChannel) => T): Promise<Awaited<T>> {
  const { username, password } = broker;
  const connection = await connect(broker.amqpUrl({ username, password, vhost: VHOST }));
  try {
    const channel = await connection.createConfirmChannel();
    const result = await work(channel);
    await channel.waitForConfirms();
    return result;
  } finally {
    await connection.close();
  }
}
