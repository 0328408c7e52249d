// What the policies do to messages on a real broker, with limits small enough to see it.

import type { Channel, ChannelModel, ConfirmChannel, GetMessage } from 'amqplib';
import { describe } from 'vitest';
import { held } from '../../../lib/topology/removal.ts';
import type { Limits } from '../../../lib/topology/topology.ts';
import {
  commandKey,
  commandQueue,
  EXCHANGES,
  identifyQueue,
  leaseQueue,
  QUEUES,
} from '../../../service/contract/names.ts';
import { manage, sharedBroker } from '../../support/broker.ts';
import type { OwnVhost } from '../../support/own-vhost.ts';
import { apply, onBroker as inVhost } from './on-broker.ts';

const { version } = sharedBroker();

interface Scene {
  readonly own: OwnVhost;
  /** The administrator's. */
  readonly channel: ConfirmChannel;
  apply(limits?: Partial<Limits>): Promise<void>;
}

const onBroker = inVhost.extend<{ scene: Scene }>({
  scene: async ({ own }, use) => {
    const channel = await (await own.connect()).createConfirmChannel();
    await use({ own, channel, apply: async (limits = {}) => void (await apply(own, own.topology({ limits }))) });
  },
});

async function publish(channel: ConfirmChannel, exchange: string, routingKey: string, id: string, priority?: number) {
  const properties = { persistent: true, messageId: id, ...(priority !== undefined && { priority }) };
  channel.publish(exchange, routingKey, Buffer.from(id), properties);
  await channel.waitForConfirms();
}

/** So many messages, as they come; the test's own deadline limits it. */
async function taken(channel: Channel, queue: string, count: number): Promise<GetMessage[]> {
  const messages: GetMessage[] = [];
  const all = Promise.withResolvers<void>();
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message === null) return;
    channel.ack(message);
    messages.push(message as unknown as GetMessage);
    if (messages.length === count) all.resolve();
  });
  await all.promise;
  await channel.cancel(consumerTag);
  return messages;
}

/** Ends without an answer to what was delivered. @returns whether `instead` came before a delivery */
async function deliveredOnce(connection: ChannelModel, queue: string, instead?: Promise<unknown>): Promise<boolean> {
  const channel = await connection.createChannel();
  const delivered = Promise.withResolvers<boolean>();
  await channel.consume(queue, () => delivered.resolve(false));
  const isInstead = await Promise.race([delivered.promise, ...(instead ? [instead.then(() => true)] : [])]);
  await channel.close();
  return isInstead;
}

const ids = (messages: readonly GetMessage[]) => messages.map(({ properties }) => String(properties.messageId));

/** Why, from where, and with which key a message was dead-lettered. */
const deaths = (messages: readonly GetMessage[]) =>
  messages.map(({ properties }) => {
    const [death] = (properties.headers?.['x-death'] ?? []) as {
      reason: string;
      queue: string;
      'routing-keys': string[];
    }[];
    return `${death?.reason} ${death?.queue} ${death?.['routing-keys'].join(' ')}`;
  });

describe.concurrent(`on RabbitMQ ${version}`, () => {
  onBroker(
    'an interaction that no worker takes in time is dead-lettered, whatever its priority',
    async ({ scene, expect }) => {
      const { channel, apply } = scene;
      await apply({ interactionsTtlMs: 200 });
      await publish(channel, EXCHANGES.events, 'interaction.autocomplete.ping', 'low', 6);
      await publish(channel, EXCHANGES.events, 'interaction.command.ping', 'high', 10);
      const letters = await taken(channel, QUEUES.deadLetters, 2);
      expect(ids(letters).toSorted()).toEqual(['high', 'low']);
      expect(deaths(letters).toSorted()).toEqual([
        `expired ${QUEUES.interactions} interaction.autocomplete.ping`,
        `expired ${QUEUES.interactions} interaction.command.ping`,
      ]);
      expect((await channel.checkQueue(QUEUES.interactions)).messageCount).toBe(0);
    },
  );

  onBroker('an interaction that cannot be dead-lettered is not dropped', async ({ scene, expect }) => {
    const { own, channel, apply } = scene;
    await apply({ interactionsTtlMs: 200 });
    await channel.unbindQueue(QUEUES.deadLetters, EXCHANGES.deadLetter, QUEUES.deadLetters);
    await publish(channel, EXCHANGES.events, 'interaction.button', 'expired', 8);
    // It is no longer ready, and the queue still has it, for the dead letters.
    const waiting = async () => await manage('GET', `/api/queues/${own.vhost}/${QUEUES.interactions}`);
    await expect.poll(waiting, { timeout: 30_000 }).toMatchObject({ messages_ready: 0, messages_dlx: 1 });
  });

  onBroker('an interaction beyond the limit is refused, so that the ingestor keeps it', async ({ scene, expect }) => {
    const { channel, apply } = scene;
    await apply({ interactionsMaxMessages: 2 });
    // The bound is exact within a few messages.
    const outcome = async () => {
      for (let index = 0; index < 50; index += 1)
        await publish(channel, EXCHANGES.events, 'interaction.button', `${index}`);
    };
    await expect(outcome()).rejects.toThrow(/nack/);
    const { messageCount } = await channel.checkQueue(QUEUES.interactions);
    expect(messageCount).toBeGreaterThanOrEqual(2);
    expect((await channel.checkQueue(QUEUES.deadLetters)).messageCount).toBe(0);
  });

  onBroker('of too many guild events the oldest are dead-lettered, and none is refused', async ({ scene, expect }) => {
    const { channel, apply } = scene;
    await apply({ guildEventsMaxMessages: 3 });
    for (const id of ['1', '2', '3', '4', '5']) await publish(channel, EXCHANGES.events, 'message.create', id, 1);
    const letters = await taken(channel, QUEUES.deadLetters, 2);
    expect(ids(letters)).toEqual(['1', '2']);
    expect(deaths(letters)[0]).toBe(`maxlen ${QUEUES.guildEvents} message.create`);
    expect(ids(await taken(channel, QUEUES.guildEvents, 3))).toEqual(['3', '4', '5']);
  });

  onBroker('a further queue gets its copy, and drops its oldest alone', async ({ scene, expect }) => {
    const { own, channel } = scene;
    const queues = { 'events.analytics': { keys: ['member.#', '#'], maxMessages: 1, maxBytes: 1024 ** 2 } };
    await apply(own, own.topology({ queues }));
    for (const id of ['1', '2']) await publish(channel, EXCHANGES.events, 'member.join', id, 5);
    expect(deaths(await taken(channel, QUEUES.deadLetters, 1))).toEqual(['maxlen events.analytics member.join']);
    expect(ids(await taken(channel, 'events.analytics', 1))).toEqual(['2']);
    expect(ids(await taken(channel, QUEUES.guildEvents, 2))).toEqual(['1', '2']);
  });

  onBroker(
    'a message whose workers end without an answer is dead-lettered at the delivery limit',
    async ({ scene, expect }) => {
      const { own, channel, apply } = scene;
      await apply({ deliveryLimit: 2 });
      await publish(channel, EXCHANGES.events, 'member.join', 'poison', 5);
      const worker = await own.connect('worker');
      let deliveries = 0;
      const watching = taken(channel, QUEUES.deadLetters, 1);
      const dying = (async () => {
        for (let dead = false; !dead; ) {
          dead = await deliveredOnce(worker, QUEUES.guildEvents, watching);
          if (!dead) deliveries += 1;
        }
      })();
      const letters = await watching;
      await dying;
      expect(ids(letters)).toEqual(['poison']);
      expect(deaths(letters)).toEqual([`delivery_limit ${QUEUES.guildEvents} member.join`]);
      expect(deliveries).toBe(3);
    },
  );

  onBroker('what a consumer rejects is dead-lettered, with its key', async ({ scene, expect }) => {
    const { own, channel, apply } = scene;
    await apply();
    for (const [user, exchange, queue, key] of [
      ['worker', EXCHANGES.events, QUEUES.gatewayEvents, 'gateway.gap'],
      ['ingestor', EXCHANGES.leases, leaseQueue(0), leaseQueue(0)],
      ['ingestor', EXCHANGES.commands, commandQueue(0), commandKey('all')],
    ] as const) {
      await channel.purgeQueue(queue);
      await publish(channel, exchange, key, 'rejected');
      const consumer = await (await own.connect(user)).createChannel();
      await consumer.consume(queue, (message) => message && consumer.nack(message, false, false));
      expect(deaths(await taken(channel, QUEUES.deadLetters, 1))).toEqual([`rejected ${queue} ${key}`]);
    }
  });

  for (const [what, user, exchange, queue] of [
    ['dead letters', 'deadLetters', EXCHANGES.deadLetter, QUEUES.deadLetters],
    ['group records', 'ingestor', EXCHANGES.leases, leaseQueue(0)],
  ] as const)
    onBroker(`${what} are delivered more often than any delivery limit`, async ({ scene, expect }) => {
      const { own, channel, apply } = scene;
      await apply({ deliveryLimit: 1 });
      await channel.purgeQueue(queue);
      await publish(channel, exchange, queue, 'kept');
      const connection = await own.connect(user);
      for (let round = 0; round < 25; round += 1) await deliveredOnce(connection, queue);
      expect(ids(await taken(channel, queue, 1))).toEqual(['kept']);
    });

  onBroker('what no queue is bound to waits in unrouted, and expires', async ({ scene, expect }) => {
    const { channel, apply } = scene;
    await apply({ deadLettersTtlMs: 60_000 });
    await publish(channel, EXCHANGES.events, 'voice.join', 'lost?');
    await publish(channel, EXCHANGES.commands, commandKey(1), 'a shard that there is not');
    expect(ids(await taken(channel, QUEUES.unrouted, 2))).toEqual(['lost?', 'a shard that there is not']);

    await apply({ deadLettersTtlMs: 500 });
    await publish(channel, EXCHANGES.events, 'voice.join', 'old');
    const { poll } = expect;
    await poll(async () => (await channel.checkQueue(QUEUES.unrouted)).messageCount, { timeout: 30_000 }).toBe(0);
    expect((await channel.checkQueue(QUEUES.deadLetters)).messageCount).toBe(0);
  });

  onBroker('an identify queue, which comes and goes with its task, is not reported', async ({ scene, expect }) => {
    const { own } = scene;
    await apply(own);
    const ingestor = await (await own.connect('ingestor')).createChannel();
    const queue = identifyQueue(0);
    await ingestor.assertQueue(queue, { exclusive: true, durable: false, arguments: { 'x-queue-type': 'classic' } });
    expect(await apply(own)).toMatchObject({ steps: [], unwanted: [] });
    const removing = held(own.api, own.topology(), { type: 'queue', name: queue });
    await expect(removing).rejects.toThrow(`queue ${queue}: there is none at this broker`);
  });
});
