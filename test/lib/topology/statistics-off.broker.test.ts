// A broker that keeps no statistics says nothing of messages and consumers: neither a plan nor a removal by hand takes
// that for an empty queue.

import { connect } from 'amqplib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import { applyTopology } from '../../../lib/topology/apply.ts';
import { held } from '../../../lib/topology/removal.ts';
import { discordTopology } from '../../../lib/topology/topology.ts';
import type { RabbitMqNode } from '../../../local/rabbitmq/node.ts';
import { startRabbitMq } from '../../../local/rabbitmq.ts';
import { EXCHANGES, leaseQueue, VHOST } from '../../../service/contract/names.ts';

const PASSWORDS = { ingestor: 'one', worker: 'two', 'dead-letters': 'three' };
let broker: RabbitMqNode;
let api: ManagementApi;

beforeAll(async () => {
  broker = await startRabbitMq({ name: 'statistics' });
  await broker.ctl(
    'eval',
    `application:set_env(rabbitmq_management_agent, disable_metrics_collector, true),
     [ok = application:stop(App) || App <- [rabbitmq_management, rabbitmq_management_agent]],
     [ok = application:start(App) || App <- [rabbitmq_management_agent, rabbitmq_management]].`,
  );
  const { managementUrl: url, username, password } = broker;
  api = new ManagementApi({ url, username, password });
});
afterAll(async () => {
  api.close();
  await broker.remove();
});

test('a lease queue beyond the groups keeps its record, and what it holds is unknown', async () => {
  await applyTopology(api, discordTopology({ shardGroups: 2 }), { passwords: PASSWORDS });
  const connection = await connect(broker.amqpUrl({ username: 'ingestor', password: 'one', vhost: VHOST }));
  const channel = await connection.createConfirmChannel();
  channel.publish(EXCHANGES.leases, leaseQueue(1), Buffer.from('a record'), { persistent: true });
  await channel.waitForConfirms();
  expect(await api.queueStatistics(VHOST, leaseQueue(1))).toEqual({});

  const wanted = discordTopology({ shardGroups: 1 });
  const report = await applyTopology(api, wanted, { passwords: PASSWORDS });
  expect(report.steps).toEqual([]);
  expect(report.unwanted).toEqual([{ type: 'queue', name: leaseQueue(1) }]);
  expect((await channel.checkQueue(leaseQueue(1))).messageCount).toBe(1);
  expect(await held(api, wanted, { type: 'queue', name: leaseQueue(1) })).toEqual([
    'messages: unknown',
    'consumers: unknown',
    `binding ${EXCHANGES.leases} → ${leaseQueue(1)} ('${leaseQueue(1)}')`,
  ]);
  await connection.close();
});
