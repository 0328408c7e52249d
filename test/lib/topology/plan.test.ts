// The plan, without a broker: from nothing, from everything, from each kind of drift, and its laws for any topologies.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Found } from '../../../lib/topology/found.ts';
import { type Plan, plan } from '../../../lib/topology/plan.ts';
import { isSameBinding } from '../../../lib/topology/record.ts';
import { complaints } from '../../../lib/topology/rules.ts';
import { discordTopology, type Topology } from '../../../lib/topology/topology.ts';
import { carriedOut, emptyBroker, hashed, LOGIN } from './imaginary-broker.ts';

const wanted = discordTopology({ shardGroups: 2 });
const passwords = { ingestor: 'correct horse', worker: 'battery staple', 'dead-letters': 'hospital bracelet' };
const nowhere = emptyBroker(wanted.vhost);
const settled = carriedOut(nowhere, plan(wanted, nowhere, passwords).steps, passwords);

const NOTHING_TO_SAY = { refusals: [], unwanted: [], kept: [], leftAlone: [], withoutPassword: [], notes: [] };
const lines = ({ steps }: Pick<Plan, 'steps'>) => steps.map(({ kind, what }) => `${kind} ${what}`);

/** The settled broker, changed behind our back. */
function drifted(change: Partial<Found>): Found {
  return { ...settled, ...change };
}

function changed<T extends { readonly name: string }>(list: readonly T[], name: string, change: Partial<T>): T[] {
  expect(list.map((some) => some.name)).toContain(name);
  return list.map((some) => (some.name === name ? { ...some, ...change } : some));
}

describe('on an empty broker', () => {
  const first = plan(wanted, nowhere, passwords);

  test('everything is created, the vhost first, policies before the queues that they govern', () => {
    expect(lines(first)).toEqual([
      'create vhost discord',
      'create permissions of administrator',
      ...wanted.policies.map(({ name }) => `create policy ${name}`),
      ...wanted.exchanges.map(({ name }) => `create exchange ${name}`),
      ...wanted.queues.map(({ name }) => `create queue ${name}`),
      ...wanted.bindings.map(
        ({ exchange, queue, routingKey }) => `create binding ${exchange} → ${queue} ('${routingKey}')`,
      ),
      'create user ingestor',
      'create user worker',
      'create user dead-letters',
      'create permissions of ingestor',
      'create permissions of worker',
      'create permissions of dead-letters',
    ]);
    expect(first).toMatchObject(NOTHING_TO_SAY);
  });

  test('no step holds a password', () => {
    const text = JSON.stringify(first);
    for (const password of Object.values(passwords)) expect(text).not.toContain(password);
  });

  test('a user without a password is left out, and so are its permissions', () => {
    const partial = plan(wanted, nowhere, { ...passwords, worker: undefined } as unknown as Record<string, string>);
    expect(lines(partial).filter((line) => line.includes('worker'))).toEqual([]);
    expect(partial.withoutPassword).toEqual([{ user: 'worker', exists: false }]);
  });

  test('before RabbitMQ 4, which would refuse it, no delivery limit of -1 is asked for', () => {
    const old = emptyBroker(wanted.vhost, '3.13.7');
    const planned = plan(wanted, old, passwords);
    const limits = planned.steps.flatMap(({ target }) =>
      target.type === 'policy' && target.policy.applyTo === 'queues'
        ? [target.policy.definition['delivery-limit']]
        : [],
    );
    expect(limits).toEqual([20, 20, 20, undefined, undefined]);
    expect(plan(wanted, carriedOut(old, planned.steps, passwords), passwords).steps).toEqual([]);
  });

  test('an administrator without a password of its own, as with OAuth 2, is given no permissions', () => {
    const federated = { ...nowhere, login: 'somebody from elsewhere' };
    expect(lines(plan(wanted, federated, passwords))).not.toContainEqual(
      expect.stringContaining('permissions of somebody'),
    );
  });
});

test('where all is as wanted there is nothing to do', () => {
  expect(plan(wanted, settled, passwords)).toEqual({ steps: [], ...NOTHING_TO_SAY });
});

test('the order of keys in a policy, and of tags, is no difference', () => {
  const reversed = settled.policies.map((policy) => ({
    ...policy,
    definition: Object.fromEntries(Object.entries(policy.definition).toReversed()),
  }));
  expect(plan(wanted, drifted({ policies: reversed }), passwords).steps).toEqual([]);
});

describe('drift', () => {
  const leases = settled.policies.find(({ name }) => name === 'leases');

  test.each<[what: string, found: Found, steps: string[], details: string[]]>([
    [
      'a value of a policy',
      drifted({
        policies: changed(settled.policies, 'leases', { definition: { ...leases?.definition, 'delivery-limit': 20 } }),
      }),
      ['change policy leases'],
      ['delivery-limit: 20 → -1'],
    ],
    [
      'a further key of a policy',
      drifted({
        policies: changed(settled.policies, 'leases', { definition: { ...leases?.definition, expires: 1000 } }),
      }),
      ['change policy leases'],
      ['expires: 1000 → none'],
    ],
    [
      'the priority and the kind of a policy',
      drifted({ policies: changed(settled.policies, 'leases', { priority: 0, applyTo: 'all' }) }),
      ['change policy leases'],
      ["apply-to: 'all' → 'queues'", 'priority: 0 → 10'],
    ],
    [
      'a policy that is gone',
      drifted({ policies: settled.policies.filter(({ name }) => name !== 'discord.events') }),
      ['create policy discord.events'],
      ['pattern: ^discord\\.events$', "alternate-exchange: 'discord.unrouted'"],
    ],
    [
      'a binding that is gone',
      drifted({ bindings: settled.bindings.filter(({ routingKey }) => routingKey !== 'guild.#') }),
      ["create binding discord.events → events.guild ('guild.#')"],
      [],
    ],
    [
      'a binding that has arguments is another binding',
      drifted({
        bindings: settled.bindings.map((binding) =>
          binding.routingKey === 'guild.#' ? { ...binding, arguments: { 'x-match': 'all' } } : binding,
        ),
      }),
      ["create binding discord.events → events.guild ('guild.#')"],
      [],
    ],
    [
      'a password',
      drifted({ users: changed(settled.users, 'worker', hashed('somebody changed it')) }),
      ['change user worker'],
      ['password: another'],
    ],
    [
      'a hash that cannot be read is no reason to trust it',
      drifted({ users: changed(settled.users, 'worker', { hashingAlgorithm: 'rabbit_password_hashing_md5' }) }),
      ['change user worker'],
      ['password: another'],
    ],
    [
      'permissions',
      drifted({
        permissions: settled.permissions.map((some) => (some.user === 'worker' ? { ...some, write: '.*' } : some)),
      }),
      ['change permissions of worker'],
      ["write: '.*' → ''"],
    ],
    [
      'permissions that are gone, though there are some in another vhost',
      drifted({
        permissions: settled.permissions.map((some) => (some.user === 'worker' ? { ...some, vhost: '/' } : some)),
      }),
      ['create permissions of worker'],
      ["configure: ''", "write: ''", "read: '^(interactions|events\\.guild|events\\.gateway)$'"],
    ],
    [
      "the administrator's own permissions",
      drifted({ permissions: settled.permissions.filter(({ user }) => user !== LOGIN) }),
      ['create permissions of administrator'],
      ["configure: '.*'", "write: '.*'", "read: '.*'"],
    ],
  ])('%s is mended, and then all is well', (_what, found, steps, details) => {
    const repair = plan(wanted, found, passwords);
    expect(lines(repair)).toEqual(steps);
    expect(repair.steps.flatMap((step) => step.details)).toEqual(details);
    expect(plan(wanted, carriedOut(found, repair.steps, passwords), passwords).steps).toEqual([]);
  });

  test('limits of users are set where they differ, and left alone where none are wanted, or none can be set', () => {
    const limited = discordTopology({ shardGroups: 2, connectionLimit: 100 });
    const first = plan(limited, settled, passwords);
    expect(lines(first)).toEqual(['ingestor', 'worker', 'dead-letters'].map((user) => `create limits of ${user}`));
    const found = carriedOut(settled, first.steps, passwords);
    expect(plan(limited, found, passwords).steps).toEqual([]);
    expect(plan(wanted, found, passwords).steps).toEqual([]);
    const other = found.userLimits?.map((some) =>
      some.user === 'worker' ? { ...some, limits: { 'max-connections': 1 } } : some,
    );
    expect(lines(plan(limited, { ...found, userLimits: other }, passwords))).toEqual(['change limits of worker']);
    expect(plan(limited, { ...settled, userLimits: undefined }, passwords).steps).toEqual([]);
  });
});

describe('what cannot be changed is refused, with the name, the argument and both values', () => {
  const end =
    'and cannot be changed: give the wanted one another name, or delete the old one by hand once it is not needed';
  test.each<[what: string, found: Found, sentences: string[]]>([
    [
      'the type of a queue',
      drifted({
        queues: changed(settled.queues, 'interactions', { type: 'classic', arguments: { 'x-queue-type': 'classic' } }),
      }),
      [`queue interactions: x-queue-type is 'classic', wanted 'quorum', ${end}`],
    ],
    [
      'the type of a queue that was declared without one',
      drifted({ queues: changed(settled.queues, 'interactions', { type: 'classic', arguments: {} }) }),
      [`queue interactions: x-queue-type is 'classic', wanted 'quorum', ${end}`],
    ],
    [
      'arguments of a queue, one too few and one too many',
      drifted({
        queues: changed(settled.queues, 'ingestor.lease.0', {
          arguments: { 'x-queue-type': 'quorum', 'x-message-ttl': 5000 },
        }),
      }),
      [
        `queue ingestor.lease.0: x-single-active-consumer is none, wanted true, ${end}`,
        `queue ingestor.lease.0: x-message-ttl is 5000, wanted none, ${end}`,
      ],
    ],
    [
      'the durability of a queue',
      drifted({ queues: changed(settled.queues, 'unrouted', { durable: false, autoDelete: true }) }),
      [
        `queue unrouted: durable is false, wanted true, ${end}`,
        `queue unrouted: auto-delete is true, wanted false, ${end}`,
      ],
    ],
    [
      'type and arguments of an exchange',
      drifted({
        exchanges: changed(settled.exchanges, 'discord.events', {
          type: 'direct',
          arguments: { 'alternate-exchange': 'x' },
        }),
      }),
      [
        `exchange discord.events: type is 'direct', wanted 'topic', ${end}`,
        `exchange discord.events: alternate-exchange is 'x', wanted none, ${end}`,
      ],
    ],
  ])('%s', (_what, found, sentences) => {
    const refused = plan(wanted, found, passwords);
    expect(refused.refusals).toEqual(sentences);
    expect(refused.steps.filter(({ kind }) => kind === 'remove')).toEqual([]);
  });

  test("a policy of somebody else's that would apply instead of ours", () => {
    const other = { name: 'ops', pattern: '^inter', applyTo: 'quorum_queues', priority: 10, definition: {} };
    const sentence =
      'policy ops of priority 10 would apply to interactions instead of policy interactions of priority 10: delete it, or give it a priority below 10';
    const beside = (policy: typeof other) =>
      plan(wanted, drifted({ policies: [...settled.policies, policy] }), passwords).refusals;
    expect(beside(other)).toEqual([sentence]);
    expect(beside({ ...other, priority: 9 })).toEqual([]);
    expect(beside({ ...other, applyTo: 'exchanges' })).toEqual([]);
    expect(beside({ ...other, pattern: '^nothing' })).toEqual([]);
    expect(beside({ ...other, pattern: '(?>not JavaScript)' })).toEqual([]);
  });

  test('a policy that governs a queue by the word of the broker, whose expression cannot be read here', () => {
    const other = { name: 'ops', pattern: '(?>^inter)', applyTo: 'queues', priority: 11, definition: {} };
    const queues = changed(settled.queues, 'interactions', { policy: 'ops' });
    expect(plan(wanted, drifted({ policies: [...settled.policies, other], queues }), passwords).refusals).toEqual([
      'policy ops of priority 11 would apply to interactions instead of policy interactions of priority 10: delete it, or give it a priority below 10',
    ]);
  });

  test('a user with tags, whatever its password', () => {
    const users = changed(settled.users, 'worker', { tags: ['monitoring'] });
    const refusals = [
      "user worker has the tags 'monitoring', wanted '': name another user, or take the tags away by hand if it is this topology's",
    ];
    for (const given of [passwords, {}]) {
      const refused = plan(wanted, drifted({ users }), given);
      expect(refused.refusals).toEqual(refusals);
      expect(lines(refused)).toEqual([]);
    }
  });

  test('a user of somebody else, whose password would change', () => {
    const elsewhere = { user: 'worker', vhost: 'theirs', configure: '', write: '', read: '.*' };
    const users = changed(settled.users, 'worker', hashed('theirs'));
    const found = drifted({ users, permissions: [...settled.permissions, elsewhere], record: nowhere.record });
    const refusals = (some: Found, given: Record<string, string> = passwords) => plan(wanted, some, given).refusals;
    expect(refusals(found)).toEqual([
      "user worker is there with another password, and the record does not name it as made by this topology: name another user, as this one is somebody else's",
    ]);
    expect(refusals({ ...found, users: settled.users })).toEqual([]);
    expect(refusals({ ...found, permissions: settled.permissions })).toHaveLength(1);
    expect(refusals({ ...found, record: settled.record })).toEqual([]);
    expect(refusals(found, {})).toEqual([]);
  });

  test('a policy of somebody else, which would be lost', () => {
    const theirs = { ...settled.policies.find(({ name }) => name === 'leases'), definition: { 'max-length': 7 } };
    const policies = settled.policies.map((policy) => (policy.name === 'leases' ? { ...policy, ...theirs } : policy));
    const refusals = (record: Found['record'], there = policies) =>
      plan(wanted, drifted({ policies: there, record }), passwords).refusals.filter((text) =>
        /^policy leases/.test(text),
      );
    expect(refusals(nowhere.record)).toEqual([
      expect.stringMatching(
        /^policy leases is there with .+, wanted .+, and the record does not name it as made by this topology: delete it, or give it another name$/,
      ),
    ]);
    // As wanted, or ours and changed by hand: nothing of somebody else's is lost.
    expect(refusals(nowhere.record, [...settled.policies])).toEqual([]);
    expect(refusals(settled.record)).toEqual([]);
    // A broker that keeps no record cannot tell.
    expect(refusals(undefined)).toEqual([]);
  });

  test('the administrator that applies it', () => {
    const users = wanted.users.map((user) => (user.name === 'worker' ? { ...user, name: LOGIN } : user));
    const { refusals } = plan({ ...wanted, users }, settled, { ...passwords, [LOGIN]: 'x' });
    expect(refusals).toEqual([
      'user administrator applies this topology, so that it can be no user of it: name another',
    ]);
  });
});

describe('what is not wanted any more', () => {
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
      { name: 'old', pattern: '^old$', applyTo: 'queues', priority: 10, definition: { overflow: 'drop-head' } },
      { name: 'none', pattern: '^none$', applyTo: 'queues', priority: 10, definition: { overflow: 'drop-head' } },
    ],
    users: [...wanted.users, { name: 'former', tags: [], permissions: { configure: '', write: '', read: '^old$' } }],
  };
  const secrets = { ...passwords, former: 'also known' };
  const there = carriedOut(nowhere, plan(previous, nowhere, secrets).steps, secrets);
  const byHand = { ...there, record: settled.record };

  test('bindings, policies and permissions go; queues, exchanges and users stay, and are named', () => {
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
    expect(removal.kept).toEqual(['policy old is kept: it governs queue old']);
    const after = plan(wanted, carriedOut(there, removal.steps, passwords), passwords);
    expect(after).toEqual({ ...removal, steps: [] });
  });

  test('nothing goes that was there before, was as wanted, or of which nothing is recorded', () => {
    for (const found of [byHand, { ...there, record: undefined }]) {
      const { steps, unwanted, kept, leftAlone } = plan(wanted, found, passwords);
      expect([steps, unwanted, kept]).toEqual([[], [], []]);
      expect(leftAlone).toEqual([
        'exchange old.events',
        'queue old',
        "binding old.events → old ('k')",
        "binding discord.events → unrouted ('old')",
        'policy old',
        'policy none',
        'permissions of former',
      ]);
    }
    // A topology that wants what it finds does not make it its own.
    const adopted = carriedOut(byHand, plan(previous, byHand, secrets).steps, secrets);
    expect(plan(wanted, adopted, passwords).steps).toEqual([]);
  });

  test('what was changed by hand is kept and named', () => {
    const found = {
      ...there,
      policies: changed(there.policies, 'none', { priority: 11 }),
      permissions: there.permissions.map((some) => (some.user === 'former' ? { ...some, read: '.*' } : some)),
      bindings: there.bindings.map((some) => (some.routingKey === 'old' ? { ...some, arguments: { a: 1 } } : some)),
    };
    const removal = plan(wanted, found, passwords);
    expect(lines(removal)).toEqual(["remove binding old.events → old ('k')"]);
    expect(removal.kept).toEqual([
      'policy old is kept: it governs queue old',
      'policy none is kept: it was changed after it was applied',
      'permissions of former are kept: they were changed after they were applied',
    ]);
    expect(removal.leftAlone).toEqual(["binding discord.events → unrouted ('old')"]);
  });

  test('a policy goes where another one takes its place', () => {
    const policies = wanted.policies.map((policy) =>
      policy.name === 'leases' ? { ...policy, name: 'sessions' } : policy,
    );
    const removal = plan({ ...wanted, policies }, settled, passwords);
    expect([lines(removal), removal.refusals]).toEqual([['create policy sessions', 'remove policy leases'], []]);
  });

  test('lease queues beyond the groups stay with their bindings, whoever made them', () => {
    const more = discordTopology({ shardGroups: 4 });
    const ours = carriedOut(settled, plan(more, settled, passwords).steps, passwords);
    for (const found of [ours, { ...ours, record: settled.record }]) {
      const { steps, unwanted, leftAlone } = plan(wanted, found, passwords);
      expect([steps, leftAlone]).toEqual([[], []]);
      expect(unwanted).toEqual([2, 3].map((group) => ({ type: 'queue', name: `ingestor.lease.${group}` })));
    }
  });

  test('the other user of a pair keeps its permissions, and goes together with it', () => {
    const pair = { ...there, users: [...there.users, { name: 'former_b', tags: [], ...hashed('x') }] };
    expect(plan(wanted, pair, passwords).unwanted.map(({ name }) => name)).toEqual([
      'old',
      'old.events',
      'former',
      'former_b',
    ]);
    const rotated = previous.users.map((user) => (user.name === 'former' ? { ...user, name: 'former_b' } : user));
    const still = plan({ ...previous, users: rotated }, pair, { ...passwords, former_b: 'x' });
    expect(lines(still)).toEqual(['create permissions of former_b']);
    expect(still.unwanted).toEqual([]);
  });

  test('the permissions of whoever applies it stay', () => {
    const removal = plan(wanted, { ...there, login: 'former' }, passwords);
    expect(lines(removal)).not.toContain('remove permissions of former');
    expect(removal.unwanted.map(({ name }) => name)).not.toContain('former');
  });

  test('a queue under a new name is there, bound, before the old one loses its binding, and the old one keeps its policy', () => {
    const rename = (name: string) => (name === 'interactions' ? 'interactions.v2' : name);
    const renamed: Topology = {
      ...wanted,
      queues: wanted.queues.map((queue) => ({ ...queue, name: rename(queue.name) })),
      bindings: wanted.bindings.map((binding) => ({ ...binding, queue: rename(binding.queue) })),
      policies: wanted.policies.map((policy) =>
        policy.name === 'interactions'
          ? { ...policy, name: 'interactions.v2', pattern: '^interactions\\.v2$' }
          : policy,
      ),
    };
    expect(complaints(renamed)).toEqual([]);
    const planned = plan(renamed, settled, passwords);
    expect(lines(planned)).toEqual([
      'create policy interactions.v2',
      'create queue interactions.v2',
      "create binding discord.events → interactions.v2 ('interaction.#')",
      "remove binding discord.events → interactions ('interaction.#')",
    ]);
    expect(planned.kept).toEqual(['policy interactions is kept: it governs queue interactions']);
  });
});

test("of what is nobody's, everything is listed and nothing touched", () => {
  const found = drifted({
    exchanges: [
      ...settled.exchanges,
      { name: 'theirs', type: 'x-modulus-hash', durable: false, autoDelete: true, internal: true, arguments: {} },
    ],
    bindings: [
      ...settled.bindings,
      {
        source: 'discord.events',
        destination: 'theirs',
        destinationType: 'exchange',
        routingKey: '#',
        arguments: {},
        propertiesKey: '%23',
      },
    ],
    permissions: [...settled.permissions, { user: 'theirs', vhost: wanted.vhost, configure: '', write: '', read: '' }],
  });
  const { steps, leftAlone } = plan(wanted, found, passwords);
  expect(steps).toEqual([]);
  expect(leftAlone).toEqual([
    'exchange theirs',
    "binding discord.events → exchange theirs ('#')",
    'permissions of theirs',
  ]);
});

describe('for any two topologies, one after the other', () => {
  const name: fc.Arbitrary<string> = fc.constantFrom('a', 'b', 'c', 'd');
  const topology = fc
    .record({
      exchanges: fc.uniqueArray(
        fc.record({ name, type: fc.constantFrom('topic' as const, 'direct' as const, 'fanout' as const) }),
        { selector: (exchange) => exchange.name },
      ),
      queues: fc.uniqueArray(
        fc.record({ name, arguments: fc.constantFrom({ 'x-queue-type': 'quorum' }, { 'x-queue-type': 'classic' }) }),
        { selector: (queue) => queue.name },
      ),
      keys: fc.uniqueArray(fc.tuple(fc.nat(3), fc.nat(3), fc.constantFrom('', 'k', 'k.#')), {
        selector: (key) => key.join(' '),
      }),
      policies: fc.uniqueArray(fc.record({ name, of: name, limit: fc.nat(3) }), { selector: (policy) => policy.name }),
      users: fc.uniqueArray(fc.record({ name, read: name }), { selector: (user) => user.name }),
    })
    .map(
      ({ exchanges, queues, keys, policies, users }): Topology => ({
        vhost: 'v',
        exchanges,
        queues,
        bindings: keys.flatMap(([from, to, routingKey]) => {
          const [exchange, queue] = [exchanges[from], queues[to]];
          return exchange && queue ? [{ exchange: exchange.name, queue: queue.name, routingKey }] : [];
        }),
        policies: policies.map((policy) => ({
          name: policy.name,
          pattern: `^${policy.of}$`,
          applyTo: 'queues',
          priority: 10,
          definition: { 'max-length': policy.limit },
        })),
        users: users.map((user) => ({
          name: user.name,
          tags: [],
          permissions: { configure: '', write: '', read: `^${user.read}$` },
        })),
      }),
    );
  const secrets = { a: 'pa', b: 'pb', c: 'pc', d: 'pd' };
  /** A broker after the first, on which somebody else had made some of it before. */
  const history = fc
    .record({ before: topology, first: topology, second: topology })
    .map(({ before, first, second }) => {
      const nowhere = emptyBroker('v');
      const made = carriedOut(nowhere, plan(before, nowhere, secrets).steps, secrets);
      const byHand = { ...made, record: nowhere.record };
      const applied = plan(first, byHand, secrets);
      const found = applied.refusals.length === 0 ? carriedOut(byHand, applied.steps, secrets) : byHand;
      return { before, first, second, found, byHand };
    });

  test('a plan that is carried out leaves nothing to do', () => {
    fc.assert(
      fc.property(history, ({ second, found }) => {
        const planned = plan(second, found, secrets);
        fc.pre(planned.refusals.length === 0);
        const then = carriedOut(found, planned.steps, secrets);
        const again = plan(second, then, secrets);
        expect(lines(again)).toEqual([]);
        expect([again.kept, again.unwanted]).toEqual([planned.kept, planned.unwanted]);
      }),
      { numRuns: 500 },
    );
  });

  test('nothing is removed but what we made or changed; creations come first', () => {
    fc.assert(
      fc.property(history, ({ first, second, found, byHand }) => {
        const { steps } = plan(second, found, secrets);
        for (const { kind, target } of steps) {
          if (kind !== 'remove') continue;
          if (target.type === 'policy') {
            expect(first.policies).toContainEqual(target.policy);
            expect(byHand.policies).not.toContainEqual(target.policy);
          } else if (target.type === 'binding') {
            expect(first.bindings).toContainEqual(target.binding);
            expect(byHand.bindings.some((other) => isSameBinding(target.binding, other))).toBe(false);
          } else {
            if (target.type !== 'permissions') throw new Error(`never: ${target.type}`);
            expect(byHand.permissions).not.toContainEqual(expect.objectContaining(target.permissions));
          }
        }
        const kinds = steps.map(({ kind }) => kind === 'remove');
        expect(kinds).toEqual(kinds.toSorted((one, other) => Number(one) - Number(other)));
      }),
      { numRuns: 500 },
    );
  });

  test('a difference that cannot be changed is always refused, and by name', () => {
    fc.assert(
      fc.property(history, ({ before: first, second, byHand }) => {
        const { refusals } = plan(second, byHand, secrets);
        const differs = (one: { name: string }, list: readonly { name: string }[]) => {
          const other = list.find((some) => some.name === one.name);
          return other !== undefined && JSON.stringify(one) !== JSON.stringify(other);
        };
        const expected = [
          ...second.exchanges
            .filter((exchange) => differs(exchange, first.exchanges))
            .map((some) => `exchange ${some.name}`),
          ...second.queues.filter((queue) => differs(queue, first.queues)).map((some) => `queue ${some.name}`),
        ];
        const immutable = refusals.filter((refusal) => !refusal.startsWith('policy '));
        expect(immutable.map((refusal) => refusal.split(':')[0])).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });
});
