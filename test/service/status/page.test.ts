// The page as text: what it says, and that nothing in it is markup but its own.

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { FleetView } from '../../../service/status/fleet.ts';
import { documentOf, PAGE_POLICY, renderPage } from '../../../service/status/page.ts';
import type { Event, Report } from '../../../service/status/report.ts';
import { episodes } from '../../../service/status/time-line.ts';
import { age, findings, groupsOf } from '../../../service/status/verdict.ts';
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
  const gap = (at: number, ...shards: number[]): FleetView => ({
    ...HEALTHY,
    events: [7, ...shards].map((shard) => ({ kind: 'gap', shard, at, reason: 'x' })),
  });
  const young = (ms: number): Report => ({ ...STANDBY, startedAt: NOW - ms });
  const queues = (depths: Report['queues']): FleetView => ({ ...HEALTHY, me: { ...STANDBY, queues: depths } });

  it.each<['bad' | 'warn' | 'good', string, FleetView]>([
    ['good', 'All is well: 2 shards connected, 1 group owned, 1 task stands by.', HEALTHY],
    ['bad', 'Shard group 0 has no owner: events of these shards do not come. First: read the log', following(owned)],
    ['warn', 'Shard group 0 has no owner known to this task', following({ ...owned, group: 1 })],
    [
      'warn',
      'Shard group 0 has no owner at the moment. First: wait',
      following({ ...owned, kind: 'gone', at: NOW - 20_000 }),
    ],
    [
      'warn',
      'Shard group 0 has an owner that does not report. First: see in ECS',
      viewOf([], { tasks: [silent, ...living.slice(0, 1)], events: [owned] }),
    ],
    ['warn', 'Shard group 0 has no owner known to this task', following({ ...owned, kind: 'gone', at: NOW - 20_001 })],
    [
      'bad',
      'Shard group 0 has no owner: events of these shards do not come. First: see in ECS why too few tasks run',
      viewOf([{ ...STANDBY, role: 'unknown' }], { events: [owned] }),
    ],
    [
      'bad',
      'Shard group 0 has no owner: events',
      viewOf([STANDBY], {
        tasks: [...living.slice(0, 1), { ...silent, report: { ...REPORT, group: 1 } }],
        events: [owned],
      }),
    ],
    ['warn', 'Reports of tasks only begin to arrive', viewOf([STANDBY], { heard: 'some', events: [owned] })],
    [
      'warn',
      'Shard group 0 has no owner known to this task',
      following({ kind: 'gap', shard: 7, at: NOW - 10_000, reason: 'x' }),
    ],
    ['bad', 'Shard 3 says no (task aaaaaa). First: do what', viewOf([has('shard 3 says no', 'discord'), STANDBY])],
    ['bad', 'Takes no messages (all 2 tasks). First: see', viewOf([has('takes no messages', 'rabbitmq'), blocked])],
    ['bad', 'Reports of tasks do not arrive', viewOf([STANDBY], { me: young(20_000), heard: 'none' })],
    ['warn', 'Reports of tasks do not arrive', viewOf([STANDBY], { me: young(19_999), heard: 'none' })],
    ['bad', 'Full (task bbbbbb)', viewOf([has('full', 'memory', STANDBY)])],
    ['warn', 'No queue (task aaaaaa). First: apply the topology', viewOf([has('no queue', 'commands'), STANDBY])],
    ['bad', 'Takes no messages (task bbbbbb)', viewOf([blocked], { me: blocked, heard: 'none' })],
    ['warn', '1 gap in the last 15 minutes (shard 7): events may be missing.', gap(NOW - 60_000)],
    ['warn', '4 gaps in the last 15 minutes (shards 6, 7, 10): events', gap(NOW - 15 * 60_000, 10, 6, 7)],
    ['good', 'All is well', gap(NOW - 15 * 60_000 - 1)],
    [
      'warn',
      'Task aaaaaa is gone: it did not drain, and last reported 40 s ago.',
      viewOf([], { tasks: [silent, ...living] }),
    ],
    ['warn', '101 messages wait for an answer. First: see whether the workers', queues({ interactions: 101 })],
    ['warn', '1 message found no queue. First: apply the topology', queues({ unrouted: 1 })],
    ['warn', '1 message dead-lettered. First: read them', queues({ 'dead-letters': 1 })],
    ['good', 'All is well', queues({ interactions: 100, unrouted: 0 })],
  ])('%s: %s', (level, sentence, view) => {
    const { body, title } = renderPage(view, 'test');
    const word = { good: 'All is well', warn: 'Look', bad: 'Act' }[level];
    expect(title).toBe(`${word} · test · Discord Gateway Ingestor`);
    const [, first = ''] = new RegExp(`<section class="verdict ${level}"(.*?)</section>`, 's').exec(body) ?? [];
    expect(textOf(first)).toContain(sentence);
  });

  it('is about RabbitMQ alone while no report arrives over it', () => {
    const wrong = (me: Report) => findings(viewOf([me], { me, heard: 'none' })).map((found) => found.wrong);
    expect(wrong(blocked)).toEqual(['Takes no messages (task bbbbbb)']);
    expect(wrong(has('full', 'memory', STANDBY))).toEqual([
      'Full (task bbbbbb)',
      'Reports of tasks do not arrive: only this task is known',
    ]);
  });

  it('names what is worst first, and more tasks than five by their number', () => {
    const tasks = Array.from({ length: 7 }, (_, id) => ({
      ...has('full', 'memory'),
      task: `host-1-${id}`,
      group: id,
    }));
    const me = { ...STANDBY, queues: { unrouted: 1 } };
    const wrong = (count: number) =>
      findings(viewOf([has('no queue', 'commands', STANDBY), ...tasks.slice(0, count)], { me })).map(
        (each) => each.wrong,
      );
    expect(wrong(7)).toEqual([
      'Full (tasks 0, 1, 2, 3, 4 and 2 more)',
      'No queue (task bbbbbb)',
      '1 message found no queue',
    ]);
    expect([wrong(6)[0], wrong(5)[0]]).toEqual(['Full (tasks 0, 1, 2, 3, 4 and 1 more)', 'Full (tasks 0, 1, 2, 3, 4)']);
  });
});

describe('the groups', () => {
  const [owner, next] = [REPORT, { ...REPORT, task: 'host-3-cccccc', ownedSince: NOW }];
  const groups = (reports: Report[], me: Report = STANDBY) =>
    groupsOf(viewOf(reports, { me })).map(({ from, to, owner: { task } = STANDBY }) => [from, to, task]);

  it.each<[string, Report[], (number | string)[][]]>([
    ['the task that took the lease last', [next, owner], [[0, 2, next.task]]],
    ['the same in another order', [owner, next], [[0, 2, next.task]]],
    ['a task whose time is not known, where there is no other', [{ ...next, ownedSince: null }], [[0, 2, next.task]]],
    ['the other, where the time of one is not known', [owner, { ...next, ownedSince: null }], [[0, 2, owner.task]]],
    [
      'a task that drains, with shards',
      [{ ...owner, role: 'draining', shards: owner.shards.slice(1) }],
      [[0, 2, owner.task]],
    ],
    ['an owner that has no shard yet', [{ ...owner, shards: [] }], [[0, 2, owner.task]]],
    ['not a task that drains, without shards', [{ ...owner, role: 'draining', shards: [] }], [[0, 2, STANDBY.task]]],
    ['not an owner of no known group', [{ ...owner, group: null }], [[0, 2, STANDBY.task]]],
  ])('have as owner %s', (_, reports, expected) => expect(groups(reports)).toEqual(expected));

  it('follow from the number of shards, of another task where this one does not know it, and from owners', () => {
    const unknown = { ...STANDBY, shardCount: null };
    const three = { ...owner, shardCount: 3, shardsPerTask: 2 };
    expect(groups([unknown, three], unknown)).toEqual([
      [0, 2, owner.task],
      [2, 3, STANDBY.task],
    ]);
    expect(groups([{ ...owner, group: 1 }])).toEqual([
      [0, 2, STANDBY.task],
      [2, 2, owner.task],
    ]);
    expect(groups([unknown], unknown)).toEqual([]);
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
    const squares = [...body.matchAll(/<li class="\w+" title="[^"]*">(.*?)<\/li>/g)].map(([, square = '']) =>
      textOf(square),
    );
    expect(squares.slice(0, 4).map((square) => square.trim())).toEqual([
      ...['0 41 ms 6 s', '1 resuming –', '2 failed 6 s', '3 – –'],
    ]);
    expect(textOf(body)).toContain('connected connecting failed no owner known in a square: last heartbeat');
    const legend = [...(body.split('legend')[1] ?? '').matchAll(/<i class="(\w+)">/g)].map(([, level]) => level);
    expect(legend).toEqual(['good', 'warn', 'bad', 'none']);
    const me: Report = { ...owner, role: 'draining' };
    expect(textOf(bodyOf(viewOf([me], { me })))).toContain('aaaaaa, draining for 50 min');
  });

  it.each<[number, number, string, string]>([
    [128, 128, '<ul class="tiles"', 'Group 0 shards 0–127 '],
    [129, 128, '<ul class="dots"', 'Group 1 shard 128 '],
    [2, 1, '<ul class="tiles"', 'Group 0 shard 0 '],
  ])('of %d shards in groups of %d: %s, %s', (shardCount, shardsPerTask, list, text) => {
    const me = { ...STANDBY, shardCount, shardsPerTask };
    const body = bodyOf(viewOf([me], { me }));
    expect(body).toContain(list);
    expect(textOf(body)).toContain(text);
    expect(textOf(body).includes('touch or point at a square')).toBe(shardCount > 128);
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
  const points = [point, { ...point, at: NOW, perSecond: 250, p50: null, p99: null }];
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
});

describe('the cards', () => {
  const cardOf = (view: FleetView, label: string) =>
    bodyOf(view)
      .split('<div class="card">')
      .find((card) => card.startsWith(label)) ?? '';
  const identifies = (remaining: number | null) => ({ ...REPORT.identifies, remaining });

  it.each<[number | null, string]>([
    [null, '–'],
    [3, '3'],
    [9.96, '10'],
    [1.26, '1.3'],
    [10.4, '10'],
    [1_234.5, '1,235'],
  ])('show %d as %s', (perSecond, text) => {
    const point = { at: NOW, perSecond: perSecond as number, p50: null, p99: null, outbox: 0, waiting: null };
    expect(textOf(cardOf({ ...HEALTHY, points: [point] }, 'Events'))).toMatch(`Events per second ${text} confirmed`);
  });

  it('have each the line of its own values, with the times of what happened', () => {
    const point = { at: NOW, perSecond: 10, p50: 20, p99: 50, outbox: 40, waiting: 80 };
    const events: Event[] = [{ kind: 'started', at: NOW - 450_000, task: REPORT.task }];
    const view = { ...HEALTHY, points: [point], events };
    for (const [label, lines] of [
      ['Events', ['300.0,0.0']],
      ['Frame', ['300.0,60.0', '300.0,0.0']],
      ['Outbox', ['300.0,20.0']],
      ['Waiting', ['300.0,20.0']],
    ] as const) {
      const card = cardOf(view, label);
      expect([...card.matchAll(/<polyline class="\w+" points="([^"]*)"/g)].map(([, line]) => line)).toEqual(lines);
      expect(card).toContain('<line class="event" x1="150.0"');
    }
    expect(textOf(cardOf(view, 'Waiting'))).toContain('Waiting for workers 80 messages');
  });

  it('have the fullest outbox and the least IDENTIFYs of the tasks that report', () => {
    const outbox = (usedPercent: number | null) => ({ events: 0, usedPercent });
    const me = { ...STANDBY, outbox: outbox(null), identifies: identifies(500) };
    const tasks = [
      { ...REPORT, outbox: outbox(12.34), identifies: identifies(400) },
      { ...REPORT, outbox: outbox(0), identifies: identifies(null) },
      me,
    ].map((report) => ({ report, at: NOW, silent: false }));
    const silent = { report: { ...REPORT, outbox: outbox(99), identifies: identifies(1) }, at: NOW, silent: true };
    const view = viewOf([], { me, tasks: [silent, ...tasks] });
    expect(textOf(cardOf(view, 'Outbox'))).toContain('12.3 % full');
    expect(textOf(cardOf(viewOf([me], { me }), 'Outbox'))).toContain('0.0 % full');
    expect(cardOf(view, 'IDENTIFYs')).toContain('<meter min="0" max="1000" low="200" value="400">400</meter>');
  });

  it('have no budget while it is not known', () => {
    const me = { ...STANDBY, identifies: { remaining: null, total: null, resetAt: null } };
    const card = cardOf(viewOf([me], { me }), 'IDENTIFYs');
    expect(card).toContain('<meter min="0" max="1" low="0" value="0">–</meter>');
    expect(textOf(card)).toContain('– of – – reset not known yet');
  });
});

it('has eight sentences about what is wrong, and the number of the others', () => {
  const problems = (count: number): FleetView => {
    const texts = Array.from({ length: count }, (_, index) => ({ part: 'other' as const, text: `fault ${index}` }));
    return viewOf([{ ...REPORT, problems: texts }, STANDBY]);
  };
  const sentences = (count: number) =>
    [...bodyOf(problems(count)).matchAll(/<b>Fault (\d+) /g)].map(([, index]) => index);
  expect(sentences(8)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
  expect(bodyOf(problems(8))).not.toContain('and 0 more');
  expect(sentences(9)).toHaveLength(8);
  expect(textOf(bodyOf(problems(9)))).toContain('read the log of this task: it is a defect. and 1 more');
});

it('has twenty entries of what happened, or that there is none', () => {
  const events = Array.from({ length: 21 }, (_, index): Event => {
    return { kind: 'started', at: NOW - index * 200_000, task: `host-0-${index}` };
  });
  const body = bodyOf({ ...HEALTHY, events });
  expect(body.match(/task started \((\d+)\)/g)).toEqual(
    Array.from({ length: 20 }, (_, index) => `task started (${index})`),
  );
  expect(body).not.toContain('nothing yet');
  expect(bodyOf({ ...HEALTHY, events: events.slice(0, 1) })).not.toContain('nothing yet');
  expect(bodyOf(HEALTHY)).toContain('nothing yet');
});

describe('the table of tasks', () => {
  const problem = { part: 'other' as const, text: 'x' };

  it.each<[string, Partial<Report>, boolean, string]>([
    ['good', {}, false, 'owner of group 0 no problem 2 2 60 min 4 s ago'],
    ['good', { group: null }, false, 'owner of group ? no problem'],
    ['warn', { role: 'draining' }, false, 'draining no problem'],
    ['bad', { problems: [problem] }, false, 'owner of group 0 1 problem 2'],
    ['bad', { problems: [problem, problem] }, false, 'owner of group 0 2 problems 2'],
    ['bad', {}, true, 'gone silent for 4 s'],
  ])('has as %s: %j, silent: %j', (level, fields, silent, text) => {
    const view = viewOf([], { tasks: [{ report: { ...REPORT, ...fields }, at: NOW - 4_000, silent }] });
    const [, found, row = ''] = /<tr class="(\w+)">(.*?)<\/tr>/.exec(bodyOf(view)) ?? [];
    expect([found, textOf(row)]).toEqual([level, expect.stringContaining(`aaaaaa host-1-aaaaaa ${text}`)]);
  });

  it('has forty, and names ten of the others', () => {
    const shown = (count: number) => {
      const body = bodyOf(viewOf(Array.from({ length: count }, (_, index) => ({ ...STANDBY, task: `t-${index}` }))));
      return [
        body.match(/<tr class=/g)?.length,
        textOf(body.split('</table>')[1] ?? '')
          .split(' What ')[0]
          ?.trim(),
      ];
    };
    expect(shown(40)).toEqual([40, '']);
    expect(shown(51)).toEqual([40, 'and 40, 41, 42, 43, 44, 45, 46, 47, 48, 49 and 1 more']);
    expect(textOf(bodyOf(viewOf([REPORT, STANDBY, { ...REPORT, role: 'draining' }])))).toContain(
      'Tasks 3 tasks, 1 standing by',
    );
  });
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
  expect(episodes(events).map(({ level, title, texts }) => [level, title, ...texts])).toEqual([
    ['bad', 'Gap', 'shard 3: the session expired'],
    ['good', 'Deploy', '1 task started (bbbbbb)', '1 task drained (aaaaaa)', 'group 0: aaaaaa → bbbbbb'],
    ['warn', 'Task lost', '1 task gone without draining (000000)'],
    ['good', 'Hand-over', 'group 0: → aaaaaa'],
  ]);
  expect(textOf(bodyOf({ ...HEALTHY, events }))).toContain('21:58:30 Deploy 1 task started');
});

it.each<[string, Event['kind'][], readonly string[]]>([
  ['a start', ['started'], ['Start: 1 task started (000000)']],
  ['a drain', ['drained'], ['Drained: 1 task drained (000000)']],
  ['a return', ['back'], ['Task back: 1 task reported again (000000)']],
  [
    'a loss with what follows',
    ['gone', 'started'],
    ['Start · Task lost: 1 task started (000001); 1 task gone without draining (000000)'],
  ],
])('has %s as an entry of its own', (_, kinds, expected) => {
  const events = kinds.map((kind, index) => ({ kind, at: NOW + index, task: `host-0-00000${index}` }) as Event);
  expect(episodes(events.toReversed()).map(({ title, texts }) => `${title}: ${texts.join('; ')}`)).toEqual(expected);
});

it('has what happens within two minutes of the event before as one entry, at the time of the first', () => {
  const at = [0, 120_000, 240_000, 360_001].map((ms) => NOW + ms);
  const events = at.map((at, index): Event => ({ kind: 'started', at, task: `host-0-00000${index}` }));
  expect(episodes(events.toReversed()).map(({ at, texts }) => [at - NOW, ...texts])).toEqual([
    [360_001, '1 task started (000003)'],
    [0, '3 tasks started (000000, 000001, 000002)'],
  ]);
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
  [-1, '0 s'],
  [89_499, '89 s'],
  [89_500, '2 min'],
  [89 * 60_000, '89 min'],
  [90 * 60_000, '1 h 30 min'],
  [120 * 60_000, '2 h 0 min'],
  [47 * 3_600_000 + 59 * 60_000, '47 h 59 min'],
  [48 * 3_600_000, '2 d'],
  [72 * 3_600_000 - 60_000, '2 d'],
])('%d ms are %s', (ms, text) => expect(age(ms)).toBe(text));

it('has the day of a time that is on another day', () => {
  const resetAt = Date.parse('2031-02-03T04:05:06Z');
  const me = { ...STANDBY, identifies: { ...REPORT.identifies, resetAt } };
  expect(textOf(bodyOf(viewOf([me], { me })))).toContain(', at 02-03 04:05 UTC');
});
