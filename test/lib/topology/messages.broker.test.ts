// What the policies do to messages on a real broker, with limits small enough to see it.

import type { Channel, ConfirmChannel, GetMessage } from 'amqplib';
import { describe, expect, test } from 'vitest';
import { applyTopology } from '../../../lib/topology/apply.ts';
import type { Limits } from '../../../lib/topology/topology.ts';
import { EXCHANGES, identifyQueue, leaseQueue, QUEUES } from '../../../service/contract/names.ts';
import { sharedBroker } from '../../support/broker.ts';
import { type OwnVhost, ownVhost } from '../../support/own-vhost.ts';

const { version } = sharedBroker();

interface Scene {
  readonly own: OwnVhost;
  /** The administrator's. */
  readonly channel: ConfirmChannel;
  apply(limits?: Partial<Limits>): Promise<void>;
}

const onBroker = test.extend<{ scene: Scene }>({
  scene: async ({ task: _ }, use) => {
    const own = await ownVhost('messages');
    const channel = await (await own.connect()).createConfirmChannel();
    const apply = async (limits: Partial<Limits> = {}) => {
      await applyTopology(own.api, own.topology({ limits }), { passwords: own.passwords });
    };
    await use({ own, channel, apply });
    await own.remove();
  },
});

async function publish(channel: ConfirmChannel, exchange: string, routingKey: string, id: string, priority?: number) {
  const properties = { persistent: true, messageId: id, ...(priority !== undefined && { priority }) };
  channel.publish(exchange, routingKey, Buffer.from(id), properties);
  await channel.waitForConfirms();
}

/** So many messages, as they come; the test's own deadline bounds it. */
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

const ids = (messages: readonly GetMessage[]) => messages.map(({ properties }) => String(properties.messageId));

/** Why, from where, and under which key a message was set aside. */
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
    'an interaction that nobody takes in time is set aside, whatever its priority',
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

  onBroker('an interaction that cannot be set aside is not dropped', async ({ scene, expect }) => {
    const { own, channel, apply } = scene;
    await apply({ interactionsTtlMs: 200 });
    await channel.unbindQueue(QUEUES.deadLetters, EXCHANGES.deadLetter, QUEUES.deadLetters);
    await publish(channel, EXCHANGES.events, 'interaction.button', 'expired', 8);
    // It is no longer ready, and the queue still has it, for the dead letters.
    const waiting = async () => await own.manage('GET', `queues/${own.vhost}/${QUEUES.interactions}`);
    await expect.poll(waiting, { timeout: 30_000 }).toMatchObject({ messages_ready: 0, messages_dlx: 1 });
  });

  onBroker('an interaction too many is refused, so that the ingestor keeps it', async ({ scene, expect }) => {
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

  onBroker('of too many guild events the oldest are set aside, and none is refused', async ({ scene, expect }) => {
    const { channel, apply } = scene;
    await apply({ guildEventsMaxMessages: 3 });
    for (const id of ['1', '2', '3', '4', '5']) await publish(channel, EXCHANGES.events, 'message.create', id, 1);
    const letters = await taken(channel, QUEUES.deadLetters, 2);
    expect(ids(letters)).toEqual(['1', '2']);
    expect(deaths(letters)[0]).toBe(`maxlen ${QUEUES.guildEvents} message.create`);
    expect(ids(await taken(channel, QUEUES.guildEvents, 3))).toEqual(['3', '4', '5']);
  });

  onBroker('a message that workers die of is set aside after so many deliveries', async ({ scene, expect }) => {
    const { own, channel, apply } = scene;
    await apply({ deliveryLimit: 2 });
    await publish(channel, EXCHANGES.events, 'member.join', 'poison', 5);
    const worker = await own.connect('worker');
    let deliveries = 0;
    const watching = taken(channel, QUEUES.deadLetters, 1);
    const dying = (async () => {
      for (let dead = false; !dead; ) {
        const dies = await worker.createChannel();
        const delivered = Promise.withResolvers<void>();
        await dies.consume(QUEUES.guildEvents, () => delivered.resolve());
        dead = await Promise.race([delivered.promise.then(() => false), watching.then(() => true)]);
        if (!dead) deliveries += 1;
        await dies.close();
      }
    })();
    const letters = await watching;
    await dying;
    expect(ids(letters)).toEqual(['poison']);
    expect(deaths(letters)).toEqual([`delivery_limit ${QUEUES.guildEvents} member.join`]);
    expect(deliveries).toBe(3);
  });

  onBroker('what a worker rejects is set aside, under its key', async ({ scene, expect }) => {
    const { own, channel, apply } = scene;
    await apply();
    await publish(channel, EXCHANGES.events, 'gateway.gap', 'rejected', 5);
    const worker = await (await own.connect('worker')).createChannel();
    await worker.consume(QUEUES.gatewayEvents, (message) => message && worker.nack(message, false, false));
    const letters = await taken(channel, QUEUES.deadLetters, 1);
    expect(deaths(letters)).toEqual([`rejected ${QUEUES.gatewayEvents} gateway.gap`]);
  });

  onBroker('a dead letter is given back as often as anybody likes', async ({ scene, expect }) => {
    const { own, channel, apply } = scene;
    await apply({ deliveryLimit: 1 });
    await publish(channel, EXCHANGES.deadLetter, QUEUES.deadLetters, 'kept');
    const reader = await own.connect('deadLetters');
    for (let round = 0; round < 25; round += 1) {
      const dies = await reader.createChannel();
      const delivered = Promise.withResolvers<void>();
      await dies.consume(QUEUES.deadLetters, () => delivered.resolve());
      await delivered.promise;
      await dies.close();
    }
    expect(ids(await taken(channel, QUEUES.deadLetters, 1))).toEqual(['kept']);
  });

  onBroker('a session record is handed over more often than any delivery limit', async ({ scene, expect }) => {
    const { own, channel, apply } = scene;
    await apply({ deliveryLimit: 1 });
    await publish(channel, EXCHANGES.leases, leaseQueue(0), 'record');
    const ingestor = await own.connect('ingestor');
    for (let round = 0; round < 25; round += 1) {
      const dies = await ingestor.createChannel();
      const delivered = Promise.withResolvers<void>();
      await dies.consume(leaseQueue(0), () => delivered.resolve());
      await delivered.promise;
      await dies.close();
    }
    expect(ids(await taken(channel, leaseQueue(0), 1))).toEqual(['record']);
  });

  onBroker('a session record that cannot be read is set aside', async ({ scene, expect }) => {
    const { own, channel, apply } = scene;
    await apply();
    await publish(channel, EXCHANGES.leases, leaseQueue(0), 'unreadable');
    const ingestor = await (await own.connect('ingestor')).createChannel();
    await ingestor.consume(leaseQueue(0), (message) => message && ingestor.nack(message, false, false));
    expect(ids(await taken(channel, QUEUES.deadLetters, 1))).toEqual(['unreadable']);
  });

  onBroker('what no queue wants waits in unrouted, and goes in time', async ({ scene, expect }) => {
    const { channel, apply } = scene;
    await apply({ setAsideTtlMs: 60_000 });
    await publish(channel, EXCHANGES.events, 'voice.join', 'lost?');
    expect(ids(await taken(channel, QUEUES.unrouted, 1))).toEqual(['lost?']);

    await apply({ setAsideTtlMs: 500 });
    await publish(channel, EXCHANGES.events, 'voice.join', 'old');
    const { poll } = expect;
    await poll(async () => (await channel.checkQueue(QUEUES.unrouted)).messageCount, { timeout: 30_000 }).toBe(0);
    expect((await channel.checkQueue(QUEUES.deadLetters)).messageCount).toBe(0);
  });

  onBroker('an identify queue is an exclusive classic queue that no policy touches', async ({ scene, expect }) => {
    const { own, apply } = scene;
    await apply();
    const ingestor = await (await own.connect('ingestor')).createChannel();
    const queue = identifyQueue(0);
    await ingestor.assertQueue(queue, { exclusive: true, durable: false, arguments: { 'x-queue-type': 'classic' } });
    const found = await own.manage('GET', `queues/${own.vhost}/${queue}`);
    expect(found).toMatchObject({ type: 'classic', exclusive: true });
    expect((found as { policy?: string | null }).policy ?? null).toBeNull();
    // It comes and goes with its task, so that it is nothing to tell of.
    const report = await applyTopology(own.api, own.topology(), { passwords: own.passwords });
    expect(report).toMatchObject({ steps: [], leftAlone: [] });
  });
});

test('each queue is under the policy that is meant for it, as the broker sees it', async () => {
  const own = await ownVhost('policies');
  try {
    await applyTopology(own.api, own.topology(), { passwords: own.passwords });
    const governing = async () => {
      const queues = (await own.manage('GET', `queues/${own.vhost}`)) as { name: string; policy?: string }[];
      return Object.fromEntries(queues.map(({ name, policy }) => [name, policy]));
    };
    // A queue that was just declared says it only with its first figures.
    await expect.poll(governing, { timeout: 30_000 }).toEqual({
      [QUEUES.interactions]: QUEUES.interactions,
      [QUEUES.guildEvents]: QUEUES.guildEvents,
      [QUEUES.gatewayEvents]: QUEUES.gatewayEvents,
      [QUEUES.deadLetters]: 'set-aside',
      [QUEUES.unrouted]: 'set-aside',
      [leaseQueue(0)]: 'leases',
    });
  } finally {
    await own.remove();
  }
});
