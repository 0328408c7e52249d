// One fault at a time in an otherwise sound topology, and the sentence that names it.

import { describe, expect, test } from 'vitest';
import { complaints, queuesFor } from '../../../lib/topology/rules.ts';
import { discordTopology, type Policy, type Topology } from '../../../lib/topology/topology.ts';
import { identifyQueue } from '../../../service/contract/names.ts';

const sound = discordTopology();

/** The layout with another definition of one policy. */
function withPolicy(name: string, change: (policy: Policy) => Partial<Policy>): Topology {
  const policies = sound.policies.map((policy) => (policy.name === name ? { ...policy, ...change(policy) } : policy));
  return { ...sound, policies };
}

function withDefinition(name: string, change: Policy['definition']): Topology {
  return withPolicy(name, ({ definition }) => ({ definition: { ...definition, ...change } }));
}

function without(name: string, key: string): Topology {
  return withPolicy(name, ({ definition }) => ({
    definition: Object.fromEntries(Object.entries(definition).filter(([other]) => other !== key)),
  }));
}

function withQueue(name: string, argument: Topology['queues'][number]['arguments']): Topology {
  const queues = sound.queues.map((queue) => (queue.name === name ? { ...queue, arguments: argument } : queue));
  return { ...sound, queues };
}

function withUser(change: Partial<Topology['users'][number]>): Topology {
  return { ...sound, users: sound.users.map((user) => (user.name === 'worker' ? { ...user, ...change } : user)) };
}

const nothing = { configure: '', write: '', read: '' };

describe('a topology is refused', () => {
  test.each<[fault: string, topology: Topology, sentence: string]>([
    ['without a vhost', { ...sound, vhost: '' }, "vhost: expected a name, got ''"],
    [
      'with two queues of one name',
      { ...sound, queues: [...sound.queues, ...sound.queues.slice(0, 1)] },
      'queue interactions: there is another of this name',
    ],
    [
      'with a binding twice',
      { ...sound, bindings: [...sound.bindings, ...sound.bindings.slice(0, 1)] },
      'binding discord.events → interactions (interaction.#): there is another of this name',
    ],
    [
      "with a name of RabbitMQ's own",
      { ...sound, exchanges: [...sound.exchanges, { name: 'amq.mine', type: 'topic' }] },
      "exchange amq.mine: names with amq. in front are RabbitMQ's own",
    ],
    [
      'with a name that AMQP cannot carry',
      { ...sound, exchanges: [...sound.exchanges, { name: 'é'.repeat(128), type: 'topic' }] },
      `exchange ${'é'.repeat(128)}: expected a name of at most 255 bytes`,
    ],
    [
      'with x-max-priority on a quorum queue',
      withQueue('interactions', { 'x-queue-type': 'quorum', 'x-max-priority': 10 }),
      'queue interactions: quorum queues refuse the argument x-max-priority and have priorities without it',
    ],
    [
      'with an argument that could be a policy',
      withQueue('interactions', { 'x-queue-type': 'quorum', 'x-message-ttl': 10 }),
      'queue interactions: the argument x-message-ttl could never be changed: make it a policy',
    ],
    [
      'with a classic queue',
      withQueue('interactions', { 'x-queue-type': 'classic' }),
      "queue interactions: expected the argument x-queue-type 'quorum', got 'classic': others lose messages with a node",
    ],
    [
      'with a queue that nothing leads to',
      { ...sound, bindings: sound.bindings.filter(({ queue }) => queue !== 'unrouted') },
      'queue unrouted: no binding leads to it',
    ],
    [
      'with a queue without a policy',
      { ...sound, policies: sound.policies.filter(({ name }) => name !== 'events.gateway') },
      'queue events.gateway: no policy matches it, so RabbitMQ 4 would drop a message after 20 deliveries',
    ],
    [
      'with two policies for one queue',
      withPolicy('events.guild', () => ({ pattern: '^events\\..*$' })),
      'queue events.gateway: only one of the policies events.guild, events.gateway would apply to it',
    ],
    [
      'with a binding from nowhere',
      { ...sound, bindings: [...sound.bindings, { exchange: 'nowhere', queue: 'unrouted', routingKey: '' }] },
      'binding nowhere → unrouted (): there is no such exchange',
    ],
    [
      'with a binding to nowhere',
      { ...sound, bindings: [...sound.bindings, { exchange: 'discord.events', queue: 'nowhere', routingKey: 'a' }] },
      'binding discord.events → nowhere (a): there is no such queue',
    ],
    [
      "with a policy below Amazon MQ's own",
      withPolicy('leases', () => ({ priority: 1 })),
      "policy leases: expected a priority of at least 2, got 1: Amazon MQ's own policies would apply instead",
    ],
    [
      'with a policy that matches no queue',
      { ...sound, policies: [...sound.policies, { ...policy('leases'), name: 'idle', pattern: '^idle$' }] },
      'policy idle: its pattern ^idle$ matches none of the queues of this topology',
    ],
    [
      'with a policy that would touch the identify queues',
      withPolicy('leases', () => ({ pattern: '^ingestor\\.' })),
      `policy leases: its pattern matches ${identifyQueue(0)} too, an exclusive queue that no policy may touch`,
    ],
    [
      'with dead letters that go to no exchange',
      withDefinition('interactions', { 'dead-letter-exchange': 'nowhere' }),
      'policy interactions: there is no dead-letter-exchange nowhere',
    ],
    [
      'with dead letters that reach no queue',
      withDefinition('interactions', { 'dead-letter-routing-key': 'nowhere' }),
      'policy interactions: dead letters with the key nowhere reach no queue through exchange discord.dlx',
    ],
    [
      'with dead letters that keep their key, on a direct exchange',
      without('interactions', 'dead-letter-routing-key'),
      'policy interactions: dead-letter-routing-key: expected one, as the key of the message leads anywhere',
    ],
    [
      'with dead letters that come back',
      withDefinition('set-aside', {
        'dead-letter-exchange': 'discord.dlx',
        'dead-letter-routing-key': 'dead-letters',
      }),
      'policy set-aside: the dead letters of queue dead-letters would come back to it',
    ],
    [
      'with at-least-once dead letters beside drop-head',
      withDefinition('interactions', { overflow: 'drop-head' }),
      'policy interactions: dead-letter-strategy: at-least-once needs overflow reject-publish, or RabbitMQ falls back to at-most-once',
    ],
    [
      'without a word on overflow',
      without('leases', 'overflow'),
      "policy leases: overflow: expected 'drop-head' or 'reject-publish', got none",
    ],
    [
      'without a word on the delivery limit',
      without('leases', 'delivery-limit'),
      'policy leases: delivery-limit: expected -1 (none) or a number of deliveries, got none: RabbitMQ 4 takes 20',
    ],
    [
      'with a delivery limit that drops',
      withDefinition('set-aside', { 'delivery-limit': 5 }),
      'policy set-aside: delivery-limit: without a dead-letter-exchange RabbitMQ drops what reaches it; expected one, or -1',
    ],
    [
      'with a TTL of nothing',
      withDefinition('interactions', { 'message-ttl': 0 }),
      'policy interactions: message-ttl: expected a whole number of at least 1, got 0',
    ],
    [
      'with what classic queues had',
      withDefinition('leases', { 'queue-mode': 'lazy' }),
      'policy leases: quorum queues do not know queue-mode',
    ],
    [
      'with an alternate exchange that is not there',
      withDefinition('discord.events', { 'alternate-exchange': 'nowhere' }),
      'policy discord.events: there is no alternate exchange nowhere',
    ],
    [
      'with a permission that is not anchored',
      withUser({ permissions: { ...nothing, read: 'interactions' } }),
      'user worker: read interactions: expected ^ in front and $ behind, or it matches parts of other names',
    ],
    [
      'with a permission that opens every queue',
      withUser({ permissions: { ...nothing, write: '^.*$' } }),
      'user worker: write ^.*$ matches amq.default, through which every queue can be written',
    ],
    [
      'with an administrator among its users',
      withUser({ tags: ['administrator'] }),
      'user worker: a user of the topology is no administrator, who could give itself every permission',
    ],
    [
      'with a user whom Amazon MQ deletes',
      withUser({ name: 'guest' }),
      "user guest: Amazon MQ wants 2 to 100 letters, digits, '-', '.' or '_', and not guest",
    ],
  ])('%s', (_fault, topology, sentence) => {
    expect(complaints(topology)).toContain(sentence);
  });

  test('with a permission or a pattern that is no regular expression', () => {
    expect(complaints(withUser({ permissions: { ...nothing, read: '^(a$' } }))).toEqual([
      expect.stringMatching(/^user worker: read \^\(a\$: no regular expression \(/),
    ]);
    expect(complaints(withPolicy('leases', () => ({ pattern: '^[' })))).toContainEqual(
      expect.stringMatching(/^policy leases: pattern \^\[: no regular expression \(/),
    );
  });

  test('when a routing key of the service is bound to nothing', () => {
    expect(complaints(sound, ['interaction.button', 'voice.join'])).toEqual([
      'routing key voice.join: no binding of exchange discord.events takes it to a queue',
    ]);
  });
});

function policy(name: string): Policy {
  const found = sound.policies.find((some) => some.name === name);
  if (found === undefined) throw new Error(`no policy ${name}`);
  return found;
}

describe('queuesFor, as a topic exchange does it', () => {
  const topology = (pattern: string): Topology => ({
    ...sound,
    exchanges: [{ name: 'x', type: 'topic' }],
    bindings: [{ exchange: 'x', queue: 'q', routingKey: pattern }],
  });
  test.each([
    ['a.#', 'a', true],
    ['a.#', 'a.b.c', true],
    ['a.#', 'ab', false],
    ['#', '', true],
    ['a.*', 'a', false],
    ['a.*', 'a.b', true],
    ['a.*', 'a.b.c', false],
    ['#.c', 'a.b.c', true],
    ['#.c', 'a.b.d', false],
    ['a.#.z', 'a.z', true],
    ['a.#.z', 'a.b.c.z', true],
    ['a.b', 'a.b', true],
    ['a.b', 'a.b.c', false],
  ])('%s takes %s: %s', (pattern, key, taken) => {
    expect(queuesFor(topology(pattern), 'x', key)).toEqual(taken ? ['q'] : []);
  });
});
