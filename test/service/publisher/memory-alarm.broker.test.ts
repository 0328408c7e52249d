// A broker in memory alarm blocks publishers. The connection stays, the messages wait in the outbox, and all of them arrive
// when the alarm is over. On a node of its own, because the alarm blocks the whole node.

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RabbitMqNode } from '../../../local/rabbitmq/node.ts';
import { startRabbitMq } from '../../../local/rabbitmq.ts';
import { BrokerConnection } from '../../../service/amqp/connection.ts';
import { EXCHANGES } from '../../../service/contract/names.ts';
import { Publisher } from '../../../service/publisher/publisher.ts';
import { brokerClient, fixedLogin } from '../../support/broker-client.ts';
import { eventually, logLines } from '../../support/log-lines.ts';

let node: RabbitMqNode;

beforeAll(async () => {
  node = await startRabbitMq({ name: 'alarm' });
});

afterAll(async () => {
  await node.remove();
});

it('blocks, and everything waits and arrives in order when it is over', async () => {
  const broker = await brokerClient(node.amqpUrl());
  await broker.channel.assertExchange(EXCHANGES.events, 'topic');
  await broker.channel.assertQueue('everything', { arguments: { 'x-queue-type': 'quorum' } });
  await broker.channel.bindQueue('everything', EXCHANGES.events, '#');
  const lines = logLines();
  const connection = new BrokerConnection({ name: 'alarm', login: fixedLogin(node.amqpUrl()), log: lines.log });
  let flowing = 0;
  let refused = 0;
  const listener = {
    flowing: () => {
      flowing += 1;
    },
    published: () => undefined,
    confirmed: () => undefined,
    refused: () => {
      refused += 1;
    },
    returned: () => undefined,
  };
  const publisher = new Publisher(connection, listener, lines.log);
  const settled: number[] = [];
  const publish = (from: number, to: number) => {
    for (let id = from; id <= to; id += 1)
      publisher.publish(
        {
          routingKey: 'message.create',
          body: Buffer.from(String(id)),
          priority: 1,
          messageId: String(id),
          correlationId: String(id),
          type: 'message.create',
          timestamp: 1,
          headers: {},
        },
        () => settled.push(id),
      );
  };
  try {
    connection.start();
    publish(1, 100);
    await publisher.drained(AbortSignal.timeout(20_000));
    await node.memoryAlarm(true);
    // The broker reports it after a publish.
    publish(101, 101);
    await eventually('it is blocked', () => connection.blocked);
    expect(publisher).toMatchObject({ flowing: false, channelOpen: true });
    expect(connection.connected).toBe(true);
    publish(102, 5_000);
    expect(publisher.outbox.count).toBe(4_900);
    expect(await lines.line('the broker blocks publishers')).toMatchObject({ level: 'warn' });
    const before = flowing;
    await node.memoryAlarm(false);
    await publisher.drained(AbortSignal.timeout(30_000));
    expect(settled).toEqual(Array.from({ length: 5_000 }, (_, index) => index + 1));
    expect(connection).toMatchObject({ blocked: false, reconnects: 0 });
    expect(flowing).toBeGreaterThan(before);
    expect(refused).toBe(0);
    const read = await broker.read('everything');
    await eventually('all are there', () => read.length === 5_000);
    expect(read.map(({ content }) => Number(content))).toEqual(settled);
  } finally {
    publisher.close();
    await connection.close();
    await broker.close();
  }
});
