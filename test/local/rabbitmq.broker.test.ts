// The launcher against the real thing: where a node listens, and what is left of it. That it keeps its messages while it is stopped,
// killed or frozen is what test/faults/ tests.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect as connectTcp, createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { RabbitMq } from '../../local/rabbitmq/node.ts';
import { freePorts } from '../../local/rabbitmq/ports.ts';
import { startRabbitMq } from '../../local/rabbitmq.ts';
import { manage } from '../support/broker.ts';

const LAUNCHER = new URL('../../local/rabbitmq.ts', import.meta.url).href;
/** Where a process leaves traces that can be read. */
const linux = process.platform === 'linux';

const inDocker = (node: RabbitMq): boolean => node.origin.startsWith('Docker');
const folderOf = (node: RabbitMq): string => dirname(node.caFile ?? '');

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
  let node: RabbitMq;
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

  test.runIf(linux)('leaves no process and no folder when it is removed, and may be removed again', async () => {
    const folder = folderOf(node);
    expect(processesOf(folder)).not.toEqual([]);
    await node.remove();
    await nothingLeftOf(folder, 'removed');
    await node.remove();
    await expect(node.start()).rejects.toThrow('was removed');
  });
});

test('a start that fails because another process took a port is repeated on other ports', async () => {
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

test.runIf(linux)('nothing is left of a node whose owner is killed with -9', async () => {
  const script = `
      import { startRabbitMq } from ${JSON.stringify(LAUNCHER)};
      const node = await startRabbitMq({ tls: true, name: 'orphan' });
      console.log(node.caFile);
      process.stdin.once('data', () => process.kill(process.pid, 'SIGKILL'));`;
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'ignore'] });
  const [caFile] = await once(createInterface(owner.stdout), 'line');
  const folder = dirname(caFile);
  expect(processesOf(folder)).not.toEqual([]);
  const exit = once(owner, 'exit');
  owner.stdin.write('now\n');
  await exit;
  await nothingLeftOf(folder, 'orphan');
});

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return address.port;
}
