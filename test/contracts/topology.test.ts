// The topology has what the service publishes to and consumes, and the stack's broker has room for it.
import { describe, expect, it } from 'vitest';
import { storageGb } from '../../lib/broker-limits.ts';
import { settingsFor } from '../../lib/settings.ts';
import { queuesFor } from '../../lib/topology/rules.ts';
import { DEFAULT_LIMITS, discordTopology } from '../../lib/topology/topology.ts';
import { MAX_MESSAGE_BYTES } from '../../service/contract/limits.ts';
import { commandQueue, EXCHANGES, leaseQueue, QUEUES, USERS } from '../../service/contract/names.ts';
import { namedKey, ROUTES } from '../../service/events/routing.ts';
import { synthesized } from '../support/synthesized.ts';

const topology = discordTopology({ shards: { count: 2, perTask: 1 } });

const keys = Object.values(ROUTES).map((route) => ({
  key: route.named ? namedKey(route, 'ban') : route.family,
  queue: route.queue,
}));

it.each(keys)('the routing key $key reaches $queue, and no other queue', ({ key, queue }) => {
  expect(queuesFor(topology, EXCHANGES.events, key)).toEqual([queue]);
});

it('the topology has the queues, exchanges and users that the service names, and no others', () => {
  expect(topology.queues.map(({ name }) => name).sort()).toEqual(
    [...Object.values(QUEUES), ...[0, 1].flatMap((group) => [leaseQueue(group), commandQueue(group)])].sort(),
  );
  expect(topology.exchanges.map(({ name }) => name).sort()).toEqual(Object.values(EXCHANGES).sort());
  expect(topology.users.map(({ name }) => name).sort()).toEqual(Object.values(USERS).sort());
});

describe('the broker of the stack', () => {
  const GIB = 1024 ** 3;

  it('accepts the largest message that the service sends', () => {
    const { Data } = synthesized('staging').one('AWS::AmazonMQ::Configuration').Properties;
    const [, bytes] = /max_message_size = (\d+)/.exec(JSON.stringify(Data)) ?? [];
    expect(Number(bytes)).toBe(MAX_MESSAGE_BYTES);
  });

  it('has in production twice the disk space that full queues need', () => {
    const { interactionsMaxBytes, guildEventsMaxBytes, dispatchesMaxBytes, deadLettersMaxBytes } = DEFAULT_LIMITS;
    const full = interactionsMaxBytes + guildEventsMaxBytes + dispatchesMaxBytes + 2 * deadLettersMaxBytes;
    const disk = (storageGb(settingsFor('production').broker) ?? 0) * 1e9;
    // With less than 2 GiB of free disk space a node of a cluster blocks publishers.
    expect(disk - 2 * GIB).toBeGreaterThan(2 * full);
  });
});
