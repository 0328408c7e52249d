// The status page: all tasks, for an operator at 3 a.m., on any screen. The server renders all of it; the script only replaces
// it by a newer one, and without a script the page reloads. Every value is escaped (html.ts). Pure.

import { createHash } from 'node:crypto';
import { PATHS } from '../contract/names.ts';
import { type FleetView, type KnownTask, WINDOW_MS } from './fleet.ts';
import { Html, html } from './html.ts';
import { plot } from './plot.ts';
import type { Point, Report } from './report.ts';
import { type Episode, episodes } from './time-line.ts';
import { age, findings, type Group, groupsOf, type Level, listOf, plural, shortName } from './verdict.ts';

const STYLE = new Html(`
  :root { color-scheme: light dark; --ink: #1c2128; --dim: #59636e; --page: #f4f6f8; --card: #fff; --line: #d5dbe1;
    --good: #1a7f37; --warn: #a25c00; --bad: #c2202c; --none: #8c959f; --plot: #0969da }
  @media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9da7b3; --page: #0d1117; --card: #161b22;
    --line: #30363d; --good: #3fb950; --warn: #e3a008; --bad: #ff6b64; --none: #6e7681; --plot: #58a6ff } }
  * { box-sizing: border-box }
  body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 76rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
  h1 { font-size: 1rem; margin: 0 } h2 { font-size: 1rem; margin: 1.6rem 0 .5rem } h3 { font-size: .9rem; font-weight: 600; margin: .9rem 0 .35rem }
  p, ul, ol, table, figure { margin: 0; padding: 0 } ul, ol { list-style: none }
  header { display: flex; flex-wrap: wrap; gap: .1rem 1rem; justify-content: space-between; align-items: baseline; margin-bottom: .7rem }
  a { color: inherit } .dim, small { color: var(--dim); font-size: .85rem; font-weight: 400 } b { font-weight: 600 }
  .verdict, .card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem }
  .verdict { display: grid; grid-template-columns: auto 1fr; gap: .2rem .8rem; border-left: .45rem solid var(--at); margin-bottom: .5rem }
  .verdict b { font-size: 1.25rem; line-height: 1.3 } .verdict p { grid-column: 2 } .verdict i { margin-top: .42rem; width: 1rem; height: 1rem }
  .verdict.also b { font-size: 1rem } .verdict.also i { margin-top: .28rem; width: .8rem; height: .8rem }
  .good { --at: var(--good) } .warn { --at: var(--warn) } .bad { --at: var(--bad) } .none { --at: var(--none) }
  i { display: inline-block; width: .75rem; height: .75rem; background: var(--at) }
  .good i, i.good { border-radius: .15rem } .warn i, i.warn { border-radius: 50%; background: none; border: .2rem solid var(--at) }
  .bad i, i.bad { clip-path: polygon(18% 0, 50% 32%, 82% 0, 100% 18%, 68% 50%, 100% 82%, 82% 100%, 50% 68%, 18% 100%, 0 82%, 32% 50%, 0 18%) }
  .none i, i.none { background: none; border: 1px dashed var(--at) }
  .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)); gap: .6rem }
  .card { padding: .6rem .8rem; min-width: 0 } .card strong { display: block; font-size: 1.35rem; line-height: 1.3; font-variant-numeric: tabular-nums }
  svg { display: block; width: 100%; height: 4.5rem; margin-top: .35rem; overflow: visible }
  svg * { fill: none; stroke: var(--plot); stroke-width: 1.6; vector-effect: non-scaling-stroke } svg .area { fill: var(--plot); fill-opacity: .14; stroke: none }
  svg .second { stroke: var(--warn) } svg .axis { stroke: var(--line); stroke-width: 1 } svg .event { stroke: var(--none); stroke-width: 1; stroke-dasharray: 2 3 }
  .scale { white-space: nowrap; display: flex; justify-content: space-between; font-size: .75rem; color: var(--dim) } .key { color: var(--warn) }
  .pair { margin-top: .6rem } .queues { display: flex; flex-wrap: wrap; gap: 0 1.6rem } @media (min-width: 34rem) { .pair { grid-template-columns: 1fr 2fr } }
  meter { width: 100%; height: .8rem; margin-top: .6rem }
  .tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(4.15rem, 1fr)); gap: .3rem }
  .tiles li { background: var(--card); border: 1px solid var(--line); border-bottom: .2rem solid var(--at); border-radius: .35rem; padding: .25rem .4rem; font-size: .78rem; line-height: 1.35; font-variant-numeric: tabular-nums; white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
  .tiles li b { font-size: .9rem } .tiles i { width: .6rem; height: .6rem; margin-right: .3rem }
  .dots { display: flex; flex-wrap: wrap; gap: 3px } .dots li { line-height: 0 }
  .legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin-top: .6rem } .legend i { margin-right: .35rem; vertical-align: -.05rem }
  table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line); border-radius: .6rem }
  th, td { text-align: left; padding: .35rem .6rem; border-top: 1px solid var(--line); vertical-align: top; font-variant-numeric: tabular-nums } th { font-size: .8rem; font-weight: 600; color: var(--dim); border: 0; white-space: nowrap } td small { display: block } .number { white-space: nowrap }
  .line li { display: grid; grid-template-columns: 4.6rem 1fr; gap: 0 .8rem; padding: .45rem 0 .45rem .8rem; border-left: .2rem solid var(--at) } .line li + li { margin-top: .3rem }
  #lost { display: none } .lost #lost { display: block; color: var(--bad); font-weight: 600; margin-bottom: .5rem } .lost main { opacity: .55 }
  @media (max-width: 34rem) { body { padding: .6rem } .wide { display: none } .cards:not(.pair) { grid-template-columns: 1fr 1fr } svg { height: 3.2rem } .card strong { font-size: 1.1rem } th, td { padding: .35rem .4rem } .line li { grid-template-columns: 1fr } }
`);

const SCRIPT = new Html(`
  let stream, timer;
  const lost = (is) => document.body.classList.toggle('lost', is);
  const openIn = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(() => (lost(true), open()), ms);
  };
  const open = () => {
    stream?.close();
    stream = new EventSource('${PATHS.events}');
    stream.onmessage = ({ data }) => {
      const { title, body } = JSON.parse(data);
      document.title = title;
      document.querySelector('main').innerHTML = body;
      lost(false);
      openIn(10_000);
    };
    stream.onerror = () => {
      lost(true);
      // After an answer that is no stream the browser does not try again.
      if (stream.readyState === EventSource.CLOSED) openIn(5_000);
    };
    // A path can end without a sign.
    openIn(10_000);
  };
  open();
`);

const hashOf = ({ text }: Html): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Of the header `content-security-policy`: only what the page has itself is run, and it connects to its own server only. */
export const PAGE_POLICY = [
  "default-src 'none'",
  `style-src ${hashOf(STYLE)}`,
  `script-src ${hashOf(SCRIPT)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export interface Page {
  readonly title: string;
  /** HTML: the content of `main`. */
  readonly body: string;
}

export function documentOf({ title, body }: Page): string {
  return html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<noscript><meta http-equiv="refresh" content="5"></noscript>
<title>${title}</title>
<style>${STYLE}</style>
<p id="lost" role="alert">This task no longer answers: below is what it knew last. The page goes on by itself when it is back.</p>
<main>${new Html(body)}</main>
<script>${SCRIPT}</script>
</html>
`.text;
}

/** More have squares without a text. */
const MOST_TILES = 128;
const MOST_FINDINGS = 8;
const MOST_EPISODES = 20;
const MOST_TASKS = 40;

export function renderPage(view: FleetView, environment: string): Page {
  const { me, now } = view;
  const groups = groupsOf(view);
  const found = findings(view);
  const [worst] = found;
  const line = episodes(view.events).slice(0, MOST_EPISODES);
  const shards = groups.flatMap(({ owner }) => owner?.shards ?? []);
  const connected = shards.filter(({ state }) => state === 'ready').length;
  const count = groups.reduce((sum, { from, to }) => sum + to - from, 0);
  const standbys = view.tasks.filter(({ report, silent }) => report.role === 'standby' && !silent).length;
  const well = `All is well: ${plural(connected, 'shard')} connected, ${plural(groups.length, 'group')} owned, ${standbys === 0 ? 'no task stands by' : `${plural(standbys, 'task')} ${standbys === 1 ? 'stands' : 'stand'} by`}.`;
  const level = worst?.level ?? 'good';
  const body = html`
<header><h1>Discord Gateway Ingestor · ${environment}</h1>
<span class="dim">${clock(now)} UTC, as task ${shortName(me.task)} (${me.role}) sees it · <a href="${PATHS.health}">health</a> · <a href="${PATHS.metrics}">metrics</a></span></header>
<section class="verdict ${level}" role="status"><i></i><b>${worst === undefined ? well : `${worst.wrong}.`}</b>${worst === undefined ? '' : html`<p>First: ${worst.first}.</p>`}</section>
${found.slice(1, MOST_FINDINGS).map(({ level, wrong, first }) => html`<section class="verdict also ${level}"><i></i><b>${wrong}.</b><p class="dim">First: ${first}.</p></section>\n`)}
${found.length > MOST_FINDINGS ? html`<p class="dim">and ${found.length - MOST_FINDINGS} more</p>` : ''}
${cards(view, line)}
<h2>Shards <small>${connected} of ${count} connected</small></h2>
${shardSquares(groups, count, now, view.tasks)}
<h2>Tasks <small>${plural(view.tasks.length, 'task')}, ${standbys} standing by</small></h2>
${taskTable(view.tasks, now)}
<h2>What happened <small>deploys, hand-overs, gaps</small></h2>
<ol class="line">${line.map(({ at, level, title, texts }) => html`<li class="${level}"><span class="dim">${clock(at, now)}</span><span><b>${title}</b> <span class="dim">${texts.join('; ')}</span></span></li>\n`)}</ol>
${line.length === 0 ? html`<p class="dim">nothing yet</p>` : ''}`.text;
  return { title: `${WORDS[level]} · ${environment} · Discord Gateway Ingestor`, body };
}

const WORDS: Readonly<Record<Level, string>> = { good: 'All is well', warn: 'Look', bad: 'Act' };

function cards(view: FleetView, line: readonly Episode[]): Html {
  const { me, now, points } = view;
  const reports = view.tasks.filter(({ silent }) => !silent).map(({ report }) => report);
  const last = points.at(-1);
  const confirmed = points.findLast(({ p99 }) => p99 !== null);
  const fullest = Math.max(0, ...reports.map(({ outbox }) => outbox.usedPercent ?? 0));
  const left = ({ identifies }: Report) => identifies.remaining ?? Number.POSITIVE_INFINITY;
  const { remaining, total, resetAt } = reports.reduce((a, b) => (left(b) < left(a) ? b : a), me).identifies;
  const card = (label: string, value: string, sub: Html, ...series: ((point: Point) => number | null)[]) => html`
<div class="card">${label}<strong>${value} <small>${sub}</small></strong>${plot({ label, points, series, from: now - WINDOW_MS, to: now, marks: line.map(({ at }) => at) })}</div>`;
  return html`<h2>The last 15 minutes</h2><div class="cards">
${card('Events per second', number(last?.perSecond), html`confirmed`, ({ perSecond }) => perSecond)}
${card('Frame → confirm', `${number(confirmed?.p50)} ms`, html`p50 <span class="key">p99 ${number(confirmed?.p99)} ms</span>`, ...LATENCIES)}
${card('Outbox', number(last?.outbox), html`${fullest.toFixed(1)} % full`, ({ outbox }) => outbox)}
${card('Waiting for workers', number(last?.waiting), html`messages`, ({ waiting }) => waiting)}
</div><div class="cards pair">
<div class="card">IDENTIFYs left<strong>${number(remaining)} <small>of ${number(total)}</small></strong>
<meter min="0" max="${total ?? 1}" low="${(total ?? 0) / 5}" value="${remaining ?? 0}">${number(remaining)}</meter>
<p class="dim">${resetAt === null ? 'reset not known yet' : `reset in ${age(resetAt - now)}, at ${clock(resetAt, now)} UTC`}</p></div>
<div class="card">Queues<ul class="queues">${Object.entries(me.queues).map(([queue, depth]) => html`<li><strong>${number(depth)}</strong><span class="dim">${queue}</span></li>`)}</ul></div>
</div>`;
}

const LATENCIES = [({ p50 }: Point) => p50, ({ p99 }: Point) => p99];

function shardSquares(groups: readonly Group[], count: number, now: number, tasks: readonly KnownTask[]): Html {
  const reportedAt = new Map(tasks.map(({ report, at }) => [report.task, at]));
  const tiles = count <= MOST_TILES;
  const lists = groups.map(({ group, from, to, owner }) => {
    const since = owner?.ownedSince == null ? '' : ` for ${age(now - owner.ownedSince)}`;
    const known = new Map(owner?.shards.map((shard) => [shard.id, shard]));
    const ids = new Set([...Array.from({ length: to - from }, (_, index) => from + index), ...known.keys()]);
    const squares = [...ids].map((id) => {
      const shard = known.get(id);
      const state = shard?.state ?? 'no owner known';
      const level = levelOf(shard);
      const latency = shard?.latencyMs == null ? '–' : `${Math.round(shard.latencyMs)} ms`;
      const sinceReport = now - (reportedAt.get(owner?.task ?? '') ?? now);
      const last = shard?.silentMs == null ? undefined : age(shard.silentMs + sinceReport);
      const text = `shard ${id}: ${state}, heartbeat ${latency}, last event ${last === undefined ? 'not known' : `${last} ago`}`;
      if (!tiles) return html`<li class="${level}" role="img" title="${text}"><i></i></li>`;
      const first = shard === undefined || state === 'ready' ? latency : state;
      return html`<li class="${level}" title="${text}"><i></i><b>${id}</b><br>${first}<br>${last ?? '–'}</li>`;
    });
    const range = to - from === 1 ? `shard ${from}` : `shards ${from}–${to - 1}`;
    const by =
      owner === undefined
        ? 'no owner known'
        : `${shortName(owner.task)}${owner.role === 'draining' ? ', draining' : ''}${since}`;
    return html`<h3>Group ${group} <small>${range} · ${by}</small></h3><ul class="${tiles ? 'tiles' : 'dots'}" aria-label="group ${group}">${squares}</ul>\n`;
  });
  return html`${lists}<p class="legend dim">${LEGEND.map(([level, text]) => html`<span><i class="${level}"></i>${text}</span>`)}<span>${tiles ? 'in a square: last heartbeat’s round trip, and how long ago its last event came' : 'touch or point at a square for more'}</span></p>`;
}

const LEGEND = [
  ['good', 'connected'],
  ['warn', 'connecting'],
  ['bad', 'failed'],
  ['none', 'no owner known'],
] as const;

function levelOf(shard: Report['shards'][number] | undefined): Level | 'none' {
  if (shard === undefined) return 'none';
  if (shard.state === 'ready') return 'good';
  return ['failed', 'stopped', 'unknown'].includes(shard.state) ? 'bad' : 'warn';
}

function taskTable(tasks: readonly KnownTask[], now: number): Html {
  const rows = tasks.slice(0, MOST_TASKS).map(({ report, at, silent }) => {
    const { problems, role, group, shards, task, outbox } = report;
    const level = silent || problems.length > 0 ? 'bad' : role === 'draining' ? 'warn' : 'good';
    const what = silent ? 'gone' : role === 'owner' ? `owner of group ${group ?? '?'}` : role;
    return html`<tr class="${level}"><td><i></i> <b>${shortName(task)}</b><small>${task}</small></td><td>${what}<small>${silent ? `silent for ${age(now - at)}` : problems.length > 0 ? plural(problems.length, 'problem') : 'no problem'}</small></td><td class="wide">${shards.length}</td><td class="number">${number(outbox.events)}</td><td class="wide">${age(now - report.startedAt)}</td><td class="wide">${age(now - at)} ago</td></tr>\n`;
  });
  const more =
    tasks.length > MOST_TASKS
      ? html`<p class="dim">and ${listOf(
          tasks.slice(MOST_TASKS).map(({ report }) => shortName(report.task)),
          10,
        )}</p>`
      : '';
  return html`<table><tr><th>Task</th><th>Role</th><th class="wide">Shards</th><th>Outbox</th><th class="wide">Runs for</th><th class="wide">Reported</th></tr>\n${rows}</table>${more}`;
}

const number = (value: number | null | undefined): string =>
  value == null ? '–' : value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 1 : 0 });

/** UTC; with the day where it is another than now's. */
function clock(at: number, now = at): string {
  const text = new Date(at).toISOString();
  return text.slice(0, 10) === new Date(now).toISOString().slice(0, 10)
    ? text.slice(11, 19)
    : `${text.slice(5, 10)} ${text.slice(11, 16)}`;
}
