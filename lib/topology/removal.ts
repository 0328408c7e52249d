// Removes one queue, exchange or user that is not of the topology, on a person's command: what it contains is shown first.
// A number without statistics of the broker is unknown, never 0.

import type { ManagementApi } from '../management/management-api.ts';
import { readFound } from './found.ts';
import { isWanted, type Unwanted } from './plan.ts';
import { isCommandQueue, isLeaseQueue, type Topology } from './topology.ts';

export const removableTypes = ['queue', 'exchange', 'user'] as const satisfies readonly Unwanted['type'][];

/**
 * What would be removed with it, one line each.
 * @throws Error with one sentence where it is wanted, missing, in use as a lease, or the user that is logged in;
 *   ManagementApiError
 */
export async function held(api: ManagementApi, wanted: Topology, { type, name }: Unwanted): Promise<string[]> {
  const found = await readFound(api, wanted.vhost);
  const is = (some: { readonly name: string }) => some.name === name;
  if (type === 'user' ? isWanted(name, wanted) : wanted[`${type}s`].some(is))
    throw new Error(`${type} ${name} is wanted by this topology: nothing was removed`);
  if (!found[`${type}s`].some(is))
    throw new Error(`${type} ${name}: there is none at this broker, vhost ${wanted.vhost}`);
  if (type === 'user') {
    if (name === found.login) throw new Error(`user ${name} is logged in here: nothing was removed`);
    const tags = found.users.find(is)?.tags ?? [];
    const vhosts = (await api.list('permissions')).filter(({ user }) => user === name).map(({ vhost }) => vhost);
    return [`tags: ${tags.join(', ') || 'none'}`, `permissions in vhosts: ${vhosts.join(', ') || 'none'}`];
  }
  const bindings = (await api.list('bindings', wanted.vhost))
    .filter(({ source }) => source !== '')
    .filter(
      (some) =>
        (some.destination_type === type && some.destination === name) || (type === 'exchange' && some.source === name),
    )
    .map(({ source, destination, routing_key }) => `binding ${source} → ${destination} ('${routing_key}')`);
  if (type === 'exchange') return bindings;
  const { messages = 'unknown', consumers = 'unknown' } = (await api.find('queues', wanted.vhost, name)) ?? {};
  // The number of groups on this command line may not be the deployed one.
  if ((isLeaseQueue(name) || isCommandQueue(name)) && Number(consumers) > 0)
    throw new Error(`queue ${name} is in use by a shard group, with consumers (${consumers}): nothing was removed`);
  const age = messages === 'unknown' ? '' : ' (up to ten seconds ago)';
  return [`messages: ${messages}${age}`, `consumers: ${consumers}`, ...bindings];
}

/** With all that it holds. @throws ManagementApiError */
export async function remove(api: ManagementApi, vhost: string, { type, name }: Unwanted): Promise<void> {
  await (type === 'user' ? api.delete('users', name) : api.delete(`${type}s`, vhost, name));
}
