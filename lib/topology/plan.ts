// Pure: what is wanted, against what a broker has, becomes steps in the order in which they can be carried out.
// What cannot be changed is refused, never deleted and made anew. What nobody named is left alone. What belonged to the
// topology before (`previous`) and is not wanted any more goes, except where messages or others still need it.
// Creations come before removals, so that a rename leaves no moment in which a message finds no queue; policies come
// before the queues that they govern.

import type { FoundBinding } from '../management/management-api.ts';
import { isPasswordOf } from '../management/password-hash.ts';
import type { Found } from './found.ts';
import type { Binding, Exchange, Permissions, Policy, Queue, Topology, User } from './topology.ts';

export interface Plan {
  readonly steps: readonly Step[];
  /** Why nothing at all may be carried out, one sentence each. */
  readonly refusals: readonly string[];
  /** Of the topology before, not wanted any more, and kept nevertheless: one sentence each. */
  readonly kept: readonly string[];
  /** In the vhost, and of no topology: left as it is. */
  readonly leftAlone: readonly string[];
  /** What else a person should know, one sentence each. */
  readonly notes: readonly string[];
}

export interface Step {
  readonly kind: 'create' | 'change' | 'remove';
  /** For people: 'queue interactions'. */
  readonly what: string;
  /** What is set, or what differs: 'message-ttl: 60000 → 900000'. Never a password. */
  readonly details: readonly string[];
  readonly target: Target;
}

export type Target =
  | { readonly type: 'vhost'; readonly vhost: string }
  | { readonly type: 'policy'; readonly policy: Policy }
  | { readonly type: 'exchange'; readonly exchange: Exchange }
  | { readonly type: 'queue'; readonly queue: Queue }
  | { readonly type: 'binding'; readonly binding: Binding; readonly propertiesKey?: string }
  /** With its password from the passwords, or with the one that it has. */
  | { readonly type: 'user'; readonly user: User; readonly password: 'given' | 'its own' }
  | { readonly type: 'permissions'; readonly user: string; readonly permissions: Permissions };

/**
 * @param previous what was applied before, if that is known: of the same vhost, or it says nothing
 * @param passwords by user's name; a user that is not there yet and has none is left out
 */
export function plan(
  wanted: Topology,
  found: Found,
  previous?: Topology,
  passwords: Readonly<Record<string, string>> = {},
): Plan {
  const before = previous?.vhost === wanted.vhost ? previous : undefined;
  const policies = suited(wanted.policies, found.version);
  const notes: string[] = [];
  if (previous !== undefined && before === undefined)
    notes.push(`vhost ${previous.vhost}, where the topology was before, stays as it is: delete it when it is empty`);

  const users = usersToManage(wanted, found, passwords, notes);
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
      .filter((binding) => !found.bindings.some((other) => isSame(binding, other)))
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
  const removals = before === undefined ? { steps: [], kept: [] } : removalsOf(wanted, found, before);
  return {
    steps: [...additions, ...removals.steps],
    refusals: [
      ...wanted.exchanges.flatMap((exchange) => exchangeRefusals(exchange, found)),
      ...wanted.queues.flatMap((queue) => queueRefusals(queue, found)),
      ...overridden(wanted, policies, found, before),
    ],
    kept: removals.kept,
    leftAlone: leftAlone(wanted, found, before),
    notes,
  };
}

/** Whether a policy of the broker applies to this name at all. RabbitMQ's expressions are not quite JavaScript's. */
export function governs(
  policy: { readonly pattern: string; readonly applyTo: string },
  kind: Policy['applyTo'],
  name: string,
): boolean {
  const kinds = kind === 'exchanges' ? ['exchanges', 'all'] : ['queues', 'all', 'quorum_queues', 'classic_queues'];
  if (!kinds.includes(policy.applyTo)) return false;
  try {
    return new RegExp(policy.pattern, 'u').test(name);
  } catch {
    return false;
  }
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
    const flat = (some: Omit<Policy, 'applyTo' | 'definition'> & { applyTo: string; definition: object }) => ({
      pattern: some.pattern,
      'apply-to': some.applyTo,
      priority: some.priority,
      ...some.definition,
    });
    const details = differences(flat(policy), flat(there)).map(
      ({ key, is, should }) => `${key}: ${show(is)} → ${show(should)}`,
    );
    return details.length === 0 ? [] : [{ kind: 'change', what, details, target }];
  });
}

/** Without those that are not there and cannot be made, because nobody gave a password. */
function usersToManage(
  wanted: Topology,
  found: Found,
  passwords: Readonly<Record<string, string>>,
  notes: string[],
): readonly User[] {
  return wanted.users.filter(({ name }) => {
    if (passwords[name] !== undefined) return true;
    const exists = found.users.some((user) => user.name === name);
    notes.push(
      exists
        ? `user ${name} keeps its password: none was given`
        : `user ${name} is left out: it does not exist yet, and no password was given`,
    );
    return exists;
  });
}

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
    const target: Target = { type: 'user', user, password: given === undefined ? 'its own' : 'given' };
    if (there === undefined) return [{ kind: 'create', what, details: [], target }];
    const details: string[] = [];
    if (given !== undefined && !isPasswordOf(there, given)) details.push('password: another');
    const [is, should] = [there.tags.toSorted().join(','), user.tags.toSorted().join(',')];
    if (is !== should) details.push(`tags: ${show(is)} → ${show(should)}`);
    return details.length === 0 ? [] : [{ kind: 'change', what, details, target }];
  });
  return [...logins, ...users.flatMap((user) => permissionSteps(user, vhost, found))];
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

/** Of several policies only the one of the highest priority applies: ours would be there and do nothing. */
function overridden(
  wanted: Topology,
  policies: readonly Policy[],
  found: Found,
  before: Topology | undefined,
): string[] {
  const others = found.policies.filter(
    ({ name }) => !policies.some((own) => own.name === name) && !before?.policies.some((own) => own.name === name),
  );
  const names = { queues: wanted.queues, exchanges: wanted.exchanges };
  return policies.flatMap((own) =>
    names[own.applyTo]
      .filter(({ name }) => governs(own, own.applyTo, name))
      .flatMap(({ name }) =>
        others
          .filter((other) => other.priority >= own.priority && governs(other, own.applyTo, name))
          .map(
            (other) =>
              `policy ${other.name} of priority ${other.priority} would apply to ${name} instead of policy ${own.name} of priority ${own.priority}: delete it, or give it a priority below ${own.priority}`,
          ),
      ),
  );
}

function removalsOf(wanted: Topology, found: Found, before: Topology): { steps: Step[]; kept: string[] } {
  const kept: string[] = [];
  const remove = (what: string, target: Target): Step => ({ kind: 'remove', what, details: [], target });
  const gone = <T extends { readonly name: string }>(
    of: (topology: Topology) => readonly T[],
    there: readonly { name: string }[],
  ) => missing(of(before), of(wanted)).filter(({ name }) => there.some((some) => some.name === name));

  const unbound = before.bindings
    .filter((binding) => !wanted.bindings.some((other) => named(other) === named(binding)))
    .flatMap((binding) =>
      found.bindings.filter((other) => isSame(binding, other)).map((other) => ({ binding, other })),
    );
  const queues = gone(({ queues }) => queues, found.queues).filter(({ name }) => {
    const messages = found.queues.find((queue) => queue.name === name)?.messages ?? 0;
    if (messages > 0) kept.push(keptQueue(name, messages === 1 ? '1 message' : `${messages} messages`));
    return messages === 0;
  });
  const exchanges = gone(({ exchanges }) => exchanges, found.exchanges).filter(({ name }) => {
    const needed = found.bindings.find(
      (binding) =>
        (binding.source === name || (binding.destinationType === 'exchange' && binding.destination === name)) &&
        !unbound.some(({ other }) => other === binding),
    );
    if (needed !== undefined)
      kept.push(`exchange ${name} is kept: ${needed.source} → ${needed.destination} is bound by somebody else`);
    return needed === undefined;
  });
  const keptQueues = gone(({ queues }) => queues, found.queues).filter((queue) => !queues.includes(queue));
  const policies = gone(({ policies }) => policies, found.policies).filter((policy) => {
    const governed = keptQueues.find(({ name }) => governs(policy, 'queues', name));
    if (governed !== undefined) kept.push(keptPolicy(policy.name, governed.name));
    return governed === undefined;
  });
  const users = gone(({ users }) => users, found.users);
  const permitted = users.filter(({ name }) =>
    found.permissions.some((some) => some.user === name && some.vhost === wanted.vhost),
  );
  const superfluous = users.filter(({ name }) => {
    if (name === found.login) {
      kept.push(`user ${name} is kept: it is the one that carries this out`);
      return false;
    }
    const elsewhere = found.permissions.find((some) => some.user === name && some.vhost !== wanted.vhost);
    if (elsewhere !== undefined) kept.push(`user ${name} is kept: it has permissions in vhost ${elsewhere.vhost}`);
    return elsewhere === undefined;
  });
  return {
    kept,
    steps: [
      ...unbound.map(({ binding, other }) =>
        remove(named(binding), { type: 'binding', binding, propertiesKey: other.propertiesKey }),
      ),
      ...queues.map((queue) => remove(`queue ${queue.name}`, { type: 'queue', queue })),
      ...exchanges.map((exchange) => remove(`exchange ${exchange.name}`, { type: 'exchange', exchange })),
      ...policies.map((policy) => remove(`policy ${policy.name}`, { type: 'policy', policy })),
      ...permitted
        .filter(({ name }) => name !== found.login)
        .map(({ name, permissions }) =>
          remove(`permissions of ${name}`, { type: 'permissions', user: name, permissions }),
        ),
      ...superfluous.map((user) => remove(`user ${user.name}`, { type: 'user', user, password: 'its own' })),
    ],
  };
}

export function keptQueue(name: string, because: string): string {
  return `queue ${name} is kept, without its bindings: it has ${because}. Delete it by hand when it is empty and nobody reads it`;
}

export function keptPolicy(name: string, queue: string): string {
  return `policy ${name} is kept: it governs queue ${queue}. Delete it together with the queue`;
}

function leftAlone(wanted: Topology, found: Found, before: Topology | undefined): string[] {
  const known = (of: (topology: Topology) => readonly { name: string }[]) =>
    new Set(
      [wanted, ...(before === undefined ? [] : [before])].flatMap((topology) => of(topology).map(({ name }) => name)),
    );
  const others = (what: string, there: readonly { name: string }[], names: ReadonlySet<string>) =>
    there.filter(({ name }) => !names.has(name)).map(({ name }) => `${what} ${name}`);
  const bindings = [...wanted.bindings, ...(before?.bindings ?? [])];
  const users = known((topology) => topology.users);
  return [
    ...others(
      'exchange',
      found.exchanges,
      known((topology) => topology.exchanges),
    ),
    ...others(
      'queue',
      found.queues,
      known((topology) => topology.queues),
    ),
    ...found.bindings.filter((other) => !bindings.some((binding) => isSame(binding, other))).map(namedOther),
    ...others(
      'policy',
      found.policies,
      known((topology) => topology.policies),
    ),
    ...found.permissions
      .filter(({ vhost, user }) => vhost === wanted.vhost && user !== found.login && !users.has(user))
      .map(({ user }) => `permissions of ${user}`),
  ];
}

function missing<T extends { readonly name: string }>(wanted: readonly T[], found: readonly { name: string }[]): T[] {
  return wanted.filter(({ name }) => !found.some((other) => other.name === name));
}

function isSame(binding: Binding, other: FoundBinding): boolean {
  return (
    other.source === binding.exchange &&
    other.destinationType === 'queue' &&
    other.destination === binding.queue &&
    other.routingKey === binding.routingKey &&
    Object.keys(other.arguments).length === 0
  );
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
