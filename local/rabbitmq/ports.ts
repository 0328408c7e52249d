// Free TCP ports of loopback for a node that keeps them over its restarts.
// They lie below the range from which the system picks ports for others: a port from that range could be taken by
// any outgoing connection while the node is down. Two callers may still pick the same: `onFreePorts` tries again.

import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const LOWEST = 20_000;
const EPHEMERAL_RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
/** RabbitMQ's own, between nodes: an installed broker may come up on it at any time. */
const NEVER = 25_672;
/** In the words of Erlang, the system, RabbitMQ's distribution, epmd, and Docker. */
const CLASH =
  /eaddrinuse|address already in use|could not bind to distribution port|already a epmd running|port is already allocated/i;
const TRIES_ON_CLASH = 5;

export interface NodePorts {
  readonly amqp: number;
  readonly amqps: number;
  readonly management: number;
  readonly managementTls: number;
  readonly distribution: number;
  readonly epmd: number;
}

/** Starts a node on free ports, and on others when one was taken between the look and the start. */
export async function onFreePorts<T>(
  start: (ports: NodePorts) => Promise<T>,
  log?: (line: string) => void,
  pick: () => Promise<NodePorts> = freePorts,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await start(await pick());
    } catch (error) {
      if (!(error instanceof Error && portClash(error.message)) || tries === TRIES_ON_CLASH) throw error;
      log?.('A port was taken by another process meanwhile: trying others');
    }
  }
}

/** What a log or a message says of a port that another process holds, if it does. */
export function portClash(text: string): string | undefined {
  return CLASH.exec(text)?.[0];
}

export async function freePorts(): Promise<NodePorts> {
  const taken = new Set([NEVER]);
  const highest = firstEphemeralPort();
  const next = async (): Promise<number> => {
    for (let tries = 0; tries < 1000; tries++) {
      const port = randomInt(LOWEST, highest);
      if (taken.has(port) || !(await isFree(port))) continue;
      taken.add(port);
      return port;
    }
    throw new Error(`No free port between ${LOWEST} and ${highest} on 127.0.0.1: end what holds them.`);
  };
  return {
    amqp: await next(),
    amqps: await next(),
    management: await next(),
    managementTls: await next(),
    distribution: await next(),
    epmd: await next(),
  };
}

function firstEphemeralPort(): number {
  try {
    const first = Number(readFileSync(EPHEMERAL_RANGE, 'utf8').split(/\s/)[0]);
    return first > LOWEST + 1000 ? first : 32_768;
  } catch {
    return 49_152; // IANA's, which macOS and Windows use.
  }
}

async function isFree(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
