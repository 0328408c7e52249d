// The plan, without a broker: for an empty broker, for one that is as wanted, and for each kind of drift.

import { describe, expect, test } from 'vitest';
import type { Found } from '../../../lib/topology/found.ts';
import { type Plan, plan } from '../../../lib/topology/plan.ts';
import { EMPTY_RECORD, isEqual, parseRecord, withSteps } from '../../../lib/topology/record.ts';
import { discordTopology, isCommandBinding, type Topology } from '../../../lib/topology/topology.ts';
import { commandQueue, leaseQueue } from '../../../service/contract/names.ts';
import { carriedOut, emptyBroker, hashed, LOGIN } from './fake-broker.ts';

const wanted = discordTopology({ shards: { count: 2, perTask: 1 } });
const worker = wanted.users.find(({ name }) => name === 'worker')?.permissions;
const passwords = { ingestor: 'correct horse', worker: 'battery staple', 'dead-letters': 'hospital bracelet' };
const empty = emptyBroker(wanted.vhost);
const settled = carriedOut(empty, plan(wanted, empty, passwords).steps, passwords);

const NOTHING_TO_REPORT = { refusals: [], unwanted: [], kept: [], withoutPassword: [], notes: [] };
const lines = ({ steps }: Pick<Plan, 'steps'>) => steps.map(({ kind, what }) => `${kind} ${what}`);

/** What is found once somebody changed some of it by hand: all of these kinds, or the one of this name. */
function changed<K extends 'exchanges' | 'queues' | 'policies' | 'users'>(
  kind: K,
  name: string,
  change: Partial<Found[K][number]>,
): Partial<Found> {
  expect(settled[kind].map((some) => some.name)).toContain(name);
  return { [kind]: settled[kind].map((some) => (some.name === name ? { ...some, ...change } : some)) };
}

describe('on an empty broker', () => {
  const first = plan(wanted, empty, passwords);

  test('everything is created, the vhost first, policies before the queues that they govern; no step has a password', () => {
    expect(lines(first)).toEqual([
      'create vhost discord',
      'create permissions of administrator',
      ...wanted.policies.map(({ name }) => `create policy ${name}`),
      ...wanted.exchanges.map(({ name }) => `create exchange ${name}`),
      ...wanted.queues.map(({ name }) => `create queue ${name}`),
      ...wanted.bindings
        .filter((binding) => !isCommandBinding(binding))
        .map(({ exchange, queue, routingKey }) => `create binding ${exchange} → ${queue} ('${routingKey}')`),
      ...[0, 1].map((group) => `create bindings discord.commands → ingestor.commands.${group} (2)`),
      ...[0, 1].map((group) => `create empty group record in ingestor.lease.${group}`),
      ...wanted.users.map(({ name }) => `create user ${name}`),
      ...wanted.users.map(({ name }) => `create permissions of ${name}`),
    ]);
    expect(first).toMatchObject(NOTHING_TO_REPORT);
    for (const password of Object.values(passwords)) expect(JSON.stringify(first)).not.toContain(password);
  });

  test('a user without a password is skipped, and so are its permissions', () => {
    const { worker: _, ...others } = passwords;
    const partial = plan(wanted, empty, others);
    expect(lines(partial).filter((line) => line.includes('worker'))).toEqual([]);
    expect(partial.withoutPassword).toEqual([{ user: 'worker', exists: false }]);
    expect(plan(wanted, settled, others)).toMatchObject({
      steps: [],
      withoutPassword: [{ user: 'worker', exists: true }],
    });
  });

  test('a worker with the name of a property of every object has no password', () => {
    const workers = { constructor: { queues: ['events.guild'], commands: false } };
    const { withoutPassword, steps } = plan(discordTopology({ workers }), empty, passwords);
    expect(withoutPassword).toEqual([{ user: 'constructor', exists: false }]);
    expect(lines({ steps }).filter((line) => line.includes('constructor'))).toEqual([]);
  });
});

describe('an older RabbitMQ, which refuses a policy with a key that it does not know,', () => {
  const keys = ['delivery-limit', 'consumer-timeout', 'consumer-disconnected-timeout'];
  const note = (version: string, key: string, from: string, policies: string) =>
    `RabbitMQ ${version} does not know the policy key ${key}: left out of ${policies}. After an upgrade to ${from} or newer, apply again`;
  const disconnected = (version: string) =>
    note(version, 'consumer-disconnected-timeout', '4.3', 'interactions, leases, commands');
  const timeout = (version: string) => note(version, 'consumer-timeout', '3.12', 'interactions, leases');

  test.each<[version: string, left: string[], notes: string[]]>([
    ['4.3.0-beta.1', keys, []],
    ['4.10.0', keys, []],
    ['4.2.9', ['delivery-limit', 'consumer-timeout'], [disconnected('4.2.9')]],
    ['4.0.5', ['delivery-limit', 'consumer-timeout'], [disconnected('4.0.5')]],
    ['3.12.0', ['consumer-timeout'], [disconnected('3.12.0')]],
    ['3.11.28', [], [timeout('3.11.28'), disconnected('3.11.28')]],
  ])('%s gets of the lease queues %j, and a note for each other', (version, left, notes) => {
    const old = emptyBroker(wanted.vhost, version);
    const first = plan(wanted, old, passwords);
    const found = carriedOut(old, first.steps, passwords);
    const leases = found.policies.find(({ name }) => name === 'leases')?.definition ?? {};
    expect(keys.filter((key) => key in leases)).toEqual(left);
    expect(first.notes).toEqual(notes);
    expect(plan(wanted, found, passwords)).toEqual({ steps: [], ...NOTHING_TO_REPORT, notes });
  });

  test('gets it at the next application after an upgrade', () => {
    const old = emptyBroker(wanted.vhost, '4.2.9');
    const upgraded = { ...carriedOut(old, plan(wanted, old, passwords).steps, passwords), version: '4.3.6' };
    const added = plan(wanted, upgraded, passwords);
    expect(lines(added)).toEqual(['change policy interactions', 'change policy leases', 'change policy commands']);
    const details = added.steps.flatMap((some) => some.details);
    expect(details).toEqual(Array(3).fill('consumer-disconnected-timeout: none → 3000'));
    expect(added).toMatchObject(NOTHING_TO_REPORT);
  });
});

describe('an empty group record is wanted for', () => {
  const empties = (found: Found, topology = wanted) =>
    lines(plan(topology, found, passwords)).filter((line) => line.includes('empty group record'));
  const [ONE, TWO] = ['ingestor.lease.1', 'ingestor.lease.2'] as const;
  const forTwo = [`create empty group record in ${TWO}`];
  const three = discordTopology({ shards: { count: 3, perTask: 1 } });

  test('no queue that is made again after the topology was without it for a while', () => {
    const one = discordTopology({ shards: { count: 1, perTask: 1 } });
    const gone = { ...settled, queues: settled.queues.filter(({ name }) => name !== ONE) };
    const smaller = carriedOut(gone, plan(one, gone, passwords).steps, passwords);
    expect(smaller.record?.queues).toContain(ONE);
    expect(empties(smaller)).toEqual([]);
  });

  test('no queue that was there before the topology, which a task had made', () => {
    const found = { ...emptyBroker(wanted.vhost), queues: settled.queues.filter(({ name }) => name === ONE) };
    expect(empties(found)).toEqual(['create empty group record in ingestor.lease.0']);
    const applied = carriedOut(found, plan(wanted, found, passwords).steps, passwords);
    expect(empties({ ...applied, queues: [] })).toEqual([]);
  });

  test('a queue of an application that failed before it: until it is stored, also when the group is not wanted meanwhile', () => {
    const { steps } = plan(three, settled, passwords);
    const made = carriedOut(settled, steps, passwords);
    const failed = { ...made, record: made.record && withSteps(made.record, steps, LOGIN) };
    expect(empties(failed, three)).toEqual(forTwo);
    const back = carriedOut(failed, plan(wanted, failed, passwords).steps, passwords);
    expect([empties(back), empties(back, three)]).toEqual([[], forTwo]);
    const again = carriedOut(failed, plan(three, failed, passwords).steps, passwords);
    expect([empties(again, three), again.record?.newLeaseQueues]).toEqual([[], []]);
  });

  test('none, where it is not known what was applied before', () => {
    expect(empties({ ...emptyBroker(wanted.vhost), record: undefined })).toEqual([]);
  });
});

test('the record of an earlier version is read, which knows no new groups', () => {
  const { newLeaseQueues: _, ...earlier } = EMPTY_RECORD;
  expect(parseRecord(earlier)).toEqual(EMPTY_RECORD);
});

test('where everything is as wanted there is nothing to do, whatever the order of keys and tags', () => {
  const reversed = settled.policies.map((policy) => ({
    ...policy,
    definition: Object.fromEntries(Object.entries(policy.definition).toReversed()),
  }));
  expect(plan(wanted, { ...settled, policies: reversed }, passwords)).toEqual({ steps: [], ...NOTHING_TO_REPORT });
});

test.each<[boolean, unknown, unknown]>([
  [true, { a: [1, { b: 2, c: 3 }], d: undefined }, { a: [{ c: 3, b: 2 }, 1] }],
  [false, { a: [1, 1] }, { a: [1] }],
  [false, { a: ['b'] }, { a: { 0: 'b' } }],
  [false, { a: {} }, { a: null }],
])('equal, whatever the order of keys and lists: %j: %j and %j', (expected, one, other) => {
  expect(isEqual(one, other)).toBe(expected);
});

describe('what differs', () => {
  const leases = settled.policies.find(({ name }) => name === 'leases')?.definition;
  const permissions = (change: object) => ({
    permissions: settled.permissions.map((some) => (some.user === 'worker' ? { ...some, ...change } : some)),
  });
  const key = (change: object) => ({
    bindings: settled.bindings.map((some) => (some.routingKey === 'guild.#' ? { ...some, ...change } : some)),
  });
  const guild = "create binding discord.events → events.guild ('guild.#')";

  test.each<[what: string, found: Partial<Found>, step: string, details: string[]]>([
    [
      'values of a policy',
      changed('policies', 'leases', {
        applyTo: 'all',
        priority: 0,
        definition: { ...leases, 'delivery-limit': 20, expires: 1000 },
      }),
      'change policy leases',
      ["apply-to: 'all' → 'queues'", 'priority: 0 → 10', 'delivery-limit: 20 → -1', 'expires: 1000 → none'],
    ],
    ['a binding of another exchange', key({ exchange: 'theirs' }), guild, []],
    ['a password', changed('users', 'worker', hashed('another')), 'change user worker', ['password: another']],
    [
      'a password whose hash cannot be read',
      changed('users', 'worker', { hashing_algorithm: 'rabbit_password_hashing_md5' }),
      'change user worker',
      ['password: another'],
    ],
    ['permissions', permissions({ write: '.*' }), 'change permissions of worker', [`write: '.*' → '${worker?.write}'`]],
    [
      "the administrator's own permissions",
      { permissions: settled.permissions.filter(({ user }) => user !== LOGIN) },
      'create permissions of administrator',
      ["configure: '.*'", "write: '.*'", "read: '.*'"],
    ],
  ])('%s is corrected, and then nothing is left to do', (_what, change, step, details) => {
    const found = { ...settled, ...change };
    const repair = plan(wanted, found, passwords);
    expect(lines(repair)).toEqual([step]);
    expect(repair.steps.flatMap((some) => some.details)).toEqual(details);
    expect(plan(wanted, carriedOut(found, repair.steps, passwords), passwords).steps).toEqual([]);
  });

  test('limits of users are set where they differ, and left alone where none are wanted, or none can be set', () => {
    const limited = discordTopology({ shards: { count: 2, perTask: 1 }, connectionLimit: 100 });
    const first = plan(limited, settled, passwords);
    expect(lines(first)).toEqual(['ingestor', 'worker', 'dead-letters'].map((user) => `create limits of ${user}`));
    const found = carriedOut(settled, first.steps, passwords);
    for (const topology of [limited, wanted]) expect(plan(topology, found, passwords).steps).toEqual([]);
    const other = found.userLimits?.map((some) =>
      some.user === 'worker' ? { ...some, value: { 'max-connections': 1 } } : some,
    );
    expect(lines(plan(limited, { ...found, userLimits: other }, passwords))).toEqual(['change limits of worker']);
    expect(plan(limited, { ...settled, userLimits: undefined }, passwords).steps).toEqual([]);
  });
});

describe('is refused', () => {
  const end =
    'and cannot be changed: give the wanted one another name, or delete the old one by hand once it is not needed';
  const priority = (name: string) =>
    `policy ops of priority 10 would apply to ${name} instead of policy ${name} of priority 10: delete it, or give it a priority below 10`;
  const ops = { name: 'ops', pattern: '^inter', applyTo: 'quorum_queues', priority: 10, definition: {} };
  const unread = { ...ops, pattern: '(?>not JavaScript)' };
  const withPolicy = (policy: typeof ops) => ({ policies: [...settled.policies, policy] });
  const foreign = { record: empty.record };
  const changedPolicy = changed('policies', 'leases', { pattern: '^l' });
  const tags =
    "user worker has the tags 'monitoring', wanted '': name another user, or take the tags away by hand if it is this topology's";
  const theirs =
    "user worker exists with another password, and the record does not name it as made by this topology: name another user, as this one is somebody else's";

  test.each<[what: string, found: Partial<Found>, sentences: string[]]>([
    [
      'another type of a queue that was declared without one',
      changed('queues', 'interactions', { type: 'classic', arguments: {} }),
      [`queue interactions: x-queue-type is 'classic', wanted 'quorum', ${end}`],
    ],
    [
      'other arguments of a queue, one missing and one more',
      changed('queues', 'ingestor.lease.0', { arguments: { 'x-queue-type': 'quorum', 'x-message-ttl': 5000 } }),
      [
        `queue ingestor.lease.0: x-single-active-consumer is none, wanted true, ${end}`,
        `queue ingestor.lease.0: x-message-ttl is 5000, wanted none, ${end}`,
      ],
    ],
    [
      'a queue that does not survive',
      changed('queues', 'unrouted', { durable: false, auto_delete: true }),
      [
        `queue unrouted: durable is false, wanted true, ${end}`,
        `queue unrouted: auto_delete is true, wanted false, ${end}`,
      ],
    ],
    [
      'another type and other arguments of an exchange',
      changed('exchanges', 'discord.events', { type: 'direct', arguments: { 'alternate-exchange': 'x' } }),
      [
        `exchange discord.events: type is 'direct', wanted 'topic', ${end}`,
        `exchange discord.events: alternate-exchange is 'x', wanted none, ${end}`,
      ],
    ],
    ["somebody else's policy that would apply instead", withPolicy(ops), [priority('interactions')]],
    ['but not one of a lower priority', withPolicy({ ...ops, priority: 9 }), []],
    ['but not one of exchanges', withPolicy({ ...ops, applyTo: 'exchanges' }), []],
    ['but not one whose expression cannot be read', withPolicy(unread), []],
    [
      'one that the broker reports to apply, whose expression cannot be read',
      { ...withPolicy(unread), ...changed('queues', 'interactions', { policy: 'ops' }) },
      [priority('interactions')],
    ],
    ['a user with tags', changed('users', 'worker', { tags: ['monitoring'] }), [tags]],
    ["somebody else's user", { ...changed('users', 'worker', hashed('theirs')), ...foreign }, [theirs]],
    ['but not with our password', foreign, []],
    ['but not one that we made', changed('users', 'worker', hashed('changed')), []],
    [
      "somebody else's policy of the same name",
      { ...changedPolicy, ...foreign },
      [
        "policy leases exists with pattern '^l', wanted '^ingestor\\.lease\\.(0|[1-9][0-9]{0,3})$', and the record does not name it as made by this topology: delete it, or give it another name",
      ],
    ],
    ['but not one that we made, and somebody changed', changedPolicy, []],
    ['but not where the broker keeps no record', { ...changedPolicy, record: undefined }, []],
  ])('%s', (_what, change, sentences) => {
    const refused = plan(wanted, { ...settled, ...change }, passwords);
    expect(refused.refusals).toEqual(sentences);
    expect(refused.steps.filter(({ kind }) => kind === 'remove')).toEqual([]);
  });

  test('the administrator that applies it, as one of its users', () => {
    const users = wanted.users.map((user) => (user.name === 'worker' ? { ...user, name: LOGIN } : user));
    expect(plan({ ...wanted, users }, settled, { ...passwords, [LOGIN]: 'x' }).refusals).toEqual([
      'user administrator applies this topology, so that it can be no user of it: name another',
    ]);
  });
});

describe('what is no longer wanted', () => {
  const policy = { applyTo: 'queues' as const, priority: 10, definition: { overflow: 'drop-head' } };
  const previous: Topology = {
    ...wanted,
    queues: [...wanted.queues, { name: 'old', arguments: { 'x-queue-type': 'quorum' } }],
    exchanges: [...wanted.exchanges, { name: 'old.events', type: 'direct' }],
    bindings: [
      ...wanted.bindings,
      { exchange: 'old.events', queue: 'old', routingKey: 'k' },
      { exchange: 'discord.events', queue: 'unrouted', routingKey: 'old' },
    ],
    policies: [
      ...wanted.policies,
      { name: 'old', pattern: '^old$', ...policy },
      { name: 'none', pattern: '^none$', ...policy },
    ],
    users: [...wanted.users, { name: 'former', tags: [], permissions: { configure: '', write: '', read: '^old$' } }],
  };
  const secrets = { ...passwords, former: 'also known' };
  const there = carriedOut(empty, plan(previous, empty, secrets).steps, secrets);

  test('is removed: bindings, policies and permissions; queues, exchanges and users stay, and are named', () => {
    const removal = plan(wanted, there, passwords);
    expect(lines(removal)).toEqual([
      "remove binding old.events → old ('k')",
      "remove binding discord.events → unrouted ('old')",
      'remove policy none',
      'remove permissions of former',
    ]);
    expect(removal.unwanted).toEqual([
      { type: 'queue', name: 'old' },
      { type: 'exchange', name: 'old.events' },
      { type: 'user', name: 'former' },
    ]);
    expect(removal.kept).toEqual(['kept: policy old, which governs queue old']);
    const after = plan(wanted, carriedOut(there, removal.steps, passwords), passwords);
    expect(after).toEqual({ ...removal, steps: [] });
  });

  test('stays where it existed before, was as wanted, or nothing is recorded', () => {
    const byHand = { ...there, record: settled.record };
    // What existed before with the same properties is not recorded as the topology's own.
    const adopted = carriedOut(byHand, plan(previous, byHand, secrets).steps, secrets);
    for (const found of [byHand, adopted, { ...there, record: undefined }])
      expect(plan(wanted, found, passwords)).toEqual({ steps: [], ...NOTHING_TO_REPORT });
  });

  test('stays and is named where somebody changed it', () => {
    const found = {
      ...there,
      policies: there.policies.map((some) => (some.name === 'none' ? { ...some, priority: 11 } : some)),
      permissions: there.permissions.map((some) => (some.user === 'former' ? { ...some, read: '.*' } : some)),
    };
    const removal = plan(wanted, found, passwords);
    expect(lines(removal).filter((line) => !line.includes('binding'))).toEqual([]);
    expect(removal.kept).toEqual([
      'kept: policy old, which governs queue old',
      'kept: policy none, which somebody has changed',
      'kept: permissions of former, which somebody has changed',
    ]);
  });

  test('is removed last, as a policy where another one takes its place', () => {
    const policies = wanted.policies.map((some) => (some.name === 'leases' ? { ...some, name: 'records' } : some));
    const removal = plan({ ...wanted, policies }, settled, passwords);
    expect([lines(removal), removal.refusals]).toEqual([['create policy records', 'remove policy leases'], []]);
  });

  test('as lease and command queues beyond the groups stays, recorded or not, and gets no more commands', () => {
    const more = discordTopology({ shards: { count: 4, perTask: 1 } });
    const ours = carriedOut(settled, plan(more, settled, passwords).steps, passwords);
    for (const found of [ours, { ...ours, record: settled.record }]) {
      const { steps, unwanted } = plan(wanted, found, passwords);
      expect(lines({ steps })).toEqual(
        [2, 3].map((group) => `remove bindings discord.commands → ingestor.commands.${group} (2)`),
      );
      const queues = [leaseQueue(2), leaseQueue(3), commandQueue(2), commandQueue(3)];
      expect(unwanted).toEqual(queues.map((name) => ({ type: 'queue', name })));
    }
  });

  test('as bindings of commands to other groups goes, and no other binding of theirs', () => {
    const [before, after] = [1, 2].map((perTask) => discordTopology({ shards: { count: 4, perTask } }));
    if (!before || !after) throw new Error('expected two layouts');
    const ours = carriedOut(settled, plan(before, settled, passwords).steps, passwords);
    const extra = { exchange: 'discord.commands', queue: commandQueue(0), routingKey: 'mine', propertiesKey: 'mine' };
    const found = { ...ours, bindings: [...ours.bindings, extra] };
    const { steps } = plan(after, found, passwords);
    expect(steps.map(({ kind, what, details }) => `${kind} ${what}: ${details}`)).toEqual([
      'create bindings discord.commands → ingestor.commands.0 (1): shard.1',
      'create bindings discord.commands → ingestor.commands.1 (2): shard.2 shard.3',
      'remove bindings discord.commands → ingestor.commands.1 (1): shard.1',
      'remove bindings discord.commands → ingestor.commands.2 (2): shard.all shard.2',
      'remove bindings discord.commands → ingestor.commands.3 (2): shard.all shard.3',
    ]);
    expect(plan(after, carriedOut(found, steps, passwords), passwords).steps).toEqual([]);
    expect(plan(after, { ...found, record: undefined }, passwords).steps.map(({ kind }) => kind)).toEqual([
      ...['create', 'create'],
    ]);
  });

  test('as the other user of a pair keeps its permissions while one of the two is wanted', () => {
    const pair = { ...there, users: [...there.users, { name: 'former_b', tags: [], ...hashed('x') }] };
    const unwanted = plan(wanted, pair, passwords).unwanted.map(({ name }) => name);
    expect(unwanted).toEqual(['old', 'old.events', 'former', 'former_b']);
    const rotated = previous.users.map((user) => (user.name === 'former' ? { ...user, name: 'former_b' } : user));
    const still = plan({ ...previous, users: rotated }, pair, { ...passwords, former_b: 'x' });
    expect([lines(still), still.unwanted]).toEqual([['create permissions of former_b'], []]);
  });

  test('is what the record names: neither what does not exist any more, nor a former value', () => {
    const without = { ...there, queues: settled.queues, exchanges: settled.exchanges };
    expect(carriedOut(without, [], secrets).record).toMatchObject(
      Object.fromEntries(
        (['queues', 'exchanges'] as const).map((kind) => [kind, settled[kind].map(({ name }) => name)]),
      ),
    );
    const policies = wanted.policies.map((some) => (some.name === 'leases' ? { ...some, priority: 11 } : some));
    const users = wanted.users.map((some) => ({ ...some, permissions: { configure: '', write: '', read: '' } }));
    const other = carriedOut(settled, plan({ ...wanted, policies, users }, settled, secrets).steps, secrets);
    expect(other.record?.policies).toHaveLength(wanted.policies.length);
    expect(other.record?.policies).toContainEqual(expect.objectContaining({ name: 'leases', priority: 11 }));
    expect(other.record?.permissions).toHaveLength(wanted.users.length);
  });

  test('as the user that applies it stays, and so do its permissions', () => {
    const removal = plan(wanted, { ...there, login: 'former' }, passwords);
    expect(lines(removal)).not.toContain('remove permissions of former');
    expect(removal.unwanted.map(({ name }) => name)).not.toContain('former');
  });
});
