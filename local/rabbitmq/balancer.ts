// One address for the nodes of a cluster, as Amazon MQ has: a new connection goes to the next node that accepts it. What
// a node does not answer stays open and silent; when one side ends, so does the other.

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface Target {
  readonly host: string;
  readonly port: number;
}

const ACCEPT_WITHIN_MS = 1_000;

export class Balancer {
  readonly #server: Server;
  readonly #targets: readonly Target[];
  readonly #clients = new Set<Socket>();
  #next = 0;

  /** @throws when the port of 127.0.0.1 is in use */
  static async listen(port: number, targets: readonly Target[]): Promise<Balancer> {
    const balancer = new Balancer(targets);
    balancer.#server.listen(port, '127.0.0.1');
    await once(balancer.#server, 'listening');
    return balancer;
  }

  private constructor(targets: readonly Target[]) {
    this.#targets = targets;
    this.#server = createServer((client) => void this.#accept(client));
    // It does not keep the caller alive, as the nodes do not.
    this.#server.unref();
  }

  close(): void {
    this.#server.close();
    for (const client of this.#clients) client.destroy();
  }

  async #accept(client: Socket): Promise<void> {
    this.#clients.add(client);
    client.on('close', () => this.#clients.delete(client)).on('error', () => undefined);
    for (let tries = 0; tries < this.#targets.length && !client.destroyed; tries += 1) {
      const target = this.#targets[this.#next % this.#targets.length];
      this.#next += 1;
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
}

async function opened(target: Target): Promise<Socket | undefined> {
  const socket = connect({ ...target, noDelay: true });
  socket.on('error', () => undefined);
  const accepted = once(socket, 'connect', { signal: AbortSignal.timeout(ACCEPT_WITHIN_MS) });
  if (await accepted.catch(() => undefined)) return socket;
  socket.destroy();
  return undefined;
}
