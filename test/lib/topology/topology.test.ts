// The product's layout agrees with what the service publishes, and gives each user what it needs and no more: as far as
// names go. What the broker makes of it is in least-privilege.test.ts and messages.test.ts.

import { describe, expect, test } from 'vitest';
import { complaints, queuesFor } from '../../../lib/topology/rules.ts';
import { discordTopology, type Permissions } from '../../../lib/topology/topology.ts';
import {
  EXCHANGES,
  identifyQueue,
  LEASE_QUEUE_ARGUMENTS,
  leaseQueue,
  QUEUES,
} from '../../../service/contract/names.ts';
import { namedKey, ROUTES, ROUTING_KEY_FAMILIES } from '../../../service/events/routing.ts';

/** Everything that has a name on the broker, and something that is none of the product's. */
const NAMES = [
  ...Object.values(EXCHANGES),
  ...Object.values(QUEUES),
  leaseQueue(0),
  leaseQueue(17),
  identifyQueue(3),
  'amq.default',
  'amq.topic',
  'somebody.elses',
  'interactions-2',
  'my-interactions',
  'eventsXguild',
  'ingestorXlease.0',
  'ingestor.other',
  'ingestor.lease.',
  'ingestor.lease.01',
  'ingestor.lease.12345',
  'ingestor.lease.0.copy',
  'my.ingestor.lease.0',
  'ingestor.identify.x',
];

const keys = ROUTING_KEY_FAMILIES.map(({ family, named }) => (named ? `${family}.ping` : family));

describe('the layout', () => {
  test.each([1, 2, 64])(
    'is sound with %i shard groups, and every routing key of the service is bound',
    (shardGroups) => {
      expect(complaints(discordTopology({ shardGroups }), keys)).toEqual([]);
    },
  );

  test.each(ROUTING_KEY_FAMILIES)(
    'takes $family to the queue that the table of routes names, and to no other',
    (route) => {
      const key = route.named ? `${route.family}.some-command` : route.family;
      expect(queuesFor(discordTopology(), EXCHANGES.events, key)).toEqual([route.queue]);
    },
  );

  test('takes a command of any name to interactions', () => {
    for (const name of ['a', '日本語', 'a.b*c#d', 'x'.repeat(300)])
      expect(queuesFor(discordTopology(), EXCHANGES.events, namedKey(ROUTES.command, name))).toEqual([
        QUEUES.interactions,
      ]);
  });

  test('survives JSON, in which CloudFormation carries it', () => {
    const topology = discordTopology({ shardGroups: 3 });
    expect(JSON.parse(JSON.stringify(topology))).toEqual(topology);
  });

  test('has a lease queue for each shard group, declared as the service declares it', () => {
    const leases = discordTopology({ shardGroups: 3 }).queues.filter(({ name }) => name.startsWith('ingestor.'));
    expect(leases).toEqual([0, 1, 2].map((group) => ({ name: leaseQueue(group), arguments: LEASE_QUEUE_ARGUMENTS })));
  });

  test('leaves the identify queues without a policy', () => {
    for (const { pattern } of discordTopology().policies)
      expect(identifyQueue(12)).not.toMatch(new RegExp(pattern, 'u'));
  });

  test('takes limits one by one', () => {
    const { policies } = discordTopology({ limits: { interactionsTtlMs: 1_000 } });
    const interactions = policies.find(({ name }) => name === QUEUES.interactions)?.definition;
    expect(interactions).toMatchObject({ 'message-ttl': 1_000, 'max-length': 1_000_000 });
  });
});

describe('permissions', () => {
  const [ingestor, worker, deadLetters] = discordTopology().users;
  const allowed = (permissions: Permissions | undefined, kind: keyof Permissions) => {
    const expression = permissions?.[kind] || '^$';
    return NAMES.filter((name) => new RegExp(expression, 'u').test(name)).toSorted();
  };
  const leases = [leaseQueue(0), leaseQueue(17)];

  test('of the ingestor: its lease and identify queues, and what it publishes to and watches', () => {
    expect(allowed(ingestor?.permissions, 'configure')).toEqual([...leases, identifyQueue(3)].toSorted());
    expect(allowed(ingestor?.permissions, 'read')).toEqual([...leases, EXCHANGES.leases].toSorted());
    const written = [...leases, EXCHANGES.leases, EXCHANGES.events, ...Object.values(QUEUES)];
    expect(allowed(ingestor?.permissions, 'write')).toEqual(written.toSorted());
  });

  test('of the worker: reading the event queues', () => {
    expect(allowed(worker?.permissions, 'configure')).toEqual([]);
    expect(allowed(worker?.permissions, 'write')).toEqual([]);
    const { interactions, guildEvents, gatewayEvents } = QUEUES;
    expect(allowed(worker?.permissions, 'read')).toEqual([interactions, guildEvents, gatewayEvents].toSorted());
  });

  test('of the dead letters: reading them, and publishing them again', () => {
    expect(allowed(deadLetters?.permissions, 'configure')).toEqual([]);
    expect(allowed(deadLetters?.permissions, 'write')).toEqual([EXCHANGES.events]);
    expect(allowed(deadLetters?.permissions, 'read')).toEqual([QUEUES.deadLetters]);
  });
});

describe('limits of users', () => {
  const limits = (options: Parameters<typeof discordTopology>[0]) =>
    Object.fromEntries(
      discordTopology(options).users.map(({ name, limits }) => [name, limits?.['max-connections'] ?? 0]),
    );

  test.each([
    [100, 1, 2],
    [100, 1, 1],
    [500, 8, 10],
    [1_500, 64, 65],
  ])('of a broker of %i connections leave room for the tasks of %i groups', (connectionLimit, shardGroups, tasks) => {
    const {
      ingestor = 0,
      worker = 0,
      'dead-letters': deadLetters = 0,
    } = limits({ connectionLimit, shardGroups, tasks });
    // Two versions of the service, with two connections each; the others as both users of their pairs.
    expect(connectionLimit - 2 * worker - 2 * deadLetters).toBeGreaterThanOrEqual(2 * 2 * tasks);
    expect(ingestor).toBeGreaterThanOrEqual(2 * 2 * tasks);
    expect(worker).toBeGreaterThan(connectionLimit / 10);
  });

  test('are not set without the limit of the broker, and refused where it has no room', () => {
    expect(discordTopology().users.map((user) => user.limits)).toEqual([undefined, undefined, undefined]);
    expect(complaints(discordTopology({ connectionLimit: 52 }))).toEqual([]);
    expect(complaints(discordTopology({ connectionLimit: 41 }))).toEqual([
      expect.stringMatching(/^user worker: max-connections: expected a whole number of at least 1, got 0\./),
      expect.stringMatching(/^user worker: max-channels: expected a whole number of at least 1, got 0\./),
    ]);
  });
});
