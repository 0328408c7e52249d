// A broker in memory: what is found there, and what is found after the steps of a plan. Each call has the effects that it has
// in RabbitMQ and that a plan depends on.

import { createHash } from 'node:crypto';
import type { Found } from '../../../lib/topology/found.ts';
import type { Passwords } from '../../../lib/topology/plan.ts';
import { bindingId, EMPTY_RECORD, pruned, withSteps } from '../../../lib/topology/record.ts';
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
  const withRecord = steps.flatMap(({ target }) => (target.type === 'empty record' ? [target.queue] : []));
  return {
    ...after,
    record: found.record && pruned(withSteps(found.record, steps, found.login), after, withRecord),
  };
}

function change(found: Found, { kind, target }: Step, passwords: Passwords): Partial<Found> {
  const others = <T extends object>(list: readonly T[], key: keyof T, value: unknown) =>
    list.filter((some) => some[key] !== value);
  const made = { durable: true, auto_delete: false, internal: false, arguments: {} };
  switch (target.type) {
    case 'vhost':
      return { vhostExists: true };
    case 'policy': {
      const policies = others(found.policies, 'name', target.policy.name);
      return { policies: kind === 'remove' ? policies : [...policies, target.policy] };
    }
    case 'exchange':
      return { exchanges: [...found.exchanges, { ...made, ...target.exchange }] };
    case 'queue': {
      const type = String(target.queue.arguments['x-queue-type']);
      return { queues: [...found.queues, { ...made, type, ...target.queue }] };
    }
    case 'bindings': {
      const ids = new Set(target.bindings.map(bindingId));
      const rest = found.bindings.filter((binding) => !ids.has(bindingId(binding)));
      const bound = target.bindings.map((binding) => ({ ...binding, propertiesKey: `~${binding.routingKey}` }));
      return { bindings: kind === 'remove' ? rest : [...rest, ...bound] };
    }
    case 'empty record':
      return {};
    case 'user': {
      const { name, tags } = target.user;
      return { users: [...others(found.users, 'name', name), { ...hashed(passwords[name] ?? ''), name, tags }] };
    }
    case 'limits': {
      const { user, limits: value } = target;
      return { userLimits: [...others(found.userLimits ?? [], 'user', user), { user, value }] };
    }
    case 'permissions': {
      const rest = others(found.permissions, 'user', target.permissions.user);
      return { permissions: kind === 'remove' ? rest : [...rest, target.permissions] };
    }
  }
}
