// What a broker has now, of everything that a topology speaks of. Read by GETs only.

import type {
  FoundBinding,
  FoundExchange,
  FoundPermissions,
  FoundPolicy,
  FoundQueue,
  FoundUser,
  ManagementApi,
} from '../management/management-api.ts';

export interface Found {
  /** Of RabbitMQ: '4.3.6'. */
  readonly version: string;
  /** Who reads this, and will carry out the plan. */
  readonly login: string;
  readonly vhost: string;
  readonly vhostExists: boolean;
  /** Of the vhost, without RabbitMQ's own. */
  readonly exchanges: readonly FoundExchange[];
  /** Of the vhost, without those that end with the connection that declared them. */
  readonly queues: readonly FoundQueue[];
  /** Of the vhost, without those of the default exchange. */
  readonly bindings: readonly FoundBinding[];
  readonly policies: readonly FoundPolicy[];
  /** Of the whole broker. */
  readonly users: readonly FoundUser[];
  /** Of all users in all vhosts. */
  readonly permissions: readonly FoundPermissions[];
}

/** @throws ManagementApiError; Error with one sentence when the login is no administrator */
export async function readFound(api: ManagementApi, vhost: string): Promise<Found> {
  const { name: login, tags } = await api.whoami();
  if (!tags.includes('administrator')) {
    const got = tags.length === 0 ? 'none' : tags.join(', ');
    throw new Error(`user '${login}' cannot manage vhosts and users: expected the tag administrator, got ${got}`);
  }
  const [version, users, permissions, vhostExists] = await Promise.all([
    api.version(),
    api.users(),
    api.permissions(),
    api.hasVhost(vhost),
  ]);
  const whole = { version, login, vhost, vhostExists, users, permissions };
  if (!vhostExists) return { ...whole, exchanges: [], queues: [], bindings: [], policies: [] };
  const [exchanges, queues, bindings, policies] = await Promise.all([
    api.exchanges(vhost),
    api.queues(vhost),
    api.bindings(vhost),
    api.policies(vhost),
  ]);
  return {
    ...whole,
    exchanges: exchanges.filter(({ name }) => name !== '' && !name.startsWith('amq.')),
    queues: queues.filter(({ exclusive }) => !exclusive),
    bindings: bindings.filter(({ source }) => source !== ''),
    policies,
  };
}
