// Which promises an operator policy breaks, decided without a broker. That RabbitMQ merges them so, and that a plan refuses
// and notes them, is tried by apply.broker.test.ts.

import { describe, expect, test } from 'vitest';
import { operatorEffects } from '../../../lib/topology/effective-policies.ts';
import { DEFAULT_LIMITS, discordTopology } from '../../../lib/topology/topology.ts';
import { leaseQueue, QUEUES } from '../../../service/contract/names.ts';
import { emptyBroker } from './fake-broker.ts';

const wanted = discordTopology();
const queues = wanted.queues.map((queue) => ({ durable: true, auto_delete: false, ...queue }));
const found = { ...emptyBroker(wanted.vhost), queues };

function operator(pattern: string, definition: Record<string, unknown>, priority = 0, applyTo = 'queues') {
  return { name: `op ${priority}`, pattern, applyTo, priority, definition };
}

function effects(...operatorPolicies: ReturnType<typeof operator>[]) {
  const { refusals, notes } = operatorEffects(wanted, wanted.policies, { ...found, operatorPolicies });
  return [...refusals, ...notes.map((note) => `note: ${note}`)];
}

const lease = (text: string) => `operator policy op 0: ${text} on queue ${leaseQueue(0)}`;
const exclude = ': exclude this queue from it';
const { interactionsTtlMs, interactionsMaxMessages, deliveryLimit } = DEFAULT_LIMITS;

describe('of an operator', () => {
  test.each<[queue: string, key: string, value: unknown, effect: string | undefined]>([
    [leaseQueue(0), 'message-ttl', 3_000, 'removes the record of a shard group'],
    [leaseQueue(0), 'max-length', 1e6, 'removes the record of a shard group'],
    [leaseQueue(0), 'max-length-bytes', 1e9, 'removes the record of a shard group'],
    [leaseQueue(0), 'delivery-limit', 0, 'removes the record of a shard group after as many hand-overs'],
    [leaseQueue(0), 'delivery-limit', -1, undefined],
    [leaseQueue(0), 'expires', 1e9, 'deletes it with its messages while it is not used'],
    [leaseQueue(0), 'overflow', 'drop-head', "replaces the topology's reject-publish"],
    [leaseQueue(0), 'overflow', 'reject-publish', undefined],
    [QUEUES.interactions, 'message-ttl', interactionsTtlMs - 1, `is below the topology's ${interactionsTtlMs}`],
    [QUEUES.interactions, 'message-ttl', interactionsTtlMs, undefined],
    [
      QUEUES.interactions,
      'max-length',
      interactionsMaxMessages - 1,
      `is below the topology's ${interactionsMaxMessages}`,
    ],
    [QUEUES.interactions, 'max-length', interactionsMaxMessages, undefined],
    [QUEUES.guildEvents, 'message-ttl', 1e12, "is below the topology's (no limit)"],
    [QUEUES.guildEvents, 'overflow', 'drop-head', undefined],
  ])('on %s, %s %s: %s', (queue, key, value, effect) => {
    const sentence = `operator policy op 0: ${key} ${value} on queue ${queue} ${effect}${exclude}`;
    expect(effects(operator(`^${queue}$`, { [key]: value }))).toEqual(effect === undefined ? [] : [sentence]);
  });

  test('a lower delivery limit of an event queue is noted, not refused', () => {
    const limit = (value: number) => effects(operator(`^${QUEUES.interactions}$`, { 'delivery-limit': value }));
    expect(limit(deliveryLimit)).toEqual([]);
    expect(limit(deliveryLimit - 1)).toEqual([
      `note: operator policy op 0: delivery-limit ${deliveryLimit - 1} on queue interactions dead-letters a message earlier than the topology's ${deliveryLimit}`,
    ]);
  });
});

test('every value on every queue has its effect', () => {
  const all = effects(operator('.*', { 'message-ttl': 3_000, 'delivery-limit': 10 }));
  expect(all.filter((each) => each.startsWith('note: '))).toHaveLength(wanted.queues.length - 1);
  expect(all).toHaveLength(2 * wanted.queues.length);
});

describe('which operator policy applies', () => {
  const harmful = { 'message-ttl': 1 };

  test('is the one of the highest priority, or any of several, for this kind of queue', () => {
    expect(effects(operator('lease', harmful, 1), operator('lease', {}, 2))).toEqual([]);
    expect(effects(operator('lease', {}, 1), operator('lease', harmful, 2))).toHaveLength(1);
    expect(effects(operator('lease', {}, 2), operator('lease', harmful, 2))).toHaveLength(1);
    expect(effects(operator('^theirs', harmful), operator('lease', harmful, 1, 'streams'))).toEqual([]);
    for (const kind of ['all', 'quorum_queues', 'classic_queues'])
      expect(effects(operator('lease', harmful, 1, kind)), kind).toHaveLength(1);
  });

  test('is what the broker reports, where it reports one', () => {
    const operatorPolicies = [operator('lease', harmful), operator('(?>unreadable here)', harmful, 7)];
    const refusals = (operator_policy: string | null, effective_policy_definition = {}) => {
      const reported = queues.map((queue) =>
        queue.name === leaseQueue(0) ? { ...queue, operator_policy, effective_policy_definition } : queue,
      );
      return operatorEffects(wanted, wanted.policies, { ...found, operatorPolicies, queues: reported }).refusals;
    };
    expect([refusals(null), refusals(null, harmful)]).toEqual([[], []]);
    expect(refusals('op 7')).toHaveLength(1);
    // One that we may not read, known by what it does.
    expect(refusals('hidden', { 'message-ttl': 5, 'delivery-limit': -1 })).toEqual([
      `${lease('message-ttl 5').replace('op 0', 'hidden')} removes the record of a shard group${exclude}`,
    ]);
  });
});
