// Prometheus's rules and Grafana's dashboard match CloudWatch's. The same data, minute by minute, goes to promtool and to the
// part of CloudWatch in cloudwatch.ts, and each rule is on when its alarm is.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AlarmDefinition, alarmDefinitions, IMPAIRED, UNHEALTHY, type WorstNode } from '../../lib/alarms.ts';
import { grafanaDashboard } from '../../lib/grafana.ts';
import { alertRules, groupsOf, type Rule, ruleFile } from '../../lib/prometheus-rules.ts';
import { points } from '../../lib/promql.ts';
import { releaseAlarmDefinitions } from '../../lib/release-alarms.ts';
import { ENVIRONMENTS, settingsFor } from '../../lib/settings.ts';
import {
  DEFAULT_METRICS_NAMESPACE,
  ENVIRONMENT_DIMENSION,
  METRICS,
  type Metric,
} from '../../service/contract/metrics.ts';
import { QUEUES } from '../../service/contract/names.ts';
import { Metrics } from '../../service/metrics.ts';
import { start } from '../support/program.ts';
import { synthesized } from '../support/synthesized.ts';
import { alarmsOf, DataPoints, statesOf } from './cloudwatch.ts';

const JOBS = { ingestor: 'discord-ingestor', rabbitmq: 'rabbitmq' };
/** With three standbys: with one, the sum and the maximum of several minutes do not differ. */
const CHOSEN = { shards: { standbys: 3 } };
const settings = settingsFor('production', CHOSEN);
const { rules, without } = alertRules(settings, JOBS);
const definitions = alarmDefinitions(settings).filter(({ id }) => !without.has(id));
const dashboard = grafanaDashboard(settingsFor('production')) as unknown as Dashboard;

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string }[] };
}
interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>;
  readonly datasource?: unknown;
  readonly targets?: readonly { readonly refId: string; readonly expr: string; readonly datasource: unknown }[];
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
}

const onDisk = (name: string) => readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8');
const targets = dashboard.panels.flatMap((panel) => panel.targets ?? []);
/** The query that Grafana sends when its points are so many minutes apart. */
const sentBy = (expr: string, minutes: number) =>
  expr.replaceAll('$__interval_ms', String(minutes * 60_000)).replaceAll('$__interval', `${minutes}m`);
const sent = targets.flatMap(({ expr }) => [1, 90].map((minutes) => sentBy(expr, minutes)));

const folder = mkdtempSync(join(tmpdir(), 'prometheus-'));
const promtool = spawnSync('promtool', ['--version']).error === undefined;
/** A test that needs promtool. */
function checked(title: string, body: () => void): void {
  if (promtool) it(title, body);
  else it.skip(`${title} (skipped: promtool, of Debian's package prometheus, is not installed)`, body);
}

const PROMTOOL = { config: ['check', 'config'], check: ['check', 'rules'], test: ['test', 'rules'] } as const;

/** @throws Error with what promtool printed */
function run(command: keyof typeof PROMTOOL, name: string, content: object | string): void {
  const file = join(folder, name);
  // JSON is valid YAML.
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  const { status, stdout, stderr } = spawnSync('promtool', [...PROMTOOL[command], file], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${stderr}${stdout}`);
}

it.each<[string, string]>([
  ['prometheus-alerts.yml', ruleFile(settingsFor('production'), JOBS)],
  ['grafana-dashboard.json', `${JSON.stringify(dashboard, null, 2)}\n`],
])('docs/%s is current (otherwise: npm run dashboards)', (name, text) => {
  expect(onDisk(name)).toBe(text);
});

checked('Prometheus accepts the file and the configuration in docs/deploy.md that loads it', () => {
  const [, configuration = ''] = /^```yaml\n(rule_files: [\s\S]*?)^```$/m.exec(onDisk('deploy.md')) ?? [];
  for (const job of Object.values(JOBS)) expect(configuration).toContain(`job_name: ${job}\n`);
  writeFileSync(join(folder, 'prometheus-alerts.yml'), onDisk('prometheus-alerts.yml'));
  run('config', 'prometheus.yml', configuration);
});

describe('npm run dashboards', () => {
  const command = (...options: string[]) => start('bin/dashboards.ts', options).ended;

  it('writes them for other settings and jobs', async () => {
    const chosen = { shards: { count: 32, standbys: 2 } };
    const to = join(folder, 'new');
    const runbook = 'https://wiki.example/bot';
    const options = ['--settings', JSON.stringify(chosen), '--job', 'no', '--runbook', runbook];
    expect(await command('--to', to, ...options)).toMatchObject({ code: 0, err: '' });
    const jobs = { ...JOBS, ingestor: 'no' };
    const file = ruleFile(settingsFor('production', chosen), jobs, runbook);
    expect(readFileSync(join(to, 'prometheus-alerts.yml'), 'utf8')).toBe(file);
    for (const text of ['>= 32)', '2 standbys:', 'ingestor_standby{job="no"}', " job: 'no'\n", `'${runbook}#silent'`])
      expect(file).toContain(text);
    expect(readFileSync(join(to, 'grafana-dashboard.json'), 'utf8')).toContain('(of 32)');
  });

  it.each<[string[], number, RegExp]>([
    [['--job', 'a"b'], 1, /^expected a job of letters, .* got a"b\n$/],
    [['--settings', '{'], 1, /settings: expected JSON such as .*\n$/],
    [['--settings', '{"shards":{"count":"auto"}}'], 1, /shards\.count: expected .*\n$/],
    [['--runbook', 'docs/runbook.md'], 1, /^--runbook: expected a URL .* got docs\/runbook\.md\n$/],
    [['--jobs', 'a'], 2, /^Unknown option '--jobs'.*\n$/],
  ])('refuses %j with exit code %i', async (options, code, sentence) => {
    expect(await command('--to', folder, ...options)).toMatchObject({ code, err: expect.stringMatching(sentence) });
  });

  it("requires --to with options, so that it does not overwrite the project's own files", async () => {
    const err = expect.stringMatching(/^--to: expected a folder .*\n$/);
    expect(await command('--job', JOBS.ingestor)).toMatchObject({ code: 2, err });
  });
});

it.each(ENVIRONMENTS)('each alarm of %s is a rule, or the file gives the reason why not', (environment) => {
  const own = settingsFor(environment);
  const made = alertRules(own, JOBS);
  const template = synthesized(environment);
  const created = ['AWS::CloudWatch::Alarm', 'AWS::CloudWatch::CompositeAlarm'].flatMap((type) =>
    template
      .ofType(type)
      .map(([, { Properties }]) => String(Properties[type.endsWith('Composite') ? 'CompositeAlarmName' : 'AlarmName'])),
  );
  const ids = alarmDefinitions(own).map(({ id }) => id);
  expect([...made.rules.map(({ alert }) => alert), ...made.without.keys()].sort()).toEqual(
    [...ids, `${UNHEALTHY}, ${IMPAIRED}`, 'release-…'].sort(),
  );
  expect(created.length).toBe(ids.length + releaseAlarmDefinitions(own).length + 2);
  for (const [id, reason] of made.without) {
    expect(reason.length, id).toBeGreaterThan(40);
    expect(ruleFile(own, JOBS)).toContain(`# - ${id}: ${reason}.\n`);
  }
});

describe('a task writes every metric, label and queue that is named', async () => {
  const metrics = new Metrics();
  const queues = new Map(Object.values(QUEUES).map((queue) => [queue, 1]));
  metrics.gauges(() => new Map(['queueDepth' as const, 'queueConsumers' as const].map((name) => [name, queues])));
  const series = (await metrics.text()).split('\n').filter((line) => line.startsWith('ingestor_'));
  it.each([...new Set([...rules.map(({ expr }) => expr), ...sent])])('%s', (expr) => {
    const named = [...expr.matchAll(/(ingestor_\w+)\{job="[^"]+"(?:,([^}]+))?\}/g)];
    expect(named.length).toBe(expr.match(/ingestor_/g)?.length ?? 0);
    const written = named.map(([, name = '', labels]) => (labels ? `${name}{${labels}}` : name));
    expect(written.filter((each) => !series.some((line) => line.startsWith(each)))).toEqual([]);
  });
});

describe('the dashboard', () => {
  it('queries the chosen data source and jobs', () => {
    for (const { datasource } of targets) expect(datasource).toEqual({ type: 'prometheus', uid: `\${datasource}` });
    const used = [...JSON.stringify(dashboard).matchAll(/\$\{?([a-z]\w+)/g)].map(([, name = '']) => name);
    expect(new Set(used)).toEqual(new Set(dashboard.templating.list.map(({ name }) => name)));
  });

  it('has an id and a place for each panel, and a query and a unit for each chart', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    const places = dashboard.panels.flatMap(({ type, title, targets = [], fieldConfig, gridPos: { x, y, w, h } }) => {
      expect(x + w, title).toBeLessThanOrEqual(24);
      const refIds = targets.map(({ refId }) => refId);
      expect([new Set(refIds).size, refIds.length > 0], title).toEqual([refIds.length, type !== 'row']);
      const units = ['short', 'bytes', 'ms', 'percent', 's'];
      if (type === 'timeseries') expect(units, title).toContain(fieldConfig?.defaults.unit);
      return Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`);
    });
    expect(new Set(places).size).toBe(places.length);
  });

  checked('has valid PromQL queries', () => {
    expect(sent.length).toBeGreaterThan(25);
    run('check', 'panels.json', {
      groups: [{ name: 'panels', rules: sent.map((expr, index) => ({ record: `panel_${index}`, expr })) }],
    });
  });

  checked('shows events per minute, however far apart its points are', () => {
    const panel = dashboard.panels.find(({ title }) => title === 'Events per minute');
    const [received] = panel?.targets ?? [];
    const asked = [1, 5, 90].map((minutes) => sentBy(received?.expr ?? '', minutes));
    run('test', 'minutes.json', {
      tests: [
        {
          interval: '1m',
          input_series: [{ series: `ingestor_events_received_total{job="$job"}`, values: '0+120x200' }],
          promql_expr_test: asked.map((expr) => ({
            ...{ expr, eval_time: '3h' },
            exp_samples: [{ labels: '{}', value: 120 }],
          })),
        },
      ],
    });
  });
});

checked('five minutes have five points, at whatever second Prometheus evaluates a group', () => {
  const expr = `count_over_time(vector(1)${points(5, 1)})`;
  const promql_expr_test = ['10m', '10m1ms', '10m59s', '10m59s999ms'].map((eval_time) => ({
    ...{ expr, eval_time },
    exp_samples: [{ labels: '{}', value: 5 }],
  }));
  run('test', 'points.json', { tests: [{ interval: '1m', promql_expr_test }] });
});

/**
 * What the tasks report in each period of an alarm: `b` just beyond the threshold, `w` just within, `-` nothing. `n`: one of
 * two tasks reports nothing. `r`: `b` from a task whose counters restarted. `o`: `w` from a task whose counters are already high.
 */
const patterns = ({ datapoints: [enough, of] }: AlarmDefinition): Readonly<Record<string, string>> => ({
  'all within': 'w'.repeat(of + 3),
  'all beyond': 'b'.repeat(of + 3),
  'enough periods beyond, some time ago': `ww${'b'.repeat(enough)}${'w'.repeat(of - enough)}`,
  'one period too few': `bw${'w'.repeat(of - 1)}${'b'.repeat(enough - 1)}${'w'.repeat(of - enough + 1)}`,
  'no data after periods beyond': `ww${'b'.repeat(of)}${'-'.repeat(of)}`,
  'no data after periods within': `b${'w'.repeat(of)}${'-'.repeat(of)}`,
  'no data at all': '-'.repeat(of + 2),
  'one period without data too few': `w${'w'.repeat(of - enough + 1)}${'-'.repeat(enough - 1)}`,
  'a second task starts': `${'n'.repeat(of + 1)}b`,
  'Prometheus restarts': `${'-'.repeat(of + 1)}o`,
  'a task restarts': `bb${'w'.repeat(of)}r`,
  'missed scrapes': `bb${'w'.repeat(of)}---w`,
});

const isBeyond = (letter: string): boolean => 'br'.includes(letter);

/** Just beyond the threshold, or just within. */
function value({ threshold }: AlarmDefinition, letter: string): number {
  if ('below' in threshold) return threshold.below - (isBeyond(letter) ? 1 : 0);
  return threshold.atLeast - (isBeyond(letter) ? 0 : 1);
}

/** One definition with one pattern: the same data as series for promtool and as data points for CloudWatch. */
function sceneOf(definition: AlarmDefinition, letters: string) {
  const { metric, threshold, periodMinutes: period = 1 } = definition;
  const minutes = letters.length * period;
  const series: { readonly series: string; readonly values: string }[] = [];
  const data = new DataPoints();
  const [read = metric, ...others] = 'expression' in metric ? Object.values(metric.metrics) : [];
  if ('expression' in read || others.length > 0) throw new Error('expected one metric, got a calculation of several');

  /** The value of each minute; undefined for a period without data. A sum is spread over its period. */
  const each = (from: (letter: string, minute: number) => number | undefined, summed = false) =>
    Array.from({ length: minutes }, (_, minute) => {
      const letter = letters[Math.floor(minute / period)] ?? '-';
      const whole = letter === '-' ? undefined : from(letter, minute);
      if (whole === undefined || !summed) return whole;
      return Math.floor(whole / period) + Number(minute % period < whole % period);
    });
  /** Prometheus scrapes at the end of CloudWatch's minute: its values are one minute later. */
  const scraped = (name: string, labels: string, values: readonly (number | undefined)[]) => {
    // A failed scrape and a task that has ended make a series stale.
    const written = values.map((value, minute) => value ?? (values[minute - 1] === undefined ? '_' : 'stale'));
    series.push({ series: `${name}{${labels}}`, values: ['_', ...written].join(' ') });
  };
  const reported = (name: string, dimensions: Record<string, string>, values: readonly (number | undefined)[]) => {
    for (const [minute, value] of values.entries())
      if (value !== undefined) data.add(name, dimensions, { minute, value });
  };
  const cumulated = (growth: readonly (number | undefined)[]) => {
    let total = 0;
    return growth.map((by, minute) => {
      if (by === undefined) return undefined;
      const letter = letters[minute / period];
      if (letter === 'r') total = 0;
      if (letter === 'o') total = 1_000_000;
      total += by;
      return total;
    });
  };

  // One node of three.
  if ('worst' in read) {
    const { broker, percentOf = 100, limit = broker, worst } = read;
    for (const Node of ['1', '2', '3']) {
      const well = worst === 'MAX' ? 1 : 1000;
      const values = each((letter) => ((Node === '2' ? value(definition, letter) : well) * percentOf) / 100);
      reported(`AWS/AmazonMQ ${broker}`, { Broker: `discord-ingestor-${settings.environment}`, Node }, values);
      const labels = `job="${JOBS.rabbitmq}",instance="${Node}"`;
      scraped(RABBITMQ[broker] ?? '', labels, values);
      const limits = each(() => percentOf);
      scraped(RABBITMQ[limit] ?? '', labels, limits);
    }
    return { series, data, minutes };
  }

  const { ingestor, statistic, queue } = read;
  const { prometheus, cloudWatch, kind }: Metric = METRICS[ingestor];
  const name = `${DEFAULT_METRICS_NAMESPACE} ${cloudWatch}`;
  const dimensions = { [ENVIRONMENT_DIMENSION]: settings.environment, ...(queue && { Queue: queue }) };
  if (kind === 'summary') {
    // Five or six of a hundred events are slow: p95 is below the limit, or above it.
    const limit = 'below' in threshold ? threshold.below : threshold.atLeast;
    const slow = each((letter) => (isBeyond(letter) ? 6 : 5));
    for (let event = 0; event < 100; event += 1)
      reported(
        name,
        dimensions,
        slow.map((count) => count && (event < count ? 2 * limit : limit / 4)),
      );
    for (const le of BUCKETS) {
      const most = Number(le.replace('+Inf', 'Infinity'));
      const within = slow.map(
        (count) => count && (most >= limit / 4 ? 100 - count : 0) + (most >= 2 * limit ? count : 0),
      );
      scraped(`${prometheus}_bucket`, `job="${JOBS.ingestor}",le="${le}"`, cumulated(within));
    }
    return { series, data, minutes };
  }

  const summed = statistic === 'Sum';
  const counted = statistic === 'SampleCount';
  // The second task is idle, like a standby. Its value is within the threshold, unless the alarm takes the best task's value.
  const best = 'below' in threshold ? 'Maximum' : 'Minimum';
  const idle = summed ? 0 : value(definition, statistic === best ? 'b' : 'w');
  const tasks = [
    each((letter) => ((counted ? isBeyond(letter) : letter === 'n') ? undefined : value(definition, letter)), summed),
    ...(counted ? [] : [each(() => idle, summed)]),
  ];
  const ofQueue = queue ? `,queue="${queue}"` : '';
  for (const [task, values] of tasks.entries()) {
    reported(name, dimensions, values);
    const labels = `job="${JOBS.ingestor}",instance="task-${task}"${ofQueue}`;
    scraped(prometheus, labels, kind === 'counter' ? cumulated(values) : values);
  }
  // A task reports NaN for what it does not know.
  const unknown = each(() => Number.NaN);
  if (kind === 'gauge') scraped(prometheus, `job="${JOBS.ingestor}",instance="task-2"${ofQueue}`, unknown);
  // Rules must ignore other jobs.
  const another = each((_, minute) => minute * 1e6);
  scraped(prometheus, `job="another"${ofQueue}`, another);
  return { series, data, minutes };
}

const RABBITMQ: Partial<Record<WorstNode['broker'], string>> = {
  RabbitMQMemUsed: 'rabbitmq_process_resident_memory_bytes',
  RabbitMQMemLimit: 'rabbitmq_resident_memory_limit_bytes',
  RabbitMQDiskFree: 'rabbitmq_disk_space_available_bytes',
  RabbitMQDiskFreeLimit: 'rabbitmq_disk_space_available_limit_bytes',
};

const BUCKETS = [
  ...(await new Metrics().text()).matchAll(/^ingestor_frame_to_confirm_milliseconds_bucket\{le="([^"]+)"\}/gm),
].map(([, le = '']) => le);

const alarms = alarmsOf(synthesized('production', CHOSEN));

function isOn(id: string, data: DataPoints, minutes: number): boolean {
  const alarm = alarms.get(id) ?? expect.fail(`no alarm ${id}`);
  return statesOf(alarm, data, minutes, 0).at(-1) === 'ALARM';
}

const expectedOf = (rule: readonly Rule[]) =>
  rule.map(({ labels, annotations }) => ({ exp_labels: labels, exp_annotations: annotations }));

/** Promtool evaluates these rules once a minute. */
function play(rule: readonly Rule[], tests: readonly object[]): void {
  run('check', 'rule.yml', groupsOf(rule));
  run('test', 'test.json', { rule_files: ['rule.yml'], evaluation_interval: '1m', tests });
}

describe('a rule is on where its alarm is', () => {
  for (const definition of definitions)
    checked(definition.id, () => {
      const { id } = definition;
      const rule = rules.filter(({ alert }) => alert === id).map(({ keep_firing_for, ...each }) => each);
      const tests = Object.entries(patterns(definition)).map(([name, letters]) => {
        const { series, data, minutes } = sceneOf(definition, letters);
        const on = isOn(id, data, minutes);
        if (name === 'all within') expect(on).toBe(false);
        if (name === 'all beyond') expect(on).toBe(true);
        const exp_alerts = on ? expectedOf(rule) : [];
        return {
          ...{ name, interval: '1m', input_series: series },
          alert_rule_test: [{ eval_time: `${minutes}m`, alertname: id, exp_alerts }],
        };
      });
      play(rule, tests);
    });
});

describe('a rule that one period turns on stays on until Alertmanager has sent it', () => {
  for (const definition of definitions.filter(({ datapoints }) => datapoints[1] === 1))
    checked(definition.id, () => {
      const { id: alertname, periodMinutes = 1 } = definition;
      const { series, minutes } = sceneOf(definition, `wb${'w'.repeat(12)}`);
      const rule = rules.filter(({ alert }) => alert === alertname);
      const alert_rule_test = [
        { eval_time: `${2 * periodMinutes + 9}m`, alertname, exp_alerts: expectedOf(rule) },
        { eval_time: `${minutes}m`, alertname, exp_alerts: [] },
      ];
      play(rule, [{ interval: '1m', input_series: series, alert_rule_test }]);
    });
});
