// What this topology created or changed, recorded on the broker itself, as a global parameter for each vhost: the only
// reason ever to remove something. It is written before the changes, so that it is true wherever they end; afterwards
// what does not exist any more leaves it. What existed before, and was as wanted, is in no record. Lease queues are
// different: each that was ever seen here stays in the record, as only the first one of a group begins with an empty group
// record. Pure.

import { z } from 'zod';
import type { FoundBinding, FoundPermissions, FoundPolicy } from '../management/management-api.ts';
import type { Step } from './steps.ts';
import { type Binding, isLeaseQueue, type Permissions, TOPOLOGY } from './topology.ts';

const NAMES = z.array(z.string());
const RECORD = z.object({
  exchanges: NAMES,
  queues: NAMES,
  /** Lease queues of new groups that may be without their empty record still. Missing from earlier versions. */
  newLeaseQueues: NAMES.default([]),
  users: NAMES,
  bindings: TOPOLOGY.shape.bindings,
  policies: TOPOLOGY.shape.policies,
  permissions: z.array(z.object({ user: z.string(), configure: z.string(), write: z.string(), read: z.string() })),
});

export type TopologyRecord = z.output<typeof RECORD>;

export const EMPTY_RECORD: TopologyRecord = {
  exchanges: [],
  queues: [],
  newLeaseQueues: [],
  users: [],
  bindings: [],
  policies: [],
  permissions: [],
};

export const recordName = (vhost: string): string => `ingestor-topology.${vhost}`;

/** Undefined where the value is something else. */
export function parseRecord(value: unknown): TopologyRecord | undefined {
  return RECORD.safeParse(value).data;
}

/** With what the steps are about to make true: of a policy that changes, both values. */
export function withSteps(record: TopologyRecord, steps: readonly Step[], login: string): TopologyRecord {
  const next = { ...record };
  for (const { target } of steps) {
    if (target.type === 'exchange') next.exchanges = added(next.exchanges, target.exchange.name);
    if (target.type === 'queue') next.queues = added(next.queues, target.queue.name);
    if (target.type === 'empty record') next.newLeaseQueues = added(next.newLeaseQueues, target.queue);
    if (target.type === 'user') next.users = added(next.users, target.user.name);
    if (target.type === 'binding') next.bindings = added(next.bindings, target.binding);
    if (target.type === 'policy') next.policies = added(next.policies, target.policy);
    // The user that applies the topology needs its permissions, also where another one does so next time.
    if (target.type === 'permissions' && target.user !== login)
      next.permissions = added(next.permissions, { user: target.user, ...target.permissions });
  }
  return next;
}

export interface Present {
  readonly vhost: string;
  readonly exchanges: readonly { readonly name: string }[];
  readonly queues: readonly { readonly name: string }[];
  readonly users: readonly { readonly name: string }[];
  readonly bindings: readonly FoundBinding[];
  readonly policies: readonly FoundPolicy[];
  readonly permissions: readonly FoundPermissions[];
}

/**
 * Without what does not exist any more, and without former values where the present one is recorded too.
 * @param begun lease queues that have their empty record now
 */
export function pruned(record: TopologyRecord, present: Present, begun: readonly string[] = []): TopologyRecord {
  const exists = (list: readonly { readonly name: string }[]) => (name: string) =>
    list.some((some) => some.name === name);
  const latest = <T>(recorded: readonly T[], isSame: (one: T, other: T) => boolean, found: (one: T) => unknown) =>
    recorded.filter((one) => {
      const there = found(one);
      const values = recorded.filter((other) => isSame(one, other));
      return there !== undefined && (isEqual(one, there) || !values.some((value) => isEqual(value, there)));
    });
  const there = new Set(present.bindings.map(foundBindingIdOf));
  return {
    exchanges: record.exchanges.filter(exists(present.exchanges)),
    queues: present.queues
      .filter(({ name }) => isLeaseQueue(name))
      .reduce(
        (queues, { name }) => added(queues, name),
        record.queues.filter((name) => isLeaseQueue(name) || exists(present.queues)(name)),
      ),
    newLeaseQueues: record.newLeaseQueues.filter((name) => !begun.includes(name)),
    users: record.users.filter(exists(present.users)),
    bindings: record.bindings.filter((binding) => there.has(bindingIdOf(binding))),
    policies: latest(
      record.policies,
      (one, other) => one.name === other.name,
      ({ name }) => present.policies.find((policy) => policy.name === name),
    ),
    permissions: latest(
      record.permissions,
      (one, other) => one.user === other.user,
      ({ user }) => {
        const there = permissionsOf(present, user);
        return there && { user, ...there };
      },
    ),
  };
}

/** In this vhost. */
export function permissionsOf(present: Pick<Present, 'vhost' | 'permissions'>, user: string): Permissions | undefined {
  const found = present.permissions.find((some) => some.user === user && some.vhost === present.vhost);
  if (found === undefined) return undefined;
  const { configure, write, read } = found;
  return { configure, write, read };
}

/** The same text for the same binding: there may be thousands. */
export function bindingIdOf({ exchange, queue, routingKey }: Binding): string {
  return JSON.stringify([exchange, queue, routingKey]);
}

/** Undefined for one that a topology cannot have. */
export function foundBindingIdOf(found: FoundBinding): string | undefined {
  if (found.destination_type !== 'queue' || Object.keys(found.arguments).length > 0) return undefined;
  return bindingIdOf({ exchange: found.source, queue: found.destination, routingKey: found.routing_key });
}

/** Whatever the order of keys and of lists. */
export function isEqual(one: unknown, other: unknown): boolean {
  return canonical(one) === canonical(other);
}

/** The same text for the same content: neither the order of keys nor that of a list has a meaning in a topology. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).toSorted().join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  const texts = entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`);
  return `{${texts.toSorted().join()}}`;
}

function added<T>(list: readonly T[], item: T): T[] {
  return list.some((other) => isEqual(other, item)) ? [...list] : [...list, item];
}
