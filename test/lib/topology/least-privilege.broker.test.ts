// What each user may do on a real broker: all that its part of the product does, and nothing else. Every refusal is
// the broker's own.

import amqplib, { type Channel } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import { applyTopology } from '../../../lib/topology/apply.ts';
import {
  EXCHANGES,
  identifyQueue,
  LEASE_QUEUE_ARGUMENTS,
  leaseQueue,
  QUEUES,
  type USERS,
  WORKER_QUEUES,
} from '../../../service/contract/names.ts';
import { sharedBroker } from '../../support/broker.ts';
import { type OwnVhost, ownVhost } from '../../support/own-vhost.ts';

type Part = keyof typeof USERS;
type Act = (channel: Channel) => Promise<unknown>;

const { version, managementUrl, url } = sharedBroker();
const LEASE = { durable: true, arguments: { ...LEASE_QUEUE_ARGUMENTS } };
const CLASSIC = { durable: false, exclusive: true, arguments: { 'x-queue-type': 'classic' } };
const REFUSED = /ACCESS.REFUSED/;

let own: OwnVhost;
let connections: Readonly<Record<Part, amqplib.ChannelModel>>;

beforeAll(async () => {
  own = await ownVhost('privilege');
  await applyTopology(own.api, own.topology({ shardGroups: 2 }), { passwords: own.passwords });
  const [ingestor, worker, deadLetters] = [
    await own.connect('ingestor'),
    await own.connect('worker'),
    await own.connect('deadLetters'),
  ];
  connections = { ingestor, worker, deadLetters };
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
const inTurn =
  (...acts: Act[]): Act =>
  async (channel) => {
    for (const act of acts) await act(channel);
  };

describe(`on RabbitMQ ${version} the ingestor`, () => {
  test.each<[string, Act]>([
    ['publishes events', inTurn(publishing(EXCHANGES.events, 'interaction.button'), publishing(EXCHANGES.events, 'x'))],
    [
      'reads the depth of each queue',
      inTurn(
        ...Object.values(QUEUES).map(
          (queue): Act =>
            (c) =>
              c.checkQueue(queue),
        ),
      ),
    ],
    ['declares an existing lease queue', (channel) => channel.assertQueue(leaseQueue(0), LEASE)],
    ['declares a missing lease queue', (channel) => channel.assertQueue(leaseQueue(7), LEASE)],
    ['binds a lease queue', (channel) => channel.bindQueue(leaseQueue(1), EXCHANGES.leases, leaseQueue(1))],
    [
      'binds also what it watches to the leases: no pattern distinguishes the two',
      inTurn(
        (channel) => channel.bindQueue(QUEUES.gatewayEvents, EXCHANGES.leases, 'x'),
        (channel) => channel.unbindQueue(QUEUES.gatewayEvents, EXCHANGES.leases, 'x'),
      ),
    ],
    [
      'declares and deletes an identify queue',
      inTurn(
        (channel) => channel.assertQueue(identifyQueue(0), CLASSIC),
        (channel) => channel.deleteQueue(identifyQueue(0)),
      ),
    ],
    [
      'checks its exchanges',
      inTurn(
        (c) => c.checkExchange(EXCHANGES.leases),
        (c) => c.checkExchange(EXCHANGES.events),
      ),
    ],
    ['finds a lease queue of another shard layout', (channel) => channel.checkQueue(leaseQueue(1))],
  ])('%s', async (_what, act) => {
    await as('ingestor', act);
  });

  test('stores a group record, and holds it', async () => {
    await as('ingestor', publishing(EXCHANGES.leases, leaseQueue(1)));
    const delivered = Promise.withResolvers<string | undefined>();
    await as('ingestor', async (channel) => {
      await channel.consume(leaseQueue(1), (message) => delivered.resolve(message?.fields.exchange));
      expect(await delivered.promise).toBe(EXCHANGES.leases);
    });
  });

  test.each<[string, Act]>([
    ...Object.values(QUEUES).flatMap((queue): [string, Act][] => [
      [`consume ${queue}`, consuming(queue)],
      [`take a message of ${queue}`, (channel) => channel.get(queue)],
      [`purge ${queue}`, (channel) => channel.purgeQueue(queue)],
      [`delete ${queue}`, (channel) => channel.deleteQueue(queue)],
    ]),
    ...['other', 'ingestorX', 'ingestor.anything', 'ingestor.lease.x', 'ingestor.lease.10000', 'ingestor.lease.00'].map(
      (name): [string, Act] => [`declare a queue ${name}`, (channel) => channel.assertQueue(name, LEASE)],
    ),
    ['declare an exchange', (channel) => channel.assertExchange('other', 'topic')],
    ['declare an exchange with its own prefix', (channel) => channel.assertExchange('ingestor.other', 'topic')],
    ['delete the exchange of leases', (channel) => channel.deleteExchange(EXCHANGES.leases)],
    ['bind the leases to the events', (channel) => channel.bindExchange(EXCHANGES.leases, EXCHANGES.events, '#')],
    [
      'bind an identify queue to the leases',
      inTurn(
        (channel) => channel.assertQueue(identifyQueue(5), CLASSIC),
        (channel) => channel.bindQueue(identifyQueue(5), EXCHANGES.leases, leaseQueue(0)),
      ),
    ],
    [
      'consume an identify queue',
      inTurn((channel) => channel.assertQueue(identifyQueue(6), CLASSIC), consuming(identifyQueue(6))),
    ],
    ['delete the exchange of events', (channel) => channel.deleteExchange(EXCHANGES.events)],
    ['bind a queue of its own to the events', (channel) => channel.bindQueue(leaseQueue(0), EXCHANGES.events, '#')],
    ['unbind interactions', (channel) => channel.unbindQueue(QUEUES.interactions, EXCHANGES.events, 'interaction.#')],
    ['publish to the default exchange, even to a queue of its own', publishing('', leaseQueue(0))],
    ['publish to the exchange of dead letters', publishing(EXCHANGES.deadLetter, QUEUES.deadLetters)],
    ['publish to the exchange of unrouted messages', publishing(EXCHANGES.unrouted, '')],
    ['publish to an exchange of RabbitMQ', publishing('amq.topic', 'a')],
  ])('may not %s', async (_what, act) => {
    await expect(as('ingestor', act)).rejects.toThrow(REFUSED);
  });
});

describe(`on RabbitMQ ${version} a worker`, () => {
  test.each(Object.values(WORKER_QUEUES))('consumes %s', async (queue) => {
    await as(
      'worker',
      inTurn((channel) => channel.checkQueue(queue), consuming(queue)),
    );
  });

  test('purges what it reads: RabbitMQ has no permission of its own for that', async () => {
    await as('worker', (channel) => channel.purgeQueue(QUEUES.gatewayEvents));
  });

  test.each<[string, Act]>([
    ['consume unrouted', consuming(QUEUES.unrouted)],
    ['take a dead letter', (channel) => channel.get(QUEUES.deadLetters)],
    ['purge the dead letters', (channel) => channel.purgeQueue(QUEUES.deadLetters)],
    ['consume a lease queue', consuming(leaseQueue(0))],
    ['take a group record', (channel) => channel.get(leaseQueue(0))],
    ['hold the identify lock', (channel) => channel.assertQueue(identifyQueue(1), CLASSIC)],
    [
      'declare an existing queue',
      (channel) => channel.assertQueue(QUEUES.interactions, { durable: true, arguments: { 'x-queue-type': 'quorum' } }),
    ],
    ['declare a queue of its own', (channel) => channel.assertQueue('', { exclusive: true, durable: false })],
    ['delete a queue', (channel) => channel.deleteQueue(QUEUES.interactions)],
    ['unbind a queue', (channel) => channel.unbindQueue(QUEUES.interactions, EXCHANGES.events, 'interaction.#')],
    ['declare an exchange', (channel) => channel.assertExchange('other', 'topic')],
    ['publish to the default exchange', publishing('', QUEUES.interactions)],
    ['publish to the exchange of events', publishing(EXCHANGES.events, 'interaction.button')],
    ['publish to the exchange of dead letters', publishing(EXCHANGES.deadLetter, QUEUES.deadLetters)],
    ['publish to the exchange of leases', publishing(EXCHANGES.leases, leaseQueue(0))],
  ])('may not %s', async (_what, act) => {
    await expect(as('worker', act)).rejects.toThrow(REFUSED);
  });

  test('may not read the depth of a lease queue, from RabbitMQ 4.3 on', async () => {
    const [major = 0, minor = 0] = version.split('.').map(Number);
    const reading = as('worker', (channel) => channel.checkQueue(leaseQueue(0)));
    if (major > 4 || (major === 4 && minor >= 3)) await expect(reading).rejects.toThrow(REFUSED);
    else await reading;
  });
});

describe(`on RabbitMQ ${version} the user of the dead letters`, () => {
  test('reads them, and publishes them again', async () => {
    await as(
      'deadLetters',
      inTurn((c) => c.checkQueue(QUEUES.deadLetters), consuming(QUEUES.deadLetters)),
    );
    await as('deadLetters', publishing(EXCHANGES.events, 'interaction.button'));
  });

  test.each<[string, Act]>([
    ['consume interactions', consuming(QUEUES.interactions)],
    ['take a group record', (channel) => channel.get(leaseQueue(0))],
    ['delete its queue', (channel) => channel.deleteQueue(QUEUES.deadLetters)],
    ['bind its queue', (channel) => channel.bindQueue(QUEUES.deadLetters, EXCHANGES.events, '#')],
    ['declare a queue', (channel) => channel.assertQueue('other', LEASE)],
    ['publish to the default exchange', publishing('', QUEUES.interactions)],
    ['publish to the exchange of leases', publishing(EXCHANGES.leases, leaseQueue(0))],
    ['publish to the exchange of dead letters', publishing(EXCHANGES.deadLetter, QUEUES.deadLetters)],
  ])('may not %s', async (_what, act) => {
    await expect(as('deadLetters', act)).rejects.toThrow(REFUSED);
  });
});

test.each(['ingestor', 'worker', 'deadLetters'] as const)(
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
