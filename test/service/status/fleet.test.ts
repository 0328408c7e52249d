// What a task knows of all tasks: parsed, bounded, and forgotten in time.

import { describe, expect, it } from 'vitest';
import { type HealthSnapshot, healthReport, problemsOf } from '../../../service/health.ts';
import { Fleet } from '../../../service/status/fleet.ts';
import { type Event, type History, parseMessage, type Report, reportOf } from '../../../service/status/report.ts';
import { HEALTHY, NOW, SHARD } from '../../support/health-snapshot.ts';
import { REPORT, STANDBY } from '../../support/report.ts';

const ME = STANDBY.task;
const PERIOD_MS = 5_000;

/** Seen by the standby, which reports as well, and hears itself. */
class Observed {
  now = NOW;
  readonly fleet = new Fleet(ME, [1, 10, 100]);
  hears = true;

  /** A period passes in which these report. */
  pass(...reports: Report[]): void {
    this.now += PERIOD_MS;
    this.fleet.putOwn(STANDBY, this.now);
    if (this.hears) this.fleet.receive(STANDBY, this.now);
    for (const report of reports) this.fleet.receive(report, this.now);
    this.fleet.tick(this.now);
  }

  get view() {
    return this.fleet.view(this.now, STANDBY);
  }

  get tasks() {
    return this.view.tasks.map(({ report, silent }) => `${report.task}${silent ? ' silent' : ''}`);
  }

  kinds(...kinds: Event['kind'][]) {
    return this.view.events.filter(({ kind }) => kinds.includes(kind));
  }
}

describe('a report', () => {
  const json = (fields: object) => JSON.stringify({ ...REPORT, ...fields });

  it('is made of the health report, without what other tasks need not know', () => {
    const shards = [SHARD, { ...SHARD, id: 1, latencyMs: 57, lastEventAt: undefined }];
    const snapshot: HealthSnapshot = { ...HEALTHY, shards, receiving: false, discordProblems: ['no token'] };
    const health = healthReport(snapshot);
    const report = reportOf(health, snapshot, { ...REPORT, problems: problemsOf(health) });
    expect(parseMessage(JSON.stringify(report))).toEqual(report);
    expect(report).toMatchObject({
      ...{ role: 'owner', group: 0, shardCount: 2, outbox: HEALTHY.outbox && { events: 2 } },
      problems: [
        { part: 'discord', text: 'no token' },
        { part: 'outbox', text: expect.stringMatching(/^the shards are closed until/) },
      ],
      shards: [
        { id: 0, state: 'ready', latencyMs: 41, silentMs: 2_000 },
        { id: 1, state: 'ready', latencyMs: 57, silentMs: null },
      ],
    });
    expect(JSON.stringify(report)).not.toMatch(/sequence|session|heap/i);
  });

  it('has no IDENTIFYs where they cannot be read', () => {
    const faulty = {
      ...HEALTHY,
      get identifies(): never {
        throw new Error('a defect');
      },
    };
    const { identifies } = reportOf(healthReport(faulty), faulty, REPORT);
    expect(identifies).toEqual({ remaining: null, total: null, resetAt: null });
  });

  it('that was read is what was written; fields of a newer version are left out', () => {
    expect(parseMessage(json({ newer: 1 }))).toEqual(REPORT);
  });

  const EVENT: Event = { kind: 'gone', at: NOW, task: ME };

  it.each<object>([
    { everyMs: 1_000, startedAt: 0, shardsPerTask: 1, group: 10_000 },
    { everyMs: 60_000, startedAt: 1e15 },
    { gaps: Array(5).fill({ shard: 10_000, at: NOW, reason: 'x'.repeat(400) }) },
    { problems: Array(20).fill({ part: 'other', text: 'x'.repeat(500) }) },
    { latencies: Array(100).fill([100, 0]) },
    { shards: Array(256).fill({ ...REPORT.shards[0], state: 'x'.repeat(20) }) },
    { queues: Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`${n}`.padStart(255, 'x'), n])) },
  ])('at its bounds is read', (fields) => {
    expect(parseMessage(json(fields))).toEqual({ ...REPORT, ...fields });
  });

  it('of what happened, as long as it may be, is read', () => {
    const point = { at: NOW, perSecond: 0, p50: 0, p99: 0, outbox: 0, waiting: 0 };
    const history = { kind: 'history', points: Array(180).fill(point), events: Array(100).fill(EVENT) };
    expect(parseMessage(JSON.stringify(history))).toEqual(history);
  });

  it.each<[string, string]>([
    ['no JSON', '{'],
    ['a name with markup', json({ task: '<b>' })],
    ['a negative count', json({ outbox: { events: -1, usedPercent: 0 } })],
    ['too many shards', json({ shards: Array.from({ length: 257 }, (_, id) => ({ ...REPORT.shards[0], id })) })],
    ['a group far out', json({ group: 10_001 })],
    ['too many queues', json({ queues: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [n, n])) })],
    ['a period below a second', json({ everyMs: 999 })],
    ['a period above a minute', json({ everyMs: 60_001 })],
    ['a gap with a long reason', json({ gaps: [{ shard: 0, at: NOW, reason: 'x'.repeat(401) }] })],
    ['too many gaps', json({ gaps: Array(6).fill({ shard: 0, at: NOW, reason: 'x' }) })],
    ['a long problem', json({ problems: [{ part: 'other', text: 'x'.repeat(501) }] })],
    ['too many problems', json({ problems: Array(21).fill({ part: 'other', text: 'x' }) })],
    ['a bucket far out', json({ latencies: [[101, 1]] })],
    ['a negative bucket', json({ latencies: [[-1, 1]] })],
    ['too many buckets', json({ latencies: Array(101).fill([1, 1]) })],
    ['a long state', json({ shards: [{ ...REPORT.shards[0], state: 'x'.repeat(21) }] })],
    ['a time before 1970', json({ startedAt: -1 })],
    ['a time after all dates', json({ startedAt: 1e15 + 1 })],
    ['a queue with a long name', json({ queues: { ['x'.repeat(256)]: 1 } })],
    ['no shards to a task', json({ shardsPerTask: 0 })],
    ['a history with too much in it', JSON.stringify({ kind: 'history', events: Array(101).fill(EVENT), points: [] })],
    ['a history without an end', JSON.stringify({ kind: 'history', events: [], points: Array(181).fill({}) })],
  ])('with %s is refused', (_, text) => {
    expect(() => parseMessage(text)).toThrow();
  });
});

describe('the tasks', () => {
  it('are those that report; one that is silent for more than three periods is gone; it comes back, or is forgotten', () => {
    const observed = new Observed();
    observed.pass(REPORT);
    for (let periods = 0; periods < 3; periods += 1) observed.pass();
    expect(observed.tasks).toEqual([REPORT.task, ME]);
    observed.pass();
    expect(observed.tasks).toEqual([`${REPORT.task} silent`, ME]);
    expect(observed.kinds('gone')).toEqual([{ kind: 'gone', at: NOW + PERIOD_MS, task: REPORT.task }]);
    observed.pass(REPORT);
    const back = observed.now;
    expect([observed.tasks, observed.kinds('back')]).toEqual([
      [REPORT.task, ME],
      [{ kind: 'back', at: back, task: REPORT.task }],
    ]);
    while (observed.now < back + 10 * 60_000) observed.pass();
    expect(observed.tasks).toEqual([`${REPORT.task} silent`, ME]);
    expect(observed.kinds('gone')).toEqual([{ kind: 'gone', at: back, task: REPORT.task }]);
    observed.pass();
    expect(observed.tasks).toEqual([ME]);
  });

  it('none is gone while this task does not even hear itself: the broker is away', () => {
    const observed = new Observed();
    observed.pass(REPORT);
    observed.pass(REPORT);
    expect(observed.view.heard).toBe('some');
    observed.pass(REPORT);
    expect(observed.view.heard).toBe('all');
    observed.hears = false;
    for (let periods = 1; periods < 9; periods += 1) {
      observed.pass();
      expect([observed.tasks, observed.view.heard]).toEqual([[REPORT.task, ME], periods <= 3 ? 'all' : 'none']);
    }
    // It is back, and the others have their three periods again.
    observed.hears = true;
    for (let periods = 0; periods < 4; periods += 1) {
      observed.pass();
      expect([observed.tasks, observed.view.heard]).toEqual([[REPORT.task, ME], periods < 2 ? 'some' : 'all']);
    }
    observed.pass();
    expect(observed.tasks).toEqual([`${REPORT.task} silent`, ME]);
  });

  it('are all known only when the slowest had the time for its next report', () => {
    const observed = new Observed();
    const slow = { ...REPORT, everyMs: 20_000 };
    for (let periods = 0; periods < 6; periods += 1) observed.pass(slow);
    expect(observed.view.heard).toBe('some');
    observed.pass(slow);
    expect(observed.view.heard).toBe('all');
    // Its own next report may be late by half a period.
    observed.now += PERIOD_MS / 2;
    observed.pass(slow);
    expect(observed.view.heard).toBe('all');
    observed.now += PERIOD_MS / 2 + 1;
    observed.pass(slow);
    expect(observed.view.heard).toBe('some');
  });

  it('one that drained is not gone', () => {
    const observed = new Observed();
    observed.pass(REPORT);
    observed.fleet.receive({ ...REPORT, role: 'drained' }, observed.now);
    expect(observed.tasks).toEqual([ME]);
    // A task that has just started draws no figures yet.
    for (let periods = 0; periods < 4; periods += 1) {
      observed.now += PERIOD_MS;
      observed.fleet.receive(STANDBY, observed.now);
    }
    for (let periods = 0; periods < 9; periods += 1) observed.pass();
    expect(observed.tasks).toEqual([ME]);
    expect(observed.kinds('gone', 'drained').map(({ kind }) => kind)).toEqual(['drained']);
  });

  it('are bounded in number, and so is what happens', () => {
    const observed = new Observed();
    const many = Array.from({ length: 3_000 }, (_, index) => ({
      ...STANDBY,
      ...{ task: `t-${index}`, startedAt: NOW - index },
    }));
    observed.pass(...many);
    expect(observed.view.tasks.length).toBe(2_500);
    // The newest.
    expect(observed.view.events.map(({ at }) => NOW - at)).toEqual(Array.from({ length: 100 }, (_, index) => index));
    observed.pass({ ...STANDBY, task: 't-0', perSecond: 7 });
    expect(observed.view.tasks.find(({ report }) => report.task === 't-0')?.report.perSecond).toBe(7);
  });

  it('a loss is kept when much else happens, and no more of them than of everything', () => {
    const observed = new Observed();
    const gap = { shard: 1, at: NOW - 7_200_000, reason: 'no record found' };
    observed.pass({ ...REPORT, gaps: [gap] });
    observed.pass(...Array.from({ length: 200 }, (_, index) => ({ ...STANDBY, task: `t-${index}` })));
    expect(observed.kinds('gap')).toEqual([{ kind: 'gap', ...gap }]);
    for (let shard = 0; shard < 200; shard += 1) observed.pass({ ...REPORT, gaps: [{ ...gap, shard }] });
    expect(observed.view.events.length).toBe(100);
  });
});

describe('what happened', () => {
  it('has each hand-over once, at the time when the lease was taken', () => {
    const observed = new Observed();
    const next = { ...REPORT, task: 'host-3-cccccc', ownedSince: NOW + 7_000 };
    observed.pass(REPORT);
    observed.pass(REPORT, next);
    // The one before has not noticed yet.
    observed.pass(next, REPORT);
    expect(observed.kinds('owner')).toEqual([
      { kind: 'owner', at: NOW + 7_000, task: next.task, group: 0 },
      { kind: 'owner', at: NOW - 3_000_000, task: REPORT.task, group: 0 },
    ]);
  });

  it('has each time that a task took the lease, of owners only', () => {
    const observed = new Observed();
    observed.pass({ ...REPORT, role: 'draining' }, { ...REPORT, task: 'host-3-cccccc', ownedSince: null });
    expect(observed.kinds('owner')).toEqual([]);
    for (const ownedSince of [NOW, NOW + 1]) observed.pass({ ...REPORT, ownedSince });
    expect(observed.kinds('owner').map(({ at }) => at)).toEqual([NOW + 1, NOW]);
  });

  it('has each once, at its first report, of a task whose clock is ahead', () => {
    const observed = new Observed();
    const ahead = { ...REPORT, startedAt: NOW + 900_000, ownedSince: NOW + 900_000 };
    for (let times = 0; times < 3; times += 1) observed.pass(ahead);
    const at = NOW + PERIOD_MS;
    expect(observed.kinds('owner', 'started').filter(({ kind, at: when }) => kind === 'owner' || when === at)).toEqual([
      { kind: 'started', at, task: REPORT.task },
      { kind: 'owner', at, task: REPORT.task, group: 0 },
    ]);
  });

  it('has each gap once, and none of the future', () => {
    const observed = new Observed();
    const gap = { shard: 1, at: NOW, reason: 'no record found' };
    for (let times = 0; times < 3; times += 1)
      observed.pass({ ...REPORT, gaps: [gap, { ...gap, at: observed.now + 900_000 }] });
    expect(observed.kinds('gap')).toEqual([{ kind: 'gap', ...gap }]);
    // Clocks may differ by a minute.
    const next = observed.now + PERIOD_MS;
    observed.pass({ ...REPORT, gaps: [60_000, 60_001].map((ahead) => ({ ...gap, at: next + ahead })) });
    expect(observed.kinds('gap').map(({ at }) => at)).toEqual([next + 60_000, NOW]);
  });
});

describe('the points', () => {
  it('are sums over the tasks, and percentiles over all events of a period', () => {
    const observed = new Observed();
    const slow: Report = { ...REPORT, task: 'host-3-cccccc', group: 1, latencies: [[2, 1]], perSecond: 50 };
    observed.pass(REPORT, slow);
    expect(observed.view.points).toEqual([
      { at: NOW + PERIOD_MS, perSecond: 150, p50: 1, p99: 1, outbox: 6, waiting: 4 },
    ]);
    observed.pass({ ...REPORT, latencies: [[3, 2]] }, { ...slow, latencies: [[0, 98]] });
    expect(observed.view.points[1]).toMatchObject({ p50: 1, p99: 100 });
    observed.pass({ ...REPORT, latencies: [[0, 49]] }, { ...slow, latencies: [[3, 51]] });
    expect(observed.view.points[2]).toMatchObject({ p50: 100, p99: 100 });
    observed.pass();
    expect(observed.view.points[3]).toMatchObject({ p50: null, p99: null });
    observed.pass({ ...REPORT, latencies: [[1, 2]] });
    expect(observed.view.points[4]).toMatchObject({ p50: 10, p99: 10 });
  });

  it('of a task that died count until its next report is overdue; the last report of one that drained counts', () => {
    const observed = new Observed();
    const other: Report = { ...REPORT, task: 'host-3-cccccc', perSecond: 10 };
    observed.pass(REPORT, other);
    observed.pass({ ...other, role: 'drained', perSecond: 7 });
    observed.pass();
    expect(observed.view.points.map(({ perSecond }) => perSecond)).toEqual([110, 107, 0]);
    observed.pass(other);
    observed.now += PERIOD_MS / 2;
    observed.pass();
    expect(observed.view.points.at(-1)?.perSecond).toBe(10);
  });

  it('have what is not known as null, and nothing of an outbox that is not known', () => {
    const fleet = new Fleet(ME, [1]);
    expect([fleet.size, fleet.roundMs]).toEqual([0, 0]);
    fleet.receive({ ...REPORT, latencies: [[0, 0]], outbox: { events: null, usedPercent: null } }, NOW);
    expect([fleet.size, fleet.roundMs]).toEqual([1, 7_500]);
    expect(fleet.view(NOW, STANDBY).tasks.map(({ silent }) => silent)).toEqual([false, false]);
    fleet.tick(NOW);
    const point = { at: NOW, perSecond: 100, p50: null, p99: null, outbox: 0, waiting: null };
    expect(fleet.view(NOW, STANDBY).points).toEqual([point]);
    for (const [queues, waiting] of [
      [{ 'dead-letters': 1 }, null],
      [{ interactions: 4 }, 4],
    ] as const) {
      fleet.putOwn({ ...STANDBY, queues }, NOW);
      fleet.tick(NOW);
      expect(fleet.view(NOW, STANDBY).points.at(-1)).toEqual({ ...point, outbox: 2, waiting });
    }
  });

  it('are kept for 15 minutes', () => {
    const observed = new Observed();
    for (let periods = 0; periods < 300; periods += 1) observed.pass();
    expect(observed.view.points.length).toBe(180);
  });
});

describe('a new task', () => {
  const asking: Report = { ...REPORT, task: 'host-9-999999', startedAt: NOW, asks: true };

  it('is answered by the eldest of the others, and by no other', () => {
    const answered = (mine: number) => {
      const observed = new Observed();
      observed.fleet.putOwn({ ...STANDBY, startedAt: mine }, NOW);
      observed.fleet.receive(REPORT, NOW);
      observed.fleet.tick(NOW);
      return observed.fleet.receive(asking, NOW);
    };
    expect(answered(REPORT.startedAt + 1)).toBeUndefined();
    expect(answered(REPORT.startedAt - 1)).toMatchObject({ kind: 'history', points: [{ at: NOW }] });
  });

  it.each<[string, Report | undefined, number, Partial<Report>, boolean]>([
    ['asks for nothing', undefined, 1, { asks: false }, false],
    ['asks before there is a history', undefined, 0, {}, false],
    ['asks while the eldest is silent', REPORT, 5, {}, true],
    ['asks, where the clock of the eldest is far behind', { ...REPORT, startedAt: 5 }, 1, {}, false],
    ['asks when the eldest has drained', { ...REPORT, role: 'drained' }, 0, {}, true],
  ])('that %s', (_, eldest, periods, fields, isAnswered) => {
    const observed = new Observed();
    if (eldest !== undefined) observed.pass(eldest);
    for (let passed = 0; passed < periods; passed += 1) observed.pass();
    if (eldest?.role === 'drained') observed.fleet.receive(eldest, observed.now);
    observed.fleet.putOwn(STANDBY, observed.now);
    expect(observed.fleet.receive({ ...asking, ...fields }, observed.now) !== undefined).toBe(isAnswered);
  });

  it('takes what was before it, and keeps what it has seen itself', () => {
    const point = { at: NOW, perSecond: 1, p50: 1, p99: 2, outbox: 0, waiting: null };
    const owner: Event = { kind: 'owner', at: NOW - 3_000_000, task: REPORT.task, group: 0 };
    const history: History = {
      kind: 'history',
      points: [
        point,
        ...[-60_000, -890_000, -890_001, 999_000, PERIOD_MS, PERIOD_MS + 1].map((ms) => ({ ...point, at: NOW + ms })),
      ],
      events: [
        ...[owner, { ...owner, at: NOW + 2 * PERIOD_MS + 1 }],
        ...[2 * PERIOD_MS, -9_000].map((ms): Event => ({ kind: 'drained', at: NOW + ms, task: `host-0-${ms}` })),
      ],
    };
    const observed = new Observed();
    observed.pass(REPORT);
    observed.pass(REPORT);
    observed.fleet.adopt(parseMessage(JSON.stringify(history)) as History, observed.now);
    expect(observed.view.points.map(({ at }) => at - NOW)).toEqual([
      ...[-890_000, -60_000, 0, PERIOD_MS, 2 * PERIOD_MS],
    ]);
    expect(observed.kinds('owner', 'drained')).toEqual([...history.events.slice(2), owner]);
  });
});
