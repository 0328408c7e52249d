// What each user may do on a real broker: all that its part of the product does. Each operation that must be refused to it
// is refused by the broker. That its permissions match no other name: topology.test.ts.

import amqplib, { type Channel } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import { applyTopology } from '../../../lib/topology/apply.ts';
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
import { sharedBroker } from '../../support/broker.ts';
import { type OwnVhost, ownVhost, type UserOfTest as Part } from '../../support/own-vhost.ts';

type Act = (channel: Channel) => Promise<unknown>;

const { version, managementUrl, url } = sharedBroker();
const LEASE = { durable: true, arguments: { ...LEASE_QUEUE_ARGUMENTS } };
const CLASSIC = { durable: false, exclusive: true, arguments: { 'x-queue-type': 'classic' } };
const TAIL = tailQueue('0123456789ab');
const REFUSED = /ACCESS.REFUSED/;

let own: OwnVhost;
let connections: Readonly<Record<Part, amqplib.ChannelModel>>;

beforeAll(async () => {
  own = await ownVhost('privilege');
  const queue = { keys: ['member.#'], maxMessages: 100, maxBytes: 1024 ** 2 };
  const topology = own.topology({
    shards: { count: 2, perTask: 1 },
    queues: { 'events.analytics': queue, 'events.more': queue },
    workers: { [own.userNames.analytics]: { queues: ['events.analytics'], commands: false } },
  });
  await applyTopology(own.api, topology, { passwords: own.passwords });
  const [ingestor, worker, deadLetters, analytics] = [
    await own.connect('ingestor'),
    await own.connect('worker'),
    await own.connect('deadLetters'),
    await own.connect('analytics'),
  ];
  connections = { ingestor, worker, deadLetters, analytics };
});
afterAll(async () => await own.remove());

/** On a channel of its own, because a refusal closes it. A publish is waited for. */
async function as(part: Part, act: Act): Promise<void> {
  const channel = await connections[part].createConfirmChannel();
  const closed = new Promise<never>((_resolve, reject) => channel.once('error', reject));
  closed.catch(() => undefined);
  await act(channel);
  await Promise.race([channel.waitForConfirms(), closed]);
  await channel.close();
}

const publishing =
  (exchange: string, routingKey: string): Act =>
  async (channel) =>
    channel.publish(exchange, routingKey, Buffer.from('{}'), { persistent: true });
const consuming =
  (queue: string): Act =>
  (channel) =>
    channel.consume(queue, () => undefined);
const declaring =
  (queue: string, options: object = LEASE): Act =>
  (channel) =>
    channel.assertQueue(queue, options);
const inTurn =
  (...acts: Act[]): Act =>
  async (channel) => {
    for (const act of acts) await act(channel);
  };

describe(`on RabbitMQ ${version}`, () => {
  test.each<[Part, string, Act]>([
    ['ingestor', 'publishes events', publishing(EXCHANGES.events, 'interaction.button')],
    ['ingestor', 'stores a group record', publishing(EXCHANGES.leases, leaseQueue(1))],
    ['ingestor', 'reads the depth of a queue', (channel) => channel.checkQueue(QUEUES.interactions)],
    ['ingestor', 'declares a lease queue', inTurn(declaring(leaseQueue(0)), declaring(leaseQueue(7)))],
    ['ingestor', 'binds it', (channel) => channel.bindQueue(leaseQueue(1), EXCHANGES.leases, leaseQueue(1))],
    ['ingestor', 'consumes it', consuming(leaseQueue(1))],
    ['ingestor', 'declares an identify queue', declaring(identifyQueue(0), CLASSIC)],
    ['ingestor', 'consumes commands', consuming(commandQueue(1))],
    ['ingestor', 'publishes dead letters', publishing(EXCHANGES.deadLetter, QUEUES.deadLetters)],
    [
      'ingestor',
      'receives the status of all tasks',
      inTurn(
        declaring(statusQueue('a-1-b'), CLASSIC),
        (channel) => channel.bindQueue(statusQueue('a-1-b'), EXCHANGES.status, 'tasks'),
        consuming(statusQueue('a-1-b')),
      ),
    ],
    ['ingestor', 'reports its status', publishing(EXCHANGES.status, 'tasks')],
    ['ingestor', 'checks its exchange', (channel) => channel.checkExchange(EXCHANGES.leases)],
    ...Object.values(WORKER_QUEUES).map((queue): [Part, string, Act] => [
      'worker',
      `consumes ${queue}`,
      consuming(queue),
    ]),
    ['worker', 'publishes commands', publishing(EXCHANGES.commands, commandKey('all'))],
    // RabbitMQ has no permission of its own for that.
    ['worker', 'purges what it reads', (channel) => channel.purgeQueue(QUEUES.gatewayEvents)],
    ['worker', 'consumes a further queue that no further worker names', consuming('events.more')],
    ['analytics', 'consumes its queue', consuming('events.analytics')],
    ['deadLetters', 'reads dead letters', consuming(QUEUES.deadLetters)],
    ['deadLetters', 'publishes them again', publishing(EXCHANGES.events, 'interaction.button')],
    [
      'deadLetters',
      'gets live events in a queue of its own',
      inTurn(
        declaring(TAIL, CLASSIC),
        (channel) => channel.bindQueue(TAIL, EXCHANGES.events, '#'),
        consuming(TAIL),
        (channel) => channel.deleteQueue(TAIL),
      ),
    ],
  ])('the %s %s', async (part, _what, act) => {
    await as(part, act);
  });

  test.each<[Part, string, Act]>([
    ...Object.values(QUEUES).flatMap((queue): [Part, string, Act][] => [
      ['ingestor', `take a message of ${queue}`, (channel) => channel.get(queue)],
      ['ingestor', `delete ${queue}`, (channel) => channel.deleteQueue(queue)],
    ]),
    ['ingestor', 'declare another queue', declaring('ingestor.lease.10000')],
    ['ingestor', 'declare an exchange', (channel) => channel.assertExchange('ingestor.other', 'topic')],
    ['ingestor', 'delete the exchange of leases', (channel) => channel.deleteExchange(EXCHANGES.leases)],
    ['ingestor', 'bind leases to events', (channel) => channel.bindExchange(EXCHANGES.leases, EXCHANGES.events, '#')],
    ['ingestor', 'bind its queue to events', (channel) => channel.bindQueue(leaseQueue(0), EXCHANGES.events, '#')],
    [
      'ingestor',
      'bind an identify queue to the leases',
      inTurn(declaring(identifyQueue(5), CLASSIC), (channel) =>
        channel.bindQueue(identifyQueue(5), EXCHANGES.leases, leaseQueue(0)),
      ),
    ],
    [
      'ingestor',
      'consume an identify queue',
      inTurn(declaring(identifyQueue(6), CLASSIC), consuming(identifyQueue(6))),
    ],
    ['ingestor', 'publish to the default exchange', publishing('', leaseQueue(0))],
    ['worker', 'take a dead letter', (channel) => channel.get(QUEUES.deadLetters)],
    ['worker', 'hold the identify lock', declaring(identifyQueue(1), CLASSIC)],
    ['worker', 'declare a queue of its own', declaring('', { exclusive: true, durable: false })],
    ['worker', 'delete a queue', (channel) => channel.deleteQueue(QUEUES.interactions)],
    ['worker', 'publish to the default exchange', publishing('', QUEUES.interactions)],
    ['worker', 'publish events', publishing(EXCHANGES.events, 'interaction.button')],
    ['worker', 'bind a command queue', (channel) => channel.bindQueue(commandQueue(0), EXCHANGES.commands, 'shard.9')],
    ['worker', "consume a further worker's queue", consuming('events.analytics')],
    ['analytics', 'publish events', publishing(EXCHANGES.events, 'member.join')],
    ['analytics', 'bind its queue to more', (channel) => channel.bindQueue('events.analytics', EXCHANGES.events, '#')],
    ['analytics', 'delete its queue', (channel) => channel.deleteQueue('events.analytics')],
    ['analytics', 'consume another queue', consuming(QUEUES.guildEvents)],
    ['analytics', 'publish commands', publishing(EXCHANGES.commands, commandKey(0))],
    ['deadLetters', 'declare another queue', declaring('tail.events', CLASSIC)],
    [
      'deadLetters',
      'bind its queue to more',
      (channel) => channel.bindQueue(QUEUES.deadLetters, EXCHANGES.events, '#'),
    ],
    [
      'deadLetters',
      'bind a queue of its own to the commands',
      inTurn(declaring(tailQueue('ba9876543210'), CLASSIC), (channel) =>
        channel.bindQueue(tailQueue('ba9876543210'), EXCHANGES.commands, commandKey('all')),
      ),
    ],
    ['deadLetters', 'consume interactions', consuming(QUEUES.interactions)],
    ['deadLetters', 'delete its queue', (channel) => channel.deleteQueue(QUEUES.deadLetters)],
    ['deadLetters', 'publish to the default exchange', publishing('', QUEUES.interactions)],
  ])('the %s may not %s', async (part, _what, act) => {
    await expect(as(part, act)).rejects.toThrow(REFUSED);
  });

  test.each(['classic', 'quorum'])(
    'a durable %s queue of the deadLetters keeps little, and not for long',
    async (type) => {
      const queue = tailQueue('00000000000c');
      await as('deadLetters', async (channel) => {
        await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': type } });
        await channel.bindQueue(queue, EXCHANGES.events, 'member.#');
      });
      const limits = {
        'max-length': 1_000,
        'max-length-bytes': 16 * 1024 ** 2,
        overflow: 'drop-head',
        expires: 60_000,
      };
      const declared = (await own.api.list('queues', own.vhost)).find(({ name }) => name === queue);
      expect(declared?.effective_policy_definition).toEqual(limits);
      await as('ingestor', async (channel) => {
        for (let event = 0; event < 1_100; event += 1)
          channel.publish(EXCHANGES.events, 'member.join', Buffer.from('{}'), { persistent: true });
      });
      await as('deadLetters', async (channel) => {
        const { messageCount } = await channel.deleteQueue(queue);
        expect(messageCount).toBe(1_000);
      });
    },
  );

  test('the worker may not read the depth of a lease queue, from RabbitMQ 4.3 on', async () => {
    const [major = 0, minor = 0] = version.split('.').map(Number);
    const reading = as('worker', (channel) => channel.checkQueue(leaseQueue(0)));
    if (major > 4 || (major === 4 && minor >= 3)) await expect(reading).rejects.toThrow(REFUSED);
    else await reading;
  });
});

test.each(['ingestor', 'worker', 'deadLetters', 'analytics'] as const)(
  'the %s may enter no other vhost, and may not use the management API',
  async (part) => {
    const username = own.userNames[part];
    const login = { username, password: own.passwords[username] ?? '' };
    // amqplib's words where the broker closes the connection during the handshake.
    await expect(amqplib.connect(url({ ...login, vhost: '/' }))).rejects.toThrow('got <ConnectionClose');
    const api = new ManagementApi({ url: managementUrl, ...login });
    await expect(api.list('users')).rejects.toMatchObject({ kind: 'refused' });
    api.close();
  },
);
