// The launcher against the real thing: nodes that are started, stopped, killed and frozen, and what is left of them.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect as connectTcp, createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import amqplib from 'amqplib';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { RabbitMqNode } from '../../local/rabbitmq/node.ts';
import { freePorts } from '../../local/rabbitmq/ports.ts';
import { startRabbitMq } from '../../local/rabbitmq.ts';
import { manage } from '../support/broker.ts';

const LAUNCHER = new URL('../../local/rabbitmq.ts', import.meta.url).href;
const QUORUM = { durable: true, arguments: { 'x-queue-type': 'quorum' } };
/** Where a process leaves traces that can be read. */
const linux = process.platform === 'linux';

async function onChannel<T>(node: RabbitMqNode, work: (channel: amqplib.ConfirmChannel) => Promise<T>): Promise<T> {
  const connection = await amqplib.connect(node.amqpUrl());
  connection.on('error', () => undefined); // These tests cut connections.
  const result = await work(await connection.createConfirmChannel());
  await connection.close();
  return result;
}

async function publish(node: RabbitMqNode, queue: string, count: number): Promise<void> {
  await onChannel(node, async (channel) => {
    await channel.assertQueue(queue, QUORUM);
    await node.rememberQueues();
    for (let i = 0; i < count; i++) channel.sendToQueue(queue, Buffer.from(`${i}`), { persistent: true });
    await channel.waitForConfirms();
  });
}

const messages = async (node: RabbitMqNode, queue: string) =>
  await onChannel(node, async (channel) => (await channel.checkQueue(queue)).messageCount);

const inDocker = (node: RabbitMqNode): boolean => node.origin.startsWith('Docker');
const folderOf = (node: RabbitMqNode): string => dirname(node.caFile ?? '');

/** Pids whose environment or arguments name the folder: the node, epmd, the watchdog, Erlang's own children. */
function processesOf(folder: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      return ['environ', 'cmdline'].some((file) => readFileSync(`/proc/${pid}/${file}`, 'latin1').includes(folder));
    } catch {
      return false; // It ended meanwhile.
    }
  });
}

/** Docker's containers whose name begins so. */
function containersOf(name: string): string[] {
  const { stdout } = spawnSync('docker', ['ps', '--all', '--format', '{{.Names}}'], { encoding: 'utf8' });
  return (stdout ?? '').split('\n').filter((container) => container.startsWith(`${name}-`));
}

async function nothingLeftOf(folder: string, name: string): Promise<void> {
  const left = () => ({ processes: processesOf(folder), containers: containersOf(name), folder: existsSync(folder) });
  const nothing = { processes: [], containers: [], folder: false };
  await vi.waitFor(() => expect(left()).toEqual(nothing), { timeout: 30_000, interval: 50 });
}

describe('a private node', () => {
  let node: RabbitMqNode;
  beforeAll(async () => {
    node = await startRabbitMq({ tls: true, name: 'removed' });
  });
  afterAll(async () => await node?.remove());

  test.runIf(linux)('listens on 127.0.0.1 only', async () => {
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
  });

  test('keeps data and ports over stop and start', async () => {
    await publish(node, 'kept', 10);
    await node.stop();
    await expect(amqplib.connect(node.amqpUrl())).rejects.toThrow('ECONNREFUSED');
    await node.start();
    await vi.waitFor(async () => expect(await messages(node, 'kept')).toBe(10), 10_000);
  });

  test('keeps every confirmed message of a remembered quorum queue over kill -9', async () => {
    const pid = Number(await node.ctl('eval', 'list_to_integer(os:getpid()).'));
    await publish(node, 'drilled', 500);
    await node.kill();
    if (!inDocker(node)) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    await node.start();
    await vi.waitFor(async () => expect(await messages(node, 'drilled')).toBe(500), 10_000);
  });

  test('refuses to be started twice, and to be frozen while it is stopped', async () => {
    await expect(node.start()).rejects.toThrow('is running already');
    await node.stop();
    expect(() => node.freeze()).toThrow('is not running');
    await node.stop();
    await node.start();
  });

  test('is silent while frozen, answers when thawed, and can be stopped while frozen', async () => {
    node.freeze();
    await expect(fetch(node.managementUrl, { signal: AbortSignal.timeout(500) })).rejects.toThrow('timeout');
    node.thaw();
    expect(await node.ctl('status')).toContain(node.version);
    node.freeze();
    await node.stop();
    await node.start();
  });

  test('blocks publishers in a memory alarm, and lets them go on after it', async () => {
    const connection = await amqplib.connect(node.amqpUrl());
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue('alarmed', QUORUM);
    const blocked = once(connection, 'blocked');
    await node.memoryAlarm(true);
    // RabbitMQ blocks a connection once it publishes.
    channel.sendToQueue('alarmed', Buffer.from('1'));
    await blocked;
    const unblocked = once(connection, 'unblocked');
    await node.memoryAlarm(false);
    await unblocked;
    await channel.waitForConfirms();
    await connection.close();
  });

  test.each(['127.0.0.1', 'localhost'])('offers TLS for %s with a certificate of its own', async (host) => {
    const url = `amqps://${node.username}:${node.password}@${host}:${node.amqpsPort}`;
    await (await amqplib.connect(url, { ca: [readFileSync(node.caFile ?? '')] })).close();
    await expect(amqplib.connect(url)).rejects.toThrow(/certificate/);
  });

  test('reports what rabbitmqctl prints when it refuses', async () => {
    await expect(node.ctl('delete_vhost', 'absent')).rejects.toThrow(/ctl --node failed: .*absent/s);
  });

  test.runIf(linux)('leaves no process and no folder when it is removed, and may be removed again', async () => {
    const folder = folderOf(node);
    expect(processesOf(folder)).not.toEqual([]);
    await node.remove();
    await nothingLeftOf(folder, 'removed');
    await node.remove();
    await expect(node.start()).rejects.toThrow('was removed');
  });
});

describe('a start that fails', () => {
  test('shows what its log says of the cause', async () => {
    const options = { name: 'failing', memoryHighWatermark: '1GB\nno.such.setting = 1' };
    const failure = await startRabbitMq(options).catch((error) => error);
    expect(failure.message).toMatch(/ended while starting \(exit code 1\)\. Its log:\n.*no\.such\.setting/s);
    if (linux) expect(processesOf('failing-')).toEqual([]);
    expect(containersOf('failing')).toEqual([]);
  });

  test('because another process took a port is repeated on other ports', async () => {
    const taker = createServer();
    const taken = await listen(taker);
    const lines: string[] = [];
    const picks = ['amqp', 'management', 'distribution', 'epmd'].map((role) => async () => ({
      ...(await freePorts()),
      [role]: taken,
    }));
    const pick = () => (picks.shift() ?? freePorts)();
    const node = await startRabbitMq({ name: 'launcher', log: (line) => lines.push(line) }, pick);
    await node.remove();
    taker.close();
    const repeats = inDocker(node) ? 2 : 4;
    expect(lines).toEqual(Array(repeats).fill('Another process took a port meanwhile: trying other ports'));
  });

  test('because this machine has no RabbitMQ names what to install', async () => {
    vi.stubEnv('RABBITMQ_FROM', 'no-such-suite');
    await expect(startRabbitMq()).rejects.toThrow(
      /^No RabbitMQ can .* install .*\n.* No apt source of this machine offers no-such-suite/,
    );
    vi.unstubAllEnvs();
  });
});

describe.runIf(linux)('nothing is left of a node whose owner', () => {
  test.each([
    ['is killed with -9', `process.kill(process.pid, 'SIGKILL')`],
    ['exits', 'process.exit(0)'],
  ])('%s', async (_, end) => {
    const script = `
      import { startRabbitMq } from ${JSON.stringify(LAUNCHER)};
      const node = await startRabbitMq({ tls: true, name: 'orphan' });
      console.log(node.caFile);
      process.stdin.once('data', () => { ${end} });`;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'ignore'] });
    const [caFile] = await once(createInterface(owner.stdout), 'line');
    const folder = dirname(caFile);
    expect(processesOf(folder)).not.toEqual([]);
    const exit = once(owner, 'exit');
    owner.stdin.write('now\n');
    await exit;
    await nothingLeftOf(folder, 'orphan');
  });
});

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return address.port;
}
