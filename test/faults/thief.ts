// An attacker's server, on another address of this machine: it keeps what it receives. It sends HELLO as a gateway does, after
// which a client would send its token.

import { createServer, type IncomingMessage } from 'node:http';
import { WebSocketServer } from 'ws';
import { listening } from '../support/fake-servers.ts';

/** Loopback too, and not the host of Discord's REST in these tests. */
const HOST = '127.0.0.2';

/** @returns every request and every frame too, as they come */
export async function startThief() {
  const stolen: string[] = [];
  const keep = ({ url, headers }: IncomingMessage) => stolen.push(`${url} ${JSON.stringify(headers)}`);
  const server = createServer((request, response) => {
    keep(request);
    response.end();
  });
  new WebSocketServer({ server }).on('connection', (socket, request) => {
    keep(request);
    socket.on('message', (data) => stolen.push(String(data)));
    socket.send(JSON.stringify({ t: null, s: null, op: 10, d: { heartbeat_interval: 41_250 } }));
  });
  const { port, close } = await listening(server, HOST);
  return { stolen, url: `ws://${HOST}:${port}`, close };
}
