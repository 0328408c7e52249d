// What this topology created or changed, recorded on the broker itself, as a global parameter for each vhost: the only
// reason ever to remove something. It is written before the changes, so that it is true wherever they end; afterwards
// what does not exist any more leaves it. What existed before, and was as wanted, is in no record. Lease queues are
// different: each that was ever seen here stays in the record, as only the first one of a group begins with an empty group
// record. Pure.

import { z } from 'zod';
import type { Step } from './steps.ts';
import { type Binding, isCommandBinding, isLeaseQueue, TOPOLOGY } from './topology.ts';

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
    // Those of commands are recognised by their names.
    if (target.type === 'bindings')
      for (const { exchange, queue, routingKey } of target.bindings.filter((binding) => !isCommandBinding(binding)))
        next.bindings = added(next.bindings, { exchange, queue, routingKey });
    if (target.type === 'policy') next.policies = added(next.policies, target.policy);
    // The user that applies the topology needs its permissions, also where another one does so next time.
    if (target.type === 'permissions' && target.permissions.user !== login)
      next.permissions = added(next.permissions, target.permissions);
  }
  return next;
}

interface Named {
  readonly name: string;
}

/** What a broker has, as far as a record depends on it. */
interface Present {
  readonly exchanges: readonly Named[];
  readonly queues: readonly Named[];
  readonly users: readonly Named[];
  readonly bindings: readonly Binding[];
  readonly policies: readonly Named[];
  readonly permissions: readonly { readonly user: string }[];
}

/**
 * Without what does not exist any more, and without former values where the present one is recorded too.
 * @param withRecord lease queues that have their empty record now
 */
export function pruned(record: TopologyRecord, present: Present, withRecord: readonly string[] = []): TopologyRecord {
  const isIn = (list: readonly Named[]) => (name: string) => list.some((some) => some.name === name);
  const leases = present.queues.map(({ name }) => name).filter(isLeaseQueue);
  const recorded = record.queues.filter((name) => isLeaseQueue(name) || isIn(present.queues)(name));
  return {
    exchanges: record.exchanges.filter(isIn(present.exchanges)),
    queues: [...new Set([...recorded, ...leases])],
    newLeaseQueues: record.newLeaseQueues.filter((name) => !withRecord.includes(name)),
    users: record.users.filter(isIn(present.users)),
    bindings: latest(record.bindings, present.bindings, bindingId),
    policies: latest(record.policies, present.policies, ({ name }) => name),
    permissions: latest(record.permissions, present.permissions, ({ user }) => user),
  };
}

function latest<K, T extends K>(recorded: readonly T[], present: readonly K[], idOf: (some: K) => string): T[] {
  const there = new Map(present.map((some) => [idOf(some), some]));
  return recorded.filter((one) => {
    const found = there.get(idOf(one));
    if (found === undefined || isEqual(one, found)) return found !== undefined;
    return !recorded.some((other) => isEqual(other, found));
  });
}

/** The same text for the same binding: there may be thousands. */
export function bindingId({ exchange, queue, routingKey }: Binding): string {
  return JSON.stringify([exchange, queue, routingKey]);
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
