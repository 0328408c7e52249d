// Free TCP ports of loopback, which a node keeps over its restarts. They lie below the range from which systems pick
// ports of outgoing connections: one of those could take the port while the node is down. Two callers may still pick
// the same: `startRabbitMq` tries again.

import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const LOWEST = 20_000;
const HIGHEST = 32_768;
/** RabbitMQ's own, between nodes: an installed broker may come up on it at any time. */
const NEVER = 25_672;

export interface NodePorts {
  readonly amqp: number;
  readonly amqps: number;
  readonly management: number;
  readonly managementTls: number;
  readonly distribution: number;
  readonly epmd: number;
}

export async function freePorts(): Promise<NodePorts> {
  const taken = new Set([NEVER]);
  const next = async (): Promise<number> => {
    for (let tries = 0; tries < 1_000; tries += 1) {
      const port = randomInt(LOWEST, HIGHEST);
      if (taken.has(port) || !(await isFree(port))) continue;
      taken.add(port);
      return port;
    }
    throw new Error(`No free port between ${LOWEST} and ${HIGHEST} on 127.0.0.1: end what holds them.`);
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

/** In the words of Erlang, the system, RabbitMQ's distribution, epmd and Docker. */
const CLASH =
  /eaddrinuse|address already in use|could not bind to distribution port|already a epmd running|port is already allocated/i;

/** The words of a log or a message about a port that another process holds, if there are any. */
export function portClash(text: string): string | undefined {
  return CLASH.exec(text)?.[0];
}

async function isFree(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
