// How often a task reports and how much, and that no failure of it goes further than the log.

import { Buffer } from 'node:buffer';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { EVERY_TASK, FleetStatus } from '../../service/fleet-status.ts';
import type { HealthSnapshot } from '../../service/health.ts';
import { Metrics } from '../../service/metrics.ts';
import { parseMessage, type Report } from '../../service/status/report.ts';
import { HEALTHY, NOW, SHARD } from '../support/health-snapshot.ts';
import { logLines } from '../support/log-lines.ts';
import { REPORT } from '../support/report.ts';

/** The first 400 characters of it are reported. */
const REASON = `why ${'y'.repeat(500)}`;
let lines: ReturnType<typeof logLines>;
let snapshot: HealthSnapshot;
let published: [to: string, text: string][];
let fleet: FleetStatus;
let metrics: Metrics;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW, toFake: ['Date', 'setInterval', 'clearInterval'] });
  lines = logLines();
  snapshot = HEALTHY;
  published = [];
  metrics = new Metrics();
  fleet = new FleetStatus({
    ...{ name: 'host-1-ffffff', environment: 'test', shardsPerTask: 16, metrics, log: lines.log },
    ...{ snapshot: () => snapshot, depths: { depths: new Map([['interactions', 7]]) } },
    gaps: {
      last: [{ shardId: 1, sessionId: 's3cret', lastSequence: 4, lastReceivedAt: 0, lostAt: NOW, reason: REASON }],
    },
    publish: (to, body) => published.push([to, body.toString()]),
  });
});
afterEach(() => {
  fleet.leave();
  vi.useRealTimers();
});

async function pass(seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    await vi.advanceTimersByTimeAsync(1_000);
    snapshot = { ...snapshot, now: Date.now() };
  }
}

const receive = (message: object) => fleet.receive(Buffer.from(JSON.stringify(message)));
const reports = () => published.map(([, text]) => parseMessage(text) as Report);

it.each([
  [1, 12],
  [20, 12],
  [40, 6],
  [100, 2],
])('of %d tasks each reports %d times a minute: none gets more than four a second', async (tasks, times) => {
  for (let index = 1; index < tasks; index += 1) receive({ ...REPORT, task: `other-${index}`, role: 'standby' });
  fleet.start();
  await pass(10);
  published = [];
  await pass(60);
  expect(published.length).toBeLessThanOrEqual(times + 1);
  expect(published.length).toBeGreaterThanOrEqual(Math.floor(times * 0.7));
  expect(tasks * (published.length / 60)).toBeLessThanOrEqual(5);
});

it('a report with 16 shards is of about two kilobytes, with no session and no sequence', async () => {
  snapshot = { ...HEALTHY, shards: Array.from({ length: 16 }, (_, id) => ({ ...SHARD, id })) };
  fleet.start();
  await pass(1);
  const [[to, text]] = published as [[string, string]];
  expect(to).toBe(EVERY_TASK);
  expect(text.length - REASON.slice(0, 400).length).toBeLessThan(2_500);
  expect(text).not.toMatch(/s3cret|equence|700/);
  expect(reports()).toMatchObject([
    {
      identifies: { remaining: 998, total: 1_000 },
      queues: { interactions: 7 },
      gaps: [{ shard: 1, at: NOW, reason: REASON.slice(0, 400) }],
    },
  ]);
});

it('reports at once another role, and that it has drained', async () => {
  fleet.start();
  await pass(2);
  snapshot = { ...snapshot, role: 'standby', group: undefined, shards: [], lease: { ready: true } };
  await pass(1);
  // While another report is being made.
  vi.advanceTimersByTime(5_000);
  fleet.leave();
  await pass(20);
  expect(reports().map(({ role, shards }) => [role, shards.length])).toEqual([
    ['owner', 2],
    ['standby', 0],
    ['drained', 0],
  ]);
});

it('reports at once when report() is called, and not before the start or after the end', async () => {
  const settled = async () => void (await new Promise(setImmediate));
  fleet.report();
  await settled();
  expect(published).toEqual([]);
  fleet.start();
  await pass(1);
  fleet.report();
  await settled();
  expect(published).toHaveLength(2);
  fleet.leave();
  expect(vi.getTimerCount()).toBe(0);
  snapshot = { ...HEALTHY, now: Number.NaN };
  fleet.leave();
  expect([published.length, lines.lines]).toMatchObject([3, [{ level: 'error', err: { type: 'RangeError' } }]]);
});

it('counts what was confirmed between two reports', async () => {
  for (const ms of [0.2, 5, 5]) metrics.observe('frameToConfirm', ms);
  fleet.start();
  await pass(1);
  metrics.observe('frameToConfirm', 0.2);
  snapshot = { ...snapshot, broker: { ...snapshot.broker, publishCount: 512 } };
  await pass(5);
  expect(reports()[1]?.perSecond).toBe(100);
  const latencies = reports().map((each) => each.latencies.map(([, count]) => count));
  expect([latencies, reports()[1]?.latencies]).toEqual([[[1, 2], [1]], [[0, 1]]]);
  // Within a second the rate stays.
  fleet.leave();
  expect(reports()[2]).toMatchObject({ perSecond: 100, role: 'drained', shards: [], latencies: [] });
});

it('answers a new task with the history, to it alone, and takes one while it is new', async () => {
  fleet.start();
  // Not before every task has had the time to report.
  await pass(10);
  receive({ ...REPORT, startedAt: Date.now(), asks: true });
  expect(published.filter(([to]) => to !== EVERY_TASK)).toEqual([]);
  await pass(6);
  published = [];
  receive({ ...REPORT, startedAt: Date.now(), asks: true });
  expect(published.map(([to, text]) => [to, JSON.parse(text).kind])).toEqual([[REPORT.task, 'history']]);
  expect(JSON.parse(published[0]?.[1] ?? '').points.length).toBeGreaterThan(0);
  const drained = (task: string) => ({ kind: 'history', points: [], events: [{ kind: 'drained', at: NOW, task }] });
  receive(drained('host-7-first0'));
  receive(drained('host-7-later0'));
  expect(fleet.page().body).toContain('first0');
  expect(fleet.page().body).not.toContain('later0');
});

it('asks for the history for 30 s', async () => {
  fleet.start();
  await pass(40);
  // Every 5 s, beginning in the first second.
  expect(reports().map(({ asks }) => asks)).toEqual([true, true, true, true, true, true, true, false]);
});

it('logs what it cannot read once a minute, without a secret that stands in it', () => {
  for (let times = 0; times < 1_000; times += 1) fleet.receive(Buffer.from('amqps://u:passw0rd@h'));
  expect(lines.lines).toMatchObject([
    {
      level: 'warn',
      msg: 'a report for the status page cannot be read: it is left out',
      err: { message: expect.stringMatching(/^.{20,300}$/s) },
    },
  ]);
  expect(lines.text).not.toContain('passw0rd');
});

it('a defect is logged, and the next report is sent', async () => {
  snapshot = { ...HEALTHY, now: Number.NaN };
  fleet.start();
  await vi.advanceTimersByTimeAsync(3_000);
  expect(lines.lines).toMatchObject([{ level: 'error', err: { type: 'RangeError' } }]);
  expect(published).toEqual([]);
  snapshot = HEALTHY;
  await pass(1);
  expect(published.length).toBe(1);
});
