// The plan, without a broker: from nothing, from everything, from each kind of drift, and its laws for any topologies.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Found } from '../../../lib/topology/found.ts';
import { type Plan, plan, type Step } from '../../../lib/topology/plan.ts';
import { complaints } from '../../../lib/topology/rules.ts';
import { discordTopology, type Topology } from '../../../lib/topology/topology.ts';
import { carriedOut, emptyBroker, hashed, LOGIN } from './imaginary-broker.ts';

const wanted = discordTopology({ shardGroups: 2 });
const passwords = { ingestor: 'correct horse', worker: 'battery staple' };
const nowhere = emptyBroker(wanted.vhost);
const settled = carriedOut(nowhere, plan(wanted, nowhere, undefined, passwords).steps, passwords);

const lines = ({ steps }: Pick<Plan, 'steps'>) => steps.map(({ kind, what }) => `${kind} ${what}`);
const nothing: Topology = { vhost: wanted.vhost, exchanges: [], queues: [], bindings: [], policies: [], users: [] };

/** The settled broker, changed behind our back. */
function drifted(change: Partial<Found>): Found {
  return { ...settled, ...change };
}

function changed<T extends { readonly name: string }>(list: readonly T[], name: string, change: Partial<T>): T[] {
  expect(list.map((some) => some.name)).toContain(name);
  return list.map((some) => (some.name === name ? { ...some, ...change } : some));
}

describe('on an empty broker', () => {
  const first = plan(wanted, nowhere, undefined, passwords);

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
      'create permissions of ingestor',
      'create permissions of worker',
    ]);
    expect(first).toMatchObject({ refusals: [], kept: [], leftAlone: [], notes: [] });
  });

  test('no step holds a password', () => {
    const text = JSON.stringify(first);
    for (const password of Object.values(passwords)) expect(text).not.toContain(password);
  });

  test('a user without a password is left out, and so are its permissions', () => {
    const partial = plan(wanted, nowhere, undefined, { ingestor: 'correct horse' });
    expect(lines(partial).filter((line) => line.includes('worker'))).toEqual([]);
    expect(partial.notes).toEqual(['user worker is left out: it does not exist yet, and no password was given']);
  });

  test('before RabbitMQ 4, which would refuse it, no delivery limit of -1 is asked for', () => {
    const old = emptyBroker(wanted.vhost, '3.13.7');
    const planned = plan(wanted, old, undefined, passwords);
    const limits = planned.steps.flatMap(({ target }) =>
      target.type === 'policy' && target.policy.applyTo === 'queues'
        ? [target.policy.definition['delivery-limit']]
        : [],
    );
    expect(limits).toEqual([20, 20, 20, undefined, undefined]);
    expect(plan(wanted, carriedOut(old, planned.steps, passwords), undefined, passwords).steps).toEqual([]);
  });

  test('an administrator without a password of its own, as with OAuth 2, is given no permissions', () => {
    const federated = { ...nowhere, login: 'somebody from elsewhere' };
    expect(lines(plan(wanted, federated, undefined, passwords))).not.toContainEqual(
      expect.stringContaining('permissions of somebody'),
    );
  });
});

test('where all is as wanted there is nothing to do', () => {
  expect(plan(wanted, settled, wanted, passwords)).toEqual({
    steps: [],
    refusals: [],
    kept: [],
    leftAlone: [],
    notes: [],
  });
});

test('the order of keys in a policy, and of tags, is no difference', () => {
  const reversed = settled.policies.map((policy) => ({
    ...policy,
    definition: Object.fromEntries(Object.entries(policy.definition).toReversed()),
  }));
  expect(plan(wanted, drifted({ policies: reversed }), undefined, passwords).steps).toEqual([]);
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
      'a tag',
      drifted({ users: changed(settled.users, 'worker', { tags: ['administrator'] }) }),
      ['change user worker'],
      ["tags: 'administrator' → ''"],
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
      ["configure: ''", "write: ''", "read: '^(interactions|events\\.guild|events\\.gateway|dead-letters)$'"],
    ],
    [
      "the administrator's own permissions",
      drifted({ permissions: settled.permissions.filter(({ user }) => user !== LOGIN) }),
      ['create permissions of administrator'],
      ["configure: '.*'", "write: '.*'", "read: '.*'"],
    ],
  ])('%s is mended, and then all is well', (_what, found, steps, details) => {
    const mending = plan(wanted, found, undefined, passwords);
    expect(lines(mending)).toEqual(steps);
    expect(mending.steps.flatMap((step) => step.details)).toEqual(details);
    expect(plan(wanted, carriedOut(found, mending.steps, passwords), undefined, passwords).steps).toEqual([]);
  });

  test('a wrong tag is mended without the password being known', () => {
    const found = drifted({ users: changed(settled.users, 'worker', { tags: ['monitoring'] }) });
    const [step, ...more] = plan(wanted, found).steps;
    expect(step?.target).toMatchObject({ type: 'user', password: 'its own' });
    expect(more).toEqual([]);
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
    const refused = plan(wanted, found, undefined, passwords);
    expect(refused.refusals).toEqual(sentences);
    expect(refused.steps.filter(({ kind }) => kind === 'remove')).toEqual([]);
  });

  test("a policy of somebody else's that would apply instead of ours", () => {
    const other = { name: 'ops', pattern: '^inter', applyTo: 'quorum_queues', priority: 10, definition: {} };
    const sentence =
      'policy ops of priority 10 would apply to interactions instead of policy interactions of priority 10: delete it, or give it a priority below 10';
    const beside = (policy: typeof other) =>
      plan(wanted, drifted({ policies: [...settled.policies, policy] }), undefined, passwords).refusals;
    expect(beside(other)).toEqual([sentence]);
    expect(beside({ ...other, priority: 9 })).toEqual([]);
    expect(beside({ ...other, applyTo: 'exchanges' })).toEqual([]);
    expect(beside({ ...other, pattern: '^nothing' })).toEqual([]);
    expect(beside({ ...other, pattern: '(?>not JavaScript)' })).toEqual([]);
  });
});

describe('what is not wanted any more', () => {
  const previous: Topology = {
    ...wanted,
    queues: [...wanted.queues, { name: 'old', arguments: { 'x-queue-type': 'quorum' } }],
    exchanges: [...wanted.exchanges, { name: 'old.events', type: 'direct' }],
    bindings: [...wanted.bindings, { exchange: 'old.events', queue: 'old', routingKey: 'k' }],
    policies: [
      ...wanted.policies,
      {
        name: 'old',
        pattern: '^old$',
        applyTo: 'queues',
        priority: 10,
        definition: { 'delivery-limit': -1, overflow: 'drop-head' },
      },
    ],
    users: [...wanted.users, { name: 'former', tags: [], permissions: { configure: '', write: '', read: '^old$' } }],
  };
  const secrets = { ...passwords, former: 'also known' };
  const there = carriedOut(nowhere, plan(previous, nowhere, undefined, secrets).steps, secrets);

  test('goes, bindings first, when the topology before is known', () => {
    const removal = plan(wanted, there, previous, passwords);
    expect(lines(removal)).toEqual([
      "remove binding old.events → old ('k')",
      'remove queue old',
      'remove exchange old.events',
      'remove policy old',
      'remove permissions of former',
      'remove user former',
    ]);
    expect(removal.kept).toEqual([]);
    expect(carriedOut(there, removal.steps, passwords)).toEqual(settled);
  });

  test('stays, and is named, when the topology before is not known', () => {
    const { steps, leftAlone } = plan(wanted, there, undefined, passwords);
    expect(steps).toEqual([]);
    expect(leftAlone).toEqual([
      'exchange old.events',
      'queue old',
      "binding old.events → old ('k')",
      'policy old',
      'permissions of former',
    ]);
  });

  test('a queue with messages is kept and named, with the policy that governs it', () => {
    const full = { ...there, queues: changed(there.queues, 'old', { messages: 12 }) };
    const removal = plan(wanted, full, previous, passwords);
    expect(lines(removal)).toEqual([
      "remove binding old.events → old ('k')",
      'remove exchange old.events',
      'remove permissions of former',
      'remove user former',
    ]);
    expect(removal.kept).toEqual([
      'queue old is kept, without its bindings: it has 12 messages. Delete it by hand when it is empty and nobody reads it',
      'policy old is kept: it governs queue old. Delete it together with the queue',
    ]);
  });

  test('an exchange that somebody else has bound is kept and named', () => {
    const binding = {
      source: 'old.events',
      destination: 'analytics',
      destinationType: 'queue' as const,
      routingKey: '#',
      arguments: {},
      propertiesKey: '%23',
    };
    const removal = plan(wanted, { ...there, bindings: [...there.bindings, binding] }, previous, passwords);
    expect(lines(removal)).not.toContain('remove exchange old.events');
    expect(removal.kept).toEqual(['exchange old.events is kept: old.events → analytics is bound by somebody else']);
  });

  test('a user who works elsewhere too only loses this vhost', () => {
    const elsewhere = { user: 'former', vhost: '/', configure: '', write: '', read: '.*' };
    const removal = plan(wanted, { ...there, permissions: [...there.permissions, elsewhere] }, previous, passwords);
    expect(lines(removal)).toContain('remove permissions of former');
    expect(lines(removal)).not.toContain('remove user former');
    expect(removal.kept).toEqual(['user former is kept: it has permissions in vhost /']);
  });

  test('the user that carries the plan out keeps everything', () => {
    const removal = plan(wanted, { ...there, login: 'former' }, previous, passwords);
    expect(lines(removal)).not.toContain('remove user former');
    expect(lines(removal)).not.toContain('remove permissions of former');
    expect(removal.kept).toEqual(['user former is kept: it is the one that carries this out']);
  });

  test('a queue under a new name is there, bound, before the old one goes', () => {
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
    expect(lines(plan(renamed, settled, wanted, passwords))).toEqual([
      'create policy interactions.v2',
      'create queue interactions.v2',
      "create binding discord.events → interactions.v2 ('interaction.#')",
      "remove binding discord.events → interactions ('interaction.#')",
      'remove queue interactions',
      'remove policy interactions',
    ]);
  });

  test('everything goes when nothing is wanted, and the vhost stays', () => {
    const removal = plan(nothing, settled, wanted);
    expect(removal.steps.every(({ kind }) => kind === 'remove')).toBe(true);
    const left = carriedOut(settled, removal.steps, {});
    expect(left).toMatchObject({ vhostExists: true, exchanges: [], queues: [], bindings: [], policies: [] });
    expect(left.users.map(({ name }) => name)).toEqual([LOGIN]);
  });

  test('in another vhost, it is left there and said', () => {
    const moved = plan(wanted, settled, { ...previous, vhost: 'former' }, passwords);
    expect(moved.steps).toEqual([]);
    expect(moved.notes).toEqual([
      'vhost former, where the topology was before, stays as it is: delete it when it is empty',
    ]);
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
  const { steps, leftAlone } = plan(wanted, found, wanted, passwords);
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
  const full = fc.uniqueArray(name);
  /** A broker after the first, with messages in some of its queues, and queues of somebody else. */
  const history = fc
    .record({ first: topology, second: topology, full, foreign: fc.constantFrom('x', 'y') })
    .map(({ first, second, full, foreign }) => {
      const nowhere = emptyBroker('v');
      const found = carriedOut(nowhere, plan(first, nowhere, undefined, secrets).steps, secrets);
      const queues = found.queues.map((queue) => ({ ...queue, messages: full.includes(queue.name) ? 7 : 0 }));
      const theirs = { name: foreign, durable: true, autoDelete: false, exclusive: false, arguments: {}, messages: 3 };
      return { first, second, found: { ...found, queues: [...queues, theirs] } };
    });
  const removed = (steps: readonly Step[]) => steps.filter(({ kind }) => kind === 'remove');

  test('a plan that is carried out leaves nothing to do', () => {
    fc.assert(
      fc.property(history, ({ first, second, found }) => {
        const planned = plan(second, found, first, secrets);
        fc.pre(planned.refusals.length === 0);
        const then = carriedOut(found, planned.steps, secrets);
        const again = plan(second, then, first, secrets);
        expect(lines(again)).toEqual([]);
        expect(again.kept).toEqual(planned.kept);
      }),
      { numRuns: 500 },
    );
  });

  test('a queue with messages is never removed, nor what is of neither topology; creations come first', () => {
    fc.assert(
      fc.property(history, ({ first, second, found }) => {
        const { steps, kept, leftAlone } = plan(second, found, first, secrets);
        const full = found.queues.filter(({ messages = 0 }) => messages > 0).map((queue) => queue.name);
        for (const { target, what } of removed(steps)) {
          if (target.type !== 'queue') continue;
          expect(full).not.toContain(target.queue.name);
          expect(first.queues.map((queue) => queue.name)).toContain(target.queue.name);
          expect(second.queues.map((queue) => queue.name)).not.toContain(target.queue.name);
          expect(leftAlone).not.toContain(what);
        }
        for (const queue of first.queues.filter((some) => full.includes(some.name)))
          if (!second.queues.some((some) => some.name === queue.name))
            expect(kept).toContainEqual(expect.stringContaining(`queue ${queue.name} is kept`));
        const kinds = steps.map(({ kind }) => kind === 'remove');
        expect(kinds).toEqual(kinds.toSorted((one, other) => Number(one) - Number(other)));
      }),
      { numRuns: 500 },
    );
  });

  test('a difference that cannot be changed is always refused, and by name', () => {
    fc.assert(
      fc.property(history, ({ first, second, found }) => {
        const { refusals } = plan(second, found, first, secrets);
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
        expect(refusals.map((refusal) => refusal.split(':')[0])).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });
});
