// An owner that cannot store its record for longer than the broker's consumer timeout, as in a long memory alarm: it
// acknowledges nothing meanwhile. The broker's default is made 1 s here. An event that is not acknowledged in time goes
// to another worker; the record of a shard group stays with its owner, until the owner goes.

import { type Channel, type ChannelModel, connect } from 'amqplib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import { applyTopology } from '../../../lib/topology/apply.ts';
import { discordTopology } from '../../../lib/topology/topology.ts';
import type { RabbitMq } from '../../../local/rabbitmq/node.ts';
import { startRabbitMq } from '../../../local/rabbitmq.ts';
import { EXCHANGES, leaseQueue, QUEUES } from '../../../service/contract/names.ts';

const { vhost } = discordTopology();
const connections: ChannelModel[] = [];
let node: RabbitMq;

beforeAll(async () => {
  node = await startRabbitMq({ name: 'timeout' });
  // Before RabbitMQ 4.3 a channel looks for it only at its tick, once a minute.
  const settings = { consumer_timeout: 1_000, channel_tick_interval: 500 };
  for (const [name, value] of Object.entries(settings))
    await node.ctl('eval', `application:set_env(rabbit, ${name}, ${value}).`);
  const api = new ManagementApi({ url: node.managementUrl, username: node.username, password: node.password });
  await applyTopology(api, discordTopology(), { passwords: {} });
  api.close();
});
afterAll(async () => {
  for (const connection of connections) await connection.close().catch(() => undefined);
  await node?.remove();
});

interface Consumer {
  readonly connection: ChannelModel;
  readonly channel: Channel;
  readonly delivered: Promise<void>;
  /** The broker ended it: it cancels a consumer, before 4.3 it closes the channel. */
  readonly ended: Promise<void>;
}

/** One that acknowledges nothing. */
async function consume(
  queue: string,
  seen: (what: 'delivered' | 'ended') => void = () => undefined,
): Promise<Consumer> {
  const { username, password } = node;
  const connection = await connect(node.amqpUrl({ username, password, vhost }));
  connections.push(connection);
  const channel = await connection.createChannel();
  const [delivered, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const settle = (what: 'delivered' | 'ended') => {
    seen(what);
    (what === 'ended' ? ended : delivered).resolve();
  };
  channel.on('error', () => settle('ended'));
  await channel.consume(queue, (message) => settle(message === null ? 'ended' : 'delivered'));
  return { connection, channel, delivered: delivered.promise, ended: ended.promise };
}

test('a record that is not acknowledged for longer stays with its owner, and goes on when the owner goes', async () => {
  const seen: string[] = [];
  const owner = await consume(leaseQueue(0), (what) => seen.push(`owner: ${what}`));
  await owner.delivered;
  const standby = await consume(leaseQueue(0), (what) => seen.push(`standby: ${what}`));

  const worker = await consume(QUEUES.guildEvents);
  const other = await consume(QUEUES.guildEvents);
  owner.channel.publish(EXCHANGES.events, 'member.join', Buffer.from('event'), { persistent: true });
  // Whoever has the event first is too late with it, and the other one has it next. RabbitMQ 4.3 may notice only at the next
  // message that this one is too late as well.
  await Promise.all([worker.delivered, other.delivered, Promise.race([worker.ended, other.ended])]);
  expect(seen).toEqual(['owner: delivered']);

  await owner.connection.close();
  await standby.delivered;
  expect(seen).toEqual(['owner: delivered', 'standby: delivered']);
});
