// The service's only listener: health, liveness, metrics, the status page. It answers GET and HEAD, and 404 to everything
// else. The connections are bounded (request-guard.ts), and so are the answers a second, because the event loop has to
// receive events. Only `/live` is answered at once, whatever else is asked: ECS ends a task that does not answer it.

import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { PATHS } from './contract/names.ts';
import { ConfigError, errorMessage } from './errors.ts';
import { type HealthSnapshot, healthReport, isLive } from './health.ts';
import { isOwnHost } from './http/own-host.ts';
import { Pace } from './http/pace.ts';
import { guarded } from './http/request-guard.ts';
import type { Log } from './log.ts';
import { OutageLog } from './outage-log.ts';
import { documentOf, PAGE_POLICY, type Page } from './status/page.ts';
import { sleep } from './wait.ts';

export interface HttpSources {
  /** When the slower of the broker connections' loops last ran, Unix ms. `/live` depends on nothing else. */
  readonly lastAttemptAt: () => number;
  readonly snapshot: () => HealthSnapshot;
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
  readonly page: () => Page;
}

/** Answers: some at once, then 200 a second. */
const PACE = { spacingMs: 5, burst: 20 };
/** Metrics and pages that are asked for more often are those of the last time. */
const COLLECT_EVERY_MS = 100;
const STREAM_EVERY_MS = 2_000;

/** A browser guesses no content type, shows no answer in a frame, and sends no Referer. */
const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': PAGE_POLICY,
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  // One request a connection.
  connection: 'close',
};

/** @throws ConfigError when the address cannot be listened on */
export async function listen(
  { host, port }: { readonly port: number; readonly host: string },
  { lastAttemptAt, snapshot, metrics, page }: HttpSources,
  log: Log,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const ownNames = [host, hostname()];
  const pace = new Pace(PACE);
  const scrape = notTooOften(() => metrics.text());
  const render = notTooOften(async () => page());
  const streams = new Set<ServerResponse>();
  const failures = new OutageLog(log, 'error', 'cannot render the status page');

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [path = '/'] = (request.url ?? '/').split('?', 1);
    const reads = request.method === 'GET' || request.method === 'HEAD';
    if (reads && path === PATHS.live) {
      const live = isLive(Date.now(), lastAttemptAt());
      return sendJson(response, live ? 200 : 503, { live });
    }
    await sleep(pace.turn(performance.now()));
    // The client is gone, or a newer connection has replaced it.
    if (response.destroyed) return;
    if (reads && path === PATHS.metrics) send(response, 200, metrics.contentType, await scrape());
    else if (!isOwnHost(request.headers.host, ownNames)) sendJson(response, 421, { error: notHere(request) });
    else if (reads && (path === PATHS.root || path === PATHS.health)) {
      const report = healthReport(snapshot());
      const status = report.status === 'healthy' ? 200 : 503;
      // A browser gets the page.
      if (path === PATHS.root && request.headers.accept?.includes('text/html'))
        send(response, status, 'text/html; charset=utf-8', documentOf(await render()));
      else sendJson(response, status, report);
    } else if (request.method === 'GET' && path === PATHS.events) {
      hold(request.socket);
      streams.add(response);
      response.once('close', () => streams.delete(response));
      response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream' });
      response.write(`retry: ${STREAM_EVERY_MS}\n\n`);
    } else sendJson(response, 404, { error: `nothing here: ${path}`, paths: Object.values(PATHS) });
  };

  const update = async (): Promise<void> => {
    if (streams.size === 0) return;
    try {
      const event = `data: ${JSON.stringify(await render())}\n\n`;
      failures.over();
      // A client that has not read the last event is disconnected.
      for (const response of streams)
        if (response.writableLength > 0) response.destroy();
        else response.write(event);
    } catch (err) {
      failures.failed(err);
      // The open page shows that the task does not answer.
      for (const response of streams) response.destroy();
    }
  };
  const updates = setInterval(() => void update(), STREAM_EVERY_MS).unref();

  const { server, hold, close } = guarded((request, response) => {
    answer(request, response).catch((err: unknown) => {
      log.error({ err, url: request.url }, 'cannot answer an HTTP request');
      if (response.headersSent) response.destroy();
      else sendJson(response, 500, { error: errorMessage(err) });
    });
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new ConfigError([`PORT, HOST: cannot listen on ${host}:${port} (${errorMessage(error)}). Choose another`]);
  }
  server.on('error', (err) => log.error({ err }, 'cannot accept an HTTP connection'));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      clearInterval(updates);
      return close();
    },
  };
}

/** What it collected last, or collects it again; a failure is not kept. */
function notTooOften<T>(collect: () => Promise<T>): () => Promise<T> {
  let collectedAt = Number.NEGATIVE_INFINITY;
  let last: Promise<T> | undefined;
  return () => {
    const now = performance.now();
    if (last !== undefined && now - collectedAt < COLLECT_EVERY_MS) return last;
    collectedAt = now;
    last = collect();
    last.catch(() => {
      last = undefined;
    });
    return last;
  };
}

function notHere({ headers }: IncomingMessage): string {
  return (
    `Host: expected an IP address, a name without a dot, HOST or this machine's name, got '${headers.host}'. ` +
    `Ask by address; ${PATHS.live} and ${PATHS.metrics} answer to any name`
  );
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  send(response, status, 'application/json; charset=utf-8', `${JSON.stringify(body, null, 2)}\n`);
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { ...HEADERS, 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
