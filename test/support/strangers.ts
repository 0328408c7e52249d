// Servers that are not, or not quite, the management API: silent, talking nonsense, failing, or behind TLS.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificates } from '../../local/rabbitmq/certificates.ts';

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

/** Behind TLS; says what it was sent, as the management API says why it refuses. */
export async function echoByTls(status: number): Promise<Stranger & { caFile: string }> {
  return await tlsServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { url, headers } = request;
    const reason = `${url} ${headers.authorization} ${Buffer.concat(chunks)}`;
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: 'bad_request', reason }));
  });
}

/** Speaks AMQP as far as the login, and refuses it with all that it was sent. */
export async function echoByAmqp(): Promise<Stranger> {
  const text = (value: string) => Buffer.concat([Buffer.from([0, 0, 0, value.length]), Buffer.from(value)]);
  const method = (id: number, ...fields: Buffer[]) => {
    const payload = Buffer.concat([Buffer.from([0, 10, 0, id]), ...fields]);
    const header = Buffer.from([1, 0, 0, 0, 0, 0, payload.length]);
    return Buffer.concat([header, payload, Buffer.from([0xce])]);
  };
  const start = method(10, Buffer.from([0, 9, 0, 0, 0, 0]), text('PLAIN'), text('en_US'));
  const server = net.createServer((socket) => {
    socket.once('data', () => {
      socket.write(start);
      socket.once('data', (sent) => {
        // The end of it: the login.
        const said = sent.subarray(-120);
        socket.end(method(50, Buffer.from([2, 18, said.length]), said, Buffer.from([0, 0, 0, 0])));
      });
    });
  });
  return await listening(server);
}

/** Closes every connection before an answer. */
export async function rudeServer(): Promise<Stranger> {
  return await listening(http.createServer((request) => request.socket.destroy()));
}

/** The management API behind TLS, as Amazon MQ has it. */
export async function tlsInFrontOf(managementUrl: string, host?: string): Promise<Stranger & { caFile: string }> {
  return await tlsServer(forwarding(managementUrl), host);
}

async function tlsServer(answer: http.RequestListener, host = '127.0.0.1'): Promise<Stranger & { caFile: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'topology-tls-'));
  const caFile = await makeCertificates(folder);
  const [key, cert] = await Promise.all(['server.key', 'server.pem'].map((file) => readFile(join(folder, file))));
  const server = https.createServer({ ...(key && { key }), ...(cert && { cert }) }, answer);
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
