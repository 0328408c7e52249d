// Alarms, dashboard, runbook and service agree: every figure that is watched is one that the service really writes, with
// the same namespace and dimensions; every alarm has its entry in the runbook, and every entry its alarm.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { alarmDefinitions } from '../../lib/alarms.ts';
import { UNHEALTHY } from '../../lib/monitoring.ts';
import { settingsFor } from '../../lib/settings.ts';
import { DEFAULT_LIMITS } from '../../lib/topology/topology.ts';
import { parseConfig } from '../../service/config.ts';
import { DEFAULT_METRICS_NAMESPACE, ENV, METRICS, type Metric, QUEUES } from '../../service/contract.ts';
import { Metrics } from '../../service/metrics.ts';
import { type Synthesized, synthesized } from '../lib/synthesized.ts';

const environments = ['staging', 'production'] as const;
const made = new Map<string, Synthesized>();
const runbook = readFileSync(join(import.meta.dirname, '../../docs/runbook.md'), 'utf8');

beforeAll(() => {
  for (const environment of environments) made.set(environment, synthesized(environment));
});

interface AlarmProperties {
  readonly AlarmName: string;
  readonly AlarmDescription: string;
  readonly AlarmActions: readonly unknown[];
  readonly OKActions: readonly unknown[];
  readonly MetricName?: string;
  readonly Namespace?: string;
  readonly Statistic?: string;
  readonly ExtendedStatistic?: string;
  readonly Unit?: string;
  readonly Period?: number;
  readonly Dimensions?: readonly { readonly Name: string; readonly Value: unknown }[];
  readonly Metrics?: readonly { readonly MetricStat?: { readonly Metric: Omit<AlarmProperties, 'Metrics'> } }[];
}

function of(environment: string): Synthesized {
  const found = made.get(environment);
  if (!found) throw new Error(`${environment} was not synthesized`);
  return found;
}

function alarmsOf(environment: string): AlarmProperties[] {
  return of(environment)
    .ofType('AWS::CloudWatch::Alarm')
    .map(([, { Properties }]) => Properties as unknown as AlarmProperties);
}

/** What a task of this environment writes in a minute, as CloudWatch understands it: `namespace name {dimensions}`. */
function written(environment: string): Map<string, string> {
  const metrics = new Metrics();
  for (const [name, metric] of Object.entries(METRICS) as [keyof typeof METRICS, Metric][]) {
    if (metric.kind === 'counter') metrics.add(name as Parameters<Metrics['add']>[0]);
    if (metric.kind === 'summary') metrics.observe(name as Parameters<Metrics['observe']>[0], 1);
    if (metric.kind === 'gauge') {
      const depths = new Map(Object.values(QUEUES).map((queue) => [queue, 1]));
      metrics.gauge(name as Parameters<Metrics['gauge']>[0], () => (metric.label ? depths : 1));
    }
  }
  const found = new Map<string, string>();
  for (const line of metrics.emf(DEFAULT_METRICS_NAMESPACE, environment)) {
    const document = JSON.parse(line);
    for (const { Namespace, Dimensions, Metrics: list } of document._aws.CloudWatchMetrics) {
      for (const names of Dimensions as string[][]) {
        for (const { Name, Unit } of list) {
          const dimensions = Object.fromEntries(names.map((name) => [name, document[name]]));
          found.set(identity(Namespace, Name, dimensions), Unit);
        }
      }
    }
  }
  return found;
}

function identity(namespace: string, name: string, dimensions: Readonly<Record<string, unknown>>): string {
  return `${namespace} ${name} ${JSON.stringify(Object.fromEntries(Object.entries(dimensions).sort()))}`;
}

function identityOf({ Namespace = '', MetricName = '', Dimensions = [] }: Omit<AlarmProperties, 'Metrics'>): string {
  return identity(Namespace, MetricName, Object.fromEntries(Dimensions.map(({ Name, Value }) => [Name, Value])));
}

describe.each(environments)('%s', (environment) => {
  it('watches only figures that the service writes, under the same namespace and dimensions, in the same unit', () => {
    const figures = written(environment);
    const own = alarmsOf(environment).filter(({ Namespace }) => Namespace === DEFAULT_METRICS_NAMESPACE);
    expect(own.length).toBeGreaterThan(15);
    for (const alarm of own) {
      expect([...figures.keys()], alarm.AlarmName).toContain(identityOf(alarm));
      if (alarm.Unit) expect(alarm.Unit, alarm.AlarmName).toBe(figures.get(identityOf(alarm)));
      // No finer than the service writes.
      expect(alarm.Period, alarm.AlarmName).toBeGreaterThanOrEqual(60);
    }
  });

  it("watches the broker under its name, which is the dimension of Amazon's metrics", () => {
    const { BrokerName } = of(environment).one('AWS::AmazonMQ::Broker').Properties;
    const metrics = alarmsOf(environment).flatMap((alarm) => [
      alarm,
      ...(alarm.Metrics ?? []).flatMap(({ MetricStat }) => MetricStat?.Metric ?? []),
    ]);
    const broker = metrics.filter(({ Namespace }) => Namespace === 'AWS/AmazonMQ');
    expect(broker.length).toBeGreaterThan(4);
    for (const { Dimensions } of broker) expect(Dimensions).toEqual([{ Name: 'Broker', Value: BrokerName }]);
  });

  it('shows only figures that somebody writes', () => {
    const figures = written(environment);
    const { DashboardBody } = of(environment).one('AWS::CloudWatch::Dashboard').Properties;
    const [, parts] = (DashboardBody as { 'Fn::Join': [string, unknown[]] })['Fn::Join'];
    const { widgets } = JSON.parse(parts.map((part) => (typeof part === 'string' ? part : 'token')).join(''));
    const rows = (widgets as { properties: { metrics?: unknown[][] } }[]).flatMap(
      ({ properties }) => properties.metrics ?? [],
    );
    const own = rows.filter(([namespace]) => namespace === DEFAULT_METRICS_NAMESPACE);
    expect(own.length).toBeGreaterThan(20);
    for (const [namespace, name, ...rest] of own) {
      const pairs = rest.filter((part): part is string => typeof part === 'string');
      const dimensions = Object.fromEntries(
        pairs.flatMap((key, index) => (index % 2 === 0 ? [[key, pairs[index + 1]]] : [])),
      );
      expect([...figures.keys()]).toContain(identity(String(namespace), String(name), dimensions));
    }
  });

  it('gives every alarm a name, what is wrong, what to do first, a link to the runbook, and somebody to tell', () => {
    const topic = { Ref: of(environment).one('AWS::SNS::Topic').id };
    const composite = of(environment).one('AWS::CloudWatch::CompositeAlarm').Properties as unknown as AlarmProperties;
    for (const alarm of [...alarmsOf(environment), composite]) {
      expect(alarm.AlarmDescription.length, alarm.AlarmName).toBeLessThan(1024);
      expect(alarm.AlarmDescription).toMatch(
        /^.{20,}\. (Threshold: .{20,}\. )?First: .{10,}\. Runbook: docs\/runbook\.md#[a-z-]+$/,
      );
      expect(alarm.AlarmActions).toEqual([topic]);
      expect(alarm.OKActions).toEqual([topic]);
    }
  });

  it('sums the health up in one alarm: the family health, whole and alone', () => {
    const { AlarmRule } = of(environment).one('AWS::CloudWatch::CompositeAlarm').Properties;
    const inRule = [...JSON.stringify(AlarmRule).matchAll(/"Fn::GetAtt":\["(\w+)","Arn"\]/g)].map(([, id = '']) => id);
    const names = inRule.map((id) => of(environment).resources.get(id)?.Properties.AlarmName).sort();
    const health = alarmDefinitions(settingsFor(environment)).filter(({ family }) => family === 'health');
    expect(names).toEqual(health.map(({ id }) => `discord-ingestor-${environment}-${id}`).sort());
  });

  it("mutes what the broker's maintenance explains, for as long as it lasts, and no more", () => {
    const rule = of(environment).one('AWS::CloudWatch::AlarmMuteRule').Properties as {
      Rule: { Schedule: object };
      MuteTargets: { AlarmNames: { Ref: string }[] };
    };
    expect(rule.Rule.Schedule).toEqual({ Expression: 'cron(0 3 * * SUN)', Duration: 'PT2H', Timezone: 'UTC' });
    const broker = of(environment).one('AWS::AmazonMQ::Broker').Properties;
    expect(broker.MaintenanceWindowStartTime).toEqual({ DayOfWeek: 'SUNDAY', TimeOfDay: '03:00', TimeZone: 'UTC' });
    const muted = rule.MuteTargets.AlarmNames.map(({ Ref }) => {
      const { AlarmName } = of(environment).resources.get(Ref)?.Properties ?? {};
      return String(AlarmName).replace(`discord-ingestor-${environment}-`, '');
    });
    const expected = alarmDefinitions(settingsFor(environment)).filter(({ mutedInMaintenance }) => mutedInMaintenance);
    expect(muted.sort()).toEqual([...expected.map(({ id }) => id), UNHEALTHY].sort());
    // A loss is said at any hour.
    expect(muted).not.toContain('gateway-gap');
    expect(muted).not.toContain('silent');
  });
});

describe('a definition', () => {
  const definitions = alarmDefinitions(settingsFor('production'));

  it.each(definitions.map((definition) => [definition.id, definition] as const))(
    '%s is judged as its figure is made',
    (_, definition) => {
      const { figure, periodMinutes, datapoints } = definition;
      const [enough, of] = datapoints;
      expect(enough).toBeLessThanOrEqual(of);
      // CloudWatch looks back a day at most.
      expect(periodMinutes * of).toBeLessThanOrEqual(24 * 60);
      if (figure.of !== 'ingestor') return;
      const { kind }: Metric = METRICS[figure.metric];
      const fitting = {
        // The growth of all tasks.
        counter: ['Sum'],
        // The worst of the tasks, or how many there are; only what one task alone has is summed.
        gauge: ['shardsConnected', 'standby'].includes(figure.metric) ? ['Sum'] : ['Maximum', 'Minimum', 'SampleCount'],
        summary: ['p95'],
      }[kind];
      expect(fitting).toContain(figure.statistic);
      // A task may write twice in one minute and not at all in the next: what is summed takes four of five.
      if (kind === 'gauge' && figure.statistic === 'Sum') expect(of === 5 ? enough : of).toBeLessThan(5);
    },
  );

  it('takes silence for death where somebody would have to speak', () => {
    const deadly = definitions.filter(({ silence }) => silence === 'breaching').map(({ id }) => id);
    expect(deadly).toEqual(['silent', 'shards-missing']);
  });

  it('there is one for the depth of every queue', () => {
    const watched = definitions.flatMap(({ figure }) =>
      figure.of === 'ingestor' && figure.queue ? [figure.queue] : [],
    );
    expect(watched.sort()).toEqual(Object.values(QUEUES).sort());
  });

  it('speaks long before the broker drops or refuses', () => {
    const threshold = (id: string) => definitions.find((definition) => definition.id === id)?.threshold ?? Number.NaN;
    expect(threshold('guild-events-waiting')).toBeLessThanOrEqual(DEFAULT_LIMITS.guildEventsMaxMessages / 2);
    expect(threshold('interactions-waiting')).toBeLessThan(DEFAULT_LIMITS.interactionsMaxMessages / 2);
    expect(threshold('gateway-events-waiting')).toBeLessThan(DEFAULT_LIMITS.gatewayEventsMaxMessages / 2);
  });

  it("calls a heap full where the service's own health does", () => {
    const { memoryThreshold } = parseConfig({ [ENV.discordBotToken]: 'x', [ENV.rabbitmqUrl]: 'amqp://a:b@c' });
    expect(definitions.find(({ id }) => id === 'heap')?.threshold).toBe(100 * memoryThreshold);
  });
});

describe('the runbook', () => {
  const [alarms = '', procedures = ''] = runbook.split('\n## Procedures\n');
  const entries = [...alarms.matchAll(/^### (\S+)\n([\s\S]*?)(?=^##|$(?![\s\S]))/gm)];

  it('has an entry for every alarm, and no other', () => {
    const ids = new Set(
      environments.flatMap((environment) => alarmDefinitions(settingsFor(environment)).map(({ id }) => id)),
    );
    expect(entries.map(([, id]) => id).sort()).toEqual([...ids, UNHEALTHY].sort());
  });

  it('says in each what it is, where to look and what to do', () => {
    for (const [, id, text = ''] of entries) {
      expect(text, id).toMatch(/^- \*\*What\*\*: [\s\S]+^- \*\*Look\*\*: [\s\S]+^- \*\*Do\*\*: /m);
    }
  });

  it('has its links lead somewhere', () => {
    const headings = [...runbook.matchAll(/^### (.+)$/gm)].map(([, title = '']) =>
      title.toLowerCase().replaceAll(' ', '-'),
    );
    const anchors = headings.map((heading) => heading.replaceAll(/[^\w-]/g, ''));
    for (const [, anchor] of runbook.matchAll(/\]\(#([\w-]+)\)/g)) expect(anchors).toContain(anchor);
    expect(procedures).not.toBe('');
  });
});
