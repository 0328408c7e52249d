// A vhost of the shared broker for one test, with names for users that no other test has.

import { randomBytes } from 'node:crypto';
import amqplib, { type ChannelModel } from 'amqplib';
import { ManagementApi } from '../../lib/management/management-api.ts';
import { recordName } from '../../lib/topology/record.ts';
import { type DiscordTopologyOptions, discordTopology, type Topology } from '../../lib/topology/topology.ts';
import type { USERS } from '../../service/contract/names.ts';
import { makeVhost, sharedBroker } from './broker.ts';

/** The product's, and a further worker where the topology has one. */
export type UserOfTest = keyof typeof USERS | 'analytics';

export interface OwnVhost {
  readonly vhost: string;
  readonly api: ManagementApi;
  readonly userNames: Readonly<Record<UserOfTest, string>>;
  readonly passwords: Readonly<Record<string, string>>;
  /** The product's layout, here. */
  topology(options?: Omit<DiscordTopologyOptions, 'vhost' | 'userNames'>): Topology;
  /** The address of the vhost for one of them. */
  url(as: UserOfTest, password?: string): string;
  /** A connection of one of them, or of the administrator. Closed at the end. */
  connect(as?: UserOfTest, password?: string): Promise<ChannelModel>;
  remove(): Promise<void>;
}

export async function ownVhost(name: string): Promise<OwnVhost> {
  const { managementUrl, username, password } = sharedBroker();
  const made = await makeVhost(name);
  const api = new ManagementApi({ url: managementUrl, username, password });
  const suffix = randomBytes(4).toString('hex');
  const userNames = {
    ingestor: `ingestor-${suffix}`,
    worker: `worker-${suffix}`,
    deadLetters: `dead-letters-${suffix}`,
    analytics: `analytics${suffix}`,
  };
  const passwords = Object.fromEntries(Object.values(userNames).map((name) => [name, `${name}-secret`]));
  const url = (as: UserOfTest, password = passwords[userNames[as]] ?? '') =>
    made.url({ username: userNames[as], password });
  const connections: ChannelModel[] = [];
  return {
    vhost: made.vhost,
    api,
    userNames,
    passwords,
    topology: (options = {}) => discordTopology({ ...options, vhost: made.vhost, userNames }),
    url,
    async connect(as, given) {
      const connection = await amqplib.connect(as === undefined ? made.url() : url(as, given));
      // The broker closes it when the vhost is removed.
      connection.on('error', () => undefined);
      connections.push(connection);
      return connection;
    },
    async remove() {
      for (const connection of connections) await connection.close().catch(() => undefined);
      for (const user of Object.values(userNames)) await api.delete('users', user);
      await api.delete('global-parameters', recordName(made.vhost));
      await api.delete('vhosts', made.vhost);
      api.close();
    },
  };
}
