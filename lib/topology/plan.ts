// Pure: what is wanted, compared with what a broker has, becomes steps in the order in which they can be carried out.
// What cannot be changed is refused. Queues, exchanges and users are never removed: what is no longer wanted is named.
// Bindings, policies and permissions are removed while they are what the record says that we made of them, and nothing
// that stays needs them. Everything else is left as it is. Creations come before removals, so that during a rename every
// message finds a queue; policies come before the queues that they govern.

import { EXCHANGES } from '../../service/contract/names.ts';
import { alternateOf } from '../management/broker-login.ts';
import type { FoundPolicy } from '../management/management-api.ts';
import { isPasswordOf } from '../management/password-hash.ts';
import { governs, operatorEffects, overridden } from './effective-policies.ts';
import type { Found } from './found.ts';
import { bindingIdOf, EMPTY_RECORD, foundBindingIdOf, isEqual, permissionsOf } from './record.ts';
import type { BindingTarget, Step, Target } from './steps.ts';
import { suited } from './suited.ts';
import {
  type Exchange,
  isCommandBinding,
  isCommandQueue,
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
  /** Ours and no longer wanted: a person may remove it, after a look at what it holds. */
  readonly unwanted: readonly Unwanted[];
  /** Recorded as ours, no longer wanted, and kept nevertheless: one sentence each. */
  readonly kept: readonly string[];
  /** Users for whom no password was given. Those that do not exist are skipped. */
  readonly withoutPassword: readonly { readonly user: string; readonly exists: boolean }[];
  /** What else a person should know, one sentence each. */
  readonly notes: readonly string[];
}

export interface Unwanted {
  readonly type: 'queue' | 'exchange' | 'user';
  readonly name: string;
}

/** By user's name. */
export type Passwords = Readonly<Record<string, string>>;

/** @param passwords a user that does not exist yet and has none is skipped */
export function plan(wanted: Topology, found: Found, passwords: Passwords = {}): Plan {
  const { policies, notes } = suited(wanted.policies, found.version);
  const removals = removalsOf(wanted, found);
  const removed = removals.steps.flatMap(({ target }) => (target.type === 'policy' ? target.policy : []));
  const effects = operatorEffects(wanted, policies, found);
  return {
    steps: [...additions({ ...wanted, policies }, found, passwords), ...removals.steps],
    refusals: [
      ...wanted.exchanges.flatMap((exchange) => exchangeRefusals(exchange, found)),
      ...wanted.queues.flatMap((queue) => queueRefusals(queue, found)),
      ...policies.flatMap((policy) => policyRefusals(policy, found)),
      ...overridden(wanted, policies, found, missing(missing(found.policies, policies), removed)),
      ...effects.refusals,
      ...wanted.users.flatMap((user) => userRefusals(user, found, passwordOf(passwords, user.name))),
    ],
    unwanted: unwantedOf(wanted, found),
    kept: removals.kept,
    withoutPassword: wanted.users
      .filter(({ name }) => passwordOf(passwords, name) === undefined)
      .map(({ name }) => ({ user: name, exists: named(found.users, name) !== undefined })),
    notes: [...found.notes, ...notes, ...effects.notes],
  };
}

/** A user may be named `constructor`, which every object has. */
function passwordOf(passwords: Passwords, name: string): string | undefined {
  return Object.hasOwn(passwords, name) ? passwords[name] : undefined;
}

function additions(wanted: Topology, found: Found, passwords: Passwords): Step[] {
  const users = wanted.users.filter(
    ({ name }) => passwordOf(passwords, name) !== undefined || named(found.users, name),
  );
  // An administrator may manage every vhost, and declare queues only where it has permissions. One that logged in by
  // another way than a password (OAuth 2) has them from there.
  const administrators = found.users.filter(({ name }) => name === found.login);
  const there = new Set(found.bindings.map(foundBindingIdOf));
  return [
    ...(found.vhostExists ? [] : steps(`vhost ${wanted.vhost}`, { type: 'vhost' }, {})),
    ...administrators.flatMap(({ name }) => permissionSteps({ name, permissions: EVERYTHING }, found)),
    ...wanted.policies.flatMap((policy) => {
      const there = named(found.policies, policy.name);
      return steps(`policy ${policy.name}`, { type: 'policy', policy }, flat(policy), there && flat(there));
    }),
    ...missing(wanted.exchanges, found.exchanges).flatMap((exchange) =>
      steps(`exchange ${exchange.name}`, { type: 'exchange', exchange }, { type: exchange.type }),
    ),
    ...missing(wanted.queues, found.queues).flatMap((queue) =>
      steps(`queue ${queue.name}`, { type: 'queue', queue }, queue.arguments),
    ),
    ...bindingSteps(
      'create',
      wanted.bindings.filter((binding) => !there.has(bindingIdOf(binding))).map((binding) => ({ binding })),
    ),
    ...newLeaseQueues(wanted, found).flatMap((queue) =>
      steps(`empty group record in ${queue}`, { type: 'empty record', queue }, {}),
    ),
    ...users.flatMap((user) => userSteps(user, found, passwordOf(passwords, user.name))),
    ...users.flatMap((user) => permissionSteps(user, found)),
    ...users.flatMap((user) => limitSteps(user, found)),
  ];
}

/**
 * Of groups that have never been here: their queues are about to be made, or were made by an application that then
 * failed. One that is made again had a record, and lost it. Without a record of ours nothing is known to be new.
 */
function newLeaseQueues({ queues }: Topology, { queues: found, record }: Found): string[] {
  if (record === undefined) return [];
  const isNew = ({ name }: Queue) => named(found, name) === undefined && !record.queues.includes(name);
  return queues
    .filter(({ name }) => isLeaseQueue(name))
    .filter((queue) => isNew(queue) || record.newLeaseQueues.includes(queue.name))
    .map(({ name }) => name);
}

const EVERYTHING: Permissions = { configure: '.*', write: '.*', read: '.*' };

/** The step that makes `should` of what is; none where it is so. @param is undefined where there is nothing yet */
function steps(what: string, target: Target, should: object, is?: object): Step[] {
  if (is === undefined) {
    const details = Object.entries(should).map(([key, value]) => `${key}: ${show(value)}`);
    return [{ kind: 'create', what, details, target }];
  }
  const details = differences(should, is).map(({ key, is, should }) => `${key}: ${show(is)} → ${show(should)}`);
  return details.length === 0 ? [] : [{ kind: 'change', what, details, target }];
}

const flat = ({ pattern, applyTo, priority, definition }: Omit<FoundPolicy, 'name'>) => ({
  ...{ pattern, 'apply-to': applyTo, priority },
  ...definition,
});

function userSteps(user: User, found: Found, password: string | undefined): Step[] {
  const there = named(found.users, user.name);
  if (there && (password === undefined || isPasswordOf(there, password))) return [];
  const details = there ? ['password: another'] : [];
  return [{ kind: there ? 'change' : 'create', what: `user ${user.name}`, details, target: { type: 'user', user } }];
}

function permissionSteps({ name, permissions }: Pick<User, 'name' | 'permissions'>, found: Found): Step[] {
  const target: Target = { type: 'permissions', user: name, permissions };
  return steps(`permissions of ${name}`, target, permissions, permissionsOf(found, name));
}

function limitSteps({ name, limits }: User, found: Found): Step[] {
  if (limits === undefined || found.userLimits === undefined) return [];
  const there = found.userLimits.find(({ user }) => user === name)?.value ?? {};
  const is = Object.keys(there).length === 0 ? undefined : there;
  return steps(`limits of ${name}`, { type: 'limits', user: name, limits }, limits, is);
}

function exchangeRefusals({ name, type }: Exchange, found: Found): string[] {
  const there = named(found.exchanges, name);
  if (there === undefined) return [];
  const { name: _, arguments: others, ...is } = there;
  const should = { type, durable: true, auto_delete: false, internal: false };
  return immutable(`exchange ${name}`, should, { ...is, ...others });
}

function queueRefusals({ name, arguments: wanted }: Queue, found: Found): string[] {
  const there = named(found.queues, name);
  if (there === undefined) return [];
  const { durable, auto_delete } = there;
  // A queue that was declared without its type has that of its vhost.
  const type = there.type === undefined ? {} : { 'x-queue-type': there.type };
  const should = { durable: true, auto_delete: false, ...wanted };
  return immutable(`queue ${name}`, should, { durable, auto_delete, ...type, ...there.arguments });
}

function immutable(what: string, wanted: object, there: object): string[] {
  return differences(wanted, there).map(
    ({ key, is, should }) =>
      `${what}: ${key} is ${show(is)}, wanted ${show(should)}, and cannot be changed: give the wanted one another name, or delete the old one by hand once it is not needed`,
  );
}

/** A user that may do more than one of the topology belongs to somebody else, and stays as it is. */
function userRefusals({ name, tags }: User, found: Found, password: string | undefined): string[] {
  if (name === found.login)
    return [`user ${name} applies this topology, so that it can be no user of it: name another`];
  const there = named(found.users, name);
  if (there === undefined) return [];
  if (!isEqual(there.tags, tags))
    return [
      `user ${name} has the tags ${show(there.tags.join(', '))}, wanted ${show(tags.join(', '))}: name another user, or take the tags away by hand if it is this topology's`,
    ];
  const isOurs = found.record === undefined || found.record.users.some((user) => isPair(user, name));
  if (isOurs || password === undefined || isPasswordOf(there, password)) return [];
  return [
    `user ${name} exists with another password, and the record does not name it as made by this topology: name another user, as this one is somebody else's`,
  ];
}

/** One of the same name that is not in the record is somebody else's: replaced, it is lost, and a rollback has no copy. */
function policyRefusals(policy: Policy, found: Found): string[] {
  const there = named(found.policies, policy.name);
  if (there === undefined || found.record === undefined || named(found.record.policies, policy.name)) return [];
  const [difference] = differences(flat(policy), flat(there));
  if (difference === undefined) return [];
  const { key, is, should } = difference;
  return [
    `policy ${policy.name} exists with ${key} ${show(is)}, wanted ${show(should)}, and the record does not name it as made by this topology: delete it, or give it another name`,
  ];
}

/** What we made, is as we made it, and is needed by nothing that stays. */
function removalsOf(wanted: Topology, found: Found): { steps: Step[]; kept: string[] } {
  const record = found.record;
  if (record === undefined) return { steps: [], kept: [] };
  const kept: string[] = [];
  const remove = (what: string, target: Target): Step => ({ kind: 'remove', what, details: [], target });

  const isStillWanted = new Set(wanted.bindings.map(bindingIdOf));
  const ours = new Set(
    record.bindings
      // Tasks of a former shard layout may still hold the record of such a queue, and publish the next one.
      .filter(({ queue }) => !isLeaseQueue(queue))
      .map(bindingIdOf),
  );
  const bindings = bindingSteps(
    'remove',
    found.bindings.flatMap((other) => {
      const id = foundBindingIdOf(other);
      const binding = { exchange: other.source, queue: other.destination, routingKey: other.routing_key };
      if (id === undefined || isStillWanted.has(id) || !(ours.has(id) || isCommandBinding(binding))) return [];
      return { binding, propertiesKey: other.properties_key };
    }),
  );
  const policies = missing(found.policies, wanted.policies).flatMap((there): Step[] => {
    const ours = record.policies.filter(({ name }) => name === there.name);
    const policy = ours.find((some) => isEqual(some, there));
    const what = `policy ${there.name}`;
    const governed = policy && governedBy(policy, wanted, found);
    if (policy && governed === undefined) return [remove(what, { type: 'policy', policy })];
    if (policy) kept.push(`${what} is kept: it governs ${governed}`);
    else if (ours.length > 0) kept.push(`${what} is kept: it was changed after it was applied`);
    return [];
  });
  const permissions = [...new Set(record.permissions.map(({ user }) => user))]
    .filter((user) => user !== found.login && !isWanted(user, wanted))
    .flatMap((user): Step[] => {
      const there = permissionsOf(found, user);
      if (there === undefined) return [];
      const what = `permissions of ${user}`;
      if (record.permissions.some((some) => isEqual(some, { user, ...there })))
        return [remove(what, { type: 'permissions', user, permissions: there })];
      kept.push(`${what} are kept: they were changed after they were applied`);
      return [];
    });
  return { kept, steps: [...bindings, ...policies, ...permissions] };
}

/**
 * Those of commands to one queue are one step. They are in no record: nobody else has such a name, and nothing of them can
 * have been changed.
 */
function bindingSteps(kind: 'create' | 'remove', targets: readonly BindingTarget[]): Step[] {
  const isSingle = ({ binding }: BindingTarget) => !isCommandBinding(binding);
  const groups = Map.groupBy(
    targets.filter((target) => !isSingle(target)),
    ({ binding }) => binding.queue,
  );
  return [
    ...targets.filter(isSingle).map((target): Step => {
      const { exchange, queue, routingKey } = target.binding;
      const what = `binding ${exchange} → ${queue} (${show(routingKey)})`;
      return { kind, what, details: [], target: { type: 'binding', ...target } };
    }),
    ...[...groups].map(([queue, bindings]): Step => {
      const keys = bindings.map(({ binding }) => binding.routingKey);
      const what = `bindings ${EXCHANGES.commands} → ${queue} (${keys.length})`;
      return { kind, what, details: [keys.join(' ')], target: { type: 'command bindings', bindings } };
    }),
  ];
}

/** A queue that stays would be without its limits, and RabbitMQ drops what it delivered twenty times. */
function governedBy(policy: Policy, wanted: Topology, found: Found): string | undefined {
  const kind = policy.applyTo;
  const governed: { name: string }[] = found[kind].filter(({ name }) => governs(policy, kind, name));
  const [first] = governed;
  if (first === undefined || missing(governed, wanted[kind]).length < governed.length) return undefined;
  return `${kind === 'queues' ? 'queue' : 'exchange'} ${first.name}`;
}

/** Rotation alternates between the two users of a pair. */
const isPair = (user: string, other: string): boolean => user === other || user === alternateOf(other);

export function isWanted(user: string, wanted: Topology): boolean {
  return wanted.users.some(({ name }) => isPair(name, user));
}

function unwantedOf(wanted: Topology, found: Found): Unwanted[] {
  const { exchanges, queues, users } = found.record ?? EMPTY_RECORD;
  const unwanted: Unwanted[] = [];
  for (const { name } of missing(found.queues, wanted.queues))
    if (isLeaseQueue(name) || isCommandQueue(name) || queues.includes(name)) unwanted.push({ type: 'queue', name });
  for (const { name } of missing(found.exchanges, wanted.exchanges))
    if (exchanges.includes(name)) unwanted.push({ type: 'exchange', name });
  for (const { name } of found.users)
    if (name !== found.login && !isWanted(name, wanted) && users.some((user) => isPair(user, name)))
      unwanted.push({ type: 'user', name });
  return unwanted;
}

function named<T extends { readonly name: string }>(list: readonly T[], name: string): T | undefined {
  return list.find((some) => some.name === name);
}

/** Those of the first that are not in the second. */
function missing<T extends { readonly name: string }>(list: readonly T[], others: readonly { name: string }[]): T[] {
  return list.filter(({ name }) => named(others, name) === undefined);
}

/** Keys with another value, or that only one of the two has. */
function differences(wanted: object, there: object) {
  const [should, is] = [wanted, there].map((some): Record<string, unknown> => ({ ...some }));
  return Object.keys({ ...wanted, ...there })
    .map((key) => ({ key, is: is?.[key], should: should?.[key] }))
    .filter(({ is, should }) => JSON.stringify(is) !== JSON.stringify(should));
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  return value === undefined ? 'none' : JSON.stringify(value);
}
