// A TCP proxy that, while it is silent, passes nothing on in either direction and closes nothing. Neither end can tell that
// from a peer that has nothing to send; only heartbeats can. What was sent meanwhile arrives when the line is back, as TCP
// would send it again.

import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Line {
  readonly sockets: readonly Socket[];
  /** The first that the client sent, with its name. */
  greeting: string;
}

const GREETING_BYTES = 2_048;

export class SilentProxy {
  readonly #server: Server;
  readonly #lines = new Set<Line>();
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
    for (const line of this.#lines) this.#adjust(line);
  }

  /** The line is back, and so is what waited on it. */
  heal(): void {
    this.#isSilent = () => false;
    for (const line of this.#lines) this.#adjust(line);
  }

  /** From now on each piece is on its way for so long, in either direction. */
  delay(milliseconds: number): void {
    this.#delayMs = milliseconds;
  }

  async stop(): Promise<void> {
    for (const { sockets } of this.#lines) for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }

  #open(near: Socket, far: Socket): void {
    const line: Line = { sockets: [near, far], greeting: '' };
    this.#lines.add(line);
    const forward = (from: Socket, to: Socket) => {
      from.on('data', (chunk: Buffer) => {
        if (this.#delayMs === 0) to.write(chunk);
        // Timers of the same length keep their order.
        else setTimeout(() => to.write(chunk), this.#delayMs);
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        to.destroy();
        this.#lines.delete(line);
      });
    };
    forward(near, far);
    forward(far, near);
    near.on('data', (chunk: Buffer) => {
      if (line.greeting.length < GREETING_BYTES) line.greeting += chunk.toString('latin1');
      this.#adjust(line);
    });
    this.#adjust(line);
  }

  #adjust({ sockets, greeting }: Line): void {
    for (const socket of sockets) {
      if (this.#isSilent(greeting)) socket.pause();
      else socket.resume();
    }
  }
}
