// The page as text: what it says, and that nothing in it is markup but its own.

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { FleetView } from '../../../service/status/fleet.ts';
import { documentOf, PAGE_POLICY, renderPage } from '../../../service/status/page.ts';
import type { Event, Report } from '../../../service/status/report.ts';
import { episodes } from '../../../service/status/time-line.ts';
import { age, findings } from '../../../service/status/verdict.ts';
import { NOW } from '../../support/health-snapshot.ts';
import { REPORT, STANDBY } from '../../support/report.ts';

function viewOf(reports: readonly Report[], fields: Partial<FleetView> = {}): FleetView {
  const tasks = reports.map((report) => ({ report, at: NOW, silent: false }));
  return { now: NOW, me: STANDBY, heard: 'all', tasks, points: [], events: [], ...fields };
}

const HEALTHY = viewOf([REPORT, STANDBY]);
const bodyOf = (view: FleetView) => renderPage(view, 'test').body;
const textOf = (html: string) => html.replaceAll(/<[^>]+>/g, ' ').replaceAll(/\s+/g, ' ');

describe('the overall state', () => {
  const has = (text: string, part: Report['problems'][number]['part'], report = REPORT): Report => {
    return { ...report, problems: [{ part, text }] };
  };
  const following = (event: Event) => viewOf([STANDBY], { events: [event] });
  const silent = { report: REPORT, at: NOW - 40_000, silent: true };
  const living = [STANDBY, { ...REPORT, task: 'host-3-cccccc' }].map((report) => ({ report, at: NOW, silent: false }));
  const owned: Event = { kind: 'owner', at: NOW - 60_000, task: REPORT.task, group: 0 };
  const blocked = has('takes no messages', 'rabbitmq', STANDBY);
  const gap = (at: number): FleetView => ({ ...HEALTHY, events: [{ kind: 'gap', shard: 7, at, reason: 'x' }] });
  const queues = (depths: Report['queues']): FleetView => ({ ...HEALTHY, me: { ...STANDBY, queues: depths } });

  it.each<['bad' | 'warn' | 'good', string, FleetView]>([
    ['good', 'All is well: 2 shards connected, 1 group owned, 1 task stands by.', HEALTHY],
    ['bad', 'Shard group 0 has no owner: events of these shards do not come. First: read the log', following(owned)],
    ['warn', 'Shard group 0 has no owner known to this task', following({ ...owned, group: 1 })],
    [
      'warn',
      'Shard group 0 has no owner at the moment. First: wait',
      following({ ...owned, kind: 'gone', at: NOW - 10_000 }),
    ],
    [
      'warn',
      'Shard group 0 has an owner that does not report. First: see in ECS',
      viewOf([], { tasks: [silent, ...living.slice(0, 1)], events: [owned] }),
    ],
    ['warn', 'Reports of tasks only begin to arrive', viewOf([STANDBY], { heard: 'some', events: [owned] })],
    ['bad', 'Shard 3 says no (task aaaaaa). First: do what', viewOf([has('shard 3 says no', 'discord'), STANDBY])],
    ['bad', 'Takes no messages (all 2 tasks). First: see', viewOf([has('takes no messages', 'rabbitmq'), blocked])],
    ['bad', 'Reports of tasks do not arrive: only this task is known', viewOf([STANDBY], { heard: 'none' })],
    ['bad', 'Takes no messages (task bbbbbb)', viewOf([blocked], { me: blocked, heard: 'none' })],
    ['warn', '1 gap in the last 15 minutes (shard 7): events may be missing.', gap(NOW - 60_000)],
    ['good', 'All is well', gap(NOW - 16 * 60_000)],
    [
      'warn',
      'Task aaaaaa is gone: it did not drain, and last reported 40 s ago.',
      viewOf([], { tasks: [silent, ...living] }),
    ],
    ['warn', '101 messages wait for an answer. First: see whether the workers', queues({ interactions: 101 })],
    ['warn', '1 message found no queue. First: apply the topology', queues({ unrouted: 1 })],
    ['good', 'All is well', queues({ interactions: 100, unrouted: 0 })],
  ])('%s: %s', (level, sentence, view) => {
    const body = bodyOf(view);
    const [, first = ''] = new RegExp(`<section class="verdict ${level}"(.*?)</section>`, 's').exec(body) ?? [];
    expect(textOf(first)).toContain(sentence);
  });

  it('names what is worst first, and more tasks than five by their number', () => {
    const tasks = Array.from({ length: 7 }, (_, id) => ({
      ...has('full', 'memory'),
      task: `host-1-${id}`,
      group: id,
    }));
    const view = viewOf([...tasks, STANDBY], { me: { ...STANDBY, queues: { unrouted: 1 } } });
    expect(findings(view).map(({ wrong }) => wrong)).toEqual([
      'Full (tasks 0, 1, 2, 3, 4 and 2 more)',
      '1 message found no queue',
    ]);
  });
});

describe('the squares', () => {
  it('have state, latency and age of the last event, as shape, as text and for those who cannot see them', () => {
    const [first] = REPORT.shards;
    const shards = [
      { ...REPORT.shards[0], id: 0 },
      { ...first, id: 1, state: 'resuming', latencyMs: null, silentMs: null },
      { ...first, id: 2, state: 'failed' },
    ] as Report['shards'];
    const owner = { ...REPORT, shardCount: 6, shardsPerTask: 3, shards };
    const body = bodyOf(viewOf([], { me: owner, tasks: [{ report: owner, at: NOW - 4_000, silent: false }] }));
    expect(
      [...body.matchAll(/<li class="(\w+)" title="([^"]*)"><i><\/i>/g)].map(([, level, text]) => `${level}: ${text}`),
    ).toEqual([
      'good: shard 0: ready, heartbeat 41 ms, last event 6 s ago',
      'warn: shard 1: resuming, heartbeat –, last event not known',
      'bad: shard 2: failed, heartbeat 41 ms, last event 6 s ago',
      ...[3, 4, 5].map((id) => `none: shard ${id}: no owner known, heartbeat –, last event not known`),
    ]);
    expect(textOf(body)).toContain('Shards 1 of 6 connected Group 0 shards 0–2 · aaaaaa for 50 min');
    expect(textOf(body)).toContain('Group 1 shards 3–5 · no owner known');
  });

  it('two thousand are small, each with its text, on a page below half a megabyte', () => {
    const owners = Array.from({ length: 125 }, (_, group) => ({
      ...{ ...REPORT, task: `host-1-${group}`, group, shardCount: 2_000, shardsPerTask: 16 },
      shards: Array.from({ length: 16 }, (_, index) => ({
        id: 16 * group + index,
        state: 'ready',
        latencyMs: 40,
        silentMs: 1_000,
      })),
    }));
    const body = bodyOf(viewOf(owners, { me: owners[0] ?? REPORT }));
    expect(body.match(/<li class="good" role="img" title="shard \d+: ready, /g)).toHaveLength(2_000);
    expect(body.length).toBeLessThan(500_000);
  });
});

it('has the plots, the budget with its reset, the queues, the standbys', () => {
  const point = { at: NOW - 60_000, perSecond: 240, p50: 3, p99: 47, outbox: 5, waiting: 3 };
  const points = [{ ...point, at: NOW - 300_000 }, point, { ...point, at: NOW, perSecond: 250, p50: null, p99: null }];
  const body = bodyOf({ ...HEALTHY, points });
  const text = textOf(body);
  for (const part of [
    'Events per second 250',
    'Frame → confirm 3 ms p50 p99 47 ms',
    'Outbox 5',
    '998 of 1,000',
    'reset in 60 min, at 23:00:00 UTC',
    '3 events.guild',
    'host-2-bbbbbb standby no problem',
  ])
    expect(text).toContain(part);
  expect(body).toContain('aria-label="Events per second: at most 250 in the last 15 minutes, 250 at last"');
  // Of the four minutes between the first two nothing is known.
  const lines = [...body.matchAll(/<polyline class="first" points="([^"]*)"/g)].map(([, line]) => line);
  expect(lines.slice(0, 2)).toEqual(['200.0,52.0', '280.0,52.0 300.0,50.0']);
});

it('has what happened: a deploy with its hand-overs is one entry, and what goes wrong in it another', () => {
  const [old, young] = ['host-1-aaaaaa', 'host-2-bbbbbb'];
  const events: Event[] = [
    { kind: 'gap', at: NOW - 1_000, shard: 3, reason: 'the session expired' },
    { kind: 'drained', at: NOW - 2_000, task: old },
    { kind: 'owner', at: NOW - 3_000, task: young, group: 0 },
    { kind: 'started', at: NOW - 90_000, task: young },
    { kind: 'gone', at: NOW - 600_000, task: 'host-0-000000' },
    { kind: 'owner', at: NOW - 900_000, task: old, group: 0 },
  ];
  expect(episodes(events).map(({ title, texts }) => [title, ...texts])).toEqual([
    ['Gap', 'shard 3: the session expired'],
    ['Deploy', '1 task started (bbbbbb)', '1 task drained (aaaaaa)', 'group 0: aaaaaa → bbbbbb'],
    ['Task lost', '1 task gone without draining (000000)'],
    ['Hand-over', 'group 0: → aaaaaa'],
  ]);
  expect(textOf(bodyOf({ ...HEALTHY, events }))).toContain('21:58:30 Deploy 1 task started');
});

it('has no markup but its own, whatever a value is', () => {
  const evil = '<img src=x onerror=alert(1)>"\'`&';
  const everywhere = (value: unknown): unknown => {
    // Numbers came from outside too.
    if (typeof value !== 'object' || value === null) return typeof value === 'boolean' ? value : evil;
    if (Array.isArray(value)) return value.map(everywhere);
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, everywhere(each)]));
  };
  // What decides which parts there are stays.
  const { group, identifies, ownedSince, shardCount, shardsPerTask, startedAt } = REPORT;
  const report = {
    ...(everywhere(REPORT) as Report),
    ...{ role: 'owner', group, ownedSince, shardCount, shardsPerTask, startedAt, identifies },
    problems: [{ part: 'discord', text: evil }],
    queues: { [evil]: 1 },
  } as Report;
  const events: Event[] = [
    { kind: 'gap', at: NOW, shard: evil as never, reason: evil },
    { kind: 'owner', at: NOW, task: evil, group: evil as never },
    { kind: 'started', at: NOW, task: evil },
  ];
  const page = renderPage({ ...viewOf([report, { ...report, role: evil as never }]), me: report, events }, evil);
  const whole = documentOf(page);
  expect(whole).not.toContain('<img');
  expect(whole.match(/&#60;img/g)?.length).toBeGreaterThan(15);
  expect(whole).not.toContain('onerror=alert(1)>"');
});

it('runs its own script and style only, asks no other server, and works without a script', () => {
  const page = documentOf(renderPage(HEALTHY, 'test'));
  for (const [tag, directive] of [
    ['style', 'style-src'],
    ['script', 'script-src'],
  ] as const) {
    const [, text = ''] = new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(page) ?? [];
    const hash = createHash('sha256').update(text).digest('base64');
    expect(PAGE_POLICY).toContain(`${directive} 'sha256-${hash}';`);
  }
  expect(page.match(/(src|href|url)\s*[=(]\s*"?[^"\s>]*/g)).toEqual(['href="/health', 'href="/metrics']);
  expect(page).toContain('<noscript><meta http-equiv="refresh" content="5"></noscript>');
  expect(page).not.toMatch(/ style=| on\w+=/);
});

it.each([
  [89_000, '89 s'],
  [90 * 60_000, '1 h 30 min'],
  [50 * 3_600_000, '2 d'],
])('%d ms are %s', (ms, text) => expect(age(ms)).toBe(text));

it('has the day of a time that is on another day', () => {
  const resetAt = Date.parse('2031-02-03T04:05:06Z');
  const me = { ...STANDBY, identifies: { ...REPORT.identifies, resetAt } };
  expect(textOf(bodyOf(viewOf([me], { me })))).toContain(', at 02-03 04:05 UTC');
});
