// A connection that confirms nothing, on a real RabbitMQ of its own: a line that swallows everything, and a quorum queue
// whose Raft process is suspended, which is what publishers see of one without a majority.

import { once } from 'node:events';
import type { ChannelModel, ConfirmChannel } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { RabbitMq } from '../../../local/rabbitmq/node.ts';
import { startRabbitMq } from '../../../local/rabbitmq.ts';
import { ConfirmDeadline, publishClaim } from '../../../service/amqp/confirm-deadline.ts';
import { BrokerConnection } from '../../../service/amqp/connection.ts';
import { EXCHANGES, LEASE_QUEUE_ARGUMENTS, leaseQueue, VHOST } from '../../../service/contract/names.ts';
import { putVhost } from '../../support/broker.ts';
import { type BrokerClient, brokerClient, fixedLogin } from '../../support/broker-client.ts';
import { raft } from '../../support/broker-faults.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';
import { SilentProxy } from '../../support/silent-proxy.ts';

let broker: RabbitMq;
let url: string;
let line: SilentProxy;
let client: BrokerClient;
let lines: LogLines;
let connection: BrokerConnection;
let channel: ConfirmChannel;
let deadline: ConfirmDeadline<ChannelModel>;
let stuck: number;

beforeAll(async () => {
  broker = await startRabbitMq({ name: 'confirms' });
  await putVhost(VHOST, broker);
  url = broker.amqpUrl({ username: broker.username, password: broker.password, vhost: VHOST });
  client = await brokerClient(url);
  await client.channel.assertExchange(EXCHANGES.leases, 'direct');
  for (const queue of [leaseQueue(0), 'events'])
    await client.channel.assertQueue(queue, { arguments: { ...LEASE_QUEUE_ARGUMENTS } });
  await client.channel.bindQueue(leaseQueue(0), EXCHANGES.leases, leaseQueue(0));
});
afterAll(async () => {
  await client?.close();
  await broker?.remove();
});

beforeEach(async () => {
  [stuck, lines, line] = [0, logLines(), await SilentProxy.start(broker.amqpPort)];
  const login = fixedLogin(url.replace(`:${broker.amqpPort}`, `:${line.port}`));
  connection = new BrokerConnection({ name: 'tested', login, log: lines.log });
  deadline = new ConfirmDeadline({
    ...{ connection, log: lines.log, firstMs: 1_000 },
    claim: (model) => publishClaim(model, 0),
    onStuck: () => {
      stuck += 1;
    },
  });
  connection.start();
  const [model] = await once(connection, 'open');
  channel = await model.createConfirmChannel();
  channel.on('error', () => undefined);
});
afterEach(async () => {
  await connection.close();
  await line.stop();
});

/** Resolves with the error, or null, when the broker has answered or the connection has ended. */
function publish(): Promise<unknown> {
  const answered = new Promise((resolve) => channel.sendToQueue('events', Buffer.from('x'), {}, resolve));
  deadline.written();
  return answered;
}

const claims = async () => (await client.channel.checkQueue(leaseQueue(0))).messageCount;

it('a line that swallows everything: the connection ends with the reason after both deadlines, and the next one works', async () => {
  line.silence();
  const started = performance.now();
  const answer = publish();
  const [cause] = await once(connection, 'lost');
  const waited = performance.now() - started;
  expect([String(await answer), stuck, String(cause)]).toEqual([
    'Error: channel closed',
    0,
    'Error: nothing was confirmed for 1 s; a claim was not confirmed within 1 s',
  ]);
  expect(waited).toBeGreaterThan(1_990);
  // Heartbeats would take 20 s.
  expect(waited).toBeLessThan(8_000);
  line.heal();
  if (!connection.connected) await once(connection, 'open');
  expect(lines.lines.map(({ msg }) => msg)).toEqual([
    'connected to the broker',
    'the broker confirms nothing: connecting again',
    'the connection to the broker was lost',
    'connected to the broker',
  ]);
});

it('a stuck queue: the connection stays and is asked again, the stuck queue is reported once, and so is the next', async () => {
  await raft(broker, 'suspend', 'events');
  let lost = 0;
  connection.on('lost', () => {
    lost += 1;
  });
  const before = await claims();
  const answer = publish();
  await eventually('three claims were confirmed', async () => (await claims()) >= before + 3);
  expect([stuck, deadline.stuck, lost]).toEqual([1, true, 0]);
  await raft(broker, 'resume', 'events');
  expect(await answer).toBeNull();
  deadline.confirmed(0);
  expect([deadline.stuck, connection.reconnects]).toEqual([false, 0]);
  await raft(broker, 'suspend', 'events');
  const next = publish();
  await eventually('it is reported again', () => stuck === 2);
  await raft(broker, 'resume', 'events');
  expect(await next).toBeNull();
});

it('a stuck lease queue too, or none that takes the claim: nothing shows a majority, and the connection ends', async () => {
  await raft(broker, 'suspend', 'events', leaseQueue(0));
  const answer = publish();
  const [cause] = await once(connection, 'lost');
  expect(String(cause)).toMatch(/a claim was not confirmed within/);
  expect(await answer).not.toBeNull();
  await raft(broker, 'resume', 'events', leaseQueue(0));
  await expect(publishClaim(client.model, 7)).rejects.toThrow(`no queue takes a claim of ${leaseQueue(7)}`);
});
