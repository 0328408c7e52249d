// What a test does on the broker from outside: through the management API, and on a connection of its own.

import { randomBytes } from 'node:crypto';
import { type Channel, type ChannelModel, type ConsumeMessage, connect } from 'amqplib';
import type { LoginSource } from '../../service/amqp/connection.ts';
import { parseBrokerLogin } from '../../service/credentials.ts';
import { manage, type Vhost } from './broker.ts';

/** A login that never changes. */
export function fixedLogin(url: string): LoginSource {
  return { from: 'RABBITMQ_URL', read: async () => parseBrokerLogin(url), refresh: async () => false };
}

export interface User {
  readonly username: string;
  readonly url: string;
  /** How many connections the broker has of it now. */
  connections(): Promise<number>;
  /** Closes them all from the broker's side. */
  dropConnections(): Promise<void>;
  remove(): Promise<void>;
}

/** Its own user, who may do everything in the vhost: the broker knows its connections at once, by their user. */
export async function makeUser(vhost: Vhost): Promise<User> {
  const username = `user-${randomBytes(6).toString('hex')}`;
  const password = randomBytes(12).toString('hex');
  await manage('PUT', `/api/users/${username}`, { password, tags: '' });
  const everything = { configure: '.*', write: '.*', read: '.*' };
  await manage('PUT', `/api/permissions/${encodeURIComponent(vhost.vhost)}/${username}`, everything);
  return {
    username,
    url: vhost.url({ username, password }),
    connections: async () => ((await manage('GET', `/api/connections/username/${username}`)) as unknown[]).length,
    dropConnections: async () => void (await manage('DELETE', `/api/connections/username/${username}`)),
    remove: async () => void (await manage('DELETE', `/api/users/${username}`)),
  };
}

export interface BrokerClient {
  readonly model: ChannelModel;
  readonly channel: Channel;
  /** Consumes and acknowledges; what came, in order. */
  read(queue: string): Promise<ConsumeMessage[]>;
  close(): Promise<void>;
}

/** A connection of the test's own. */
export async function brokerClient(url: string): Promise<BrokerClient> {
  const model = await connect(url);
  // The vhost is deleted before it is closed.
  model.on('error', () => undefined);
  const channel = await model.createChannel();
  return {
    model,
    channel,
    async read(queue) {
      const messages: ConsumeMessage[] = [];
      await channel.consume(queue, (message) => {
        if (message === null) return;
        messages.push(message);
        channel.ack(message);
      });
      return messages;
    },
    close: async () => await model.close().catch(() => undefined),
  };
}
