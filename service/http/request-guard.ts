// An HTTP server whose connections are bounded in number, time and bytes. A connection carries one request.
//
// When all connections are taken, a new one replaces the oldest. So a client that holds many keeps no other out: an honest
// client, such as ECS's health check, sends its request at once and has its answer long before it is the oldest.

import { createServer, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';

interface Bounds {
  readonly connections: number;
  readonly longestMs: number;
  readonly held?: number;
}

const BOUNDS = {
  /** Far more than scrapers and health checks need, far fewer than file descriptors. */
  connections: 100,
  /** From the first byte to the last: for a request that does not come as well as for an answer that is not read. */
  longestMs: 5_000,
  /** Answers without an end. Each is a person with a browser. */
  held: 20,
};
/** Of request line and headers. */
const MAX_HEAD_BYTES = 8 * 1024;

export interface GuardedServer {
  readonly server: Server;
  /** Keeps this connection open without a deadline. Past the bound of such connections the oldest is closed. */
  hold(socket: Socket): void;
  /** Ends all connections, and accepts no more. */
  close(): Promise<void>;
}

export function guarded(
  answer: RequestListener,
  { connections, longestMs, held: mostHeld = BOUNDS.held }: Bounds = BOUNDS,
): GuardedServer {
  const sockets = new Map<Socket, NodeJS.Timeout>();
  const held = new Set<Socket>();
  const asked = new WeakSet<Socket>();
  const server = createServer({ maxHeaderSize: MAX_HEAD_BYTES }, (request, response) => {
    const { socket } = request;
    // A second one in what was read already. Node's maxRequestsPerSocket counts none of HTTP/1.0.
    if (asked.has(socket)) return void socket.pause();
    asked.add(socket);
    response.shouldKeepAlive = false;
    answer(request, response);
  });
  // A client that sends no more still reads. Node has no option for it.
  Object.assign(server, { httpAllowHalfOpen: true });
  server.on('connection', (socket) => {
    const [oldest] = sockets.keys();
    if (oldest !== undefined && sockets.size >= connections) {
      oldest.destroy();
      // Its `close` comes later.
      sockets.delete(oldest);
    }
    const deadline = setTimeout(() => socket.destroy(), longestMs);
    sockets.set(socket, deadline);
    socket.once('close', () => {
      clearTimeout(deadline);
      sockets.delete(socket);
      held.delete(socket);
    });
  });
  return {
    server,
    hold: (socket) => {
      clearTimeout(sockets.get(socket));
      if (!sockets.delete(socket)) return;
      held.add(socket);
      const [oldest] = held;
      if (held.size > mostHeld) oldest?.destroy();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of [...sockets.keys(), ...held]) socket.destroy();
      }),
  };
}
