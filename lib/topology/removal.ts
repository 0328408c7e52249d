// Removes one queue, exchange or user that is not of the topology, because a person said so: what it holds is shown first.
// What the broker gives no statistics of is unknown, never 0.

import type { ManagementApi } from '../management/management-api.ts';
import { readFound } from './found.ts';
import { isWanted, type Unwanted } from './plan.ts';
import { isLeaseQueue, type Topology } from './topology.ts';

export const removableTypes = ['queue', 'exchange', 'user'] as const satisfies readonly Unwanted['type'][];

/**
 * What would go with it, one line each.
 * @throws Error with one sentence where it is wanted, not there, in use as a lease, or the user that asks;
 *   ManagementApiError
 */
export async function held(api: ManagementApi, wanted: Topology, { type, name }: Unwanted): Promise<string[]> {
  const found = await readFound(api, wanted.vhost);
  const is = (some: { readonly name: string }) => some.name === name;
  if (type === 'user' ? isWanted(name, wanted) : wanted[`${type}s`].some(is))
    throw new Error(`${type} ${name} is wanted by this topology: nothing was removed`);
  if (!found[`${type}s`].some(is))
    throw new Error(`${type} ${name}: there is none at this broker, vhost ${wanted.vhost}`);
  const bindings = found.bindings
    .filter(({ source, destination, destinationType }) =>
      type === 'exchange'
        ? source === name || (destinationType === 'exchange' && destination === name)
        : type === 'queue' && destinationType === 'queue' && destination === name,
    )
    .map(({ source, destination, routingKey }) => `binding ${source} → ${destination} ('${routingKey}')`);
  switch (type) {
    case 'queue': {
      const { messages = 'unknown', consumers = 'unknown' } = (await api.queueStatistics(wanted.vhost, name)) ?? {};
      // Whoever asks may not have said how many groups are deployed.
      if (isLeaseQueue(name) && Number(consumers) > 0)
        throw new Error(
          `queue ${name} is the lease of a shard group, with consumers (${consumers}): nothing was removed`,
        );
      return [
        `messages: ${messages}${messages === 'unknown' ? '' : ' (up to ten seconds ago)'}`,
        `consumers: ${consumers}`,
        ...bindings,
      ];
    }
    case 'exchange':
      return bindings;
    case 'user': {
      if (name === found.login) throw new Error(`user ${name} is the one that asks: nothing was removed`);
      const tags = found.users.find(is)?.tags ?? [];
      const vhosts = found.permissions.filter(({ user }) => user === name).map(({ vhost }) => vhost);
      return [`tags: ${tags.join(', ') || 'none'}`, `permissions in vhosts: ${vhosts.join(', ') || 'none'}`];
    }
  }
}

/** With all that it holds. @throws ManagementApiError */
export async function remove(api: ManagementApi, vhost: string, { type, name }: Unwanted): Promise<void> {
  if (type === 'queue') await api.deleteQueue(vhost, name);
  else if (type === 'exchange') await api.deleteExchange(vhost, name);
  else await api.deleteUser(name);
}
