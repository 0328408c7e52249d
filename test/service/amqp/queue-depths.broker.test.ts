// How many messages are ready, by the real broker.

import { once } from 'node:events';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { BrokerConnection } from '../../../service/amqp/connection.ts';
import { QueueDepths } from '../../../service/amqp/queue-depths.ts';
import { makeVhost, type Vhost } from '../../support/broker.ts';
import { type BrokerClient, brokerClient, fixedLogin, makeUser, type User } from '../../support/broker-client.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';
import { SilentProxy } from '../../support/silent-proxy.ts';

let vhost: Vhost;
let user: User;
let broker: BrokerClient;
let line: SilentProxy;
let lines: LogLines;
let connection: BrokerConnection;
let depths: QueueDepths;

beforeEach(async () => {
  vhost = await makeVhost('depths');
  user = await makeUser(vhost);
  broker = await brokerClient(vhost.url());
  lines = logLines();
  const url = new URL(user.url);
  line = await SilentProxy.start(Number(url.port));
  url.port = String(line.port);
  connection = new BrokerConnection({ name: 'depths', login: fixedLogin(url.href), log: lines.log });
  depths = new QueueDepths(connection, ['first', 'second', 'third'], lines.log);
});

afterEach(async () => {
  depths.stop();
  await connection.close();
  await line.stop();
  await broker.close();
  await user.remove();
  await vhost.remove();
});

async function fill(queue: string, count: number): Promise<void> {
  await broker.channel.assertQueue(queue, { arguments: { 'x-queue-type': 'classic' } });
  for (let index = 0; index < count; index += 1) broker.channel.sendToQueue(queue, Buffer.from('x'));
  // Answered in order: then the messages are in.
  await eventually(`${count} in ${queue}`, async () => (await broker.channel.checkQueue(queue)).messageCount === count);
}

it('has no depth of a queue that is missing, knows the others, and logs it once', async () => {
  await fill('first', 3);
  await fill('third', 1);
  connection.start();
  await eventually('the others are known', () => depths.depths.size === 2);
  expect(Object.fromEntries(depths.depths)).toEqual({ first: 3, third: 1 });
  expect(await lines.line('cannot ask for the depth of a queue')).toMatchObject({ queue: 'second', level: 'warn' });
  const lost = once(connection, 'lost');
  await user.dropConnections();
  await lost;
  // Missing data, not the last values.
  expect(depths.depths.size).toBe(0);
  await eventually('they are known again', () => depths.depths.size === 2);
  expect(lines.lines.filter(({ msg }) => msg.includes('cannot ask'))).toHaveLength(1);
});

it('a queue whose node does not answer has no depth after 2 s, and is asked again on another channel', async () => {
  for (const queue of ['first', 'second', 'third']) await fill(queue, 1);
  const timer = vi.spyOn(globalThis, 'setInterval');
  depths.start();
  const [ask = () => undefined] = timer.mock.lastCall ?? [];
  timer.mockRestore();
  connection.start();
  await eventually('all are known', () => depths.depths.size === 3);
  line.silence();
  ask();
  await eventually('none is known', () => depths.depths.size === 0);
  expect(await lines.line('cannot ask for the depth of a queue')).toMatchObject({
    err: { message: 'the broker did not answer within 2 s' },
  });
  line.heal();
  ask();
  await eventually('all are known again', () => depths.depths.size === 3);
  expect([connection.reconnects, lines.lines.filter(({ msg }) => msg.includes('cannot ask')).length]).toEqual([0, 1]);
});
