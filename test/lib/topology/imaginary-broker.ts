// A broker of values: what is found there, and what is found after steps of a plan. It knows what RabbitMQ does about
// each call, as far as a plan depends on it, and throws at what RabbitMQ would refuse.

import { createHash } from 'node:crypto';
import type { Found } from '../../../lib/topology/found.ts';

import { EMPTY_RECORD, pruned, withSteps } from '../../../lib/topology/record.ts';
import type { Step } from '../../../lib/topology/steps.ts';

export const LOGIN = 'administrator';

export function emptyBroker(vhost: string, version = '4.3.6'): Found {
  return {
    version,
    login: LOGIN,
    vhost,
    vhostExists: false,
    exchanges: [],
    queues: [],
    bindings: [],
    policies: [],
    users: [{ name: LOGIN, tags: ['administrator'], ...hashed('the administrator') }],
    permissions: [],
    operatorPolicies: [],
    userLimits: [],
    record: EMPTY_RECORD,
    notes: [],
  };
}

export function hashed(password: string): { passwordHash: string; hashingAlgorithm: string } {
  const salt = Buffer.from([1, 2, 3, 4]);
  const digest = createHash('sha256').update(salt).update(password).digest();
  return {
    passwordHash: Buffer.concat([salt, digest]).toString('base64'),
    hashingAlgorithm: 'rabbit_password_hashing_sha256',
  };
}

/** What is found after these steps, with the record of them. */
export function carriedOut(found: Found, steps: readonly Step[], passwords: Readonly<Record<string, string>>): Found {
  const after = steps.reduce((before, step) => carriedOutOne(before, step, passwords), found);
  return { ...after, record: found.record && pruned(withSteps(found.record, steps, found.login), after) };
}

function carriedOutOne(found: Found, { kind, target }: Step, passwords: Readonly<Record<string, string>>): Found {
  const gone = kind === 'remove';
  if (gone && !['policy', 'binding', 'permissions'].includes(target.type)) throw new Error(`never: ${target.type}`);
  if (target.type !== 'vhost' && target.type !== 'user' && !found.vhostExists) throw new Error('vhost_not_found');
  const others = <T extends { readonly name: string }>(list: readonly T[], name: string) => {
    if (gone && !list.some((some) => some.name === name)) throw new Error(`nothing to remove: ${name}`);
    return list.filter((some) => some.name !== name);
  };
  switch (target.type) {
    case 'vhost':
      return { ...found, vhostExists: true };
    case 'policy': {
      const policies = others(found.policies, target.policy.name);
      return { ...found, policies: gone ? policies : [...policies, target.policy] };
    }
    case 'exchange': {
      const { name, type } = target.exchange;
      const exchanges = others(found.exchanges, name);
      if (exchanges.length !== found.exchanges.length) throw new Error(`inequivalent arg for exchange ${name}`);
      const made = { name, type, durable: true, autoDelete: false, internal: false, arguments: {} };
      return { ...found, exchanges: [...exchanges, made] };
    }
    case 'queue': {
      const { name } = target.queue;
      const queues = others(found.queues, name);
      if (queues.length !== found.queues.length) throw new Error(`inequivalent arg for queue ${name}`);
      const type = String(target.queue.arguments['x-queue-type']);
      const made = {
        ...{ name, type, durable: true, autoDelete: false, exclusive: false },
        arguments: target.queue.arguments,
        // As a broker that does not say what applies.
        ...{ policy: undefined, operatorPolicy: undefined, effectivePolicy: undefined },
      };
      return { ...found, queues: [...queues, made] };
    }
    case 'binding': {
      const { exchange, queue, routingKey } = target.binding;
      if (gone) {
        const bindings = found.bindings.filter(
          (other) =>
            other.source !== exchange || other.destination !== queue || other.propertiesKey !== target.propertiesKey,
        );
        if (bindings.length !== found.bindings.length - 1) throw new Error('no such binding');
        return { ...found, bindings };
      }
      if (!found.exchanges.some(({ name }) => name === exchange) || !found.queues.some(({ name }) => name === queue))
        throw new Error(`not_found: ${exchange} → ${queue}`);
      const made = {
        source: exchange,
        destination: queue,
        destinationType: 'queue' as const,
        routingKey,
        arguments: {},
        propertiesKey: routingKey === '' ? '~' : encodeURIComponent(routingKey),
      };
      return { ...found, bindings: [...found.bindings, made] };
    }
    case 'user': {
      const { name, tags } = target.user;
      const users = others(found.users, name);
      const password = passwords[name];
      if (password === undefined) throw new Error(`no password for ${name}`);
      return { ...found, users: [...users, { ...hashed(password), name, tags: [...tags] }] };
    }
    case 'limits': {
      const { user, limits } = target;
      if (!found.users.some(({ name }) => name === user)) throw new Error(`no such user: ${user}`);
      const list = found.userLimits?.filter((other) => other.user !== user) ?? [];
      return { ...found, userLimits: [...list, { user, limits }] };
    }
    case 'permissions': {
      const { user, permissions } = target;
      if (!found.users.some(({ name }) => name === user)) throw new Error(`no such user: ${user}`);
      const list = found.permissions.filter((other) => other.user !== user || other.vhost !== found.vhost);
      return { ...found, permissions: gone ? list : [...list, { user, vhost: found.vhost, ...permissions }] };
    }
  }
}
