// What a test does to the broker from outside: through the management API, and on a connection of its own.

import { type Channel, type ChannelModel, type ConsumeMessage, connect } from 'amqplib';
import type { LoginSource } from '../../service/amqp/connection.ts';
import { parseBrokerLogin } from '../../service/secrets.ts';
import { sharedBroker } from '../broker.ts';
import { eventually } from './log-lines.ts';

/** A login that never changes. */
export function fixedLogin(url: string): LoginSource {
  return { from: 'RABBITMQ_URL', read: async () => parseBrokerLogin(url), refresh: async () => false };
}

interface Connected {
  readonly name: string;
  readonly user_provided_name?: string;
}

export async function manage(
  method: string,
  path: string,
  body?: object,
  broker: { managementUrl: string; username: string; password: string } = sharedBroker(),
): Promise<unknown> {
  const { managementUrl, username, password } = broker;
  const response = await fetch(`${managementUrl}${path}`, {
    method,
    headers: {
      authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
      'content-type': 'application/json',
    },
    ...(body && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: HTTP ${response.status} ${text}`);
  return text === '' ? undefined : JSON.parse(text);
}

/** Connections of this name, as the broker sees them. */
export async function connectionsNamed(name: string): Promise<Connected[]> {
  const all = (await manage('GET', '/api/connections')) as Connected[];
  return all.filter(({ user_provided_name }) => user_provided_name === name);
}

/** Closes one connection of this name from the broker's side. */
export async function dropConnection(name: string): Promise<void> {
  const [connection] = await eventually(`the broker lists the connection '${name}'`, async () => {
    const found = await connectionsNamed(name);
    return found.length > 0 && found;
  });
  if (connection !== undefined) await manage('DELETE', `/api/connections/${encodeURIComponent(connection.name)}`);
}

export interface Hand {
  readonly model: ChannelModel;
  readonly channel: Channel;
  /** Consumes and acknowledges; what came, in order. */
  read(queue: string): Promise<ConsumeMessage[]>;
  close(): Promise<void>;
}

/** A connection of the test's own. */
export async function hand(url: string): Promise<Hand> {
  const model = await connect(url);
  // The vhost is deleted under it at the end.
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
