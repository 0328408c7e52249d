// An attacker's server, on another address of this machine: it keeps what it receives. It sends HELLO as a gateway does, after
// which a client would send its token.

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';

/** Loopback too, and not the host of Discord's REST in these tests. */
const HOST = '127.0.0.2';

export class Thief {
  /** Every request and every frame. */
  readonly stolen: string[] = [];
  readonly #server: Server;

  static async start(): Promise<Thief> {
    const thief = new Thief();
    thief.#server.listen(0, HOST);
    await once(thief.#server, 'listening');
    return thief;
  }

  private constructor() {
    this.#server = createServer((request, response) => {
      this.stolen.push(`${request.url} ${JSON.stringify(request.headers)}`);
      response.end();
    });
    new WebSocketServer({ server: this.#server }).on('connection', (socket, request) => {
      this.stolen.push(`${request.url} ${JSON.stringify(request.headers)}`);
      socket.on('message', (data) => this.stolen.push(String(data)));
      socket.send(JSON.stringify({ t: null, s: null, op: 10, d: { heartbeat_interval: 41_250 } }));
    });
  }

  get url(): string {
    return `ws://${HOST}:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
