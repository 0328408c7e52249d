// Servers that are not, or not quite, the management API: silent, talking nonsense, failing, or behind TLS.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificates } from '../../../local/rabbitmq/certificates.ts';

export interface Stranger {
  readonly port: number;
  close(): Promise<void>;
}

/** Takes connections and never says a word. */
export async function silentServer(): Promise<Stranger> {
  return await listening(net.createServer(() => undefined));
}

export async function httpServer(status: number, type: string, body: string): Promise<Stranger> {
  const server = http.createServer((_request, response) => {
    response.writeHead(status, { 'content-type': type }).end(body);
  });
  return await listening(server);
}

/** Closes every connection before an answer. */
export async function rudeServer(): Promise<Stranger> {
  return await listening(http.createServer((request) => request.socket.destroy()));
}

/** The management API behind TLS, as Amazon MQ has it. */
export async function tlsInFrontOf(managementUrl: string, host = '127.0.0.1'): Promise<Stranger & { caFile: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'topology-tls-'));
  const caFile = await makeCertificates(folder);
  const [key, cert] = await Promise.all(['server.key', 'server.pem'].map((file) => readFile(join(folder, file))));
  const server = https.createServer({ ...(key && { key }), ...(cert && { cert }) }, forwarding(managementUrl));
  const stranger = await listening(server, host);
  return {
    port: stranger.port,
    caFile,
    async close() {
      await stranger.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** The management API of a broker that keeps some of it from its administrator. */
export async function refusing(
  managementUrl: string,
  what: Pick<RegExp, 'test'>,
  status: number,
  body = '',
): Promise<Stranger> {
  const forward = forwarding(managementUrl);
  const server = http.createServer((request, response) => {
    if (!what.test(`${request.method} ${request.url}`)) return forward(request, response);
    request.resume();
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  });
  return await listening(server);
}

function forwarding(managementUrl: string): http.RequestListener {
  return (request, response) => {
    const { method, headers, url = '/' } = request;
    const forward = http.request(new URL(url, managementUrl), { ...(method && { method }), headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    forward.on('error', () => response.destroy());
    request.pipe(forward);
  };
}

/** A port at which nothing listens, a moment ago at least. */
export async function closedPort(): Promise<number> {
  const { port, close } = await silentServer();
  await close();
  return port;
}

async function listening(server: net.Server, host = '127.0.0.1'): Promise<Stranger> {
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return {
    port: address.port,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
