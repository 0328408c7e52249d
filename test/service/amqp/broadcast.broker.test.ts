// Messages to all tasks, on the real broker: they arrive, and each outage of the channel that publishes is a line of its own.

import { expect, it, onTestFinished } from 'vitest';
import { Broadcast } from '../../../service/amqp/broadcast.ts';
import { BrokerConnection } from '../../../service/amqp/connection.ts';
import { makeVhost } from '../../support/broker.ts';
import { brokerClient, fixedLogin } from '../../support/broker-client.ts';
import { eventually, logLines } from '../../support/log-lines.ts';

it('what is published arrives; a closed channel is logged again after another connection', async () => {
  const vhost = await makeVhost('broadcast');
  const client = await brokerClient(vhost.url());
  const lines = logLines();
  const connectionOf = (name: string) => new BrokerConnection({ name, login: fixedLogin(vhost.url()), log: lines.log });
  const [receiving, publishing] = [connectionOf('receiving'), connectionOf('publishing')];
  const received: string[] = [];
  const broadcast = new Broadcast({
    ...{ receiving, publishing, exchange: 'tasks', queue: 'one', routingKeys: ['all'], log: lines.log },
    onOpen: () => undefined,
    onMessage: (body) => received.push(body.toString()),
  });
  onTestFinished(async () => {
    await broadcast.close();
    await Promise.all([receiving.close(), publishing.close(), client.close()]);
    await vhost.remove();
  });
  await client.channel.assertExchange('tasks', 'direct');
  receiving.start();
  publishing.start();
  const closed = () => lines.lines.filter(({ msg }) => msg.includes('opening another'));
  for (const outages of [1, 2]) {
    await eventually('it arrives', () => {
      broadcast.publish('all', Buffer.from(`${outages}`));
      return received.includes(`${outages}`);
    });
    await client.channel.deleteExchange('tasks');
    // Its queue is still consumed: only the channel that publishes meets the missing exchange.
    await eventually('the channel is closed', () => {
      broadcast.publish('all', Buffer.from('lost'));
      return closed().length === outages;
    });
    await client.channel.assertExchange('tasks', 'direct');
    for (const connection of [receiving, publishing]) connection.fail('ended by the test');
    await eventually('the next connection', () => publishing.connected);
  }
  expect(closed().map(({ failures }) => failures)).toEqual([1, 1]);
});
