// The service's only listener: health, liveness, metrics. It answers GET, and 404 to everything else.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { PATHS } from './contract/names.ts';
import { ConfigError, errorMessage } from './errors.ts';
import { type HealthSnapshot, healthReport, isLive } from './health.ts';
import type { Metrics } from './metrics.ts';
import { statusPage } from './status-page.ts';

export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws ConfigError when the address cannot be listened on */
export async function listen(
  address: { readonly port: number; readonly host: string },
  snapshot: () => HealthSnapshot,
  metrics: Metrics,
): Promise<HttpServer> {
  const server = createServer((request, response) => {
    answer(request, response, snapshot, metrics).catch((error: unknown) =>
      send(response, 500, { error: errorMessage(error) }),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new ConfigError([
          `PORT, HOST: cannot listen on ${address.host}:${address.port} (${errorMessage(error)}). Choose another`,
        ]),
      ),
    );
    server.listen(address.port, address.host, resolve);
  });
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  snapshot: () => HealthSnapshot,
  metrics: Metrics,
): Promise<void> {
  const [path = '/'] = (request.url ?? '/').split('?', 1);
  if (request.method !== 'GET' && request.method !== 'HEAD') return send(response, 404, notFound(path));
  switch (path) {
    case PATHS.root:
    case PATHS.health: {
      const report = healthReport(snapshot());
      const status = report.status === 'healthy' ? 200 : 503;
      // For a browser, the same report as a page.
      if (path === PATHS.root && request.headers.accept?.includes('text/html'))
        return sendText(response, status, 'text/html; charset=utf-8', statusPage(report));
      return send(response, status, report);
    }
    case PATHS.live: {
      const live = isLive(snapshot());
      return send(response, live ? 200 : 503, { live });
    }
    case PATHS.metrics:
      return sendText(response, 200, metrics.registry.contentType, await metrics.prometheus());
    default:
      return send(response, 404, notFound(path));
  }
}

function notFound(path: string): object {
  return { error: `nothing here: ${path}`, paths: Object.values(PATHS) };
}

function send(response: ServerResponse, status: number, body: object): void {
  sendText(response, status, 'application/json; charset=utf-8', `${JSON.stringify(body, null, 2)}\n`);
}

function sendText(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(body);
}
