// Where the nodes of a cluster run. With the privileges for it (root on Linux, with iproute2, iptables and util-linux) each
// has its own network namespace, which stands for an availability zone, on a private bridge that only this machine
// reaches: then a node can be cut off. Otherwise all are on 127.0.0.1.
// The namespaces belong to processes whose HOME is our folder: with these, all of it is gone (watchdog.ts).

import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorMessage } from '../../service/errors.ts';
import { poll } from '../poll.ts';
import { run } from '../run.ts';
import { watch } from './watchdog.ts';

export interface Zone {
  readonly host: string;
  /** The command that runs a program in it. */
  readonly enter: readonly string[];
}

/** For networks' benchmarks, so that no route of this machine leads there: RFC 2544. */
const NETWORK = '198.18';
const PREPARE_WITHIN_MS = 10_000;

export interface Zones {
  readonly zones: readonly Zone[];
  /** Why no node can be cut off, where that is so. */
  readonly obstacle?: string;
  /** No packet passes between this zone and what is named, in either direction, and no sender gets an answer. */
  cut(zone: Zone, from: 'its peers' | 'everything'): Promise<void>;
  heal(): Promise<void>;
  remove(): Promise<void>;
}

export async function makeZones(count: number): Promise<Zones> {
  const folder = mkdtempSync(join(tmpdir(), 'ingestor-zones-'));
  const watchdog = watch(folder);
  const remove = async () => await watchdog.clean();
  // Sixteen addresses by chance, since other clusters may run.
  const [third, fourth] = [randomInt(256), 16 * randomInt(16)];
  const address = (number: number) => `${NETWORK}.${third}.${fourth + number}`;
  const gateway = address(1);
  try {
    const hub = await namespace(folder);
    const link = `zones${randomInt(1e9)}`;
    await ip([], 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'root', 'netns', hub.pid);
    await ip([], 'address', 'add', `${gateway}/28`, 'dev', link);
    await ip([], 'link', 'set', link, 'up');
    await ip(hub.enter, 'link', 'add', 'name', 'hub0', 'type', 'bridge');
    await ip(hub.enter, 'link', 'set', 'hub0', 'up');
    await ip(hub.enter, 'link', 'set', 'root', 'master', 'hub0', 'up');
    const making = Array.from({ length: count }, async (_, index) => {
      const { pid, enter } = await namespace(folder);
      const port = `zone${index}`;
      const host = address(index + 2);
      await ip(hub.enter, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pid);
      await ip(hub.enter, 'link', 'set', port, 'master', 'hub0', 'up');
      await ip(enter, 'link', 'set', 'lo', 'up');
      await ip(enter, 'address', 'add', `${host}/28`, 'dev', 'eth0');
      await ip(enter, 'link', 'set', 'eth0', 'up');
      await command(enter, 'iptables', '-w', '-S');
      return { host, enter };
    });
    const zones = await Promise.all(making);
    return {
      zones,
      async cut(zone, from) {
        for (const peer of zones.filter((other) => other !== zone)) {
          await drop(zone, 'INPUT', '-s', peer.host);
          await drop(peer, 'INPUT', '-s', zone.host);
        }
        if (from === 'its peers') return;
        await drop(zone, 'INPUT', '-s', gateway);
        await drop(zone, 'OUTPUT', '-d', gateway);
      },
      async heal() {
        for (const { enter } of zones) await command(enter, 'iptables', '-w', '-F');
      },
      remove,
    };
  } catch (error) {
    await remove();
    const obstacle = `no network namespaces on this machine: ${errorMessage(error)}`;
    const zones = Array.from({ length: count }, () => ({ host: '127.0.0.1', enter: [] }));
    return { zones, obstacle, cut: () => Promise.reject(new Error(obstacle)), heal: async () => undefined, remove };
  }
}

/** Lives as long as the process. */
async function namespace(folder: string): Promise<{ pid: string; enter: string[] }> {
  const holder: ChildProcess = spawn('unshare', ['--net', 'sh', '-c', 'echo; exec sleep infinity'], {
    cwd: '/',
    env: { PATH: process.env.PATH, HOME: folder },
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let made = false;
  let ended = false;
  holder.once('error', () => (ended = true)).once('exit', () => (ended = true));
  holder.stdout?.once('data', () => (made = true));
  await poll(PREPARE_WITHIN_MS, () => made || ended);
  holder.stdout?.destroy();
  holder.unref();
  if (!made) throw new Error('unshare --net failed');
  return { pid: String(holder.pid), enter: ['nsenter', `--net=/proc/${holder.pid}/ns/net`] };
}

const drop = async ({ enter }: Zone, ...rule: string[]) =>
  await command(enter, 'iptables', '-w', '-A', ...rule, '-j', 'DROP');
const ip = async (enter: readonly string[], ...args: string[]) => await command(enter, 'ip', ...args);

async function command(enter: readonly string[], ...words: string[]): Promise<void> {
  const [program = '', ...args] = [...enter, ...words];
  await run(program, args, { timeoutMs: PREPARE_WITHIN_MS });
}
