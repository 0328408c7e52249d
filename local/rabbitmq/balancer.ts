// One address for the nodes of a cluster, as Amazon MQ has: a new connection goes to the next node that accepts it. What
// a node does not answer stays open and silent; when one side ends, so does the other.

import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface Target {
  readonly host: string;
  readonly port: number;
}

const ACCEPT_WITHIN_MS = 1_000;

/** @returns closes it, and its connections @throws when the port of 127.0.0.1 is in use */
export async function balance(port: number, targets: readonly Target[]): Promise<() => void> {
  const clients = new Set<Socket>();
  let connections = 0;

  async function accept(client: Socket): Promise<void> {
    clients.add(client);
    client.on('close', () => clients.delete(client)).on('error', () => undefined);
    for (let tries = 0; tries < targets.length && !client.destroyed; tries += 1) {
      const target = targets[connections % targets.length];
      connections += 1;
      const node = target && (await opened(target));
      if (node === undefined) continue;
      client.on('close', () => node.destroy());
      node.on('close', () => client.destroy());
      if (client.destroyed) node.destroy();
      client.setNoDelay(true).pipe(node).pipe(client);
      return;
    }
    client.destroy();
  }

  const server = createServer((client) => void accept(client)).listen(port, '127.0.0.1');
  // It does not keep the caller alive, as the nodes do not.
  server.unref();
  await once(server, 'listening');
  return () => {
    server.close();
    for (const client of clients) client.destroy();
  };
}

async function opened(target: Target): Promise<Socket | undefined> {
  const socket = connect({ ...target, noDelay: true });
  socket.on('error', () => undefined);
  const accepted = once(socket, 'connect', { signal: AbortSignal.timeout(ACCEPT_WITHIN_MS) });
  if (await accepted.catch(() => undefined)) return socket;
  socket.destroy();
  return undefined;
}
