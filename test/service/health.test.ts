// Whether the task is well, and whether it can work at all: asked over real HTTP, with every answer's reason.

import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PATHS } from '../../service/contract/names.ts';
import { ConfigError } from '../../service/errors.ts';
import type { HealthReport, HealthSnapshot } from '../../service/health.ts';
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
  broker: {
    connected: true,
    channelOpen: true,
    blocked: false,
    publishCount: 12,
    errorCount: 1,
    lastTurnAt: NOW,
  },
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

async function report(): Promise<HealthReport> {
  return (await (await ask(PATHS.health)).json()) as HealthReport;
}

describe('a task that is well', () => {
  it.each([PATHS.root, PATHS.health])('answers 200 on %s', async (path) => {
    const response = await ask(path);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    expect(await response.json()).toMatchObject({ status: 'healthy' });
  });

  it('tells what was promised', async () => {
    expect(await report()).toEqual({
      status: 'healthy',
      timestamp: '2026-11-23T22:00:00.000Z',
      environment: 'test',
      role: 'owner',
      shard: { count: 2, group: 0, assigned: [0, 1], connected: 2 },
      checks: {
        discord: { connected: true, latency: 57 },
        rabbitmq: { connected: true, channelOpen: true, blocked: false, publishCount: 12, errorCount: 1 },
        memory: {
          heapUsed: 100 * MIB,
          heapTotal: 120 * MIB,
          rss: 200 * MIB,
          heapLimit: 1_000 * MIB,
          belowThreshold: true,
        },
      },
      outbox: { events: 2, bytes: 1_024, usedPercent: 0.5, receiving: true },
      identifies: { remaining: 998, spentUntil: null },
      lease: { state: 'owner', epoch: 3 },
      shards: [
        { id: 0, state: 'ready', latency: 41, confirmed: 700, received: 702 },
        { id: 1, state: 'ready', latency: 57, confirmed: 700, received: 702 },
      ],
    });
  });

  it('may be a standby, which is connected to nothing, and one that drains', async () => {
    for (const role of ['standby', 'draining'] as const) {
      snapshot = { ...WELL, role, group: undefined, shards: [], receiving: false };
      expect((await ask(PATHS.health)).status).toBe(200);
    }
    expect(await report()).toMatchObject({
      shard: { group: null, assigned: [] },
      checks: { discord: { latency: null } },
    });
  });
});

describe('a task that is not well answers 503', () => {
  const broker = (fields: Partial<HealthSnapshot['broker']>) => ({ broker: { ...WELL.broker, ...fields } });
  const GATE = 'Discord has not granted one of the intents (4014)';
  it.each<[string, Partial<HealthSnapshot>]>([
    ['a shard is not connected', { shards: [SHARD, { ...SHARD, id: 1, connected: false, state: 'resuming' }] }],
    ['an owner has no shards yet', { shards: [] }],
    ['the broker is not connected', broker({ connected: false, channelOpen: false })],
    ['the channel is closed', broker({ channelOpen: false })],
    ['the broker blocks publishers', broker({ blocked: true })],
    ['the heap is full', { memory: { ...WELL.memory, heapUsed: 750 * MIB } }],
    ['a standby has no usable token', { role: 'standby', shards: [], discordProblems: ['no token'] }],
    ['a standby has lost the broker', { role: 'standby', shards: [], ...broker({ connected: false }) }],
    ['a shard is refused for ever', { shards: [{ ...SHARD, connected: false, state: 'failed', problem: GATE }] }],
  ])('when %s', async (_name, fields) => {
    snapshot = { ...WELL, ...fields };
    for (const path of [PATHS.root, PATHS.health]) {
      const response = await ask(path);
      expect(response.status).toBe(503);
      expect(await response.json()).toMatchObject({ status: 'unhealthy' });
    }
    expect((await ask(PATHS.live)).status).toBe(200);
  });

  it('and tells each problem once, however many shards have it', async () => {
    const failed = { ...SHARD, connected: false, problem: GATE };
    snapshot = { ...WELL, shards: [failed, { ...failed, id: 1 }], discordProblems: [GATE, 'no token'] };
    expect((await report()).checks.discord).toMatchObject({ connected: false, problems: [GATE, 'no token'] });
  });

  it('and tells until when the IDENTIFYs are spent', async () => {
    snapshot = { ...WELL, identifies: { remaining: 0, spentUntil: NOW + 60_000 } };
    expect((await report()).identifies).toEqual({ remaining: 0, spentUntil: '2026-11-23T22:01:00.000Z' });
  });
});

describe('memory', () => {
  it("is judged against V8's limit, not against the heap of the moment", async () => {
    // 97 % of heapTotal, which grows as it is needed.
    snapshot = { ...WELL, memory: { ...WELL.memory, heapUsed: 116 * MIB } };
    expect((await report()).checks.memory.belowThreshold).toBe(true);
    snapshot = { ...snapshot, memory: { ...snapshot.memory, heapLimit: 150 * MIB } };
    expect((await report()).checks.memory.belowThreshold).toBe(false);
  });
});

describe('liveness', () => {
  it.each<[string, Partial<HealthSnapshot>]>([
    ['on a standby', { role: 'standby', shards: [] }],
    [
      'while the broker is away for minutes, as long as it is tried',
      {
        broker: { ...WELL.broker, connected: false, channelOpen: false, lastTurnAt: NOW - 60_000 },
      },
    ],
    ['while Discord is away', { shards: [{ ...SHARD, connected: false }], discordProblems: ['no answer'] }],
    ['with a full heap', { memory: { ...WELL.memory, heapUsed: 999 * MIB } }],
  ])('is 200 %s', async (_name, fields) => {
    snapshot = { ...WELL, ...fields };
    const response = await ask(PATHS.live);
    expect([response.status, await response.json()]).toEqual([200, { live: true }]);
  });

  it('is 503 when the loop of a connection has not turned for three minutes', async () => {
    snapshot = { ...WELL, broker: { ...WELL.broker, lastTurnAt: NOW - 180_000 } };
    const response = await ask(PATHS.live);
    expect([response.status, await response.json()]).toEqual([503, { live: false }]);
  });
});

describe('the server', () => {
  it('answers 404 to what it does not have, and says what it has', async () => {
    for (const path of ['/nothing', '/health/', '/metrics/x', '/HEALTH']) {
      const response = await ask(path);
      expect(response.status).toBe(404);
      expect(await response.json()).toEqual({
        error: `nothing here: ${path}`,
        paths: ['/', '/health', '/live', '/metrics'],
      });
    }
  });

  it('answers 404 to whoever wants to change something', async () => {
    for (const method of ['POST', 'PUT', 'DELETE']) expect((await ask(PATHS.health, { method })).status).toBe(404);
  });

  it.each(['//', '/%', '*', 'http://[', '/health?x=//'])('survives the address %s', async (target) => {
    const socket = connect(server.port, '127.0.0.1');
    socket.end(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    await once(socket, 'close');
    expect(text).toMatch(target.startsWith('/health') ? /^HTTP\/1\.1 200 / : /^HTTP\/1\.1 40[04] /);
  });

  it('answers HEAD without a body, and nothing may keep its answers', async () => {
    const response = await ask(PATHS.health, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('');
    expect(response.headers.get('cache-control')).toBe('no-store');
  });

  it('shows a person the same as a page, with the same status', async () => {
    snapshot = { ...WELL, discordProblems: ['<b>no token</b>'], role: 'standby' };
    const response = await ask(PATHS.root, { headers: { accept: 'text/html,*/*' } });
    expect(response.status).toBe(503);
    expect(response.headers.get('content-type')).toMatch(/^text\/html/);
    const page = await response.text();
    expect(page).toContain('unhealthy');
    expect(page).not.toContain('<b>no token');
    expect((await ask(PATHS.health, { headers: { accept: 'text/html' } })).headers.get('content-type')).toMatch(/json/);
  });

  it('gives the metrics as Prometheus reads them', async () => {
    const response = await ask(PATHS.metrics);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await response.text()).toContain('# TYPE ingestor_events_received_total counter');
  });

  it('is a fault of the configuration when its address is taken', async () => {
    const second = listen({ port: server.port, host: '127.0.0.1' }, () => snapshot, new Metrics());
    await expect(second).rejects.toThrow(ConfigError);
    await expect(second).rejects.toThrow(
      /^PORT, HOST: cannot listen on 127\.0\.0\.1:\d+ \(.*EADDRINUSE.*\)\. Choose another$/,
    );
  });

  it('closes at once, although somebody holds a connection open', async () => {
    const socket = connect(server.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(socket, 'data');
    await Promise.all([server.close(), once(socket, 'close')]);
    await expect(ask(PATHS.health)).rejects.toThrow();
  });
});
