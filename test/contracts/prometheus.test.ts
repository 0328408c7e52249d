// Prometheus's rules and Grafana's dashboard say what CloudWatch's say. The same data, minute by minute, goes to promtool and
// to as much of CloudWatch as cloudwatch.ts knows, and each rule is on where its alarm is.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type AlarmDefinition,
  alarmDefinitions,
  type Calculation,
  IMPAIRED,
  type OwnMetric,
  UNHEALTHY,
  type WorstNode,
} from '../../lib/alarms.ts';
import { grafanaDashboard } from '../../lib/grafana.ts';
import { alertRules, condition, groupsOf, ruleFile } from '../../lib/prometheus-rules.ts';
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
import { synthesized } from '../support/synthesized.ts';
import { type AlarmProperties, DataPoints, statesOf } from './cloudwatch.ts';

const JOBS = { ingestor: 'discord-ingestor', rabbitmq: 'rabbitmq' };
/** A sum of several minutes differs from the most of them only where it takes more than one. */
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
/** As Grafana sends it when its points are so many minutes apart. */
const sentBy = (expr: string, minutes: number) =>
  expr.replaceAll('$__interval_ms', String(minutes * 60_000)).replaceAll('$__interval', `${minutes}m`);
const sent = targets.flatMap(({ expr }) => [1, 90].map((minutes) => sentBy(expr, minutes)));

const folder = mkdtempSync(join(tmpdir(), 'prometheus-'));
const promtool = spawnSync('promtool', ['--version']).error === undefined;
/** Needs promtool. */
function checked(title: string, body: () => void): void {
  if (promtool) it(title, body);
  else it.skip(`${title} (skipped: promtool, of Debian's package prometheus, is not installed)`, body);
}

const PROMTOOL = { config: ['check', 'config'], check: ['check', 'rules'], test: ['test', 'rules'] } as const;

/** @throws Error with what promtool printed */
function run(command: keyof typeof PROMTOOL, name: string, content: object | string): void {
  const file = join(folder, name);
  // Of YAML JSON is a part.
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

checked('the file, and the configuration in docs/deploy.md that loads it, are ones that Prometheus takes', () => {
  const [, configuration = ''] = /^```yaml\n(rule_files: [\s\S]*?)^```$/m.exec(onDisk('deploy.md')) ?? [];
  for (const job of Object.values(JOBS)) expect(configuration).toContain(`job_name: ${job}\n`);
  writeFileSync(join(folder, 'prometheus-alerts.yml'), onDisk('prometheus-alerts.yml'));
  run('config', 'prometheus.yml', configuration);
});

describe('npm run dashboards', () => {
  const command = (...options: string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, '../../bin/dashboards.ts'), ...options], {
      encoding: 'utf8',
    });

  it('writes them for other settings and jobs', () => {
    const chosen = { shards: { count: 32, standbys: 2 } };
    const to = join(folder, 'new');
    const runbook = 'https://wiki.example/bot';
    const options = ['--settings', JSON.stringify(chosen), '--job', 'no', '--runbook', runbook];
    const { status, stderr } = command('--to', to, ...options);
    expect([status, stderr]).toEqual([0, '']);
    const jobs = { ...JOBS, ingestor: 'no' };
    const file = ruleFile(settingsFor('production', chosen), jobs, runbook);
    expect(readFileSync(join(to, 'prometheus-alerts.yml'), 'utf8')).toBe(file);
    for (const text of ['>= 32)', '2 standbys:', 'ingestor_standby{job="no"}', " job: 'no'\n", `'${runbook}#silent'`])
      expect(file).toContain(text);
    expect(readFileSync(join(to, 'grafana-dashboard.json'), 'utf8')).toContain('(of 32)');
  });

  it.each<[string[], number, RegExp]>([
    [['--job', 'a"b'], 1, /^expected a job of letters, .* got a"b\n$/],
    [['--settings', '{"shards":{"count":0}}'], 1, /shards\.count: expected .*, got 0\n$/],
    [['--settings', '{'], 1, /settings: expected JSON such as .*\n$/],
    [['--settings', '{"shards":{"count":"auto"}}'], 1, /shards\.count: expected .*\n$/],
    [['--runbook', 'docs/runbook.md'], 1, /^--runbook: expected a URL .* got docs\/runbook\.md\n$/],
    [['--jobs', 'a'], 2, /^Unknown option '--jobs'.*\n$/],
  ])('refuses %j with exit code %i', (options, code, sentence) => {
    const { status, stderr } = command('--to', folder, ...options);
    expect(stderr).toMatch(sentence);
    expect(status).toBe(code);
  });

  it('asks for a folder, rather than write those of another job over those of the project', () => {
    const { status, stderr } = command('--job', JOBS.ingestor);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/^--to: expected a folder .*\n$/)]);
  });
});

it.each(ENVIRONMENTS)('each alarm of %s is a rule, or has a reason in the file why it is none', (environment) => {
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

it.each(rules)('$alert has the words, the page and the mute of its alarm', ({ alert, labels, annotations }) => {
  const {
    wrong,
    because,
    first,
    entry = alert,
    family,
    mutedInMaintenance = false,
  } = definitions.find(({ id }) => id === alert) ?? ({} as never);
  expect(annotations.summary).toBe(wrong);
  expect(annotations.description).toContain(because);
  expect(annotations.description).toContain(first);
  expect(onDisk('runbook.md')).toContain(`### ${entry}\n`);
  expect(annotations.runbook).toBe(`docs/runbook.md#${entry}`);
  expect([labels.severity, labels.muted_in_maintenance]).toEqual([
    family === 'health' ? 'page' : 'ticket',
    mutedInMaintenance ? 'true' : undefined,
  ]);
});

describe('every metric, label and queue that is named is one that a task writes', async () => {
  const metrics = new Metrics();
  const queues = new Map(Object.values(QUEUES).map((queue) => [queue, 1]));
  metrics.gauges(() => new Map(['queueDepth' as const, 'queueConsumers' as const].map((name) => [name, queues])));
  const series = (await metrics.text()).split('\n').filter((line) => line.startsWith('ingestor_'));
  it.each([...new Set([...rules.map(({ expr }) => expr), ...sent])])('%s', (expr) => {
    const named = [...expr.matchAll(/(ingestor_\w+)\{job="[^"]+"(?:,([^}]+))?\}/g)];
    expect(named.length).toBe(expr.match(/ingestor_/g)?.length ?? 0);
    for (const [, name, labels = ''] of named)
      expect(
        series.some((line) => line.startsWith(`${name}${labels ? `{${labels}}` : ''}`)),
        `${name} ${labels}`,
      ).toBe(true);
  });
});

describe('the dashboard', () => {
  it('asks the chosen data source and jobs, by ids of its own', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    for (const { refId, datasource } of targets) {
      expect(refId).toMatch(/^[A-Z]$/);
      expect(datasource).toEqual({ type: 'prometheus', uid: `\${datasource}` });
    }
    for (const panel of dashboard.panels) {
      const refIds = (panel.targets ?? []).map(({ refId }) => refId);
      expect(new Set(refIds).size).toBe(refIds.length);
      expect(panel.type === 'row' || refIds.length > 0, panel.title).toBe(true);
    }
    const variables = dashboard.templating.list.map(({ name }) => name);
    const used = [...JSON.stringify(dashboard).matchAll(/\$\{?([a-z]\w+)/g)].map(([, name = '']) => name);
    expect(new Set(used)).toEqual(new Set(variables));
  });

  it('is read from top to bottom, each panel in a place of its own and with a unit', () => {
    const titles = dashboard.panels.flatMap(({ type, title }) => (type === 'row' ? title : []));
    expect(titles).toEqual(['Is it healthy?', 'How much flows?', 'Where is pressure?']);
    const places = dashboard.panels.flatMap(({ gridPos: { x, y, w, h }, title }) => {
      expect(x + w, title).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`);
    });
    expect(new Set(places).size).toBe(places.length);
    for (const { type, fieldConfig, title } of dashboard.panels)
      if (type === 'timeseries')
        expect(['short', 'bytes', 'ms', 'percent', 's'], title).toContain(fieldConfig?.defaults.unit);
  });

  checked('asks in PromQL', () => {
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

checked('five minutes have five points, whatever part of a minute Prometheus evaluates a group at', () => {
  const expr = `count_over_time(vector(1)${points(5, 1)})`;
  const promql_expr_test = ['10m', '10m1ms', '10m59s', '10m59s999ms'].map((eval_time) => ({
    ...{ expr, eval_time },
    exp_samples: [{ labels: '{}', value: 5 }],
  }));
  run('test', 'points.json', { tests: [{ interval: '1m', promql_expr_test }] });
});

/**
 * What the tasks report in each period of an alarm: `b` just beyond the threshold, `w` just within, `-` nothing. `n` is
 * nothing of one task of two, `r` is `b` of one that began again at the same address, `o` is `w` of one that has counted
 * for long.
 */
const patterns = ({ datapoints: [enough, of] }: AlarmDefinition): Readonly<Record<string, string>> => ({
  'all is well': 'w'.repeat(of + 3),
  'all is beyond': 'b'.repeat(of + 3),
  'as many as it takes, some time ago': `ww${'b'.repeat(enough)}${'w'.repeat(of - enough)}`,
  'one less than it takes': `bw${'w'.repeat(of - 1)}${'b'.repeat(enough - 1)}${'w'.repeat(of - enough + 1)}`,
  'silence after trouble': `ww${'b'.repeat(of)}${'-'.repeat(of)}`,
  'silence after peace': `b${'w'.repeat(of)}${'-'.repeat(of)}`,
  'silence from the beginning': '-'.repeat(of + 2),
  'less silence than it takes': `w${'w'.repeat(of - enough + 1)}${'-'.repeat(enough - 1)}`,
  'a new task beside an old one': `${'n'.repeat(of + 1)}b`,
  'a new Prometheus': `${'-'.repeat(of + 1)}o`,
  'a task that began again': `bb${'w'.repeat(of)}r`,
  'missed scrapes': `bb${'w'.repeat(of)}---w`,
});

const isBeyond = (letter: string): boolean => 'br'.includes(letter);

/** Just beyond the threshold, or just within. */
function value({ threshold }: AlarmDefinition, letter: string): number {
  if ('below' in threshold) return threshold.below - (isBeyond(letter) ? 1 : 0);
  return threshold.atLeast - (isBeyond(letter) ? 0 : 1);
}

/** One definition with one pattern: the same data as series for promtool and as data points for CloudWatch. */
class Scene {
  readonly minutes: number;
  readonly series: { readonly series: string; readonly values: string }[] = [];
  readonly data = new DataPoints();
  readonly #period: number;
  readonly #letters: string;
  readonly #definition: AlarmDefinition;

  constructor(definition: AlarmDefinition, letters: string) {
    this.#definition = definition;
    this.#letters = letters;
    this.#period = definition.periodMinutes ?? 1;
    this.minutes = letters.length * this.#period;
    const { metric } = definition;
    const [read = metric, ...others] = 'expression' in metric ? Object.values(metric.metrics) : [];
    if ('expression' in read || others.length > 0) throw new Error('expected one metric, got a calculation of several');
    if ('worst' in read) this.#nodes(read);
    else if (METRICS[read.ingestor].kind === 'summary') this.#histogram(read);
    else this.#tasks(read);
  }

  /** The value of each minute, and nothing in minutes of silence. A sum is spread over its period. */
  #each(summed: boolean, from: (letter: string, minute: number) => number | undefined): (number | undefined)[] {
    return Array.from({ length: this.minutes }, (_, minute) => {
      const letter = this.#letters[Math.floor(minute / this.#period)] ?? '-';
      if (letter === '-') return undefined;
      const each = from(letter, minute);
      if (each === undefined || !summed) return each;
      return Math.floor(each / this.#period) + Number(minute % this.#period < each % this.#period);
    });
  }

  /** CloudWatch's minute ends where Prometheus's next one begins. */
  #add(name: string, labels: string, values: readonly (number | undefined)[]): void {
    // A scrape that fails, and a task that is gone, make a series stale.
    const written = values.map((each, minute) => each ?? (values[minute - 1] === undefined ? '_' : 'stale'));
    this.series.push({ series: `${name}{${labels}}`, values: ['_', ...written].join(' ') });
  }

  #tasks({ ingestor, statistic, queue }: OwnMetric): void {
    const { prometheus, cloudWatch, kind }: Metric = METRICS[ingestor];
    const summed = statistic === 'Sum';
    const counted = statistic === 'SampleCount';
    // The second task is idle, as a standby is. Where the worst of all tasks counts, it is well; where the best does, it is not.
    const best = 'below' in this.#definition.threshold ? 'Maximum' : 'Minimum';
    const idle = summed ? 0 : value(this.#definition, statistic === best ? 'b' : 'w');
    const tasks = [
      this.#each(summed, (letter) => {
        const silent = counted ? isBeyond(letter) : letter === 'n';
        return silent ? undefined : value(this.#definition, letter);
      }),
      ...(counted ? [] : [this.#each(summed, () => idle)]),
    ];
    for (const [task, values] of tasks.entries()) {
      for (const [minute, each] of values.entries())
        if (each !== undefined) {
          const dimensions = { [ENVIRONMENT_DIMENSION]: settings.environment, ...(queue && { Queue: queue }) };
          this.data.add(`${DEFAULT_METRICS_NAMESPACE} ${cloudWatch}`, dimensions, { minute, value: each });
        }
      const labels = [`job="${JOBS.ingestor}"`, `instance="task-${task}"`, ...(queue ? [`queue="${queue}"`] : [])];
      this.#add(prometheus, labels.join(','), kind === 'counter' ? this.#cumulated(values) : values);
    }
    // What a task does not know is NaN.
    if (kind === 'gauge')
      this.#add(
        prometheus,
        `job="${JOBS.ingestor}",instance="task-2"${queue ? `,queue="${queue}"` : ''}`,
        this.#each(false, () => Number.NaN),
      );
    // Of another job: not ours.
    this.#add(
      prometheus,
      `job="another"${queue ? `,queue="${queue}"` : ''}`,
      this.#each(false, (_, minute) => minute * 1e6),
    );
  }

  #cumulated(growth: readonly (number | undefined)[]): (number | undefined)[] {
    let total = 0;
    return growth.map((each, minute) => {
      if (each === undefined) return undefined;
      const letter = this.#letters[minute / this.#period];
      if (letter === 'r') total = 0;
      if (letter === 'o') total = 1_000_000;
      total += each;
      return total;
    });
  }

  /** Of a hundred events five are slow, or six. */
  #histogram({ ingestor }: OwnMetric): void {
    const { threshold } = this.#definition;
    const limit = 'below' in threshold ? threshold.below : threshold.atLeast;
    const { prometheus, cloudWatch }: Metric = METRICS[ingestor];
    const slow = this.#each(false, (letter) => (isBeyond(letter) ? 6 : 5));
    for (const [minute, each] of slow.entries())
      for (let event = 0; event < 100 && each !== undefined; event += 1)
        this.data.add(
          `${DEFAULT_METRICS_NAMESPACE} ${cloudWatch}`,
          { [ENVIRONMENT_DIMENSION]: settings.environment },
          { minute, value: event < each ? 2 * limit : limit / 4 },
        );
    for (const le of BUCKETS) {
      const within = slow.map((each) => {
        if (each === undefined) return undefined;
        const most = Number(le.replace('+Inf', 'Infinity'));
        return (most >= limit / 4 ? 100 - each : 0) + (most >= 2 * limit ? each : 0);
      });
      this.#add(`${prometheus}_bucket`, `job="${JOBS.ingestor}",le="${le}"`, this.#cumulated(within));
    }
  }

  /** One node of three. */
  #nodes({ broker, percentOf = 100, limit = broker, worst }: WorstNode): void {
    const names: Partial<Record<typeof broker, string>> = {
      RabbitMQMemUsed: 'rabbitmq_process_resident_memory_bytes',
      RabbitMQMemLimit: 'rabbitmq_resident_memory_limit_bytes',
      RabbitMQDiskFree: 'rabbitmq_disk_space_available_bytes',
      RabbitMQDiskFreeLimit: 'rabbitmq_disk_space_available_limit_bytes',
    };
    for (const node of ['1', '2', '3']) {
      const well = worst === 'MAX' ? 1 : 1000;
      const values = this.#each(
        false,
        (letter) => ((node === '2' ? value(this.#definition, letter) : well) * percentOf) / 100,
      );
      for (const [minute, each] of values.entries())
        if (each !== undefined)
          this.data.add(
            `AWS/AmazonMQ ${broker}`,
            { Broker: `discord-ingestor-${settings.environment}`, Node: node },
            { minute, value: each },
          );
      const labels = `job="${JOBS.rabbitmq}",instance="${node}"`;
      this.#add(names[broker] ?? '', labels, values);
      this.#add(
        names[limit] ?? '',
        labels,
        this.#each(false, () => percentOf),
      );
    }
  }
}

const BUCKETS = [
  ...(await new Metrics().text()).matchAll(/^ingestor_frame_to_confirm_milliseconds_bucket\{le="([^"]+)"\}/gm),
].map(([, le = '']) => le);

const alarms = new Map(
  synthesized('production', CHOSEN)
    .ofType('AWS::CloudWatch::Alarm')
    .map(([, { Properties }]) => [String(Properties.AlarmName), Properties as unknown as AlarmProperties]),
);

function isOn(id: string, data: DataPoints, minutes: number): boolean {
  const alarm = alarms.get(`discord-ingestor-production-${id}`);
  if (alarm === undefined) throw new Error(`expected an alarm ${id}`);
  return statesOf(alarm, data, minutes, 0).at(-1) === 'ALARM';
}

describe('a rule is on where its alarm is', () => {
  for (const definition of definitions)
    checked(definition.id, () => {
      const { id } = definition;
      const rule = rules.filter(({ alert }) => alert === id).map(({ keep_firing_for, ...each }) => each);
      const tests = Object.entries(patterns(definition)).map(([name, letters]) => {
        const { series, data, minutes } = new Scene(definition, letters);
        const on = isOn(id, data, minutes);
        if (name === 'all is well') expect(on).toBe(false);
        if (name === 'all is beyond') expect(on).toBe(true);
        const exp_alerts = on
          ? rule.map(({ labels, annotations }) => ({ exp_labels: labels, exp_annotations: annotations }))
          : [];
        return {
          ...{ name, interval: '1m', input_series: series },
          alert_rule_test: [{ eval_time: `${minutes}m`, alertname: id, exp_alerts }],
        };
      });
      run('check', 'rule.yml', groupsOf(rule));
      run('test', 'test.json', { rule_files: ['rule.yml'], evaluation_interval: '1m', tests });
    });
});

describe('a rule that is on by a single period stays on until Alertmanager has sent it', () => {
  for (const definition of definitions)
    if (definition.datapoints[1] === 1)
      checked(definition.id, () => {
        const { id: alertname, periodMinutes = 1 } = definition;
        const { series, minutes } = new Scene(definition, `wb${'w'.repeat(12)}`);
        const rule = rules.filter(({ alert }) => alert === alertname);
        const exp_alerts = rule.map(({ labels, annotations }) => ({
          exp_labels: labels,
          exp_annotations: annotations,
        }));
        run('check', 'kept.yml', groupsOf(rule));
        const alert_rule_test = [
          { eval_time: `${2 * periodMinutes + 9}m`, alertname, exp_alerts },
          { eval_time: `${minutes}m`, alertname, exp_alerts: [] },
        ];
        const tests = [{ interval: '1m', input_series: series, alert_rule_test }];
        run('test', 'test.json', { rule_files: ['kept.yml'], evaluation_interval: '1m', tests });
      });
});

checked('a calculation gives what it gives in CloudWatch', () => {
  const calculations = releaseAlarmDefinitions(settings).filter(({ metric }) => 'expression' in metric);
  expect(calculations.length).toBeGreaterThan(2);
  const tests = calculations.flatMap((definition) => {
    const read = Object.values((definition.metric as Calculation).metrics);
    // Each metric has each of three values, beside all values of the others.
    return Array.from({ length: 3 ** read.length }, (_, choice) => {
      const data = new DataPoints();
      const minutes = 5;
      const input_series = read.flatMap(({ ingestor, statistic }, index) => {
        const chosen = Math.floor(choice / 3 ** index) % 3;
        const { cloudWatch, prometheus, kind }: Metric = METRICS[ingestor];
        // So many tasks, or one with this value.
        const tasks = statistic === 'SampleCount' ? Array<number>(chosen + 1).fill(1) : [chosen];
        return tasks.map((each, task) => {
          for (let minute = 0; minute < minutes; minute += 1)
            data.add(
              `${DEFAULT_METRICS_NAMESPACE} ${cloudWatch}`,
              { [ENVIRONMENT_DIMENSION]: settings.environment },
              { minute, value: each },
            );
          const values = `_ ${each}${kind === 'counter' ? `+${each}` : '+0'}x${minutes - 1}`;
          return { series: `${prometheus}{job="${JOBS.ingestor}",instance="${index} ${task}"}`, values };
        });
      });
      const exp_alerts = isOn(definition.id, data, minutes) ? [{}] : [];
      return {
        ...{ name: `${definition.id} ${choice}`, interval: '1m', input_series },
        alert_rule_test: [{ eval_time: `${minutes}m`, alertname: definition.id, exp_alerts }],
      };
    });
  });
  const on = tests.filter(({ alert_rule_test: [each] }) => each?.exp_alerts.length === 1).length;
  expect(on).toBeGreaterThan(10);
  expect(tests.length - on).toBeGreaterThan(10);
  const made = calculations.map((each) => ({ alert: each.id, expr: condition(each, JOBS) }));
  run('check', 'calculations.yml', { groups: [{ name: 'calculations', rules: made }] });
  run('test', 'test.json', { rule_files: ['calculations.yml'], evaluation_interval: '1m', tests });
});
