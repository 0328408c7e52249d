// What was created or changed by this topology, recorded on the broker itself, as a global parameter for each vhost: the
// only reason ever to remove something. Written before the changes, so that it is true wherever they end; what is not
// there any more is left out afterwards. What was there before, and was as wanted, is in no record. Pure.

import { z } from 'zod';
import type { FoundBinding, FoundPermissions, FoundPolicy } from '../management/management-api.ts';

import { TOPOLOGY } from './resource-properties.ts';
import type { Step } from './steps.ts';
import type { Binding } from './topology.ts';

export type TopologyRecord = z.output<typeof RECORD>;

export const recordName = (vhost: string): string => `ingestor-topology.${vhost}`;

/** Undefined where the value is something else. */
export function parseRecord(value: unknown): TopologyRecord | undefined {
  return RECORD.safeParse(value).data;
}

/** What the steps are about to make true, beside what was: of a policy that changes, both values. */
export function withSteps(record: TopologyRecord, steps: readonly Step[], login: string): TopologyRecord {
  const next = { ...record };
  for (const { kind, target } of steps) {
    if (kind === 'remove') continue;
    if (target.type === 'exchange') next.exchanges = added(next.exchanges, target.exchange.name);
    if (target.type === 'queue') next.queues = added(next.queues, target.queue.name);
    if (target.type === 'user' && kind === 'create') next.users = added(next.users, target.user.name);
    if (target.type === 'binding') next.bindings = added(next.bindings, target.binding);
    if (target.type === 'policy') next.policies = added(next.policies, target.policy);
    // Who applies the topology needs its permissions, whoever it is next time.
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

/** Without what the broker does not have any more, and without former values where it has another recorded one. */
export function pruned(record: TopologyRecord, present: Present): TopologyRecord {
  const there = (list: readonly { readonly name: string }[]) => (name: string) =>
    list.some((some) => some.name === name);
  return {
    exchanges: record.exchanges.filter(there(present.exchanges)),
    queues: record.queues.filter(there(present.queues)),
    users: record.users.filter(there(present.users)),
    bindings: record.bindings.filter((binding) => present.bindings.some((other) => isSameBinding(binding, other))),
    policies: record.policies.filter((policy) => {
      const found = present.policies.find(({ name }) => name === policy.name);
      const others = record.policies.filter(({ name }) => name === policy.name);
      return found && (isEqual(policy, found) || !others.some((other) => isEqual(other, found)));
    }),
    permissions: record.permissions.filter((permissions) => {
      const found = permissionsOf(present, permissions.user);
      const others = record.permissions.filter(({ user }) => user === permissions.user);
      return found && (isEqual(permissions, found) || !others.some((other) => isEqual(other, found)));
    }),
  };
}

/** In this vhost, in the form of the record. */
export function permissionsOf(present: Pick<Present, 'vhost' | 'permissions'>, user: string) {
  const found = present.permissions.find((some) => some.user === user && some.vhost === present.vhost);
  if (found === undefined) return undefined;
  const { configure, write, read } = found;
  return { user, configure, write, read };
}

export function isSameBinding(binding: Binding, other: FoundBinding): boolean {
  return (
    other.source === binding.exchange &&
    other.destinationType === 'queue' &&
    other.destination === binding.queue &&
    other.routingKey === binding.routingKey &&
    Object.keys(other.arguments).length === 0
  );
}

/** Whatever the order of the keys. */
export function isEqual(one: unknown, other: unknown): boolean {
  return canonical(one) === canonical(other);
}

/** The same text for the same content: neither the order of keys nor that of a list has a meaning in a topology. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).toSorted().join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return `{${entries
    .map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`)
    .toSorted()
    .join()}}`;
}

function added<T>(list: readonly T[], item: T): T[] {
  return list.some((other) => isEqual(other, item)) ? [...list] : [...list, item];
}

const NAMES = z.array(z.string());
const RECORD = z.object({
  exchanges: NAMES,
  queues: NAMES,
  users: NAMES,
  bindings: TOPOLOGY.shape.bindings,
  policies: TOPOLOGY.shape.policies,
  permissions: z.array(z.object({ user: z.string(), configure: z.string(), write: z.string(), read: z.string() })),
});

export const EMPTY_RECORD: TopologyRecord = {
  exchanges: [],
  queues: [],
  users: [],
  bindings: [],
  policies: [],
  permissions: [],
};
