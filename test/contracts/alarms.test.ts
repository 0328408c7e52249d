// Alarms, dashboard, runbook and service agree: the service writes every metric that alarms and dashboard read, with the same
// namespace and dimensions. Every alarm has an entry in the runbook, and every entry has an alarm.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { alarmDefinitions, IMPAIRED, UNHEALTHY } from '../../lib/alarms.ts';
import { nodeLimits } from '../../lib/broker-limits.ts';
import { COLORS, chapters } from '../../lib/panels.ts';
import { deploymentAlarms, RELEASE_ENTRY } from '../../lib/release-alarms.ts';
import { ENVIRONMENTS, settingsFor } from '../../lib/settings.ts';
import { DEFAULT_LIMITS } from '../../lib/topology/topology.ts';
import { BOUNDS } from '../../service/contract/limits.ts';
import { DEFAULT_METRICS_NAMESPACE, METRICS, type Metric } from '../../service/contract/metrics.ts';
import { QUEUES } from '../../service/contract/names.ts';
import { type GaugeName, type GaugeValue, Metrics } from '../../service/metrics.ts';
import { type Synthesized, synthesized } from '../support/synthesized.ts';
import {
  alarmsOf,
  DataPoints,
  type AlarmProperties as Evaluated,
  identity,
  identityOf,
  readBy,
  statesOf,
} from './cloudwatch.ts';

const runbook = readFileSync(join(import.meta.dirname, '../../docs/runbook.md'), 'utf8');

interface AlarmProperties extends Evaluated {
  readonly AlarmDescription: string;
  readonly AlarmActions?: readonly unknown[];
  readonly OKActions?: readonly unknown[];
  readonly InsufficientDataActions?: readonly unknown[];
}

/** What a task of this environment writes in a minute, as CloudWatch reads it. */
function written(environment: string): string[] {
  const metrics = new Metrics();
  const depths = new Map(Object.values(QUEUES).map((queue) => [queue, 1]));
  const gauges = new Map<GaugeName, GaugeValue>();
  for (const [name, metric] of Object.entries(METRICS) as [never, Metric][]) {
    if (metric.kind === 'counter') metrics.add(name);
    if (metric.kind === 'summary') metrics.observe(name, 1);
    if (metric.kind === 'gauge') gauges.set(name, metric.label ? depths : 1);
  }
  metrics.gauges(() => gauges);
  const data = new DataPoints();
  for (const line of metrics.emf(DEFAULT_METRICS_NAMESPACE, environment)) data.write(line, 0);
  return data.metrics;
}

interface Widget extends Readonly<Record<'x' | 'y' | 'width' | 'height', number>> {
  readonly properties: {
    readonly title?: string;
    readonly metrics?: readonly unknown[][];
    readonly yAxis?: object;
    readonly annotations?: { readonly horizontal: readonly object[] };
    readonly sparkline?: boolean;
  };
}

function widgetsOf({ one }: Synthesized): readonly Widget[] {
  const { DashboardBody } = one('AWS::CloudWatch::Dashboard').Properties;
  const [, parts] = (DashboardBody as { 'Fn::Join': [string, unknown[]] })['Fn::Join'];
  return JSON.parse(parts.map((part) => (typeof part === 'string' ? part : 'token')).join('')).widgets;
}

/** Place and size of a heading in this row. */
const heading = (y: number) => [0, y, 24, 1];

describe.each(ENVIRONMENTS)('%s', (environment) => {
  const made = synthesized(environment);
  const { one, ofType, resources } = made;
  const alarms = alarmsOf<AlarmProperties>(made);
  const composites = alarmsOf<AlarmProperties & { readonly AlarmRule?: unknown }>(made, 'CompositeAlarm');
  const prefix = `discord-ingestor-${environment}-`;
  const definitions = alarmDefinitions(settingsFor(environment));
  /** Alarms that roll a deployment back. The others notify a person. */
  const ofRelease = [...alarms.values()].filter(({ AlarmName }) => AlarmName.includes('-release-'));
  const nameOf = (id: string) => String(resources.get(id)?.Properties.AlarmName).replace(prefix, '');

  it('has alarms only on metrics that the service writes, with the same namespace and dimensions', () => {
    const all = [...alarms.values()].flatMap(readBy);
    const own = all.filter(({ Metric }) => Metric.Namespace === DEFAULT_METRICS_NAMESPACE);
    expect(own.length).toBeGreaterThan(20);
    for (const { Metric, Period } of own) {
      expect(written(environment)).toContain(identityOf(Metric));
      // Not shorter than the interval at which the service writes.
      expect(Period, Metric.MetricName).toBeGreaterThanOrEqual(60);
    }
  });

  it('shows only metrics that the service writes', () => {
    const widgets = widgetsOf(made);
    const rows = widgets.flatMap(({ properties }) => properties.metrics ?? []);
    const own = rows.filter(([namespace]) => namespace === DEFAULT_METRICS_NAMESPACE);
    expect(own.length).toBeGreaterThan(20);
    for (const [namespace, name, ...rest] of own) {
      const [key, value, second, queue] = rest.filter((part) => typeof part === 'string');
      const dimensions = { [`${key}`]: value, ...(second && { [second]: queue }) };
      expect(written(environment)).toContain(identity(`${namespace} ${name}`, dimensions));
    }
  });

  it('fills each row of the dashboard, draws from zero, percentages to 100, and lines and limits in their colours', () => {
    const widgets = widgetsOf(made);
    expect(widgets.map(({ x, y, width, height }) => [x, y, width, height])).toEqual([
      ...[heading(0), [0, 1, 4, 4], [4, 1, 20, 4], [0, 5, 12, 6], [12, 5, 12, 6]],
      ...[heading(11), [0, 12, 12, 6], [12, 12, 12, 6]],
      ...[heading(18), [0, 19, 8, 6], [8, 19, 8, 6], [16, 19, 8, 6], [0, 25, 8, 6], [8, 25, 8, 6], [16, 25, 8, 6]],
      ...[heading(31), [0, 32, 12, 4], [12, 32, 12, 4]],
    ]);
    const panels = chapters(settingsFor(environment)).flatMap(({ rows }) => rows.flat());
    for (const { title, left, right = [], leftMarks = [], rightMarks = [] } of panels) {
      const shown = widgets.find(({ properties }) => properties.title === title)?.properties;
      const most = title.includes('(%)') ? { max: 100 } : {};
      expect(shown?.yAxis, title).toEqual({
        left: { min: 0, ...most },
        ...(right.length > 0 && { right: { min: 0 } }),
      });
      const colors = [...left, ...right].map(({ color }) => color && COLORS[color]);
      expect(shown?.metrics?.map((row) => (row.at(-1) as { color?: string }).color)).toEqual(colors);
      const marks = [
        ...leftMarks.map((mark) => ({ ...mark, yAxis: 'left' })),
        ...rightMarks.map((mark) => ({ ...mark, yAxis: 'right' })),
      ];
      expect(shown?.annotations?.horizontal ?? []).toEqual(
        marks.map(({ color, ...mark }) => ({ ...mark, color: COLORS[color] })),
      );
    }
    expect(widgets.at(-1)?.properties.sparkline).toBe(true);
  });

  it('describes every alarm: what is wrong, what to do first, and a link to the runbook', () => {
    const reporting = [...alarms.values()].filter((each) => !ofRelease.includes(each));
    for (const alarm of [...reporting, ...composites.values()]) {
      expect(alarm.AlarmDescription.length, alarm.AlarmName).toBeLessThan(1024);
      expect(alarm.AlarmDescription).toMatch(
        /^.{20,}\. (Threshold: .{20,}\. )?First: .{10,}\. Runbook: docs\/runbook\.md#[a-z-]+$/,
      );
    }
  });

  it('sends pages from the two composite alarms and notices from the others, and no fault twice', () => {
    const [pages, notices, ...more] = ofType('AWS::SNS::Topic').map(([Ref]) => [{ Ref }]);
    expect(more).toEqual([]);
    const actionsOf = ({ AlarmActions, OKActions }: AlarmProperties) => [AlarmActions, OKActions];
    for (const composite of composites.values()) expect(actionsOf(composite)).toEqual([pages, pages]);
    for (const { id, family } of definitions) {
      const alarm = alarms.get(id) ?? expect.fail(`no alarm ${id}`);
      const none = [undefined, undefined];
      expect(actionsOf(alarm), id).toEqual(family === 'health' ? none : [notices, notices]);
    }
    const [suppressor] = [...resources.keys()].filter((id) => nameOf(id) === UNHEALTHY);
    expect(composites.get(IMPAIRED)).toMatchObject({ ActionsSuppressor: { 'Fn::GetAtt': [suppressor, 'Arn'] } });
    expect(composites.get(UNHEALTHY)).not.toHaveProperty('ActionsSuppressor');
  });

  it('rolls deployments back only by alarms without actions', () => {
    const { Alarms } = one('AWS::ECS::Service').Properties.DeploymentConfiguration as {
      Alarms: { AlarmNames: string[] };
    };
    expect(Alarms.AlarmNames).toEqual(deploymentAlarms(settingsFor(environment)));
    expect(ofRelease.map(({ AlarmName }) => AlarmName)).toEqual(Alarms.AlarmNames);
    for (const alarm of ofRelease) {
      expect(alarm.AlarmDescription).toMatch(new RegExp(`Runbook: docs/runbook\\.md#${RELEASE_ENTRY}$`));
      const actions = [alarm.AlarmActions, alarm.OKActions, alarm.InsufficientDataActions];
      expect(actions, alarm.AlarmName).toEqual([undefined, undefined, undefined]);
    }
  });

  it.each([
    [UNHEALTHY, false],
    [IMPAIRED, true],
  ] as const)('%s combines the health alarms with mutedInMaintenance: %s', (composite, muted) => {
    const rule = JSON.stringify(composites.get(composite)?.AlarmRule);
    const ids = [...rule.matchAll(/"Fn::GetAtt":\["(\w+)","Arn"\]/g)].map(([, id = '']) => id);
    const combined = definitions.filter(
      ({ family, mutedInMaintenance = false }) => family === 'health' && mutedInMaintenance === muted,
    );
    expect(ids.map(nameOf).sort()).toEqual(combined.map(({ id }) => id).sort());
  });

  it("mutes only the alarms that the broker's maintenance causes, and only during its window", () => {
    const rule = one('AWS::CloudWatch::AlarmMuteRule').Properties as {
      Rule: { Schedule: object };
      MuteTargets: { AlarmNames: { Ref: string }[] };
    };
    expect(rule.Rule.Schedule).toEqual({ Expression: 'cron(0 3 * * SUN)', Duration: 'PT2H', Timezone: 'UTC' });
    const window = { DayOfWeek: 'SUNDAY', TimeOfDay: '03:00', TimeZone: 'UTC' };
    expect(one('AWS::AmazonMQ::Broker').Properties.MaintenanceWindowStartTime).toEqual(window);
    const muted = rule.MuteTargets.AlarmNames.map(({ Ref }) => nameOf(Ref));
    // Health alarms have no actions to mute: their composite alarm is muted.
    const notices = definitions.filter(({ family, mutedInMaintenance }) => family !== 'health' && mutedInMaintenance);
    expect(muted.sort()).toEqual([...notices.map(({ id }) => id), IMPAIRED].sort());
    expect(ofType('AWS::CloudWatch::AlarmMuteRule')).toHaveLength(1);
  });
});

// The alarms look at the worst node of a cluster: at 77 % of the sum one node may be at 100 %, and blocks every publisher.
describe.each(ENVIRONMENTS)('the nodes of the broker of %s', (environment) => {
  const { broker } = settingsFor(environment);
  const limits = nodeLimits(broker);
  const Broker = `discord-ingestor-${environment}`;

  /** The state of an alarm after half an hour in which each node had this value, as Amazon MQ writes it. */
  function stateOf(id: string, metric: string, values: readonly number[]) {
    const data = new DataPoints();
    for (let minute = 0; minute < 30; minute += 1) {
      const write = (name: string, dimensions: Record<string, string>, value: number) =>
        data.add(`AWS/AmazonMQ ${name}`, dimensions, { minute, value });
      for (const [node, value] of values.entries()) write(metric, { Broker, Node: `rabbit@ip-10-0-0-${node}` }, value);
      // Another broker of the account.
      write(metric, { Broker: 'another', Node: 'rabbit@ip-10-0-9-9' }, id === 'broker-disk' ? 1 : 1e15);
      const sum = values.reduce((total, value) => total + value, 0);
      const own = { RabbitMQMemLimit: limits.memoryBytes, RabbitMQDiskFreeLimit: limits.diskFreeBytes };
      for (const [name, value] of Object.entries({ [metric]: sum, ...own })) write(name, { Broker }, value);
    }
    const alarm = alarmsOf(synthesized(environment)).get(id) ?? expect.fail(`no alarm ${id}`);
    return statesOf(alarm, data, 30, 0).at(-1);
  }

  it.each([
    { id: 'broker-memory', metric: 'RabbitMQMemUsed', limit: limits.memoryBytes, well: 79, beyond: 81 },
    { id: 'broker-disk', metric: 'RabbitMQDiskFree', limit: limits.diskFreeBytes, well: 201, beyond: 199 },
    { id: 'broker-cpu', metric: 'SystemCpuUtilization', limit: 100, well: 79, beyond: 81 },
    { id: 'broker-connections', metric: 'ConnectionCount', limit: limits.connections, well: 79, beyond: 81 },
  ])(
    '$id is off with every node at $well % of its limit, and on with one node at $beyond %',
    ({ id, metric, limit, well, beyond }) => {
      const others = Array.from({ length: broker.nodes - 1 }, () => (limit * well) / 100);
      expect(stateOf(id, metric, [...others, (limit * well) / 100])).toBe('OK');
      expect(stateOf(id, metric, [...others, (limit * beyond) / 100])).toBe('ALARM');
      expect(stateOf(id, 'no data', [1])).toBe('OK');
    },
  );
});

describe('a definition', () => {
  const definitions = alarmDefinitions(settingsFor('production'));
  const thresholdOf = (id: string) => {
    const { threshold } = definitions.find((definition) => definition.id === id) ?? {};
    return Object.values(threshold ?? {})[0] ?? Number.NaN;
  };
  const own = definitions.flatMap(({ metric, ...rest }) => ('ingestor' in metric ? [{ ...metric, ...rest }] : []));

  it.each(own)('$id has the statistic of its kind of metric', ({ ingestor, statistic, datapoints: [enough, of] }) => {
    const { kind }: Metric = METRICS[ingestor];
    // A gauge that only one task reports is summed. For the others the worst task counts, or the number of tasks.
    const summed = ['shardsConnected', 'standby'].includes(ingestor);
    const gauge = summed ? ['Sum'] : ['Maximum', 'Minimum', 'SampleCount'];
    expect({ counter: ['Sum'], gauge, summary: ['p95'] }[kind]).toContain(statistic);
    expect(enough).toBeLessThanOrEqual(of);
    // A task may write twice in one minute and not in the next: an alarm on a sum needs four of five data points.
    if (summed) expect(of === 5 ? enough : of).toBeLessThan(5);
  });

  it('exists for the depth of every queue', () => {
    const watched = own.filter(({ ingestor }) => ingestor === 'queueDepth').map(({ queue }) => queue);
    expect(watched.sort()).toEqual(Object.values(QUEUES).sort());
  });

  it('has a threshold far below the limit at which the broker drops or refuses messages', () => {
    expect(thresholdOf('guild-events-waiting')).toBeLessThanOrEqual(DEFAULT_LIMITS.guildEventsMaxMessages / 2);
    expect(thresholdOf('dispatches-waiting')).toBeLessThanOrEqual(DEFAULT_LIMITS.dispatchesMaxMessages / 2);
    expect(thresholdOf('interactions-waiting')).toBeLessThan(DEFAULT_LIMITS.interactionsMaxMessages / 2);
    expect(thresholdOf('gateway-events-waiting')).toBeLessThan(DEFAULT_LIMITS.gatewayEventsMaxMessages / 2);
  });

  it('has the same heap limit as /health', () => {
    expect(thresholdOf('heap')).toBe(100 * BOUNDS.memoryThreshold.default);
  });
});

it('the runbook has one entry for each alarm: what it is, where to look and what to do', () => {
  const entries = [...runbook.matchAll(/^### (\S+)\n([\s\S]*?)(?=^##|$(?![\s\S]))/gm)];
  const ids = ENVIRONMENTS.flatMap((each) => alarmDefinitions(settingsFor(each)).map(({ id }) => id));
  expect(entries.map(([, id]) => id).sort()).toEqual([...new Set([...ids, UNHEALTHY, IMPAIRED, RELEASE_ENTRY])].sort());
  for (const [, id, text = ''] of entries) {
    expect(text, id).toMatch(/^- \*\*What\*\*: [\s\S]+^- \*\*Look\*\*: [\s\S]+^- \*\*Do\*\*: /m);
  }
});
