// A broker of values: what is found there, and what is found after steps of a plan. It does what RabbitMQ does at each
// call, as far as a plan depends on it.

import { createHash } from 'node:crypto';
import type { Found } from '../../../lib/topology/found.ts';
import type { Passwords } from '../../../lib/topology/plan.ts';
import { EMPTY_RECORD, pruned, withSteps } from '../../../lib/topology/record.ts';
import type { Step } from '../../../lib/topology/steps.ts';

export const LOGIN = 'administrator';

export function emptyBroker(vhost: string, version = '4.3.6'): Found {
  return {
    ...{ version, login: LOGIN, vhost, vhostExists: false, record: EMPTY_RECORD, notes: [] },
    ...{ exchanges: [], queues: [], bindings: [], policies: [], operatorPolicies: [], permissions: [], userLimits: [] },
    users: [{ name: LOGIN, tags: ['administrator'], ...hashed('the administrator') }],
  };
}

export function hashed(password: string) {
  const salt = Buffer.from([1, 2, 3, 4]);
  const digest = createHash('sha256').update(salt).update(password).digest();
  return {
    password_hash: Buffer.concat([salt, digest]).toString('base64'),
    hashing_algorithm: 'rabbit_password_hashing_sha256',
  };
}

/** What is found after these steps, with the record of them. */
export function carriedOut(found: Found, steps: readonly Step[], passwords: Passwords): Found {
  let after = found;
  for (const step of steps) after = { ...after, ...change(after, step, passwords) };
  const begun = steps.flatMap(({ target }) => (target.type === 'empty record' ? [target.queue] : []));
  return { ...after, record: found.record && pruned(withSteps(found.record, steps, found.login), after, begun) };
}

function change(found: Found, { kind, target }: Pick<Step, 'kind' | 'target'>, passwords: Passwords): Partial<Found> {
  const removes = kind === 'remove';
  let after = found;
  const without = <T extends { readonly name: string }>(list: readonly T[], name: string) =>
    list.filter((some) => some.name !== name);
  switch (target.type) {
    case 'vhost':
      return { vhostExists: true };
    case 'policy': {
      const policies = without(found.policies, target.policy.name);
      return { policies: removes ? policies : [...policies, target.policy] };
    }
    case 'exchange': {
      const made = { durable: true, auto_delete: false, internal: false, arguments: {} };
      return { exchanges: [...found.exchanges, { ...target.exchange, ...made }] };
    }
    case 'queue': {
      const type = String(target.queue.arguments['x-queue-type']);
      return { queues: [...found.queues, { ...target.queue, type, durable: true, auto_delete: false }] };
    }
    case 'command bindings':
      for (const one of target.bindings)
        after = { ...after, ...change(after, { kind, target: { type: 'binding', ...one } }, passwords) };
      return after;
    case 'binding': {
      const { exchange: source, queue: destination, routingKey } = target.binding;
      if (removes) {
        const isIt = (other: Found['bindings'][number]) =>
          other.source === source && other.destination === destination && other.properties_key === target.propertiesKey;
        return { bindings: found.bindings.filter((other) => !isIt(other)) };
      }
      const properties_key = routingKey === '' ? '~' : encodeURIComponent(routingKey);
      const made = { source, destination, destination_type: 'queue' as const, routing_key: routingKey, properties_key };
      return { bindings: [...found.bindings, { ...made, arguments: {} }] };
    }
    case 'empty record':
      return {};
    case 'user': {
      const { name, tags } = target.user;
      return { users: [...without(found.users, name), { ...hashed(passwords[name] ?? ''), name, tags }] };
    }
    case 'limits': {
      const { user, limits: value } = target;
      return { userLimits: [...(found.userLimits ?? []).filter((other) => other.user !== user), { user, value }] };
    }
    case 'permissions': {
      const { user, permissions } = target;
      const others = found.permissions.filter((other) => other.user !== user || other.vhost !== found.vhost);
      return { permissions: removes ? others : [...others, { user, vhost: found.vhost, ...permissions }] };
    }
  }
}
