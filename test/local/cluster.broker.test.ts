// A cluster of three: one address in front of nodes that go one by one, queues with three replicas, and nothing left.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { RabbitMqCluster } from '../../local/rabbitmq/cluster.ts';
import { startRabbitMq } from '../../local/rabbitmq.ts';
import { manage } from '../support/broker.ts';

const QUEUE = 'kept';
const QUORUM = { 'x-queue-type': 'quorum' };
const LAUNCHER = new URL('../../local/rabbitmq.ts', import.meta.url).href;
/** Network namespaces, and processes whose traces can be read. */
const linux = process.platform === 'linux' && process.env.RABBITMQ_FROM !== 'docker';

describe.runIf(linux)('a cluster of three nodes', () => {
  let cluster: RabbitMqCluster;
  beforeAll(async () => {
    const started = await startRabbitMq({ nodes: 3, name: 'cluster' });
    if (!(started instanceof RabbitMqCluster)) throw new Error('expected a cluster');
    cluster = started;
  });
  afterAll(async () => await cluster?.remove());

  test('keeps what is confirmed, and confirms more, while any one of its nodes is killed', async () => {
    let sent = 0;
    for (const node of cluster.nodes) {
      sent += await publish(cluster.amqpUrl(), 10);
      await node.kill();
      // Through the same address, where every third connection would go to that node.
      for (let times = 0; times < 3; times += 1) sent += await publish(cluster.amqpUrl(), 10);
      await node.start();
    }
    const found = (await manage('GET', `/api/queues/%2F/${QUEUE}`, undefined, cluster)) as { members: string[] };
    expect(found.members.toSorted()).toEqual(cluster.nodes.map(({ name }) => name));
    const model = await connect(cluster.amqpUrl());
    const { messageCount } = await (await model.createChannel()).checkQueue(QUEUE);
    await model.close();
    expect(messageCount).toBe(sent);
  });

  test('a node that is cut off from its peers answers, and confirms nothing until it is healed', async (context) => {
    context.skip(cluster.obstacle !== undefined, cluster.obstacle);
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('a cluster has nodes');
    const model = await connect(node.amqpUrl());
    const channel = await model.createConfirmChannel();
    const confirmed = async () => {
      channel.sendToQueue(QUEUE, Buffer.from('cut off'), { persistent: true });
      await channel.waitForConfirms();
      return 'confirmed';
    };
    await channel.assertQueue(QUEUE, { arguments: QUORUM });
    expect(await confirmed()).toBe('confirmed');
    await cluster.cut(node, 'its peers');
    const late = confirmed();
    expect(await Promise.race([late, sleep(3_000, 'nothing')])).toBe('nothing');
    expect(await channel.checkQueue(QUEUE)).toBeDefined();
    await cluster.heal();
    expect(await late).toBe('confirmed');
    await model.close();
  });
});

test.runIf(linux)('nothing is left of a cluster whose owner is killed with -9', async () => {
  const script = `
    import { startRabbitMq } from ${JSON.stringify(LAUNCHER)};
    await startRabbitMq({ nodes: 3, name: 'orphans' });
    console.log('started');
    process.stdin.once('data', () => process.kill(process.pid, 'SIGKILL'));`;
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'ignore'] });
  await once(createInterface(owner.stdout), 'line');
  // Nodes, epmd, and what holds the network namespaces.
  const children = processes().filter(({ parent, home }) => parent === owner.pid && home.includes('/ingestor-'));
  const folders = new Set(children.map(({ home }) => home));
  expect(folders.size).toBeGreaterThanOrEqual(3);
  const exit = once(owner, 'exit');
  owner.stdin.write('now\n');
  await exit;
  const left = () => ({
    processes: processes().filter(({ home }) => folders.has(home)),
    folders: [...folders].filter((folder) => existsSync(folder)),
  });
  await vi.waitFor(() => expect(left()).toEqual({ processes: [], folders: [] }), { timeout: 30_000, interval: 100 });
});

/** Messages with confirms to a quorum queue. @returns how many were confirmed */
async function publish(url: string, count: number): Promise<number> {
  const model = await connect(url);
  const channel = await model.createConfirmChannel();
  await channel.assertQueue(QUEUE, { arguments: QUORUM });
  for (let sent = 0; sent < count; sent += 1) channel.sendToQueue(QUEUE, Buffer.from('kept'), { persistent: true });
  await channel.waitForConfirms();
  await model.close();
  return count;
}

function processes(): { parent: number; home: string }[] {
  const read = (pid: string, file: string) => readFileSync(`/proc/${pid}/${file}`, 'latin1');
  return readdirSync('/proc').flatMap((pid) => {
    try {
      if (!/^\d+$/.test(pid)) return [];
      const [, parent] = /^\d+ \(.*\) \S (\d+)/s.exec(read(pid, 'stat')) ?? [];
      return [{ parent: Number(parent), home: /(?:^|\0)HOME=([^\0]*)/.exec(read(pid, 'environ'))?.[1] ?? '' }];
    } catch {
      return []; // It ended meanwhile.
    }
  });
}
