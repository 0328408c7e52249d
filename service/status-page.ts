// The health report as a page for a person, readable at 3 a.m. No script; it reloads itself.

import { PATHS } from './contract/names.ts';
import { type HealthReport, isUsable } from './health.ts';

export function statusPage(report: HealthReport): string {
  const { checks, identifies, lease, outbox, role, shard, status } = report;
  const { memory, rabbitmq } = checks;
  const stopped = role === 'owner' && !outbox.receiving;
  const rows: [string, boolean | undefined, string][] = [
    ['Discord', checks.discord.connected, discordText(report)],
    ['RabbitMQ', isUsable(rabbitmq), brokerText(rabbitmq)],
    [
      'Memory',
      memory.belowThreshold,
      `heap ${mib(memory.heapUsed)} of ${mib(memory.heapLimit)}, resident ${mib(memory.rss)}`,
    ],
    [
      'Outbox',
      !stopped,
      `${outbox.events} events not confirmed (${outbox.usedPercent.toFixed(1)} % full)${stopped ? ': not receiving until it is half empty' : ''}`,
    ],
    ['Lease', undefined, leaseText(lease)],
    [
      'IDENTIFYs left today',
      undefined,
      identifies.spentUntil === null
        ? String(identifies.remaining ?? 'not asked yet')
        : `none until ${identifies.spentUntil}`,
    ],
  ];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${status} · Discord Gateway Ingestor</title>
<style>
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
</style>
<h1>Discord Gateway Ingestor <span class="badge ${status}">${status}</span></h1>
<p class="muted">${escapeHtml(report.environment)} · ${role}${shard.group === null ? '' : ` of shard group ${shard.group}`} · ${report.timestamp} · <a href="${PATHS.health}">health</a> · <a href="${PATHS.metrics}">metrics</a></p>
${(checks.discord.problems ?? []).map((problem) => `<p class="problem">${escapeHtml(problem)}</p>`).join('\n')}
<table>${rows.map(([name, good, text]) => `<tr><th>${name}</th><td>${mark(good)}</td><td>${escapeHtml(text)}</td></tr>`).join('')}</table>
${shard.assigned.length === 0 ? '' : shardTable(report.shards)}
</html>
`;
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
  return Object.entries(lease)
    .flatMap(([name, value]) => (value === null ? [] : `${LEASE_WORDS[name] ?? name} ${String(value)}`))
    .join(', ');
}

function shardTable(shards: HealthReport['shards']): string {
  const rows = shards.map(({ id, state, latency, confirmed, received }) => {
    const numbers = [latency === null ? '' : `${latency} ms`, confirmed ?? '', received ?? ''];
    const good = state === 'ready' ? 'good' : 'bad';
    return `<tr><td>${id}</td><td class="${good}">${escapeHtml(state)}</td>${numbers.map((number) => `<td class="number">${number}</td>`).join('')}</tr>`;
  });
  const heads = ['Heartbeat', 'Confirmed', 'Received'].map((name) => `<th class="number">${name}</th>`).join('');
  return `<table><tr><th>Shard</th><th>State</th>${heads}</tr>\n${rows.join('\n')}\n</table>`;
}

const mark = (good: boolean | undefined): string =>
  good === undefined ? '' : good ? '<span class="good">✔</span>' : '<span class="bad">✘</span>';

const mib = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
