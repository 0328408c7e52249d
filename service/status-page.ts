// The health report as a page for a person, readable at 3 a.m. No script; it reloads itself.

import { createHash } from 'node:crypto';
import { PATHS } from './contract/names.ts';
import type { HealthReport } from './health.ts';
import { Html, html } from './html.ts';

const STYLE = new Html(`
  :root { color-scheme: light dark; --good: #1a7f37; --bad: #cf222e; --line: #8884 }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.3rem; display: flex; gap: .6rem; align-items: center; flex-wrap: wrap }
  .badge { font-size: .9rem; padding: .1rem .6rem; border-radius: 1rem; color: #fff; background: var(--bad) }
  .healthy { background: var(--good) }
  .muted { opacity: .7; font-size: .9rem }
  table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
  th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
  td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
  .good { color: var(--good) } .bad { color: var(--bad) }
  .problem { border-left: 4px solid var(--bad); padding: .3rem .8rem; margin: .5rem 0 }
`);

/** Of the header `content-security-policy`: nothing is loaded or run, no form is sent, and the page is in no frame. */
export const PAGE_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE.text).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export function statusPage(report: HealthReport): string {
  const { checks, identifies, lease, outbox, role, shard, status } = report;
  const { memory, rabbitmq } = checks;
  const stopped = role === 'owner' && !outbox.receiving;
  const rows: [string, boolean | undefined, string][] = [
    ['Discord', checks.discord.connected, known(checks.discord, () => discordText(report))],
    ['RabbitMQ', isGood(rabbitmq), known(rabbitmq, () => brokerText(rabbitmq))],
    [
      'Memory',
      memory.belowThreshold,
      known(memory, () => `heap ${mib(memory.heapUsed)} of ${mib(memory.heapLimit)}, resident ${mib(memory.rss)}`),
    ],
    [
      'Outbox',
      isGood(outbox),
      known(
        outbox,
        () =>
          `${outbox.events} events not confirmed (${outbox.usedPercent.toFixed(1)} % full)${stopped ? ': not receiving until it is half empty' : ''}`,
      ),
    ],
    ['Lease', lease.problems && false, leaseText(lease)],
    [
      'IDENTIFYs left today',
      undefined,
      known(identifies, () =>
        identifies.spentUntil === null
          ? String(identifies.remaining ?? 'not asked yet')
          : `none until ${identifies.spentUntil}`,
      ),
    ],
  ];
  return html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${status} · Discord Gateway Ingestor</title>
<style>${STYLE}</style>
<h1>Discord Gateway Ingestor <span class="badge ${status}">${status}</span></h1>
<p class="muted">${report.environment} · ${role}${shard.group === null ? '' : ` of shard group ${shard.group}`} · ${report.timestamp} · <a href="${PATHS.health}">health</a> · <a href="${PATHS.metrics}">metrics</a></p>
${report.problems.map((problem) => html`<p class="problem">${problem}</p>\n`)}
<table>${rows.map(([name, good, text]) => html`<tr><th>${name}</th><td>${mark(good)}</td><td>${text}</td></tr>`)}</table>
${shard.assigned.length === 0 ? '' : shardTable(report.shards)}
</html>
`.text;
}

function isGood({ problem, problems }: { readonly problem?: string; readonly problems?: readonly string[] }): boolean {
  return problem === undefined && problems === undefined;
}

/** The sentence about a section that cannot be read is above. */
function known(section: { readonly problem?: string }, text: () => string): string {
  return section.problem === undefined ? text() : 'unknown';
}

function discordText({ role, shard, checks }: HealthReport): string {
  if (role === 'standby') return 'standing by: no shards until a lease is free';
  const latency = checks.discord.latency === null ? '' : `, heartbeat ${checks.discord.latency} ms`;
  return `${shard.connected} of ${shard.assigned.length} shards connected${latency}`;
}

function brokerText(rabbitmq: HealthReport['checks']['rabbitmq']): string {
  const confirmed = `${rabbitmq.publishCount} confirmed, ${rabbitmq.errorCount} errors`;
  if (!rabbitmq.connected) return `not connected; ${confirmed}`;
  if (rabbitmq.blocked) return `connected, blocks publishers (memory or disk alarm); ${confirmed}`;
  return `connected${rabbitmq.channelOpen ? '' : ', no channel'}; ${confirmed}`;
}

const LEASE_WORDS: Readonly<Record<string, string>> = {
  state: '',
  storedAt: 'record stored',
  ownedSince: 'owner since',
};

function leaseText(lease: HealthReport['lease']): string {
  const { problems: _, ...fields } = lease;
  return Object.entries(fields)
    .flatMap(([name, value]) => (value === null ? [] : `${LEASE_WORDS[name] ?? name} ${String(value)}`))
    .join(', ');
}

function shardTable(shards: HealthReport['shards']): Html {
  const rows = shards.map(({ id, state, latency, confirmed, received }) => {
    const numbers = [latency === null ? '' : `${latency} ms`, confirmed ?? '', received ?? ''];
    const good = state === 'ready' ? 'good' : 'bad';
    return html`<tr><td>${id}</td><td class="${good}">${state}</td>${numbers.map((number) => html`<td class="number">${number}</td>`)}</tr>\n`;
  });
  const heads = ['Heartbeat', 'Confirmed', 'Received'].map((name) => html`<th class="number">${name}</th>`);
  return html`<table><tr><th>Shard</th><th>State</th>${heads}</tr>\n${rows}</table>`;
}

function mark(good: boolean | undefined): Html {
  if (good === undefined) return html``;
  return good ? html`<span class="good">✔</span>` : html`<span class="bad">✘</span>`;
}

const mib = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
