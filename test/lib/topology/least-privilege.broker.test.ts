// What each user may do on a real broker: all that its part of the product does, and nothing else. Every refusal is
// the broker's own.

import amqplib, { type Channel, type ChannelModel } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import { applyTopology } from '../../../lib/topology/apply.ts';
import {
  EXCHANGES,
  identifyQueue,
  LEASE_QUEUE_ARGUMENTS,
  leaseQueue,
  QUEUES,
} from '../../../service/contract/names.ts';
import { sharedBroker } from '../../support/broker.ts';
import { type OwnVhost, ownVhost } from '../../support/own-vhost.ts';

const { version, managementUrl, url } = sharedBroker();
const LEASE = { durable: true, arguments: { ...LEASE_QUEUE_ARGUMENTS } };
const CLASSIC = { durable: false, exclusive: true, arguments: { 'x-queue-type': 'classic' } };

let own: OwnVhost;
let ingestor: ChannelModel;
let worker: ChannelModel;
let deadLetters: ChannelModel;

beforeAll(async () => {
  own = await ownVhost('privilege');
  await applyTopology(own.api, own.topology({ shardGroups: 2 }), { passwords: own.passwords });
  ingestor = await own.connect('ingestor');
  worker = await own.connect('worker');
  deadLetters = await own.connect('deadLetters');
});
afterAll(async () => await own.remove());

/** A channel of its own for each act, because a refusal closes it. */
async function on<T>(connection: ChannelModel, act: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await connection.createConfirmChannel();
  channel.on('error', () => undefined);
  const result = await act(channel);
  await channel.close();
  return result;
}

/** Publishes, and waits for what the broker makes of it: a refused publish closes the channel. */
async function publish(connection: ChannelModel, exchange: string, routingKey: string): Promise<void> {
  const channel = await connection.createConfirmChannel();
  const closed = new Promise<never>((_resolve, reject) => channel.once('error', reject));
  channel.publish(exchange, routingKey, Buffer.from('{}'), { persistent: true });
  await Promise.race([channel.waitForConfirms(), closed]);
  await channel.close();
}

const REFUSED = /ACCESS.REFUSED/;
type Act = (channel: Channel) => Promise<unknown>;

describe(`on RabbitMQ ${version} the ingestor`, () => {
  test('publishes events', async () => {
    await publish(ingestor, EXCHANGES.events, 'interaction.button');
    await publish(ingestor, EXCHANGES.events, 'of.no.queue');
  });

  test.each<[string, Act]>([
    ['asks for the depth of interactions', (channel) => channel.checkQueue(QUEUES.interactions)],
    ['asks for the depth of events.guild', (channel) => channel.checkQueue(QUEUES.guildEvents)],
    ['asks for the depth of events.gateway', (channel) => channel.checkQueue(QUEUES.gatewayEvents)],
    ['asks for the depth of dead-letters', (channel) => channel.checkQueue(QUEUES.deadLetters)],
    ['asks for the depth of unrouted', (channel) => channel.checkQueue(QUEUES.unrouted)],
    ['declares a lease queue that is there', (channel) => channel.assertQueue(leaseQueue(0), LEASE)],
    ['declares a lease queue that is missing', (channel) => channel.assertQueue(leaseQueue(7), LEASE)],
    ['binds a lease queue', (channel) => channel.bindQueue(leaseQueue(1), EXCHANGES.leases, leaseQueue(1))],
    [
      'binds also what it watches to the leases: no pattern tells the two apart',
      (channel) =>
        channel
          .bindQueue(QUEUES.gatewayEvents, EXCHANGES.leases, 'x')
          .then(() => channel.unbindQueue(QUEUES.gatewayEvents, EXCHANGES.leases, 'x')),
    ],
    ['consumes a lease queue', (channel) => channel.consume(leaseQueue(0), () => undefined)],
    [
      'declares, and deletes, an identify queue',
      (channel) => channel.assertQueue(identifyQueue(0), CLASSIC).then(() => channel.deleteQueue(identifyQueue(0))),
    ],
    ['checks the exchange of leases', (channel) => channel.checkExchange(EXCHANGES.leases)],
    ['finds a lease queue of another division', (channel) => channel.checkQueue(leaseQueue(1))],
    ['checks the exchange of events', (channel) => channel.checkExchange(EXCHANGES.events)],
  ])('%s', async (_what, act) => {
    await on(ingestor, act);
  });

  test('stores a session record, and holds it', async () => {
    await publish(ingestor, EXCHANGES.leases, leaseQueue(1));
    const delivered = Promise.withResolvers<string | undefined>();
    await on(ingestor, async (channel) => {
      await channel.consume(leaseQueue(1), (message) => delivered.resolve(message?.fields.exchange));
      await delivered.promise;
    });
    expect(await delivered.promise).toBe(EXCHANGES.leases);
  });

  test.each<[string, Act]>([
    ['consume interactions', (channel) => channel.consume(QUEUES.interactions, () => undefined)],
    ['take a message of interactions', (channel) => channel.get(QUEUES.interactions)],
    ['empty events.guild', (channel) => channel.purgeQueue(QUEUES.guildEvents)],
    ['take a dead letter', (channel) => channel.get(QUEUES.deadLetters)],
    ['delete interactions', (channel) => channel.deleteQueue(QUEUES.interactions)],
    ['declare a queue of another name', (channel) => channel.assertQueue('other', LEASE)],
    ['declare a queue that only begins alike', (channel) => channel.assertQueue('ingestorX', LEASE)],
    ['declare a queue of a name of its own', (channel) => channel.assertQueue('ingestor.anything', LEASE)],
    ['declare a lease queue without a number', (channel) => channel.assertQueue('ingestor.lease.x', LEASE)],
    ['declare a lease queue beyond all groups', (channel) => channel.assertQueue('ingestor.lease.10000', LEASE)],
    ['declare a second queue of a group', (channel) => channel.assertQueue('ingestor.lease.00', LEASE)],
    ['purge interactions', (channel) => channel.purgeQueue(QUEUES.interactions)],
    ['purge the dead letters', (channel) => channel.purgeQueue(QUEUES.deadLetters)],
    ['delete events.guild', (channel) => channel.deleteQueue(QUEUES.guildEvents)],
    ['delete the dead letters', (channel) => channel.deleteQueue(QUEUES.deadLetters)],
    ['declare an exchange', (channel) => channel.assertExchange('other', 'topic')],
    ['declare an exchange of a name of its own', (channel) => channel.assertExchange('ingestor.other', 'topic')],
    ['delete the exchange of leases', (channel) => channel.deleteExchange(EXCHANGES.leases)],
    [
      'bind the exchange of leases to the events',
      (channel) => channel.bindExchange(EXCHANGES.leases, EXCHANGES.events, '#'),
    ],
    [
      'bind an identify queue to the leases',
      async (channel) => {
        await channel.assertQueue(identifyQueue(5), CLASSIC);
        await channel.bindQueue(identifyQueue(5), EXCHANGES.leases, leaseQueue(0));
      },
    ],
    [
      'consume an identify queue',
      async (channel) => {
        await channel.assertQueue(identifyQueue(6), CLASSIC);
        await channel.consume(identifyQueue(6), () => undefined);
      },
    ],
    ['delete the exchange of events', (channel) => channel.deleteExchange(EXCHANGES.events)],
    ['bind a queue of its own to the events', (channel) => channel.bindQueue(leaseQueue(0), EXCHANGES.events, '#')],
    ['unbind interactions', (channel) => channel.unbindQueue(QUEUES.interactions, EXCHANGES.events, 'interaction.#')],
  ])('may not %s', async (_what, act) => {
    await expect(on(ingestor, act)).rejects.toThrow(REFUSED);
  });

  test.each([
    ['the default exchange, even to a queue of its own', '', leaseQueue(0)],
    ['the default exchange', '', QUEUES.interactions],
    ['the exchange of dead letters', EXCHANGES.deadLetter, QUEUES.deadLetters],
    ['the exchange of unrouted messages', EXCHANGES.unrouted, ''],
    ['an exchange of RabbitMQ', 'amq.topic', 'a'],
  ])('may not publish to %s', async (_what, exchange, routingKey) => {
    await expect(publish(ingestor, exchange, routingKey)).rejects.toThrow(REFUSED);
  });
});

describe(`on RabbitMQ ${version} a worker`, () => {
  const read = [QUEUES.interactions, QUEUES.guildEvents, QUEUES.gatewayEvents];

  test.each(read)('consumes %s', async (queue) => {
    await on(worker, (channel) => channel.checkQueue(queue));
    await on(worker, (channel) => channel.consume(queue, () => undefined));
  });

  test('purges what it reads: RabbitMQ has no permission of its own for that', async () => {
    await on(worker, (channel) => channel.purgeQueue(QUEUES.gatewayEvents));
  });

  test.each<[string, Act]>([
    ['consume unrouted', (channel) => channel.consume(QUEUES.unrouted, () => undefined)],
    ['take a dead letter', (channel) => channel.get(QUEUES.deadLetters)],
    ['purge the dead letters', (channel) => channel.purgeQueue(QUEUES.deadLetters)],
    ['consume a lease queue', (channel) => channel.consume(leaseQueue(0), () => undefined)],
    ['take a session record', (channel) => channel.get(leaseQueue(0))],
    ['hold the right to IDENTIFY', (channel) => channel.assertQueue(identifyQueue(1), CLASSIC)],
    [
      'declare a queue that is there',
      (channel) => channel.assertQueue(QUEUES.interactions, { durable: true, arguments: { 'x-queue-type': 'quorum' } }),
    ],
    ['declare a queue of its own', (channel) => channel.assertQueue('', { exclusive: true, durable: false })],
    ['delete a queue', (channel) => channel.deleteQueue(QUEUES.interactions)],
    ['unbind a queue', (channel) => channel.unbindQueue(QUEUES.interactions, EXCHANGES.events, 'interaction.#')],
    ['declare an exchange', (channel) => channel.assertExchange('other', 'topic')],
  ])('may not %s', async (_what, act) => {
    await expect(on(worker, act)).rejects.toThrow(REFUSED);
  });

  if (needsPermissionToAsk(version))
    test('may not ask for the depth of a lease queue', async () => {
      await expect(on(worker, (channel) => channel.checkQueue(leaseQueue(0)))).rejects.toThrow(REFUSED);
    });
  else
    test('asks for the depth of a lease queue: before RabbitMQ 4.3 that needs no permission', async () => {
      await on(worker, (channel) => channel.checkQueue(leaseQueue(0)));
    });

  test.each([
    ['the default exchange', '', QUEUES.interactions],
    ['the exchange of events', EXCHANGES.events, 'interaction.button'],
    ['the exchange of dead letters', EXCHANGES.deadLetter, QUEUES.deadLetters],
    ['the exchange of leases', EXCHANGES.leases, leaseQueue(0)],
  ])('may not publish to %s', async (_what, exchange, routingKey) => {
    await expect(publish(worker, exchange, routingKey)).rejects.toThrow(REFUSED);
  });
});

describe(`on RabbitMQ ${version} the user of the dead letters`, () => {
  test('reads them, and publishes them again', async () => {
    await on(deadLetters, (channel) => channel.checkQueue(QUEUES.deadLetters));
    await on(deadLetters, (channel) => channel.consume(QUEUES.deadLetters, () => undefined));
    await publish(deadLetters, EXCHANGES.events, 'interaction.button');
  });

  test.each<[string, Act]>([
    ['consume interactions', (channel) => channel.consume(QUEUES.interactions, () => undefined)],
    ['take a session record', (channel) => channel.get(leaseQueue(0))],
    ['delete its queue', (channel) => channel.deleteQueue(QUEUES.deadLetters)],
    ['bind its queue', (channel) => channel.bindQueue(QUEUES.deadLetters, EXCHANGES.events, '#')],
    ['declare a queue', (channel) => channel.assertQueue('other', LEASE)],
  ])('may not %s', async (_what, act) => {
    await expect(on(deadLetters, act)).rejects.toThrow(REFUSED);
  });

  test.each([
    ['the default exchange', '', QUEUES.interactions],
    ['the exchange of leases', EXCHANGES.leases, leaseQueue(0)],
    ['the exchange of dead letters', EXCHANGES.deadLetter, QUEUES.deadLetters],
  ])('may not publish to %s', async (_what, exchange, routingKey) => {
    await expect(publish(deadLetters, exchange, routingKey)).rejects.toThrow(REFUSED);
  });
});

describe.each(['ingestor', 'worker', 'deadLetters'] as const)('the %s', (part) => {
  test('gets into no other vhost', async () => {
    const login = { username: own.userNames[part], password: own.passwords[own.userNames[part]] ?? '', vhost: '/' };
    // amqplib's words for being sent away in the middle of the opening.
    await expect(amqplib.connect(url(login))).rejects.toThrow('got <ConnectionClose');
    await (await own.connect(part)).close();
  });

  test('gets nothing from the management API', async () => {
    const username = own.userNames[part];
    const api = new ManagementApi({ url: managementUrl, username, password: own.passwords[username] ?? '' });
    await expect(api.users()).rejects.toMatchObject({ name: 'ManagementApiError', kind: 'forbidden' });
    api.close();
  });
});

function needsPermissionToAsk(text: string): boolean {
  const [major = 0, minor = 0] = text.split('.').map(Number);
  return major > 4 || (major === 4 && minor >= 3);
}
