// The broker that the tests run on, and a vhost of a test's own on it. Started by broker-setup.ts.

import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { urlOf } from '../../local/rabbitmq/node.ts';
import type { Login } from '../../local/rabbitmq/types.ts';
import type { BrokerCoordinates } from './broker-setup.ts';

/** A broker, as an administrator reaches its management API. */
export type ManagedBroker = Pick<BrokerCoordinates, 'managementUrl' | 'username' | 'password'>;

export interface SharedBroker extends BrokerCoordinates {
  /** With the administrator's login and the default vhost, unless given another. */
  url(login?: Login): string;
}

export function sharedBroker(): SharedBroker {
  const broker = inject('broker');
  const { hostname, port } = new URL(broker.amqpUrl);
  return { ...broker, url: (login = broker) => urlOf(login, hostname, Number(port)) };
}

export interface Vhost {
  readonly vhost: string;
  /** With the administrator's login, unless given another. */
  url(login?: { username: string; password: string }): string;
  /** Deletes it with its queues; their connections are closed by the broker. */
  remove(): Promise<void>;
}

/** A fresh vhost of a random name, in which the administrator may do everything. */
export async function makeVhost(name = 'test'): Promise<Vhost> {
  const broker = sharedBroker();
  const vhost = `${name}-${randomBytes(6).toString('hex')}`;
  await putVhost(vhost);
  return {
    vhost,
    url: ({ username, password } = broker) => broker.url({ username, password, vhost }),
    remove: async () => void (await manage('DELETE', `/api/vhosts/${encodeURIComponent(vhost)}`)),
  };
}

/** A vhost in which the administrator may do everything. */
export async function putVhost(vhost: string, broker: ManagedBroker = sharedBroker()): Promise<void> {
  const name = encodeURIComponent(vhost);
  await manage('PUT', `/api/vhosts/${name}`, {}, broker);
  const everything = { configure: '.*', write: '.*', read: '.*' };
  await manage('PUT', `/api/permissions/${name}/${encodeURIComponent(broker.username)}`, everything, broker);
}

/** A call of the management API, of the shared broker unless given another. @returns its answer @throws for a refusal */
export async function manage(
  method: string,
  path: string,
  body?: object,
  broker: ManagedBroker = sharedBroker(),
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
