// A line that can fall silent: a TCP proxy that, while it is silent, passes nothing on in either direction and closes
// nothing. Neither end can tell that from a peer that has nothing to say; only heartbeats can. What was sent meanwhile
// arrives when the line is back, as TCP would send it again.

import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Line {
  readonly near: Socket;
  readonly far: Socket;
  /** The first that the near end said: who it is. */
  greeting: string;
  silent: boolean;
}

const GREETING_BYTES = 2_048;

export class SilentProxy {
  readonly #server: Server;
  readonly #lines = new Set<Line>();
  /** Whether a line that says this is to be silent. */
  #isSilent: (greeting: string) => boolean = () => false;

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
    this.#server = createServer((near) =>
      this.#open({ near, far: connect(port, '127.0.0.1'), greeting: '', silent: false }),
    );
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** From now on nothing gets through, on connections to come too. @param who only where the greeting holds this text */
  silence(who = ''): void {
    this.#isSilent = (greeting) => greeting.includes(who);
    for (const line of this.#lines) this.#adjust(line);
  }

  /** The line is back, and so is what waited on it. */
  heal(): void {
    this.#isSilent = () => false;
    for (const line of this.#lines) this.#adjust(line);
  }

  async stop(): Promise<void> {
    for (const { near, far } of this.#lines) for (const socket of [near, far]) socket.destroy();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }

  #open(line: Line): void {
    const { near, far } = line;
    this.#lines.add(line);
    near.on('data', (chunk: Buffer) => {
      if (line.greeting.length < GREETING_BYTES) line.greeting += chunk.toString('latin1');
      this.#adjust(line);
    });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.pipe(to);
      from.on('error', () => undefined);
      from.on('close', () => {
        to.destroy();
        this.#lines.delete(line);
      });
    }
    this.#adjust(line);
  }

  #adjust(line: Line): void {
    const silent = this.#isSilent(line.greeting);
    if (silent === line.silent) return;
    line.silent = silent;
    const { near, far } = line;
    for (const socket of [near, far]) {
      if (silent) socket.unpipe().pause();
      else socket.pipe(socket === near ? far : near);
    }
  }
}
