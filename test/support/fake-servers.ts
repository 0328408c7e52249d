// Servers that replace the management API, AMQP or Discord's REST: silent, with another answer, failing, or behind TLS.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificates } from '../../local/rabbitmq/certificates.ts';

export interface FakeServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Accepts connections and never answers. */
export async function silentServer(): Promise<FakeServer> {
  return await listening(net.createServer(() => undefined));
}

/** Answers everything in the same way. @param isCut the answer never ends */
export async function httpServer(
  status: number,
  type: string,
  body: string,
  { isCut = false } = {},
): Promise<FakeServer> {
  const server = http.createServer((_request, response) => {
    response.writeHead(status, { 'content-type': type }).write(body);
    if (!isCut) response.end();
  });
  return await listening(server);
}

/** By TLS; answers with what it was sent, where the management API gives its reason. */
export async function echoByTls(status: number): Promise<FakeServer & { caFile: string }> {
  return await tlsServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { url, headers } = request;
    const reason = `${url} ${headers.authorization} ${Buffer.concat(chunks)}`;
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: 'bad_request', reason }));
  });
}

/** An AMQP server as far as the login, which it refuses with all that it was sent. */
export async function echoByAmqp(): Promise<FakeServer> {
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
        const reason = sent.subarray(-120);
        socket.end(method(50, Buffer.from([2, 18, reason.length]), reason, Buffer.from([0, 0, 0, 0])));
      });
    });
  });
  return await listening(server);
}

/** The management API behind TLS, as Amazon MQ has it. */
export async function tlsInFrontOf(managementUrl: string): Promise<FakeServer & { caFile: string }> {
  return await tlsServer(forwarding(managementUrl));
}

async function tlsServer(answer: http.RequestListener): Promise<FakeServer & { caFile: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'topology-tls-'));
  const caFile = await makeCertificates(folder);
  const [key, cert] = await Promise.all(['server.key', 'server.pem'].map((file) => readFile(join(folder, file))));
  const server = https.createServer({ ...(key && { key }), ...(cert && { cert }) }, answer);
  const { port, close } = await listening(server);
  return {
    port,
    caFile,
    async close() {
      await close();
      await rm(folder, { recursive: true });
    },
  };
}

/** The management API of a broker, or another server, that refuses some calls. */
export async function refusing(
  address: string,
  what: Pick<RegExp, 'test'>,
  status: number,
  body = '',
): Promise<FakeServer> {
  const forward = forwarding(address);
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

/** Forwards all bytes to another port until it is closed, as if a broker stopped. @param from 0 for a free port */
export async function tcpProxy(to: number, from = 0): Promise<FakeServer> {
  const server = net.createServer((near) => {
    const far = net.createConnection(to, '127.0.0.1');
    far.on('error', () => near.destroy());
    near.on('error', () => far.destroy());
    near.pipe(far).pipe(near);
  });
  return await listening(server, '127.0.0.1', from);
}

/** A port on which nothing listens. */
export async function closedPort(): Promise<number> {
  const { port, close } = await silentServer();
  await close();
  return port;
}

/** Starts a server as a fake one: on a free port of 127.0.0.1, unless told otherwise. */
export async function listening(server: net.Server, host = '127.0.0.1', at = 0): Promise<FakeServer> {
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(at, host, resolve));
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
