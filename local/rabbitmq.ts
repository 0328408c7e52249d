// A private RabbitMQ on this machine, for the demo and the tests: one node, or a cluster behind one address. Its own names,
// ports, data and login, reachable from this machine only. Several run at once. Nothing of it is left when the caller ends, however it ends (rabbitmq/watchdog.ts).

import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { startCluster } from './rabbitmq/cluster.ts';
import { dockerHost, pullImage } from './rabbitmq/docker-host.ts';
import { type RabbitMq, startNode } from './rabbitmq/node.ts';
import { freePorts, type NodePorts, portClash } from './rabbitmq/ports.ts';
import { type Programs, processHost } from './rabbitmq/process-host.ts';
import type { HostFor, RabbitMqOptions } from './rabbitmq/types.ts';
import { unpack } from './rabbitmq/unpacked.ts';

/** The Debian suite whose RabbitMQ is of production's series, 4.3. */
const PRODUCTION_SUITE = 'forky';
/** Debian's own, which does not change the user; its wrapper in /usr/sbin does. */
const DEBIAN_SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server';
const TRIES_ON_PORT_CLASH = 5;

/**
 * @throws in one sentence when this machine has no way to a node, with what to install; when a node does not start, with its log
 */
export async function startRabbitMq(
  options: RabbitMqOptions = {},
  pick: () => Promise<NodePorts> = freePorts,
): Promise<RabbitMq> {
  const obstacles: string[] = [];
  for (const way of waysToRabbitMq(process.env.RABBITMQ_FROM, ownSuite())) {
    const hostFor = await prepare(way, options).catch((error: Error) => void obstacles.push(lastLine(error)));
    // A node that does not start is no reason to try the next way: that would hide what is wrong.
    if (hostFor) return await startOnFreePorts(hostFor, options, pick);
  }
  throw new Error(
    `no RabbitMQ can be started on this machine: install rabbitmq-server (4.x), or install and start Docker (${[...new Set(obstacles)].join('; ')})`,
  );
}

function lastLine({ message }: Error): string {
  const line = message.trim().split('\n').at(-1) ?? '';
  return line.replace(/^\S*debian-root\.sh (--source )?failed: /, '').replace(/\.$/, '');
}

/**
 * Best first. A suite is unpacked from its packages; production's version comes before an older one that is installed.
 * @param wanted `installed`, `docker` or a suite, to test on another version: then only that one
 */
export function waysToRabbitMq(wanted: string | undefined, suite: string | undefined): string[] {
  if (wanted) return [wanted];
  return [...new Set([PRODUCTION_SUITE, 'installed', 'docker', ...(suite ? [suite] : [])])];
}

/** @throws with one sentence where the way does not exist on this machine */
async function prepare(way: string, { log, nodes = 1 }: RabbitMqOptions): Promise<HostFor> {
  if (way === 'docker') {
    if (nodes > 1) throw new Error('A cluster runs as processes of this machine, not in Docker.');
    await pullImage(log);
    return dockerHost;
  }
  const programs = way === 'installed' ? installedPrograms() : await unpack(way, log);
  return (layout) => processHost(programs, layout);
}

async function startOnFreePorts(hostFor: HostFor, options: RabbitMqOptions, pick: () => Promise<NodePorts>) {
  for (let tries = 1; ; tries += 1) {
    try {
      if ((options.nodes ?? 1) > 1) return await startCluster(hostFor, pick, options);
      return await startNode(hostFor, await pick(), options);
    } catch (error) {
      if (!(error instanceof Error && portClash(error.message)) || tries === TRIES_ON_PORT_CLASH) throw error;
      options.log?.('Another process took a port meanwhile: trying other ports');
    }
  }
}

function installedPrograms(): Programs {
  const server = existsSync(DEBIAN_SERVER) ? DEBIAN_SERVER : onPath('rabbitmq-server');
  const folder = server && dirname(realpathSync(server));
  const ctl = [folder && join(folder, 'rabbitmqctl'), onPath('rabbitmqctl')].find((file) => file && existsSync(file));
  const epmd = onPath('epmd');
  if (!server || !ctl || !epmd) throw new Error('rabbitmq-server with rabbitmqctl and epmd is not installed.');
  return { origin: `installed, ${server}`, server, ctl, epmd, path: process.env.PATH ?? '' };
}

function onPath(program: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, program)).find((file) => existsSync(file));
}

/** The suite of this machine ("noble"), on Debian and Ubuntu. */
function ownSuite(): string | undefined {
  if (!existsSync('/etc/os-release')) return undefined;
  return /^VERSION_CODENAME="?(\w+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
}
