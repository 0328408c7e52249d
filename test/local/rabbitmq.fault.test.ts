// The launcher with a real RabbitMQ: where a node listens, one address in front of a cluster whose nodes are killed in turn, and
// that nothing is left at the end. test/faults/ tests that a node keeps its messages while it is stopped, killed or frozen.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'amqplib';
import { expect, onTestFinished, test, vi } from 'vitest';
import { RabbitMqCluster } from '../../local/rabbitmq/cluster.ts';
import type { RabbitMq } from '../../local/rabbitmq/node.ts';
import { freePorts } from '../../local/rabbitmq/ports.ts';
import { startRabbitMq } from '../../local/rabbitmq.ts';
import { manage } from '../support/broker.ts';
import { silentServer } from '../support/fake-servers.ts';

const LAUNCHER = new URL('../../local/rabbitmq.ts', import.meta.url).href;
const QUORUM = { 'x-queue-type': 'quorum' };
/** The tests read processes from /proc. */
const linux = process.platform === 'linux';
/** Clusters need network namespaces. */
const clusters = linux && process.env.RABBITMQ_FROM !== 'docker';

const inDocker = (node: RabbitMq): boolean => node.origin.startsWith('Docker');

/** The node, epmd, Erlang's child processes, and those that keep network namespaces: all have our folder as HOME. */
function processes(): { parent: number; home: string }[] {
  const read = (pid: string, file: string) => readFileSync(`/proc/${pid}/${file}`, 'latin1');
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const [, parent] = /^\d+ \(.*\) \S (\d+)/s.exec(read(pid, 'stat')) ?? [];
      const [, home = ''] = /(?:^|\0)HOME=([^\0]*)/.exec(read(pid, 'environ')) ?? [];
      return home.includes('/ingestor-') ? [{ parent: Number(parent), home }] : [];
    } catch {
      return []; // No process, or it ended meanwhile.
    }
  });
}

/** The folders of the brokers that this process has started. */
const foldersOf = (owner: number | undefined) =>
  new Set(processes().flatMap(({ parent, home }) => (parent === owner ? home : [])));

/** @param name prefix of the names of Docker's containers */
async function nothingLeftOf(folders: ReadonlySet<string>, name: string): Promise<void> {
  const docker = () =>
    spawnSync('docker', ['ps', '--all', '--format', '{{.Names}}'], { encoding: 'utf8' }).stdout ?? '';
  const left = () => ({
    processes: processes().filter(({ home }) => folders.has(home)),
    folders: [...folders].filter((folder) => existsSync(folder)),
    containers: docker()
      .split('\n')
      .filter((container) => container.startsWith(`${name}-`)),
  });
  const nothing = { processes: [], folders: [], containers: [] };
  await vi.waitFor(() => expect(left()).toEqual(nothing), { timeout: 30_000, interval: 100 });
}

test.runIf(linux)('a node listens on 127.0.0.1 only, and leaves nothing when it is removed', async () => {
  const others = foldersOf(process.pid);
  const node = await startRabbitMq({ tls: true, name: 'removed' });
  const published = [node.amqpPort, node.amqpsPort ?? 0, Number(new URL(node.managementUrl).port)];
  const listeners = async () => {
    const overview = (await manage('GET', '/api/overview', undefined, node)) as { listeners: { port: number }[] };
    const ports = overview.listeners.map(({ port }) => port);
    expect(ports).toEqual(expect.arrayContaining(published));
    return ports;
  };
  for (const port of inDocker(node) ? published : await vi.waitFor(listeners)) {
    const elsewhere = connectTcp({ host: '127.0.0.2', port });
    await expect(once(elsewhere, 'connect'), `port ${port}`).rejects.toThrow('ECONNREFUSED');
  }
  const folders = new Set([...foldersOf(process.pid)].filter((folder) => !others.has(folder)));
  expect(inDocker(node) || folders.size > 0).toBe(true);
  await node.remove();
  await nothingLeftOf(folders, 'removed');
  await node.remove();
  await expect(node.start()).rejects.toThrow('was removed');
});

test.runIf(clusters)(
  'a cluster of three nodes confirms while any one node is killed; a node that is cut off confirms nothing',
  { timeout: 540_000 },
  async (context) => {
    const cluster = await startRabbitMq({ nodes: 3, name: 'cluster' });
    onTestFinished(() => cluster.remove());
    if (!(cluster instanceof RabbitMqCluster)) throw new Error('expected a cluster');
    for (const node of cluster.nodes) {
      await node.kill();
      // Three connections to the shared address: without the kill, one of them would go to that node.
      for (let times = 0; times < 3; times += 1) {
        const { channel, model } = await declared(cluster.amqpUrl());
        expect(await confirmed(channel)).toBe('confirmed');
        await model.close();
      }
      await node.start();
    }
    context.skip(cluster.obstacle !== undefined, cluster.obstacle);
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('a cluster has nodes');
    const { channel, model } = await declared(node.amqpUrl());
    expect(await confirmed(channel)).toBe('confirmed');
    await cluster.cut(node, 'its peers');
    const late = confirmed(channel);
    expect(await Promise.race([late, sleep(3_000, 'nothing')])).toBe('nothing');
    await cluster.heal();
    expect(await late).toBe('confirmed');
    // Three for each killed node, and two.
    expect((await channel.checkQueue('kept')).messageCount).toBe(11);
    await model.close();
  },
);

test('a start that fails because another process has taken a port is repeated on other ports', async () => {
  const taker = await silentServer();
  const lines: string[] = [];
  const picks = ['amqp', 'management', 'distribution', 'epmd'].map((role) => async () => ({
    ...(await freePorts()),
    [role]: taker.port,
  }));
  const pick = () => (picks.shift() ?? freePorts)();
  const node = await startRabbitMq({ name: 'launcher', log: (line) => lines.push(line) }, pick);
  await node.remove();
  await taker.close();
  const repeats = inDocker(node) ? 2 : 4;
  expect(lines).toEqual(Array(repeats).fill('Another process took a port meanwhile: trying other ports'));
});

test.runIf(linux).each([{ tls: true }, ...(clusters ? [{ nodes: 3 }] : [])])(
  'a broker leaves nothing when the process that started it is killed with kill -9: %j',
  async (options) => {
    const script = `
      import { startRabbitMq } from ${JSON.stringify(LAUNCHER)};
      await startRabbitMq(${JSON.stringify({ ...options, name: 'orphan' })});
      console.log('started');
      process.stdin.once('data', () => process.kill(process.pid, 'SIGKILL'));`;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'ignore'] });
    await once(createInterface(owner.stdout), 'line');
    const folders = foldersOf(owner.pid);
    const exit = once(owner, 'exit');
    owner.stdin.write('now\n');
    await exit;
    await nothingLeftOf(folders, 'orphan');
  },
);

async function declared(url: string) {
  const model = await connect(url);
  const channel = await model.createConfirmChannel();
  await channel.assertQueue('kept', { arguments: QUORUM });
  return { model, channel };
}

async function confirmed(channel: Awaited<ReturnType<typeof declared>>['channel']): Promise<string> {
  channel.sendToQueue('kept', Buffer.from('kept'), { persistent: true });
  await channel.waitForConfirms();
  return 'confirmed';
}
