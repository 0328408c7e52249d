// Whether the task is healthy, and whether it is live, over real HTTP.

import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PATHS } from '../../service/contract/names.ts';
import { ConfigError } from '../../service/errors.ts';
import { type HealthSnapshot, healthReport } from '../../service/health.ts';
import { type HttpServer, listen } from '../../service/http-server.ts';
import { Metrics } from '../../service/metrics.ts';

const NOW = Date.UTC(2026, 10, 23, 22, 0, 0);
const MIB = 1024 * 1024;

const SHARD = {
  id: 0,
  state: 'ready',
  connected: true,
  latencyMs: 41,
  problem: undefined,
  identifyingSince: undefined,
  confirmedSequence: 700,
  receivedSequence: 702,
};

const WELL: HealthSnapshot = {
  now: NOW,
  environment: 'test',
  shardCount: 2,
  group: 0,
  role: 'owner',
  shards: [SHARD, { ...SHARD, id: 1, latencyMs: 57 }],
  receiving: true,
  discordProblems: [],
  discord: { tokenMissing: false, restLimited: false, identifyClosed: false, maxConcurrency: 1 },
  broker: { connected: true, channelOpen: true, blocked: false, publishCount: 12, errorCount: 1, lastTurnAt: NOW },
  outbox: { events: 2, bytes: 1_024, usedPercent: 0.5 },
  identifies: { remaining: 998, spentUntil: undefined },
  lease: { state: 'owner', epoch: 3 },
  memory: { heapUsed: 100 * MIB, heapTotal: 120 * MIB, rss: 200 * MIB, heapLimit: 1_000 * MIB },
  memoryThreshold: 0.75,
};

let snapshot: HealthSnapshot;
let server: HttpServer;

beforeEach(async () => {
  snapshot = WELL;
  server = await listen({ port: 0, host: '127.0.0.1' }, () => snapshot, new Metrics());
});

afterEach(async () => {
  await server.close();
});

const ask = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.port}${path}`, init);

const heap = (heapUsed: number) => ({ memory: { ...WELL.memory, heapUsed: heapUsed * MIB } });
const broker = (fields: Partial<HealthSnapshot['broker']>) => ({ broker: { ...WELL.broker, ...fields } });
const STANDBY = { role: 'standby', group: undefined, shards: [], receiving: false } as const;
const FAILED = { ...SHARD, connected: false, state: 'failed', problem: 'Discord has not granted one of the intents' };
const AWAY = { ...SHARD, connected: false, latencyMs: undefined };

it('the report has what the documentation promises', () => {
  expect(healthReport(WELL)).toEqual({
    status: 'healthy',
    timestamp: '2026-11-23T22:00:00.000Z',
    environment: 'test',
    role: 'owner',
    shard: { count: 2, group: 0, assigned: [0, 1], connected: 2 },
    checks: {
      discord: { connected: true, latency: 57 },
      rabbitmq: { connected: true, channelOpen: true, blocked: false, publishCount: 12, errorCount: 1 },
      memory: { ...WELL.memory, belowThreshold: true },
    },
    outbox: { events: 2, bytes: 1_024, usedPercent: 0.5, receiving: true },
    identifies: { remaining: 998, spentUntil: null },
    lease: { state: 'owner', epoch: 3 },
    shards: [
      { id: 0, state: 'ready', latency: 41, confirmed: 700, received: 702 },
      { id: 1, state: 'ready', latency: 57, confirmed: 700, received: 702 },
    ],
  });
  expect(healthReport({ ...WELL, ...STANDBY, shardCount: undefined })).toMatchObject({
    shard: { count: null, group: null, assigned: [], connected: 0 },
    checks: { discord: { latency: null } },
  });
  expect(healthReport({ ...WELL, identifies: { remaining: 0, spentUntil: NOW + 60_000 } }).identifies).toEqual({
    remaining: 0,
    spentUntil: '2026-11-23T22:01:00.000Z',
  });
});

it('each problem is reported once, however many shards have it', () => {
  const { problem } = FAILED;
  const failed = { ...WELL, shards: [FAILED, { ...FAILED, id: 1 }], discordProblems: [problem, 'no token'] };
  expect(healthReport(failed).checks.discord).toMatchObject({ connected: false, problems: [problem, 'no token'] });
  expect(healthReport(failed).shards[0]).toMatchObject({ state: 'failed', problem });
});

describe('the status', () => {
  it.each<[string, 'healthy' | 'unhealthy', Partial<HealthSnapshot>]>([
    ['of a standby, which has no shards', 'healthy', STANDBY],
    ['of a task that drains', 'healthy', { ...STANDBY, role: 'draining' }],
    ["below the threshold of V8's limit, above that of the current heap", 'healthy', heap(749)],
    ['at the threshold', 'unhealthy', heap(750)],
    ['with a shard not connected', 'unhealthy', { shards: [SHARD, { ...AWAY, id: 1, state: 'resuming' }] }],
    ['of an owner without shards', 'unhealthy', { shards: [] }],
    ['without the broker', 'unhealthy', broker({ connected: false })],
    ['without a channel', 'unhealthy', broker({ channelOpen: false })],
    ['while the broker blocks publishers', 'unhealthy', broker({ blocked: true })],
    ['of a standby without a usable token', 'unhealthy', { ...STANDBY, discordProblems: ['no token'] }],
    ['of a standby without the broker', 'unhealthy', { ...STANDBY, ...broker({ connected: false }) }],
  ])('%s is %s', async (_, status, fields) => {
    snapshot = { ...WELL, ...fields };
    for (const path of [PATHS.root, PATHS.health]) {
      const response = await ask(path);
      expect(response.status).toBe(status === 'healthy' ? 200 : 503);
      expect(response.headers.get('content-type')).toMatch(/^application\/json/);
      expect(await response.json()).toMatchObject({ status });
    }
    expect((await ask(PATHS.live)).status).toBe(200);
  });
});

it.each([
  [179_999, 200],
  [180_000, 503],
])('a task whose connection loop last turned %d ms ago answers %d on /live', async (ms, status) => {
  snapshot = { ...WELL, ...broker({ connected: false, lastTurnAt: NOW - ms }) };
  const response = await ask(PATHS.live);
  expect([response.status, await response.json()]).toEqual([status, { live: status === 200 }]);
});

describe('the server', () => {
  it('answers 404 to other paths, with those that it has, and to other methods', async () => {
    for (const path of ['/nothing', '/health/', '/HEALTH']) {
      const response = await ask(path);
      expect(response.status).toBe(404);
      expect(await response.json()).toEqual({
        error: `nothing here: ${path}`,
        paths: ['/', '/health', '/live', '/metrics'],
      });
    }
    expect((await ask(PATHS.health, { method: 'POST' })).status).toBe(404);
  });

  it.each(['//', '/%', 'http://[', '/health?x=//'])('survives the address %s', async (target) => {
    const socket = connect(server.port, '127.0.0.1');
    socket.end(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    await once(socket, 'close');
    expect(text).toMatch(target.startsWith('/health') ? /^HTTP\/1\.1 200 / : /^HTTP\/1\.1 40[04] /);
  });

  it('answers HEAD, and forbids caching', async () => {
    const response = await ask(PATHS.health, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toBe('no-store');
  });

  it('shows a browser the same report as a page', async () => {
    snapshot = { ...WELL, ...STANDBY, discordProblems: ['<b>no token</b>'] };
    const response = await ask(PATHS.root, { headers: { accept: 'text/html,*/*' } });
    expect(response.status).toBe(503);
    expect(response.headers.get('content-type')).toMatch(/^text\/html/);
    const page = await response.text();
    expect(page).toContain('unhealthy');
    expect(page).not.toContain('<b>no token');
    expect((await ask(PATHS.health, { headers: { accept: 'text/html' } })).headers.get('content-type')).toMatch(/json/);
  });

  it('has the metrics in the format of Prometheus', async () => {
    const response = await ask(PATHS.metrics);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await response.text()).toContain('# TYPE ingestor_events_received_total counter');
  });

  it('is a fault of the configuration when its address is in use', async () => {
    const second = listen({ port: server.port, host: '127.0.0.1' }, () => snapshot, new Metrics());
    await expect(second).rejects.toThrow(ConfigError);
    await expect(second).rejects.toThrow(
      /^PORT, HOST: cannot listen on 127\.0\.0\.1:\d+ \(.*EADDRINUSE.*\)\. Choose another$/,
    );
  });

  it('closes at once, open connections too', async () => {
    const socket = connect(server.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(socket, 'data');
    await Promise.all([server.close(), once(socket, 'close')]);
    await expect(ask(PATHS.health)).rejects.toThrow();
  });
});
