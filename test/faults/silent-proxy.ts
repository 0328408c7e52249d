// A line that can fall silent: a TCP proxy that, while it is silent, passes nothing on in either direction and closes
// nothing. Neither end can tell that from a peer that has nothing to say; only heartbeats can. What was sent meanwhile
// arrives when the line is back, as TCP would send it again.

import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class SilentProxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #silent = false;

  /** @param port of the peer, on 127.0.0.1 */
  static async start(port: number): Promise<SilentProxy> {
    const proxy = new SilentProxy(port);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject);
      proxy.#server.listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  private constructor(port: number) {
    this.#server = createServer((near) => {
      const far = connect(port, '127.0.0.1');
      const pair = [near, far] as const;
      this.#pairs.add(pair);
      if (this.#silent) this.#hush(pair);
      for (const [from, to] of [pair, [far, near] as const]) {
        from.pipe(to);
        from.on('error', () => undefined);
        from.on('close', () => {
          to.destroy();
          this.#pairs.delete(pair);
        });
      }
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** From now on nothing gets through, on connections to come too. */
  silence(): void {
    this.#silent = true;
    for (const pair of this.#pairs) this.#hush(pair);
  }

  /** The line is back, and so is what waited on it. */
  heal(): void {
    this.#silent = false;
    for (const [near, far] of this.#pairs) {
      near.pipe(far);
      far.pipe(near);
    }
  }

  async stop(): Promise<void> {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }

  #hush(pair: readonly [Socket, Socket]): void {
    for (const socket of pair) {
      socket.unpipe();
      socket.pause();
    }
  }
}
