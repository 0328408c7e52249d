// The service's only listener: health, liveness, metrics. It answers GET and HEAD, and 404 to everything else.

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PATHS } from './contract/names.ts';
import { ConfigError, errorMessage } from './errors.ts';
import { type HealthSnapshot, healthReport, isLive } from './health.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { statusPage } from './status-page.ts';

/** @throws ConfigError when the address cannot be listened on */
export async function listen(
  { host, port }: { readonly port: number; readonly host: string },
  snapshot: () => HealthSnapshot,
  { registry }: Metrics,
  log: Log,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [path = '/'] = (request.url ?? '/').split('?', 1);
    const reads = request.method === 'GET' || request.method === 'HEAD';
    if (reads && path === PATHS.live) {
      const live = isLive(snapshot());
      sendJson(response, live ? 200 : 503, { live });
    } else if (reads && path === PATHS.metrics) {
      send(response, 200, registry.contentType, await registry.metrics());
    } else if (reads && (path === PATHS.root || path === PATHS.health)) {
      const report = healthReport(snapshot());
      const status = report.status === 'healthy' ? 200 : 503;
      // A person with a browser gets the same report as a page.
      if (path === PATHS.root && request.headers.accept?.includes('text/html'))
        send(response, status, 'text/html; charset=utf-8', statusPage(report));
      else sendJson(response, status, report);
    } else sendJson(response, 404, { error: `nothing here: ${path}`, paths: Object.values(PATHS) });
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((err: unknown) => {
      log.error({ err, url: request.url }, 'cannot answer an HTTP request');
      sendJson(response, 500, { error: errorMessage(err) });
    });
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new ConfigError([`PORT, HOST: cannot listen on ${host}:${port} (${errorMessage(error)}). Choose another`]);
  }
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  send(response, status, 'application/json; charset=utf-8', `${JSON.stringify(body, null, 2)}\n`);
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(body);
}
