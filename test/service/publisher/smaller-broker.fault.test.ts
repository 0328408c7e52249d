// A broker that takes less than the service publishes: an own one with Amazon MQ's default, not the deployed one. It closes
// the channel over each larger message, and names its limit. The service learns it: such messages are compressed, and parted
// where that is not enough; 0 are lost, and nothing is refused, so that no deployment is rolled back for it.

import { randomBytes } from 'node:crypto';
import amqplib, { type ChannelModel, type ConsumeMessage } from 'amqplib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RabbitMq } from '../../../local/rabbitmq/node.ts';
import { startRabbitMq } from '../../../local/rabbitmq.ts';
import { WholeBody } from '../../../local/whole-body.ts';
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

test('each message that is too large for it arrives smaller, in its place', async () => {
  expect(LIMIT).toBeLessThan(MAX_MESSAGE_BYTES);
  const channel = await administrator.createChannel();
  await channel.assertExchange(EXCHANGES.events, 'topic');
  await channel.assertQueue('all', { arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue('all', EXCHANGES.events, '#');
  const arrived: [sequence: number, bytes: number][] = [];
  const whole = new WholeBody();
  const take = (message: ConsumeMessage) => {
    const body = whole.of(message);
    if (body !== undefined) arrived.push([message.properties.headers?.['x-sequence'], body.length]);
  };
  await channel.consume('all', (message) => message && take(message), { noAck: true });

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
  const sizes = [10, LIMIT, LIMIT + 1, 20, 2 * MAX_MESSAGE_BYTES, 30, LIMIT + 1, 40];
  for (const [id, size] of sizes.entries()) {
    const names = {
      messageId: String(id),
      correlationId: 'c',
      type: 'interaction.modal',
      routingKey: 'interaction.modal',
      queue: QUEUES.interactions,
    };
    // Every other cannot be compressed below the limit.
    const body = id % 4 === 0 ? Buffer.from(randomBytes(size).toString('hex').slice(0, size)) : Buffer.alloc(size, 'x');
    publisher.publish({ ...names, body, priority: 7, timestamp: 1, headers: { 'x-sequence': id } }, () =>
      settled.push(String(id)),
    );
  }
  await publisher.drained(AbortSignal.timeout(60_000));
  expect(settled.toSorted()).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
  const seen = () => [...new Map(arrived)];
  await eventually('they arrive', () => seen().length === sizes.length);
  expect(seen()).toEqual([...sizes.entries()]);
  expect(counts).toEqual({ dropped: 0, refused: 0, returned: 0 });
  expect(await lines.line('max_message_size is smaller than ours')).toMatchObject({ mostBytes: LIMIT });
  expect(connection.reconnects).toBe(0);
  publisher.close();
  await connection.close();
});
