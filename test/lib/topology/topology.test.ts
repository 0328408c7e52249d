// The product's layout passes every rule, and each user may use the names that it needs, and no others. What the broker makes
// of it is in least-privilege.broker.test.ts and messages.broker.test.ts; that it has all that the service uses, in
// test/contracts/topology.test.ts.

import { describe, expect, test } from 'vitest';
import { keyFaults } from '../../../lib/topology/further-queues.ts';
import { fromProperties, toProperties } from '../../../lib/topology/resource-properties.ts';
import { complaints, queuesFor } from '../../../lib/topology/rules.ts';
import { discordTopology, type Permissions } from '../../../lib/topology/topology.ts';
import { CONSUMER_DISCONNECTED_TIMEOUT_MS, INTERACTION_TOKEN_MS } from '../../../service/contract/limits.ts';
import {
  commandKey,
  commandQueue,
  EXCHANGES,
  identifyQueue,
  LEASE_QUEUE_ARGUMENTS,
  leaseQueue,
  QUEUES,
  statusQueue,
  tailQueue,
  WORKER_QUEUES,
} from '../../../service/contract/names.ts';
import { parseEvents } from '../../../service/events/choice.ts';

describe('the layout', () => {
  test.each([1, 2, 64])('passes every rule with %i shard groups', (shardGroups) => {
    expect(complaints(discordTopology({ shards: { count: shardGroups, perTask: 1 } }))).toEqual([]);
  });

  test('has a lease queue for each shard group, declared as the service declares it', () => {
    const { queues } = discordTopology({ shards: { count: 3, perTask: 1 } });
    const leases = queues.filter(({ name }) => name.startsWith('ingestor.lease'));
    expect(leases).toEqual([0, 1, 2].map((group) => ({ name: leaseQueue(group), arguments: LEASE_QUEUE_ARGUMENTS })));
  });

  test('routes a command for one shard to the queue of its group, and one for all shards to every queue', () => {
    const topology = discordTopology({ shards: { count: 20, perTask: 16 } });
    const queues = (shard: number | 'all') => queuesFor(topology, EXCHANGES.commands, commandKey(shard));
    expect([0, 15].map(queues)).toEqual([[commandQueue(0)], [commandQueue(0)]]);
    expect([16, 19].map(queues)).toEqual([[commandQueue(1)], [commandQueue(1)]]);
    expect(queues('all')).toEqual([commandQueue(0), commandQueue(1)]);
    expect(queues(20)).toEqual([]);
    const { definition } = topology.policies.find(({ name }) => name === 'commands') ?? {};
    expect(definition).toMatchObject({ 'message-ttl': 30_000, 'dead-letter-exchange': EXCHANGES.deadLetter });
  });

  test('is unchanged in a template, which stays small with the most shards', () => {
    const topology = discordTopology({ shards: { count: 10_000, perTask: 10 }, connectionLimit: 12_000 });
    const properties = toProperties(topology);
    expect(fromProperties(properties)).toEqual(topology);
    expect(2 * JSON.stringify(properties).length).toBeLessThan(950_000);
    expect(() => fromProperties({ ...properties, Queues: { q: '{' } })).toThrow(/^Topology\.queues\.0\.argu/);
  });

  test('a limit that is set changes no other limit', () => {
    const { policies } = discordTopology({ limits: { interactionsTtlMs: 1_000 } });
    const interactions = policies.find(({ name }) => name === QUEUES.interactions)?.definition;
    expect(interactions).toMatchObject({ 'message-ttl': 1_000, 'max-length': 1_000_000 });
  });

  test('requeues soon what a consumer on a lost node held of urgent queues, and takes no lease away in an alarm', () => {
    const valuesOf = (key: string) =>
      discordTopology().policies.flatMap(({ name, definition }) =>
        definition[key] === undefined ? [] : [[name, definition[key]]],
      );
    expect(valuesOf('consumer-disconnected-timeout')).toEqual([
      [QUEUES.interactions, CONSUMER_DISCONNECTED_TIMEOUT_MS],
      ['leases', CONSUMER_DISCONNECTED_TIMEOUT_MS],
      ['commands', CONSUMER_DISCONNECTED_TIMEOUT_MS],
    ]);
    const week = 7 * 24 * 60 * 60_000;
    expect(valuesOf('consumer-timeout')).toEqual([
      // What a worker holds for longer cannot be answered, however short its wait in the queue may be.
      [QUEUES.interactions, INTERACTION_TOKEN_MS],
      ['leases', week],
    ]);
  });
});

describe('permissions', () => {
  const [ingestor, worker, deadLetters] = discordTopology().users.map(({ permissions }) => permissions);
  const leases = [leaseQueue(0), leaseQueue(17), leaseQueue(9_999)];
  const commands = [commandQueue(0), commandQueue(9_999)];
  const tail = tailQueue('0123456789ab');
  const status = statusQueue('ip-10-0-1-2.ec2.internal-1-a1b2c3');
  /** Every name on the broker, and similar names that are not the product's. */
  const names = [
    ...[...Object.values(EXCHANGES), ...Object.values(QUEUES), ...leases, ...commands, identifyQueue(3), tail, status],
    ...['tail.', 'tail.events', 'my.tail.0123456789ab', 'tail.0123456789ab.copy', 'tailX0123456789ab'],
    ...['amq.default', 'amq.topic', 'interactions-2', 'my-interactions', 'eventsXguild', 'ingestorXlease.0'],
    ...['ingestor.other', 'ingestor.lease.', 'ingestor.lease.01', 'ingestor.lease.12345', 'ingestor.lease.0.copy'],
    ...['my.ingestor.lease.0', 'ingestor.identify.x', 'ingestor.commands.', 'ingestor.commands.0.copy'],
    ...['ingestor.status.', 'ingestor.status.#', 'my.ingestor.status.x', 'ingestorXstatus.x'],
  ];

  test.each<[part: string, Permissions | undefined, configure: string[], write: string[], read: string[]]>([
    [
      'the ingestor: its lease, identify and status queues, and what it publishes to and watches',
      ingestor,
      [...leases, identifyQueue(3), status],
      [
        ...[...leases, status, ...Object.values(QUEUES)],
        ...[EXCHANGES.leases, EXCHANGES.status, EXCHANGES.events, EXCHANGES.deadLetter],
      ],
      [...leases, ...commands, status, EXCHANGES.leases, EXCHANGES.status],
    ],
    [
      'the worker: reading the event queues and commanding',
      worker,
      [],
      [EXCHANGES.commands],
      Object.values(WORKER_QUEUES),
    ],
    [
      'the dead letters: reading and publishing them, and a queue of its own with live events',
      deadLetters,
      [tail],
      [EXCHANGES.events, tail],
      [QUEUES.deadLetters, EXCHANGES.events, tail],
    ],
  ])('of %s', (_part, permissions, configure, write, read) => {
    for (const [kind, expected] of Object.entries({ configure, write, read })) {
      const expression = permissions?.[kind as keyof Permissions] || '^$';
      const allowed = names.filter((name) => new RegExp(expression, 'u').test(name));
      expect(allowed.toSorted(), kind).toEqual(expected.toSorted());
    }
  });
});

test('the key of whole guilds is known where those are chosen, and only there', () => {
  const faults = (events: string) => keyFaults('keys', 'dispatch.guild_create', parseEvents(events));
  expect([faults('all').length, faults('guilds.full')]).toEqual([1, []]);
});

describe('limits of users', () => {
  test.each([
    [100, 1, 2, 10 * 17],
    [100, 1, 1, 10 * 17],
    [500, 8, 10, 30 * 17],
    [1_500, 64, 65, 195 * 23],
  ])('of a broker of %i connections leave room for %i groups', (connectionLimit, shardGroups, tasks, channels) => {
    const { users } = discordTopology({ connectionLimit, shards: { count: shardGroups, perTask: 1 }, tasks });
    const [ingestor = 0, worker = 0, deadLetters = 0] = users.map(({ limits }) => limits?.['max-connections']);
    // Two versions of the service, with three connections each, and a fourth of each owner; the others as both users of
    // their pairs.
    expect(connectionLimit - 2 * worker - 2 * deadLetters).toBeGreaterThanOrEqual(2 * 3 * tasks + shardGroups);
    expect(ingestor).toBeGreaterThanOrEqual(2 * 3 * tasks + shardGroups);
    expect(worker).toBeGreaterThan(connectionLimit / 10);
    // 16 of each task, and one for ten lease queues.
    expect(users[0]?.limits?.['max-channels']).toBe(channels);
    expect(2 * worker + 2 * deadLetters + ingestor).toBeLessThanOrEqual(connectionLimit);
  });

  test('share what is left for workers among all users of workers', () => {
    const workers = Object.fromEntries(
      ['a1', 'a2'].map((name) => [name, { queues: ['events.guild'], commands: false }]),
    );
    const users = (options = {}) => discordTopology({ connectionLimit: 300, ...options }).users;
    const [, alone] = users();
    const shares = users({ workers }).filter(({ name }) => [alone?.name, 'a1', 'a2'].includes(name));
    expect(shares.map(({ limits }) => limits?.['max-connections'])).toEqual(
      Array(3).fill(Math.floor((alone?.limits?.['max-connections'] ?? 0) / 3)),
    );
  });

  test('are not set without the limit of the broker, and refused where it has no room', () => {
    expect(discordTopology().users.map((user) => user.limits)).toEqual([undefined, undefined, undefined]);
    expect(complaints(discordTopology({ connectionLimit: 52 }))).toEqual([]);
    expect(complaints(discordTopology({ connectionLimit: 51 }))).toEqual([
      expect.stringMatching(/^user worker: max-connections: expected a whole number of at least 1, got 0\./),
      expect.stringMatching(/^user worker: max-channels: expected a whole number of at least 1, got 0\./),
    ]);
  });
});
