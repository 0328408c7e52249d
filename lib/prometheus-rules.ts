// The alarms of alarms.ts as alert rules of Prometheus: each with the same metric, threshold, periods and meaning of missing
// data, or with the reason why there is no rule. Pure: bin/dashboards.ts writes docs/prometheus-alerts.yml.
import { type AlarmDefinition, alarmDefinitions, type Family, IMPAIRED, UNHEALTHY } from './alarms.ts';
import { type Jobs, missingMetric, points, valueOver } from './promql.ts';
import type { Settings } from './settings.ts';

export interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly keep_firing_for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<'summary' | 'description' | 'runbook', string>>;
}

const SEVERITIES = { health: 'page', pressure: 'ticket', budget: 'ticket' } as const satisfies Record<Family, string>;

/** For so long a rule uses the last value of a metric, where missing data keeps the state of the alarm. The file names it. */
const REMEMBERED = '1d';

/** Alertmanager does not send an alert that begins and ends within its group_interval, 5 minutes by default. */
const KEPT = '10m';

/** What to do first, on AWS. */
const RUNBOOK = 'docs/runbook.md';

/** @returns `without`: by alarm that has no rule the reason, and what to use in its place */
export function alertRules(settings: Settings, jobs: Jobs, runbook = RUNBOOK) {
  const rules: Rule[] = [];
  const without = new Map([
    [
      `${UNHEALTHY}, ${IMPAIRED}`,
      'Alertmanager sums up the rules with severity="page" in one message: group_by: [job, severity]',
    ],
    ['release-…', 'Amazon ECS rolls a deployment back by these, and they send no message: other rules report the same'],
  ]);
  for (const definition of alarmDefinitions(settings)) {
    const reason = missingMetric(definition.metric);
    if (reason === undefined) rules.push(ruleOf(definition, jobs, runbook));
    else without.set(definition.id, reason);
  }
  return { rules, without };
}

function ruleOf(definition: AlarmDefinition & { readonly family: Family }, jobs: Jobs, runbook: string): Rule {
  const { id, family, wrong, because, first, entry = id, mutedInMaintenance, datapoints } = definition;
  return {
    alert: id,
    expr: condition(definition, jobs),
    ...(datapoints[1] === 1 && { keep_firing_for: KEPT }),
    labels: {
      job: jobs.ingestor,
      family,
      severity: SEVERITIES[family],
      ...(mutedInMaintenance && { muted_in_maintenance: 'true' }),
    },
    annotations: {
      summary: wrong,
      description: `Threshold: ${because}. First: ${first}.`,
      runbook: `${runbook}#${entry}`,
    },
  };
}

/** So many of so many points are beyond the threshold. */
function condition(
  { metric, threshold, periodMinutes = 1, datapoints: [enough, of], silence }: AlarmDefinition,
  jobs: Jobs,
): string {
  const read = valueOver(metric, periodMinutes, jobs);
  const value = silence === 'ignore' ? `last_over_time((${read})[${REMEMBERED}:${periodMinutes}m])` : read;
  const [beyond, within, limit] = 'below' in threshold ? ['<', '>=', threshold.below] : ['>=', '<', threshold.atLeast];
  const during = points(of * periodMinutes, periodMinutes);
  // Those within are counted: the others are beyond the threshold, or missing.
  if (silence === 'breaching')
    return `(count_over_time((${value} ${within} ${limit})${during}) or vector(0)) <= ${of - enough}`;
  const breach = `${value} ${beyond} ${limit}`;
  return of === 1 ? breach : `count_over_time((${breach})${during}) >= ${enough}`;
}

/** The rule file, to be read by people too. */
export function ruleFile(settings: Settings, jobs: Jobs, runbook = RUNBOOK): string {
  const { rules, without } = alertRules(settings, jobs, runbook);
  const { count, standbys } = settings.shards;
  const number = (of: number, what: string) => `${of} ${what}${of === 1 ? '' : 's'}`;
  return `# The alarms of the Discord Gateway Ingestor as alert rules of Prometheus (2.42 or newer), written by npm run dashboards.
# It expects
# - each task, standbys too, to be scraped at /metrics under the job ${jobs.ingestor}, once a minute at least, and
#   RabbitMQ's plugin rabbitmq_prometheus under the job ${jobs.rabbitmq};
# - one bot in one environment under this job, and a file for each: in a sum over two, one hides that the other is offline;
# - ${number(count, 'shard')} and ${number(standbys, 'standby')}: write it again for others, as npm run dashboards -- --help says;
# - Alertmanager to call a person for severity="page", and to mute muted_in_maintenance="true" while the broker is maintained.
# A rule that takes silence for a fault is on from the first minute of a new Prometheus, until it has seen that all is well;
# one that keeps its state in silence keeps it for a day.
# A counter of a process that begins again is seen by its lower value: a restart at the same address, and a first gap within
# the same minute, look like the former process with its one gap. Where each process has an address of its own, that cannot be.
#
# There is no rule for
${[...without].map(([id, reason]) => `# - ${id}: ${reason}.`).join('\n')}
${groupsOf(rules)}`;
}

/** In YAML, by family. */
export function groupsOf(rules: readonly Rule[]): string {
  const groups = Object.keys(SEVERITIES).map((family) => ({
    name: `discord-ingestor-${family}`,
    // CloudWatch's period: what a counter grows in a minute counts once.
    interval: '1m',
    rules: rules.filter(({ labels }) => labels.family === family),
  }));
  return yaml({ groups: groups.filter((group) => group.rules.length > 0) }).trimStart();
}

/** As much of YAML as this needs: objects, lists of objects, strings. */
function yaml(value: unknown, indent = ''): string {
  // In quotes, because a job may be called no, null or 1.
  if (typeof value !== 'object') return ` '${String(value).replaceAll("'", "''")}'\n`;
  if (Array.isArray(value))
    return `\n${value.map((each) => `${indent}-${yaml(each, `${indent}  `).trimStart().replace(/^/, ' ')}`).join('')}`;
  return `\n${Object.entries(value ?? {})
    .map(([key, each]) => `${indent}${key}:${yaml(each, `${indent}  `)}`)
    .join('')}`;
}
