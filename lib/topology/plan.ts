// Pure: what is wanted, against what a broker has, becomes steps in the order in which they can be carried out.
// What cannot be changed is refused. Queues, exchanges and users are never removed: what is no longer wanted is named.
// Bindings, policies and permissions are removed while they are what the record says that we made of them, and nothing
// that stays needs them. What is not named is left alone. Creations come before removals, so that a rename leaves no
// moment in which a message finds no queue; policies come before the queues that they govern.

import { alternateOf } from '../management/broker-login.ts';
import type { FoundBinding } from '../management/management-api.ts';
import { isPasswordOf } from '../management/password-hash.ts';
import { governs, operatorEffects, overridden } from './effective-policies.ts';
import type { Found } from './found.ts';
import { isEqual, isSameBinding, permissionsOf, type TopologyRecord } from './record.ts';
import type { Step, Target } from './steps.ts';
import {
  type Binding,
  type Exchange,
  isLeaseQueue,
  type Permissions,
  type Policy,
  type Queue,
  type Topology,
  type User,
} from './topology.ts';

export interface Plan {
  readonly steps: readonly Step[];
  /** Why nothing at all may be carried out, one sentence each. */
  readonly refusals: readonly string[];
  /** Ours and not wanted any more: a person may remove it, after a look at what it holds. */
  readonly unwanted: readonly Unwanted[];
  /** Recorded as ours, not wanted any more, and kept nevertheless: one sentence each. */
  readonly kept: readonly string[];
  /** In the vhost, and of no topology: left as it is. */
  readonly leftAlone: readonly string[];
  /** Users for whom no password was given. Those that do not exist are left out. */
  readonly withoutPassword: readonly { readonly user: string; readonly exists: boolean }[];
  /** What else a person should know, one sentence each. */
  readonly notes: readonly string[];
}

export interface Unwanted {
  readonly type: 'queue' | 'exchange' | 'user';
  readonly name: string;
}

/** @param passwords by user's name; a user that is not there yet and has none is left out */
export function plan(wanted: Topology, found: Found, passwords: Readonly<Record<string, string>> = {}): Plan {
  const policies = suited(wanted.policies, found.version);
  const users = wanted.users.filter(
    ({ name }) => passwords[name] !== undefined || found.users.some((user) => user.name === name),
  );
  const additions = [
    ...vhostSteps(wanted.vhost, found),
    ...policySteps(policies, found),
    ...missing(wanted.exchanges, found.exchanges).map(
      (exchange): Step => ({
        kind: 'create',
        what: `exchange ${exchange.name}`,
        details: [`type: ${exchange.type}`],
        target: { type: 'exchange', exchange },
      }),
    ),
    ...missing(wanted.queues, found.queues).map(
      (queue): Step => ({
        kind: 'create',
        what: `queue ${queue.name}`,
        details: Object.entries(queue.arguments).map(([key, value]) => `${key}: ${show(value)}`),
        target: { type: 'queue', queue },
      }),
    ),
    ...wanted.bindings
      .filter((binding) => !found.bindings.some((other) => isSameBinding(binding, other)))
      .map(
        (binding): Step => ({
          kind: 'create',
          what: named(binding),
          details: [],
          target: { type: 'binding', binding },
        }),
      ),
    ...userSteps(users, wanted.vhost, found, passwords),
  ];
  const removals = removalsOf(wanted, found);
  const staying = found.policies.filter(
    ({ name }) =>
      !policies.some((own) => own.name === name) &&
      !removals.steps.some(({ target }) => target.type === 'policy' && target.policy.name === name),
  );
  const unwanted = unwantedOf(wanted, found);
  const effects = operatorEffects(wanted, policies, found);
  return {
    steps: [...additions, ...removals.steps],
    refusals: [
      ...wanted.exchanges.flatMap((exchange) => exchangeRefusals(exchange, found)),
      ...wanted.queues.flatMap((queue) => queueRefusals(queue, found)),
      ...policies.flatMap((policy) => policyRefusals(policy, found)),
      ...overridden(wanted, policies, found, staying),
      ...effects.refusals,
      ...wanted.users.flatMap((user) => userRefusals(user, found, passwords[user.name])),
    ],
    unwanted,
    kept: removals.kept,
    leftAlone: leftAlone(wanted, found, unwanted),
    withoutPassword: wanted.users.flatMap(({ name }) =>
      passwords[name] === undefined ? { user: name, exists: found.users.some((user) => user.name === name) } : [],
    ),
    notes: [...found.notes, ...effects.notes],
  };
}

/** Before RabbitMQ 4 there was no default delivery limit, and no -1 to lift it. */
function suited(policies: readonly Policy[], version: string): readonly Policy[] {
  if (Number.parseInt(version, 10) >= 4) return policies;
  return policies.map((policy) => {
    const { 'delivery-limit': limit, ...rest } = policy.definition;
    return limit === -1 ? { ...policy, definition: rest } : policy;
  });
}

function vhostSteps(vhost: string, found: Found): Step[] {
  const steps: Step[] = [];
  if (!found.vhostExists)
    steps.push({ kind: 'create', what: `vhost ${vhost}`, details: [], target: { type: 'vhost', vhost } });
  // An administrator may manage every vhost, and declare queues only where it has permissions. One that logged in by
  // another way than a password (OAuth 2) has them from there.
  if (found.users.some(({ name }) => name === found.login))
    steps.push(...permissionSteps({ name: found.login, permissions: EVERYTHING }, vhost, found));
  return steps;
}

const EVERYTHING: Permissions = { configure: '.*', write: '.*', read: '.*' };

function policySteps(policies: readonly Policy[], found: Found): Step[] {
  return policies.flatMap((policy): Step[] => {
    const what = `policy ${policy.name}`;
    const target: Target = { type: 'policy', policy };
    const there = found.policies.find(({ name }) => name === policy.name);
    if (there === undefined) {
      const details = [
        `pattern: ${policy.pattern}`,
        ...Object.entries(policy.definition).map(([k, v]) => `${k}: ${show(v)}`),
      ];
      return [{ kind: 'create', what, details, target }];
    }
    const details = differences(flat(policy), flat(there)).map(
      ({ key, is, should }) => `${key}: ${show(is)} → ${show(should)}`,
    );
    return details.length === 0 ? [] : [{ kind: 'change', what, details, target }];
  });
}

const flat = (some: Omit<Policy, 'applyTo' | 'definition'> & { applyTo: string; definition: object }) => ({
  pattern: some.pattern,
  'apply-to': some.applyTo,
  priority: some.priority,
  ...some.definition,
});

function userSteps(
  users: readonly User[],
  vhost: string,
  found: Found,
  passwords: Readonly<Record<string, string>>,
): Step[] {
  const logins = users.flatMap((user): Step[] => {
    const what = `user ${user.name}`;
    const given = passwords[user.name];
    const there = found.users.find(({ name }) => name === user.name);
    const target: Target = { type: 'user', user };
    if (there === undefined) return [{ kind: 'create', what, details: [], target }];
    if (given === undefined || isPasswordOf(there, given)) return [];
    return [{ kind: 'change', what, details: ['password: another'], target }];
  });
  return [
    ...logins,
    ...users.flatMap((user) => permissionSteps(user, vhost, found)),
    ...users.flatMap((user) => limitSteps(user, found)),
  ];
}

function limitSteps({ name, limits }: User, found: Found): Step[] {
  if (limits === undefined || found.userLimits === undefined) return [];
  const there = found.userLimits.find(({ user }) => user === name)?.limits ?? {};
  const details = differences(limits, {
    'max-connections': there['max-connections'],
    'max-channels': there['max-channels'],
  }).map(({ key, is, should }) => `${key}: ${show(is)} → ${show(should)}`);
  const kind = Object.keys(there).length === 0 ? 'create' : 'change';
  return details.length === 0
    ? []
    : [{ kind, what: `limits of ${name}`, details, target: { type: 'limits', user: name, limits } }];
}

function permissionSteps(
  { name, permissions }: Pick<User, 'name' | 'permissions'>,
  vhost: string,
  found: Found,
): Step[] {
  const what = `permissions of ${name}`;
  const target: Target = { type: 'permissions', user: name, permissions };
  const there = found.permissions.find((some) => some.user === name && some.vhost === vhost);
  if (there === undefined) {
    const details = Object.entries(permissions).map(([key, value]) => `${key}: ${show(value)}`);
    return [{ kind: 'create', what, details, target }];
  }
  const { configure, write, read } = there;
  const details = differences(permissions, { configure, write, read }).map(
    ({ key, is, should }) => `${key}: ${show(is)} → ${show(should)}`,
  );
  return details.length === 0 ? [] : [{ kind: 'change', what, details, target }];
}

function exchangeRefusals(exchange: Exchange, found: Found): string[] {
  const there = found.exchanges.find(({ name }) => name === exchange.name);
  if (there === undefined) return [];
  const { type, durable, autoDelete, internal } = there;
  const should = { type: exchange.type, durable: true, 'auto-delete': false, internal: false };
  const is = { type, durable, 'auto-delete': autoDelete, internal, ...there.arguments };
  return differences(should, is).map((difference) => immutable(`exchange ${exchange.name}`, difference));
}

function queueRefusals(queue: Queue, found: Found): string[] {
  const there = found.queues.find(({ name }) => name === queue.name);
  if (there === undefined) return [];
  const should = { durable: true, 'auto-delete': false, ...queue.arguments };
  // A queue that was declared without its type has that of its vhost.
  const type = there.type === undefined ? {} : { 'x-queue-type': there.type };
  const is = { durable: there.durable, 'auto-delete': there.autoDelete, ...type, ...there.arguments };
  return differences(should, is).map((difference) => immutable(`queue ${queue.name}`, difference));
}

function immutable(what: string, { key, is, should }: Difference): string {
  return `${what}: ${key} is ${show(is)}, wanted ${show(should)}, and cannot be changed: give the wanted one another name, or delete the old one by hand once it is not needed`;
}

/** Who may do more than a user of the topology is somebody else, and stays as it is. */
function userRefusals({ name, tags }: User, found: Found, password: string | undefined): string[] {
  if (name === found.login)
    return [`user ${name} applies this topology, so that it can be no user of it: name another`];
  const there = found.users.find((user) => user.name === name);
  if (there === undefined) return [];
  const [is, should] = [there.tags, tags].map((some) => some.toSorted().join(', '));
  if (is !== should)
    return [
      `user ${name} has the tags ${show(is)}, wanted ${show(should)}: name another user, or take the tags away by hand if it is this topology's`,
    ];
  const isOurs = found.record === undefined || found.record.users.some((user) => isPair(user, name));
  if (isOurs || password === undefined || isPasswordOf(there, password)) return [];
  return [
    `user ${name} is there with another password, and the record does not name it as made by this topology: name another user, as this one is somebody else's`,
  ];
}

/** One of the same name that is not in the record is somebody else's: replaced, it is lost, and a rollback has no copy. */
function policyRefusals(policy: Policy, found: Found): string[] {
  const there = found.policies.find(({ name }) => name === policy.name);
  const isOurs = found.record === undefined || found.record.policies.some(({ name }) => name === policy.name);
  const [difference] = there === undefined || isOurs ? [] : differences(flat(policy), flat(there));
  if (difference === undefined) return [];
  const { key, is, should } = difference;
  return [
    `policy ${policy.name} is there with ${key} ${show(is)}, wanted ${show(should)}, and the record does not name it as made by this topology: delete it, or give it another name`,
  ];
}

/** What we made, is as we made it, and is needed by nothing that stays. */
function removalsOf(wanted: Topology, found: Found): { steps: Step[]; kept: string[] } {
  const record = found.record;
  if (record === undefined) return { steps: [], kept: [] };
  const kept: string[] = [];
  const remove = (what: string, target: Target): Step => ({ kind: 'remove', what, details: [], target });

  const bindings = record.bindings
    // Tasks of a former division of the shards may still hold the record of such a queue, and publish the next one.
    .filter((binding) => !isLeaseQueue(binding.queue))
    .filter((binding) => !wanted.bindings.some((other) => named(other) === named(binding)))
    .flatMap((binding) =>
      found.bindings
        .filter((other) => isSameBinding(binding, other))
        .map(({ propertiesKey }) => remove(named(binding), { type: 'binding', binding, propertiesKey })),
    );
  const policies = missing(found.policies, wanted.policies).flatMap((there): Step[] => {
    const ours = record.policies.filter(({ name }) => name === there.name);
    const [policy] = ours.filter((some) => isEqual(some, there));
    const what = `policy ${there.name}`;
    if (policy === undefined) {
      if (ours.length > 0) kept.push(`${what} is kept: it was changed after it was applied`);
      return [];
    }
    const needed = neededBy(policy, wanted, found);
    if (needed === undefined) return [remove(what, { type: 'policy', policy })];
    kept.push(`${what} is kept: it governs ${needed}`);
    return [];
  });
  const permissions = usersIn(record)
    .filter((user) => user !== found.login && !isWanted(user, wanted))
    .flatMap((user): Step[] => {
      const there = permissionsOf(found, user);
      if (there === undefined) return [];
      const what = `permissions of ${user}`;
      if (record.permissions.some((some) => isEqual(some, there)))
        return [remove(what, { type: 'permissions', user, permissions: there })];
      kept.push(`${what} are kept: they were changed after they were applied`);
      return [];
    });
  return { kept, steps: [...bindings, ...policies, ...permissions] };
}

/** A queue that stays would be without its limits, and RabbitMQ drops what it delivered twenty times. */
function neededBy(policy: Policy, wanted: Topology, found: Found): string | undefined {
  const kind = policy.applyTo;
  const governed = found[kind].filter(({ name }) => governs(policy, kind, name));
  if (governed.some(({ name }) => wanted[kind].some((own) => own.name === name))) return undefined;
  const [first] = governed;
  return first && `${kind === 'queues' ? 'queue' : 'exchange'} ${first.name}`;
}

const usersIn = (record: TopologyRecord): string[] => [...new Set(record.permissions.map(({ user }) => user))];

/** Rotation alternates between the two users of a pair. */
const isPair = (user: string, other: string): boolean => user === other || user === alternateOf(other);

export function isWanted(user: string, wanted: Topology): boolean {
  return wanted.users.some(({ name }) => isPair(name, user));
}

function unwantedOf(wanted: Topology, found: Found): Unwanted[] {
  const { record } = found;
  const ours = (type: Unwanted['type'], there: readonly { name: string }[], isOurs: (name: string) => boolean) =>
    there.flatMap(({ name }): Unwanted[] => (isOurs(name) ? [{ type, name }] : []));
  return [
    ...ours(
      'queue',
      missing(found.queues, wanted.queues),
      (name) => isLeaseQueue(name) || record?.queues.includes(name) === true,
    ),
    ...ours(
      'exchange',
      missing(found.exchanges, wanted.exchanges),
      (name) => record?.exchanges.includes(name) === true,
    ),
    ...ours(
      'user',
      found.users.filter(({ name }) => name !== found.login && !isWanted(name, wanted)),
      (name) => record?.users.some((user) => isPair(user, name)) === true,
    ),
  ];
}

function leftAlone(wanted: Topology, found: Found, unwanted: readonly Unwanted[]): string[] {
  const { record } = found;
  const others = (what: string, there: readonly { name: string }[], own: readonly { name: string }[]) =>
    missing(there, own).map(({ name }) => `${what} ${name}`);
  const named = (type: Unwanted['type']) => unwanted.filter((some) => some.type === type);
  const bindings = [...wanted.bindings, ...(record?.bindings ?? [])];
  return [
    ...others('exchange', found.exchanges, [...wanted.exchanges, ...named('exchange')]),
    ...others('queue', found.queues, [...wanted.queues, ...named('queue')]),
    ...found.bindings
      .filter((other) => !bindings.some((binding) => isSameBinding(binding, other)))
      // It stays with its queue, which is named.
      .filter(({ destination }) => !named('queue').some(({ name }) => name === destination && isLeaseQueue(name)))
      .map(namedOther),
    ...others('policy', found.policies, [...wanted.policies, ...(record?.policies ?? [])]),
    ...found.permissions
      .filter(({ vhost, user }) => vhost === wanted.vhost && user !== found.login && !isWanted(user, wanted))
      .filter(({ user }) => !record?.permissions.some((some) => some.user === user))
      .map(({ user }) => `permissions of ${user}`),
  ];
}

/** Those of the first that are not in the second. */
function missing<T extends { readonly name: string }>(list: readonly T[], others: readonly { name: string }[]): T[] {
  return list.filter(({ name }) => !others.some((other) => other.name === name));
}

function named({ exchange, queue, routingKey }: Binding): string {
  return `binding ${exchange} → ${queue} (${show(routingKey)})`;
}

function namedOther({ source, destination, destinationType, routingKey }: FoundBinding): string {
  const to = destinationType === 'queue' ? destination : `exchange ${destination}`;
  return `binding ${source} → ${to} (${show(routingKey)})`;
}

interface Difference {
  readonly key: string;
  readonly is: unknown;
  readonly should: unknown;
}

function differences(should: object, is: object): Difference[] {
  const [wanted, actual] = [
    new Map<string, unknown>(Object.entries(should)),
    new Map<string, unknown>(Object.entries(is)),
  ];
  return [...new Set([...wanted.keys(), ...actual.keys()])]
    .filter((key) => JSON.stringify(wanted.get(key)) !== JSON.stringify(actual.get(key)))
    .map((key) => ({ key, is: actual.get(key), should: wanted.get(key) }));
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  return value === undefined ? 'none' : JSON.stringify(value);
}
