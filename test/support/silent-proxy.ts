// A TCP proxy that, while it is silent, passes nothing on in either direction and closes nothing. Neither end can tell that
// from a peer that has nothing to send; only heartbeats can. What was sent meanwhile arrives when the proxy passes data again,
// as TCP would send it again.

import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Connection {
  readonly sockets: readonly Socket[];
  /** The first that the client sent, with its name. */
  greeting: string;
}

const GREETING_BYTES = 2_048;

export class SilentProxy {
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #isSilent: (greeting: string) => boolean = () => false;
  #delayMs = 0;

  /** @param port of the peer, on 127.0.0.1 */
  static async start(port: number): Promise<SilentProxy> {
    const proxy = new SilentProxy(port);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  private constructor(port: number) {
    this.#server = createServer((near) => this.#open(near, connect(port, '127.0.0.1')));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** From now on nothing gets through, on later connections too. @param who only where the greeting holds this text */
  silence(who = ''): void {
    this.#isSilent = (greeting) => greeting.includes(who);
    for (const connection of this.#connections) this.#adjust(connection);
  }

  /** Passes data again, first what was sent meanwhile. */
  heal(): void {
    this.#isSilent = () => false;
    for (const connection of this.#connections) this.#adjust(connection);
  }

  /** From now on each piece takes so long, in either direction. */
  delay(milliseconds: number): void {
    this.#delayMs = milliseconds;
  }

  async stop(): Promise<void> {
    for (const { sockets } of this.#connections) for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }

  #open(near: Socket, far: Socket): void {
    const connection: Connection = { sockets: [near, far], greeting: '' };
    this.#connections.add(connection);
    const forward = (from: Socket, to: Socket) => {
      from.on('data', (chunk: Buffer) => {
        if (this.#delayMs === 0) to.write(chunk);
        // Timers of the same length keep their order.
        else setTimeout(() => to.write(chunk), this.#delayMs);
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        to.destroy();
        this.#connections.delete(connection);
      });
    };
    forward(near, far);
    forward(far, near);
    near.on('data', (chunk: Buffer) => {
      if (connection.greeting.length < GREETING_BYTES) connection.greeting += chunk.toString('latin1');
      this.#adjust(connection);
    });
    this.#adjust(connection);
  }

  #adjust({ sockets, greeting }: Connection): void {
    for (const socket of sockets) {
      if (this.#isSilent(greeting)) socket.pause();
      else socket.resume();
    }
  }
}
