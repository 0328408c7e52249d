// The health report of /health as a page for a person. No script; it reloads itself.

import { PATHS } from './contract/names.ts';
import type { HealthReport } from './health.ts';

const MIB = 1024 * 1024;

export function statusPage(report: HealthReport): string {
  const { checks, outbox, shard, lease, identifies } = report;
  const problems = checks.discord.problems ?? [];
  const open = outbox.receiving || report.role !== 'owner';
  const rows: [string, boolean | undefined, string][] = [
    ['Discord', checks.discord.connected, discordText(report)],
    [
      'RabbitMQ',
      checks.rabbitmq.connected && checks.rabbitmq.channelOpen && !checks.rabbitmq.blocked,
      brokerText(checks.rabbitmq),
    ],
    [
      'Memory',
      checks.memory.belowThreshold,
      `heap ${mib(checks.memory.heapUsed)} of ${mib(checks.memory.heapLimit)}, resident ${mib(checks.memory.rss)}`,
    ],
    [
      'Outbox',
      open,
      `${outbox.events} events not confirmed (${outbox.usedPercent.toFixed(1)} % full)${open ? '' : ': not receiving until it is half empty'}`,
    ],
    ['Lease', undefined, leaseText(lease)],
    [
      'IDENTIFYs left today',
      undefined,
      identifies.spentUntil === null
        ? String(identifies.remaining ?? 'not known yet')
        : `none until ${identifies.spentUntil}`,
    ],
  ];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${report.status} · Discord Gateway Ingestor</title>
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
<h1>Discord Gateway Ingestor <span class="badge ${report.status}">${report.status}</span></h1>
<p class="muted">${escapeHtml(report.environment)} · ${report.role}${shard.group === null ? '' : ` of shard group ${shard.group}`} · ${report.timestamp} · <a href="${PATHS.health}">health</a> · <a href="${PATHS.metrics}">metrics</a></p>
${problems.map((problem) => `<p class="problem">${escapeHtml(problem)}</p>`).join('\n')}
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

function leaseText(lease: HealthReport['lease']): string {
  return Object.entries(lease)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${LEASE_LABELS[name] ?? name} ${String(value)}`)
    .join(', ');
}

const LEASE_LABELS: Readonly<Record<string, string>> = {
  state: '',
  storedAt: 'record stored',
  ownedSince: 'owner since',
};

function shardTable(shards: HealthReport['shards']): string {
  const rows = shards.map(({ id, state, latency, confirmed, received }) => {
    const cells = [latency === null ? '' : `${latency} ms`, confirmed ?? '', received ?? ''];
    const good = state === 'ready' ? 'good' : 'bad';
    return `<tr><td>${id}</td><td class="${good}">${escapeHtml(state)}</td>${cells.map((cell) => `<td class="number">${cell}</td>`).join('')}</tr>`;
  });
  const heads = ['Heartbeat', 'Confirmed', 'Received'].map((name) => `<th class="number">${name}</th>`).join('');
  return `<table><tr><th>Shard</th><th>State</th>${heads}</tr>\n${rows.join('\n')}\n</table>`;
}

function brokerText(rabbitmq: HealthReport['checks']['rabbitmq']): string {
  const state = !rabbitmq.connected
    ? 'not connected'
    : rabbitmq.blocked
      ? 'connected, blocks publishers (memory or disk alarm)'
      : rabbitmq.channelOpen
        ? 'connected'
        : 'connected, no channel';
  return `${state}; ${rabbitmq.publishCount} confirmed, ${rabbitmq.errorCount} errors`;
}

const mark = (good: boolean | undefined): string =>
  good === undefined ? '' : good ? '<span class="good">✔</span>' : '<span class="bad">✘</span>';

const mib = (bytes: number): string => `${(bytes / MIB).toFixed(0)} MiB`;

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
