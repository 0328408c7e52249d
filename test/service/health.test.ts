// Whether the task is healthy, and whether it is live: asked over real HTTP, with the reason of every answer.

import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { PATHS } from '../../service/contract/names.ts';
import { ConfigError } from '../../service/errors.ts';
import { FleetStatus } from '../../service/fleet-status.ts';
import { type HealthReport, type HealthSnapshot, healthReport, problemsOf } from '../../service/health.ts';
import { listen } from '../../service/http-server.ts';
import { Metrics } from '../../service/metrics.ts';
import { readOnce } from '../../service/read-once.ts';
import { HEALTHY, MIB, NOW, SHARD } from '../support/health-snapshot.ts';
import { logLines } from '../support/log-lines.ts';

let snapshot: HealthSnapshot;
let lastAttemptAt: () => number;
let server: Awaited<ReturnType<typeof listen>>;
const lines = logLines();
const fleet = new FleetStatus({
  ...{ name: 'host-1-abcdef', environment: 'test', shardsPerTask: 2, metrics: new Metrics(), log: lines.log },
  ...{ snapshot: () => snapshot, depths: { depths: new Map() }, gaps: { last: [] }, publish: () => undefined },
});
const start = (port: number) =>
  listen(
    { port, host: '127.0.0.1' },
    {
      ...{ lastAttemptAt: () => lastAttemptAt(), snapshot: () => snapshot, metrics: new Metrics() },
      page: () => fleet.page(),
    },
    lines.log,
  );

beforeEach(async () => {
  snapshot = HEALTHY;
  lastAttemptAt = () => Date.now();
  server = await start(0);
});
afterEach(() => server.close());

const ask = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.port}${path}`, init);
const broker = (fields: Partial<HealthSnapshot['broker']>) => ({ broker: { ...HEALTHY.broker, ...fields } });
const memory = (fields: Partial<HealthSnapshot['memory']>) => ({ memory: { ...HEALTHY.memory, ...fields } });
const GATE = 'Discord has not granted one of the intents (4014)';
const FAILED = { ...SHARD, connected: false, state: 'failed', problem: GATE };

it.each([PATHS.root, PATHS.health])('%s answers 200 with the report of a healthy task', async (path) => {
  const response = await ask(path);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^application\/json/);
  expect(response.headers.get('cache-control')).toBe('no-store');
  expect(await response.json()).toEqual({
    status: 'healthy',
    timestamp: '2026-11-23T22:00:00.000Z',
    environment: 'test',
    role: 'owner',
    problems: [],
    shard: { count: 2, group: 0, assigned: [0, 1], connected: 2 },
    checks: {
      discord: { connected: true, latency: 57 },
      rabbitmq: {
        connected: true,
        channelOpen: true,
        blocked: false,
        publishCount: 12,
        errorCount: 1,
        oldestUnconfirmedMs: 20,
      },
      memory: { ...HEALTHY.memory, belowThreshold: true },
    },
    outbox: { events: 2, bytes: 1_024, usedPercent: 0.5, receiving: true },
    identifies: { remaining: 998, spentUntil: null },
    lease: { state: 'owner', epoch: 3 },
    commands: { consuming: true, waiting: 0 },
    shards: [
      { id: 0, state: 'ready', latency: 41, confirmed: 700, received: 702 },
      { id: 1, state: 'ready', latency: 57, confirmed: 700, received: 702 },
    ],
  });
});

const STANDBY = { role: 'standby', shards: [], lease: { state: 'standby', waitsFor: [0, 1], ready: true } } as const;
const outbox = (usedPercent: number) => ({ outbox: { ...HEALTHY.outbox, usedPercent } });
const heard = (msAgo: number) => ({ shards: [SHARD, { ...SHARD, id: 1, heardAt: NOW - msAgo }] });

it.each<[string, Partial<HealthSnapshot>]>([
  ['a heap just below the threshold', memory({ heapUsed: 750 * MIB - 1 })],
  ['a shard that was quiet for a while', heard(119_999)],
  ['a broker that has confirmed nothing for a moment', broker({ nothingConfirmedMs: 9_999 })],
  ['a lease that was proven a moment ago', broker({ unprovenMs: 9_999 })],
  ['an outbox of 80 %', outbox(80)],
  ['a standby, which does not receive', { ...STANDBY, receiving: false }],
  ['one shard', { shards: [SHARD] }],
  ['a task that drains', { role: 'draining', receiving: false, lease: { state: 'released' } }],
])('is healthy with %s', (_, fields) => {
  expect(healthReport({ ...HEALTHY, ...fields })).toMatchObject({ status: 'healthy', problems: [] });
});

const UNREADY = { ...STANDBY, lease: { state: 'standby', waitsFor: [0, 2], ready: false } } as const;
const STUCK = { stuck: ['events.guild'], refusing: ['events.guild'], nothingConfirmedMs: 42_000 } as const;

it.each<[string, Partial<HealthSnapshot>]>([
  ["the heap is full: 75.0 % of V8's limit", memory({ heapUsed: 750 * MIB })],
  ['shards not connected: 1 (waiting)', { shards: [SHARD, { ...SHARD, id: 1, connected: false, state: 'waiting' }] }],
  ['this task owns a shard group and has no shards', { shards: [] }],
  ['shard 1 has had neither a dispatch nor the answer to a heartbeat for 120 s', heard(120_000)],
  ['not connected to RabbitMQ: the log has the reason, and it is retried', broker({ connected: false })],
  ['a channel to RabbitMQ is closed: the log has the reason, and it is retried', broker({ channelOpen: false })],
  ['RabbitMQ takes no messages: it is short of memory or disk', broker({ blocked: true })],
  ['the queue events.guild confirms nothing: it has no majority, or is full', broker(STUCK)],
  [
    'RabbitMQ refuses messages for the queue interactions: the log has the reason, and they are retried',
    broker({ refusing: ['interactions'] }),
  ],
  ['RabbitMQ has confirmed nothing for 10 s', broker({ nothingConfirmedMs: 10_000 })],
  ['RabbitMQ has confirmed nothing for 3600 s', broker({ nothingConfirmedMs: 3_600_000 })],
  ["the group's lease queue has given no record back for 10 s", broker({ unprovenMs: 10_000 })],
  ['the outbox is 80.1 % full: past 100 % the shards are closed', outbox(80.1)],
  [
    'the shards are closed until the outbox is half empty and RabbitMQ takes messages: the outbox is 60.0 % full',
    { receiving: false, ...outbox(60) },
  ],
  ['no token', { ...STANDBY, discordProblems: ['no token'] }],
  ['this standby consumes no lease queue: it could take over no group', { ...STANDBY, lease: {} }],
  ['this standby consumes the lease queues of the groups 0, 2 only: it could take over no other', UNREADY],
  [
    'this standby consumes the lease queues of the groups 2 only: it could take over no other',
    { ...UNREADY, lease: { ...UNREADY.lease, waitsFor: [2] } },
  ],
])('is unhealthy: %s', (sentence, fields) => {
  expect(healthReport({ ...HEALTHY, ...fields })).toMatchObject({ status: 'unhealthy', problems: [sentence] });
});

it('reports what is unknown as null, and each problem once', () => {
  const shard = { ...FAILED, latencyMs: undefined, confirmedSequence: undefined, receivedSequence: undefined };
  const unknown = { shardCount: undefined, group: undefined, identifies: { remaining: undefined, spentUntil: NOW } };
  const report = healthReport({ ...HEALTHY, ...unknown, shards: [shard, shard], discordProblems: [GATE, 'no token'] });
  expect(report).toMatchObject({
    shard: { count: null, group: null, connected: 0 },
    checks: { discord: { connected: false, latency: null, problems: [GATE, 'no token'] } },
    identifies: { remaining: null, spentUntil: '2026-11-23T22:00:00.000Z' },
  });
  const numbers = { latency: null, confirmed: null, received: null };
  expect(report.shards[0]).toEqual({ id: 0, state: 'failed', problem: GATE, ...numbers });
});

it.each([
  [179_999, 200, true],
  [180_000, 503, false],
])("/live, %d ms after the connections' loop ran, although the broker is away: %d", async (ms, status, live) => {
  snapshot = { ...HEALTHY, ...broker({ connected: false }) };
  vi.useFakeTimers({ toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
  lastAttemptAt = () => Date.now() - ms;
  const response = await ask(PATHS.live);
  expect([response.status, await response.json()]).toEqual([status, { live }]);
});

it.each([
  ['GET', '/%'],
  ['POST', PATHS.health],
])('answers 404 to %s %s, and lists its paths', async (method, path) => {
  const response = await ask(path, { method });
  expect(response.status).toBe(404);
  const paths = ['/', '/health', '/live', '/metrics', '/events'];
  expect(await response.json()).toEqual({ error: `nothing here: ${path}`, paths });
});

it('answers HEAD without a body, whatever the query, and /metrics as Prometheus reads it', async () => {
  const head = await ask('/health?x=//', { method: 'HEAD' });
  expect([head.status, await head.text()]).toEqual([200, '']);
  const response = await ask(PATHS.metrics);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(await response.text()).toContain('# TYPE ingestor_events_received_total counter');
});

it('each sentence has the part that it is about, and the report has all of them', () => {
  const commands = { ...HEALTHY.commands, problem: 'no queue' };
  const shards = [FAILED, Object.defineProperty({ ...SHARD, id: 1 }, 'state', { get: () => expect.fail('a defect') })];
  const report = healthReport({ ...HEALTHY, commands, shards, ...broker({ blocked: true, unprovenMs: 42_000 }) });
  const parts = problemsOf(report);
  expect(report.problems).toEqual(parts.map(({ text }) => text));
  expect(parts.map(({ part, text }) => `${part}: ${text}`)).toEqual([
    `discord: ${GATE}`,
    'rabbitmq: RabbitMQ takes no messages: it is short of memory or disk',
    "rabbitmq: the group's lease queue has given no record back for 42 s",
    'commands: no queue',
    'other: cannot read shard 1: a defect',
  ]);
});

describe('one defect costs one section', () => {
  const throws = () => {
    throw new Error('a defect');
  };
  /** Fields of the snapshot, and the section of the report that they belong to. */
  const SECTIONS: Readonly<Record<string, (report: HealthReport) => { readonly problem?: string }>> = {
    shards: ({ shard }) => shard,
    shardCount: ({ shard }) => shard,
    group: ({ shard }) => shard,
    role: ({ checks }) => checks.discord,
    discordProblems: ({ checks }) => checks.discord,
    broker: ({ checks }) => checks.rabbitmq,
    memory: ({ checks }) => checks.memory,
    memoryThreshold: ({ checks }) => checks.memory,
    outbox: ({ outbox }) => outbox,
    receiving: ({ outbox }) => outbox,
    identifies: ({ identifies }) => identifies,
    lease: ({ lease }) => lease,
    commands: ({ commands }) => commands,
  };
  type Readers = { readonly [Name in keyof HealthSnapshot]: () => HealthSnapshot[Name] };
  const without = (name: string) =>
    readOnce<HealthSnapshot>({
      ...(Object.fromEntries(Object.entries(HEALTHY).map(([field, value]) => [field, () => value])) as Readers),
      [name]: throws,
    });

  it.each(Object.keys(SECTIONS))('%s cannot be read: reported there, unhealthy, and the rest stands', async (name) => {
    snapshot = without(name);
    const report = healthReport(snapshot);
    expect(report.status).toBe('unhealthy');
    const section = SECTIONS[name]?.(report);
    expect(section?.problem).toMatch(/^cannot read the .*: a defect$/);
    expect(Object.values(section ?? {}), 'nothing unknown is true').not.toContain(true);
    const touched = Object.entries(healthReport(HEALTHY)).filter(
      ([key, value]) => JSON.stringify(report[key as 'role']) !== JSON.stringify(value),
    );
    expect(touched.length).toBeLessThanOrEqual(name === 'shards' ? 5 : 4);
    const page = await (await ask(PATHS.root, { headers: { accept: 'text/html' } })).text();
    // Without commands events flow.
    const weight = name === 'commands' ? 'warn' : 'bad';
    expect(page).toMatch(new RegExp(` ${weight}".*<b>Cannot read the .*: a defect \\(task abcdef\\)`));
    expect(page).not.toContain('NaN');
  });

  it('a role that cannot be read is unknown, and of shards that cannot none is connected', () => {
    expect(healthReport(without('role')).role).toBe('unknown');
    expect(healthReport(without('shards')).shard).toMatchObject({ assigned: [], connected: 0 });
  });

  it('a field is read once, however many read it', () => {
    let reads = 0;
    const fields = readOnce({ count: () => (reads += 1) });
    expect([reads, fields.count, fields.count]).toEqual([0, 1, 1]);
  });

  it('one shard cannot be read: the other one is reported', () => {
    const broken = Object.defineProperty({ ...SHARD, id: 1, latencyMs: undefined }, 'state', { get: throws });
    const report = healthReport({ ...HEALTHY, shards: [SHARD, broken] });
    expect([report.status, report.checks.discord.latency]).toEqual(['unhealthy', 41]);
    expect(report.shards).toMatchObject([
      { state: 'ready' },
      { state: 'unknown', problem: 'cannot read shard 1: a defect' },
    ]);
  });

  it('without a report at all /health answers 500, logs why, and the next question is answered', async () => {
    snapshot = { ...HEALTHY, now: Number.NaN };
    const response = await ask(PATHS.health);
    expect([response.status, await response.json()]).toEqual([500, { error: 'Invalid time value' }]);
    expect(lines.lines.at(-1)).toMatchObject({ url: PATHS.health, err: { type: 'RangeError' } });
    expect((await ask(PATHS.live)).status).toBe(200);
  });
});

it('bounds the sentences of others in length and number, and has each once', () => {
  const shards = Array.from({ length: 64 }, (_, id) => ({ ...FAILED, id, problem: `${id % 20} ${'x'.repeat(5_000)}` }));
  const report = healthReport({ ...HEALTHY, shards, discordProblems: ['no token', 'no token'] });
  const { problems } = report.checks.discord;
  expect(problems).toHaveLength(11);
  expect(problems?.slice(0, 2)).toEqual(['no token', `0 ${'x'.repeat(398)}… (5002 characters)`]);
  expect(problems?.at(-1)).toBe('and 11 more');
  expect(report.shards[0]?.problem).toHaveLength(419);
  const most = Array.from({ length: 10 }, (_, index) => `${index}${'x'.repeat(399)}`);
  expect(healthReport({ ...HEALTHY, discordProblems: most }).checks.discord.problems).toEqual(most);
});

it('reports an address that is taken as a fault of the configuration', async () => {
  const fault = /^PORT, HOST: cannot listen on 127\.0\.0\.1:\d+ \(.*EADDRINUSE.*\)\. Choose another$/;
  await expect(start(server.port)).rejects.toSatisfy(
    (error) => error instanceof ConfigError && fault.test(error.message),
  );
});

it('a browser gets the page at /, and only there, with the status of the report', async () => {
  snapshot = { ...HEALTHY, shards: [] };
  const headers = { accept: 'text/html,*/*' };
  const page = await ask(PATHS.root, { headers });
  expect([page.status, page.headers.get('content-type')]).toEqual([503, 'text/html; charset=utf-8']);
  expect(await page.text()).toMatch(/^<!doctype html>.*This task owns a shard group and has no shards/s);
  expect((await ask(PATHS.health, { headers })).headers.get('content-type')).toMatch(/json/);
});
