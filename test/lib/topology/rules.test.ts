// A valid topology with one fault, and the sentence that names the fault.

import { describe, expect, test } from 'vitest';
import { complaints, queuesFor } from '../../../lib/topology/rules.ts';
import { discordTopology, type Policy, type Topology, type User } from '../../../lib/topology/topology.ts';
import { identifyQueue } from '../../../service/contract/names.ts';

const sound = discordTopology();

/** The layout with one change. */
function changed<K extends 'queues' | 'policies' | 'users'>(
  kind: K,
  name: string,
  change: (some: Topology[K][number]) => Partial<Topology[K][number]>,
): Topology {
  const list = sound[kind].map((some) => (some.name === name ? { ...some, ...change(some) } : some));
  return { ...sound, [kind]: list };
}
/** The layout with other values in a policy's definition; undefined removes one. */
const defined = (name: string, change: Record<string, unknown>) =>
  changed('policies', name, ({ definition }) => ({
    definition: JSON.parse(JSON.stringify({ ...definition, ...change })) as Policy['definition'],
  }));
const policy = (name: string, change: Partial<Policy>) => changed('policies', name, () => change);
const interactions = (change: Topology['queues'][number]['arguments']) =>
  changed('queues', 'interactions', () => ({ arguments: change }));
const worker = (change: Partial<User>) => changed('users', 'worker', () => change);
const allowed = (kind: string, expression: string) =>
  worker({ permissions: { configure: '', write: '', read: '', [kind]: expression } });
const [idle] = sound.policies.filter(({ name }) => name === 'leases').map((some) => ({ ...some, name: 'idle' }));

describe('a topology is refused', () => {
  test.each<[topology: Topology, sentence: string]>([
    [{ ...sound, vhost: '' }, "vhost: expected a name, got ''"],
    [
      interactions({ 'x-queue-type': 'quorum', 'x-message-ttl': 10 }),
      'the argument x-message-ttl could never be changed: make it a policy',
    ],
    [interactions({ 'x-queue-type': 'classic' }), "expected the argument x-queue-type 'quorum', got 'classic'"],
    [{ ...sound, bindings: sound.bindings.filter(({ queue }) => queue !== 'unrouted') }, 'no binding leads to it'],
    [{ ...sound, policies: sound.policies.filter(({ name }) => name !== 'events.gateway') }, 'no policy matches it'],
    [policy('events.guild', { pattern: '^events\\..*$' }), 'only one of the policies events.guild, events.gateway'],
    [policy('leases', { priority: 1 }), 'expected a priority of at least 2, got 1'],
    [
      { ...sound, policies: [...sound.policies, ...(idle ? [{ ...idle, pattern: '^idle$' }] : [])] },
      'its pattern ^idle$ matches none of the queues',
    ],
    [policy('tail', { pattern: '^tail\\.$' }), 'its pattern ^tail\\.$ matches none of the queues'],
    [policy('leases', { pattern: '^[' }), 'its pattern ^[ matches none of the queues'],
    [policy('leases', { pattern: '^ingestor\\.' }), `its pattern matches ${identifyQueue(0)} too`],
    [
      defined('interactions', { 'dead-letter-exchange': 'nowhere' }),
      'dead letters with the key dead-letters reach no queue through exchange nowhere',
    ],
    [
      defined('interactions', { 'dead-letter-routing-key': 'nowhere' }),
      'dead letters with the key nowhere reach no queue through exchange discord.dlx',
    ],
    [defined('interactions', { 'dead-letter-routing-key': undefined }), 'dead-letter-routing-key: expected one'],
    [
      defined('set-aside', { 'dead-letter-exchange': 'discord.dlx', 'dead-letter-routing-key': 'dead-letters' }),
      'the dead letters of queue dead-letters would come back to it',
    ],
    ...[{ overflow: 'drop-head' }, { 'dead-letter-exchange': undefined }].map((change): [Topology, string] => [
      defined('leases', change),
      'dead-letter-strategy: at-least-once needs a dead-letter-exchange',
    ]),
    [defined('leases', { overflow: undefined }), "overflow: expected 'drop-head' or 'reject-publish', got none"],
    [
      defined('leases', { 'delivery-limit': undefined }),
      'delivery-limit: expected -1 (none) or a number of deliveries, got none',
    ],
    [
      defined('leases', { 'delivery-limit': -2 }),
      "delivery-limit: expected -1 (none) or a number of deliveries, got '-2'",
    ],
    [
      defined('set-aside', { 'delivery-limit': 5 }),
      'delivery-limit: without a dead-letter-exchange RabbitMQ drops what reaches it',
    ],
    ...['message-ttl', 'max-length', 'max-length-bytes'].flatMap((key) =>
      [0, 1.5].map((value): [Topology, string] => [
        defined('interactions', { [key]: value }),
        `${key}: expected a whole number of at least 1, got '${value}'`,
      ]),
    ),
    ...['consumer-timeout', 'consumer-disconnected-timeout'].map((key): [Topology, string] => [
      defined('leases', { [key]: 0 }),
      `${key}: expected a whole number of at least 1, got '0'`,
    ]),
    [defined('discord.events', { 'alternate-exchange': 'nowhere' }), 'there is no alternate exchange nowhere'],
    ...['interactions', '^interactions', 'interactions$'].map((expression): [Topology, string] => [
      allowed('read', expression),
      `read ${expression}: expected ^ in front and $ at the end`,
    ]),
    ...['write', 'configure'].map((kind): [Topology, string] => [
      allowed(kind, '^.*$'),
      `${kind} ^.*$ matches amq.default`,
    ]),
    [worker({ tags: ['administrator'] }), 'a user of the topology is no administrator'],
    ...['guest', 'x', 'a b', 'x'.repeat(101)].map((name): [Topology, string] => [
      worker({ name }),
      `Amazon MQ requires 2 to 100 letters`,
    ]),
  ])('$1', (topology, sentence) => {
    expect(complaints(topology)).toContainEqual(expect.stringContaining(sentence));
  });

  test('a topology at the lower bound of each rule is accepted', () => {
    expect(complaints(policy('leases', { priority: 2 }))).toEqual([]);
    expect(complaints(defined('interactions', { 'message-ttl': 1, 'delivery-limit': 0 }))).toEqual([]);
    expect(complaints(defined('leases', { 'consumer-timeout': 1, 'consumer-disconnected-timeout': 1 }))).toEqual([]);
    expect(complaints(worker({ limits: { 'max-connections': 1, 'max-channels': 1 }, name: 'x'.repeat(100) }))).toEqual(
      [],
    );
    expect(complaints(allowed('read', '^.*$'))).toEqual([]);
  });
});

describe('queuesFor routes as a topic exchange does', () => {
  test.each([
    ['a.#', ['a', 'a.b.c'], ['ab']],
    ['#', [''], []],
    ['a.*', ['a.b'], ['a', 'a.b.c']],
    ['#.c', ['a.b.c', 'c'], ['a.b.d']],
    ['a.#.z', ['a.z', 'a.b.c.z'], ['a.b']],
    ['a.b', ['a.b'], ['a.b.c', 'a']],
  ])('%s takes %j, and not %j', (routingKey, taken, others) => {
    const topology: Topology = {
      ...sound,
      exchanges: [{ name: 'x', type: 'topic' }],
      bindings: [{ exchange: 'x', queue: 'q', routingKey }],
    };
    for (const key of taken) expect(queuesFor(topology, 'x', key), key).toEqual(['q']);
    for (const key of others) expect(queuesFor(topology, 'x', key), key).toEqual([]);
  });
});
