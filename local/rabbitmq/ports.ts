// Free TCP ports of loopback for a node that keeps them over its restarts.
// They lie below the range from which the system picks ports for others: a port from that range could be taken by
// any outgoing connection while the node is down. Two callers may still pick the same: who starts a node tries again.

import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const LOWEST = 20_000;
const EPHEMERAL_RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
/** Erlang's and RabbitMQ's own: an installed broker may come up on them at any time. */
const TAKEN_BY_DEFAULT = new Set([25_672]);

export async function freePorts(count: number): Promise<number[]> {
  const highest = firstEphemeralPort();
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count; tries++) {
    if (tries > 1000) throw new Error(`No ${count} free ports between ${LOWEST} and ${highest} on 127.0.0.1.`);
    const port = randomInt(LOWEST, highest);
    if (!TAKEN_BY_DEFAULT.has(port) && (await isFree(port))) ports.add(port);
  }
  return [...ports];
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
