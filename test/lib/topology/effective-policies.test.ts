// What operator policies make of the promises, decided without a broker. That RabbitMQ merges them so is tried by
// apply.test.ts.

import { describe, expect, test } from 'vitest';
import { operatorEffects } from '../../../lib/topology/effective-policies.ts';
import type { Found } from '../../../lib/topology/found.ts';
import { plan } from '../../../lib/topology/plan.ts';
import { DEFAULT_LIMITS, discordTopology } from '../../../lib/topology/topology.ts';
import { leaseQueue, QUEUES } from '../../../service/contract/names.ts';
import { carriedOut, emptyBroker } from './imaginary-broker.ts';

const wanted = discordTopology();
const passwords = { ingestor: 'a', worker: 'b', 'dead-letters': 'c' };
const nowhere = emptyBroker(wanted.vhost);
const settled = carriedOut(nowhere, plan(wanted, nowhere, passwords).steps, passwords);

function operator(pattern: string, definition: Record<string, unknown>, priority = 0, applyTo = 'queues') {
  return { name: `op ${priority}`, pattern, applyTo, priority, definition };
}

function effects(...operatorPolicies: ReturnType<typeof operator>[]) {
  return operatorEffects(wanted, wanted.policies, { ...settled, operatorPolicies });
}

const NONE = { refusals: [], notes: [] };
const exactly = (name: string) => `^${name.replaceAll('.', '\\.')}$`;

describe('a lease queue', () => {
  test.each([
    ['message-ttl', 3_000],
    ['max-length', 1_000_000],
    ['max-length-bytes', 1e9],
    ['delivery-limit', 1_000],
    ['expires', 1e9],
    ['overflow', 'drop-head'],
  ])('with %s of an operator is refused, however high the bound', (key, value) => {
    const { refusals, notes } = effects(operator('.*lease', { [key]: value }));
    expect([refusals.length, notes]).toEqual([1, []]);
    expect(refusals[0]).toMatch(
      new RegExp(`^operator policy op 0: ${key} ${value} on queue ingestor\\.lease\\.0 .+: have it leave`),
    );
  });

  test('with what changes nothing is not', () => {
    expect(
      effects(operator('.*lease', { 'delivery-limit': -1, overflow: 'reject-publish', 'max-in-memory-length': 1 })),
    ).toEqual(NONE);
  });
});

describe('an event queue', () => {
  const { interactionsTtlMs, interactionsMaxMessages, interactionsMaxBytes, deliveryLimit } = DEFAULT_LIMITS;

  test.each([
    ['message-ttl', interactionsTtlMs],
    ['max-length', interactionsMaxMessages],
    ['max-length-bytes', interactionsMaxBytes],
  ])('has no less %s than the topology gives it, and may have as much', (key, ours) => {
    const bound = (value: number) => effects(operator(exactly(QUEUES.interactions), { [key]: value }));
    expect(bound(ours)).toEqual(NONE);
    expect(bound(ours - 1).refusals).toEqual([
      `operator policy op 0: ${key} ${ours - 1} on queue interactions is below the topology's ${ours}: have it leave this queue out`,
    ]);
  });

  test('has no bound where the topology gives it none', () => {
    expect(effects(operator(exactly(QUEUES.guildEvents), { 'message-ttl': 1e12 })).refusals).toHaveLength(1);
  });

  test('is never deleted for want of a user', () => {
    expect(effects(operator(exactly(QUEUES.gatewayEvents), { expires: 1e12 })).refusals).toHaveLength(1);
  });

  test('keeps its overflow', () => {
    const overflow = (queue: string, value: string) => effects(operator(exactly(queue), { overflow: value })).refusals;
    expect(overflow(QUEUES.interactions, 'drop-head')).toEqual([
      "operator policy op 0: overflow drop-head on queue interactions replaces the topology's reject-publish: have it leave this queue out",
    ]);
    expect(overflow(QUEUES.interactions, 'reject-publish')).toEqual([]);
    expect(overflow(QUEUES.guildEvents, 'drop-head')).toEqual([]);
    expect(overflow(QUEUES.guildEvents, 'reject-publish')).toHaveLength(1);
  });

  test('with a lower delivery limit sets messages aside earlier: a note', () => {
    const limit = (value: number) => effects(operator(exactly(QUEUES.interactions), { 'delivery-limit': value }));
    expect(limit(deliveryLimit)).toEqual(NONE);
    expect(limit(deliveryLimit - 1)).toEqual({
      refusals: [],
      notes: [
        `operator policy op 0: delivery-limit ${deliveryLimit - 1} on queue interactions sets a message aside earlier than the topology's ${deliveryLimit}`,
      ],
    });
  });
});

describe('which operator policy applies', () => {
  const harmful = { 'message-ttl': 1 };

  test('is the one of the highest priority, or any of several', () => {
    expect(effects(operator('lease', harmful, 1), operator('lease', {}, 2))).toEqual(NONE);
    expect(effects(operator('lease', {}, 1), operator('lease', harmful, 2)).refusals).toHaveLength(1);
    expect(effects(operator('lease', {}, 2), operator('lease', harmful, 2)).refusals).toHaveLength(1);
  });

  test('is none of other queues, or of other kinds', () => {
    expect(effects(operator('^theirs', harmful), operator('lease', harmful, 1, 'streams'))).toEqual(NONE);
    expect(effects(operator('lease', harmful, 1, 'quorum_queues')).refusals).toHaveLength(1);
  });

  test('is what the broker says, where it says so', () => {
    const policies = [operator('lease', harmful), operator('(?>unreadable here)', harmful, 7)];
    const said = (operatorPolicy: string | null, effectivePolicy = {}): Found => ({
      ...settled,
      operatorPolicies: policies,
      queues: settled.queues.map((queue) =>
        queue.name === leaseQueue(0) ? { ...queue, operatorPolicy, effectivePolicy } : queue,
      ),
    });
    const refusals = (found: Found) => operatorEffects(wanted, wanted.policies, found).refusals;
    expect(refusals(said(null))).toEqual([]);
    expect(refusals(said('op 7'))).toHaveLength(1);
    // One that we may not read, known by what it does.
    expect(refusals(said('hidden', { 'message-ttl': 5, 'delivery-limit': -1, overflow: 'reject-publish' }))).toEqual([
      'operator policy hidden: message-ttl 5 on queue ingestor.lease.0 removes the record of a shard group: have it leave this queue out',
    ]);
  });
});

test('a plan refuses what breaks a promise, and says what does not', () => {
  const operatorPolicies = [operator('.*', { 'message-ttl': 3_000, 'delivery-limit': 10 })];
  const planned = plan(wanted, { ...settled, operatorPolicies }, passwords);
  expect(planned.refusals.length).toBe(wanted.queues.length + 1);
  expect(planned.notes.length).toBe(wanted.queues.length - 1);
});
