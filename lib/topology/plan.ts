// Pure: what is wanted, compared with what a broker has, becomes steps in the order in which they can be carried out.
// What cannot be changed is refused. Queues, exchanges and users are never removed: what is no longer wanted is named.
// Bindings, policies and permissions are removed while they are as the record has them, and nothing that stays needs
// them. Everything else is left as it is. Creations come before removals, so that during a rename every
// message finds a queue; policies come before the queues that they govern.

import { alternateOf } from '../management/broker-login.ts';
import { isPasswordOf } from '../management/password-hash.ts';
import { governs, operatorEffects, overridden } from './effective-policies.ts';
import type { Found } from './found.ts';
import { bindingId, EMPTY_RECORD, isEqual } from './record.ts';
import type { BindingTarget, Step, Target } from './steps.ts';
import { supportedPolicies } from './supported-policies.ts';
import {
  isCommandBinding,
  isCommandQueue,
  isLeaseQueue,
  type Permissions,
  type Policy,
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
  const { policies, notes } = supportedPolicies(wanted.policies, found.version);
  const removals = removalsOf(wanted, found);
  const removed = removals.steps.flatMap(({ target }) => (target.type === 'policy' ? target.policy : []));
  const effects = operatorEffects(wanted, policies, found);
  return {
    steps: [...additions({ ...wanted, policies }, found, passwords), ...removals.steps],
    refusals: [
      ...wanted.exchanges.flatMap(({ name, type }) =>
        immutableRefusals(`exchange ${name}`, { type, internal: false }, named(found.exchanges, name)),
      ),
      ...wanted.queues.flatMap(({ name, arguments: settings }) =>
        immutableRefusals(`queue ${name}`, settings, named(found.queues, name)),
      ),
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
  const bound = new Set(found.bindings.map(bindingId));
  return [
    ...(found.vhostExists ? [] : steps(`vhost ${wanted.vhost}`, { type: 'vhost' }, {})),
    ...administrators.flatMap(({ name }) => permissionSteps(name, EVERYTHING, found)),
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
      wanted.bindings.filter((binding) => !bound.has(bindingId(binding))),
    ),
    ...newLeaseQueues(wanted, found).flatMap((queue) =>
      steps(`empty group record in ${queue}`, { type: 'empty record', queue }, {}),
    ),
    ...users.flatMap((user) => userSteps(user, found, passwordOf(passwords, user.name))),
    ...users.flatMap(({ name, permissions }) => permissionSteps(name, permissions, found)),
    ...users.flatMap((user) => limitSteps(user, found)),
  ];
}

/**
 * Of groups that have never been here: their queues are about to be made, or were made by an application that then
 * failed. One that is made again had a record, and lost it. Without a record of ours nothing is known to be new.
 */
function newLeaseQueues(wanted: Topology, { queues, record }: Found): string[] {
  if (record === undefined) return [];
  const isNew = (name: string) => named(queues, name) === undefined && !record.queues.includes(name);
  return wanted.queues
    .map(({ name }) => name)
    .filter((name) => isLeaseQueue(name) && (isNew(name) || record.newLeaseQueues.includes(name)));
}

const EVERYTHING: Permissions = { configure: '.*', write: '.*', read: '.*' };

/** The step that makes `should` of what is; none where it is so. @param is undefined where there is nothing yet */
function steps(what: string, target: Target, should: object, is?: object): Step[] {
  const details = is
    ? differences(should, is).map(({ key, is, should }) => `${key}: ${is} → ${should}`)
    : Object.entries(should).map(([key, value]) => `${key}: ${show(value)}`);
  return is && details.length === 0 ? [] : [{ kind: is ? 'change' : 'create', what, details, target }];
}

const flat = ({ pattern, applyTo, priority, definition }: Omit<Found['policies'][number], 'name'>) => ({
  ...{ pattern, 'apply-to': applyTo, priority },
  ...definition,
});

function userSteps(user: User, found: Found, password: string | undefined): Step[] {
  const there = named(found.users, user.name);
  if (there && (password === undefined || isPasswordOf(there, password))) return [];
  const details = there ? ['password: another'] : [];
  return [{ kind: there ? 'change' : 'create', what: `user ${user.name}`, details, target: { type: 'user', user } }];
}

function permissionSteps(user: string, permissions: Permissions, found: Found): Step[] {
  const there = found.permissions.find((some) => some.user === user);
  const is = there && { configure: there.configure, write: there.write, read: there.read };
  const target: Target = { type: 'permissions', permissions: { user, ...permissions } };
  return steps(`permissions of ${user}`, target, permissions, is);
}

function limitSteps({ name, limits }: User, found: Found): Step[] {
  if (limits === undefined || found.userLimits === undefined) return [];
  const there = found.userLimits.find(({ user }) => user === name)?.value ?? {};
  const is = Object.keys(there).length === 0 ? undefined : there;
  return steps(`limits of ${name}`, { type: 'limits', user: name, limits }, limits, is);
}

/**
 * The command bindings of one queue are one step. They are not recorded: only the topology makes bindings with such names, and
 * a binding has nothing that can be changed.
 */
function bindingSteps(kind: 'create' | 'remove', targets: readonly BindingTarget[]): Step[] {
  const inOrder = [...targets.filter((binding) => !isCommandBinding(binding)), ...targets.filter(isCommandBinding)];
  const groups = Map.groupBy(inOrder, (binding) => {
    const { exchange, queue, routingKey } = binding;
    return isCommandBinding(binding)
      ? `bindings ${exchange} → ${queue}`
      : `binding ${exchange} → ${queue} (${show(routingKey)})`;
  });
  return [...groups].map(([what, bindings]) => {
    const target: Target = { type: 'bindings', bindings };
    if (!bindings.every(isCommandBinding)) return { kind, what, details: [], target };
    const keys = bindings.map(({ routingKey }) => routingKey).join(' ');
    return { kind, what: `${what} (${bindings.length})`, details: [keys], target };
  });
}

function immutableRefusals(
  what: string,
  settings: object,
  there?: { readonly type?: string | undefined; readonly arguments: object },
): string[] {
  if (there === undefined) return [];
  const should = { durable: true, auto_delete: false, ...settings };
  // A queue that was declared without its type has that of its vhost.
  const all = { 'x-queue-type': there.type, ...there, ...there.arguments };
  const is = Object.entries(all).filter(([key]) => key in should || key in there.arguments);
  return differences(should, Object.fromEntries(is)).map(
    ({ key, is, should }) =>
      `${what}: ${key} is ${is}, wanted ${should}, and cannot be changed: give the wanted one another name, or delete the old one by hand once it is not needed`,
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
  return differences(flat(policy), flat(there))
    .slice(0, 1)
    .map(
      ({ key, is, should }) =>
        `policy ${policy.name} exists with ${key} ${is}, wanted ${should}, and the record does not name it as made by this topology: delete it, or give it another name`,
    );
}

/** What we made, is as we made it, and is needed by nothing that stays. */
function removalsOf(wanted: Topology, found: Found): { steps: Step[]; kept: string[] } {
  const { record, login } = found;
  if (record === undefined) return { steps: [], kept: [] };
  const isStillWanted = new Set(wanted.bindings.map(bindingId));
  // Tasks of a former shard layout may still hold the record of a lease queue, and publish the next one.
  const ours = new Set(record.bindings.filter(({ queue }) => !isLeaseQueue(queue)).map(bindingId));
  const bindings = found.bindings.filter((binding) => {
    const id = bindingId(binding);
    return !isStillWanted.has(id) && (ours.has(id) || isCommandBinding(binding));
  });
  const permissions = found.permissions.filter(({ user }) => user !== login && !isWanted(user, wanted));
  const steps = bindingSteps('remove', bindings);
  const kept: string[] = [];
  /** @param recorded values that it was given; none where it is somebody else's */
  const remove = <T>(what: string, recorded: T[], there: unknown, targetOf: (value: T) => Target, governed = '') => {
    const applied = recorded.find((value) => isEqual(value, there));
    if (applied && governed === '') steps.push({ kind: 'remove', what, details: [], target: targetOf(applied) });
    else if (applied) kept.push(`kept: ${what}, which governs ${governed}`);
    else if (recorded.length > 0) kept.push(`kept: ${what}, which somebody has changed`);
  };
  for (const there of missing(found.policies, wanted.policies)) {
    const recorded = record.policies.filter(({ name }) => name === there.name);
    const governed = governedBy(there, wanted, found);
    remove(`policy ${there.name}`, recorded, there, (policy) => ({ type: 'policy', policy }), governed);
  }
  for (const there of permissions) {
    const recorded = record.permissions.filter(({ user }) => user === there.user);
    remove(`permissions of ${there.user}`, recorded, there, (permissions) => ({ type: 'permissions', permissions }));
  }
  return { steps, kept };
}

/** A queue that stays would be without its limits, and RabbitMQ drops what it delivered twenty times. */
function governedBy(policy: Found['policies'][number], wanted: Topology, found: Found): string | undefined {
  for (const kind of ['queues', 'exchanges'] as const) {
    const governed: { name: string }[] = found[kind].filter(({ name }) => governs(policy, kind, name));
    const [first] = governed;
    if (first && missing(governed, wanted[kind]).length === governed.length)
      return `${kind === 'queues' ? 'queue' : 'exchange'} ${first.name}`;
  }
  return undefined;
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

interface Named {
  readonly name: string;
}

function named<T extends Named>(list: readonly T[], name: string): T | undefined {
  return list.find((some) => some.name === name);
}

/** Those of the first that are not in the second. */
function missing<T extends Named>(list: readonly T[], others: readonly Named[]): T[] {
  return list.filter(({ name }) => named(others, name) === undefined);
}

/** Keys with another value, or that only one of the two has, with both values as they are shown. */
function differences(wanted: object, there: object): { key: string; is: string; should: string }[] {
  const [should, is] = [
    new Map<string, unknown>(Object.entries(wanted)),
    new Map<string, unknown>(Object.entries(there)),
  ];
  return Object.keys({ ...wanted, ...there })
    .map((key) => ({ key, is: show(is.get(key)), should: show(should.get(key)) }))
    .filter((each) => each.is !== each.should);
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  return value === undefined ? 'none' : JSON.stringify(value);
}
