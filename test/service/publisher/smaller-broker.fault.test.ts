// A broker that takes less than the service publishes: an own one with Amazon MQ's default, not the deployed one. It closes
// the channel over each larger message, and names its limit. The service learns it: such messages are dropped, counted
// apart and logged; 0 others are lost, and nothing is refused, so that no deployment is rolled back for it.

import amqplib, { type ChannelModel } from 'amqplib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RabbitMq } from '../../../local/rabbitmq/node.ts';
import { startRabbitMq } from '../../../local/rabbitmq.ts';
import { BrokerConnection } from '../../../service/amqp/connection.ts';
import { MAX_MESSAGE_BYTES } from '../../../service/contract/limits.ts';
import { EXCHANGES, QUEUES } from '../../../service/contract/names.ts';
import { Publisher } from '../../../service/publisher/publisher.ts';
import { fixedLogin } from '../../support/broker-client.ts';
import { eventually, logLines } from '../../support/log-lines.ts';

const LIMIT = 524_288;
const lines = logLines();
let node: RabbitMq;
let administrator: ChannelModel;

beforeAll(async () => {
  node = await startRabbitMq({ log: () => undefined });
  await node.ctl('eval', `persistent_term:put(max_message_size, ${LIMIT}).`);
  administrator = await amqplib.connect(node.amqpUrl());
});
afterAll(async () => {
  await administrator?.close();
  await node?.remove();
});

test('each message that is too large for it is dropped, once; the others arrive in order', async () => {
  expect(LIMIT).toBeLessThan(MAX_MESSAGE_BYTES);
  const channel = await administrator.createChannel();
  await channel.assertExchange(EXCHANGES.events, 'topic');
  await channel.assertQueue('all', { arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue('all', EXCHANGES.events, '#');
  const arrived: unknown[] = [];
  await channel.consume('all', (message) => arrived.push(message?.properties.messageId), { noAck: true });

  const counts = { dropped: 0, refused: 0, returned: 0 };
  const ignore = () => undefined;
  const connection = new BrokerConnection({ name: 'smaller', login: fixedLogin(node.amqpUrl()), log: lines.log });
  const publisher = new Publisher({
    connection,
    deadline: { written: ignore, confirmed: ignore, stuck: false },
    listener: {
      ...{ flowing: ignore, published: ignore, confirmed: ignore },
      dropped: () => (counts.dropped += 1),
      refused: () => (counts.refused += 1),
      returned: () => (counts.returned += 1),
    },
    log: lines.log,
  });
  connection.start();
  await eventually('a channel is open', () => publisher.channelOpen);
  const settled: string[] = [];
  const sizes = [10, LIMIT, LIMIT + 1, 20, MAX_MESSAGE_BYTES, 30, LIMIT + 1, 40];
  for (const [id, size] of sizes.entries()) {
    const names = {
      messageId: String(id),
      correlationId: 'c',
      type: 'interaction.modal',
      routingKey: 'interaction.modal',
      queue: QUEUES.interactions,
    };
    publisher.publish({ ...names, body: Buffer.alloc(size), priority: 7, timestamp: 1, headers: {} }, () =>
      settled.push(String(id)),
    );
  }
  await publisher.drained(AbortSignal.timeout(60_000));
  expect(settled.toSorted()).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
  await eventually('they arrive', () => new Set(arrived).size === 5);
  expect([...new Set(arrived)]).toEqual(['0', '1', '3', '5', '7']);
  expect(counts).toEqual({ dropped: 3, refused: 0, returned: 0 });
  expect(await lines.line('max_message_size is smaller than ours')).toMatchObject({ mostBytes: LIMIT });
  const dropped = lines.lines.filter(({ msg }) => msg.includes('too large for the broker'));
  expect(dropped.map(({ eventId, mostBytes }) => [eventId, mostBytes])).toEqual([
    ['2', LIMIT],
    ['4', LIMIT],
    ['6', LIMIT],
  ]);
  // Known from now on.
  publisher.publish(
    {
      ...{ messageId: '8', correlationId: 'c', type: 't', routingKey: 't', queue: QUEUES.interactions },
      body: Buffer.alloc(LIMIT + 1),
      priority: 7,
      timestamp: 1,
      headers: {},
    },
    () => settled.push('8'),
  );
  expect(settled.at(-1)).toBe('8');
  expect(connection.reconnects).toBe(0);
  publisher.close();
  await connection.close();
});
