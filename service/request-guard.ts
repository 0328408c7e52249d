// The connections of the HTTP server, bounded in number, time and bytes. A connection carries one request: its head is
// read and handed to the HTTP server, what comes behind it (a body, another request) is not read.
//
// A new connection takes the place of the oldest one when all are taken. So a client that holds many keeps no other out: an honest
// client, such as ECS's health check, sends its request at once and has its answer long before its turn.

import type { Server as HttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';

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

const END_OF_HEAD = '\r\n\r\n';
const TOO_LARGE = 'HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n';

export interface GuardedServer {
  readonly server: Server;
  /** This connection may stay, beside the others; the oldest one that was held makes room. It is to end when it is not read. */
  hold(socket: Socket): void;
  /** Ends all connections, and accepts no more. */
  close(): Promise<void>;
}

export function guarded(
  http: HttpServer,
  { connections, longestMs, held: mostHeld = BOUNDS.held }: Bounds = BOUNDS,
): GuardedServer {
  const sockets = new Map<Socket, NodeJS.Timeout>();
  const held = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
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
    // A client that is gone: `close` follows.
    socket.on('error', () => undefined);
    readHead(socket, (head) => {
      if (head === undefined) {
        socket.end(TOO_LARGE, () => socket.destroy());
        return;
      }
      socket.unshift(head);
      http.emit('connection', socket);
      socket.resume();
      // The head is handed over in the next tick; nothing behind it is read, neither a body nor another request.
      process.nextTick(() => socket.pause());
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

/** Calls back once, with the socket paused; with undefined when the head is too large. */
function readHead(socket: Socket, done: (head: Buffer | undefined) => void): void {
  let read = '';
  const ended = () => socket.destroy();
  const collect = (chunk: Buffer) => {
    const searchFrom = Math.max(0, read.length - END_OF_HEAD.length);
    // Empty lines before the request line are ignored (RFC 9112, section 2.2).
    read = (read + chunk.toString('latin1')).replace(/^[\r\n]+/, '');
    const end = read.indexOf(END_OF_HEAD, searchFrom) + END_OF_HEAD.length;
    const complete = end >= END_OF_HEAD.length;
    if (!complete && read.length <= MAX_HEAD_BYTES) return;
    socket.pause();
    socket.off('data', collect);
    socket.off('end', ended);
    done(complete && end <= MAX_HEAD_BYTES ? Buffer.from(read.slice(0, end), 'latin1') : undefined);
  };
  socket.on('data', collect);
  socket.on('end', ended);
}
