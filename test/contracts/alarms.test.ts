// Alarms, dashboard, runbook and service agree: every figure that is watched is one that the service really writes, with
// the same namespace and dimensions; every alarm has its entry in the runbook, and every entry its alarm.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { alarmDefinitions } from '../../lib/alarms.ts';
import { nodeLimits } from '../../lib/broker-limits.ts';
import { UNHEALTHY } from '../../lib/monitoring.ts';
import { deploymentAlarms, RELEASE_ENTRY } from '../../lib/release-alarms.ts';
import { settingsFor } from '../../lib/settings.ts';
import { DEFAULT_LIMITS } from '../../lib/topology/topology.ts';
import { parseConfig } from '../../service/config.ts';
import { DEFAULT_METRICS_NAMESPACE, METRICS, type Metric } from '../../service/contract/metrics.ts';
import { ENV, QUEUES } from '../../service/contract/names.ts';
import { Metrics } from '../../service/metrics.ts';
import { type Synthesized, synthesized } from '../support/synthesized.ts';
import { DataPoints, type AlarmProperties as Evaluated, statesOf } from './cloudwatch.ts';

const environments = ['staging', 'production'] as const;
const made = new Map<string, Synthesized>();
const runbook = readFileSync(join(import.meta.dirname, '../../docs/runbook.md'), 'utf8');

beforeAll(() => {
  for (const environment of environments) made.set(environment, synthesized(environment));
});

interface AlarmProperties extends Evaluated {
  readonly AlarmDescription: string;
  readonly AlarmActions?: readonly unknown[];
  readonly OKActions?: readonly unknown[];
  readonly InsufficientDataActions?: readonly unknown[];
  readonly Unit?: string;
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

/** The alarms that roll a deployment back, and those that tell a person. */
const released = (environment: string) => alarmsOf(environment).filter(({ AlarmName }) => /-release-/.test(AlarmName));
const telling = (environment: string) => alarmsOf(environment).filter(({ AlarmName }) => !/-release-/.test(AlarmName));

/** Every metric that an alarm reads, alone or in a calculation. */
const readBy = (alarm: AlarmProperties) =>
  alarm.Metrics === undefined
    ? [{ Metric: alarm, Period: alarm.Period ?? 0 }]
    : alarm.Metrics.flatMap(({ MetricStat }) => MetricStat ?? []);

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

function identityOf({
  Namespace = '',
  MetricName = '',
  Dimensions = [],
}: Pick<AlarmProperties, 'Namespace' | 'MetricName' | 'Dimensions'>): string {
  return identity(Namespace, MetricName, Object.fromEntries(Dimensions.map(({ Name, Value }) => [Name, Value])));
}

describe.each(environments)('%s', (environment) => {
  it('watches only figures that the service writes, under the same namespace and dimensions, in the same unit', () => {
    const figures = written(environment);
    const read = alarmsOf(environment).flatMap((alarm) => readBy(alarm).map((each) => ({ alarm, ...each })));
    const own = read.filter(({ Metric }) => Metric.Namespace === DEFAULT_METRICS_NAMESPACE);
    expect(own.length).toBeGreaterThan(20);
    for (const { alarm, Metric, Period } of own) {
      expect([...figures.keys()], alarm.AlarmName).toContain(identityOf(Metric));
      if (alarm.Unit) expect(alarm.Unit, alarm.AlarmName).toBe(figures.get(identityOf(Metric)));
      // No finer than the service writes.
      expect(Period, alarm.AlarmName).toBeGreaterThanOrEqual(60);
    }
  });

  it("watches the broker under its name, which is the dimension of Amazon's metrics", () => {
    const { BrokerName } = of(environment).one('AWS::AmazonMQ::Broker').Properties;
    const alarms = alarmsOf(environment).filter(({ AlarmName }) => /-broker-(memory|disk|cpu|con)/.test(AlarmName));
    expect(alarms).toHaveLength(4);
    for (const alarm of alarms) {
      const metrics = readBy(alarm);
      for (const { Metric } of metrics)
        expect(Metric).toMatchObject({
          Namespace: 'AWS/AmazonMQ',
          Dimensions: [{ Name: 'Broker', Value: BrokerName }],
        });
      // A cluster is asked by a query; the test of its nodes, below, plays it.
      const queries = (alarm.Metrics ?? []).filter(({ Expression }) => Expression?.startsWith('SELECT '));
      expect(queries.length, alarm.AlarmName).toBe(environment === 'production' ? 1 : 0);
      expect(metrics.length > 0, alarm.AlarmName).toBe(environment !== 'production');
    }
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
    for (const alarm of [...telling(environment), composite]) {
      expect(alarm.AlarmDescription.length, alarm.AlarmName).toBeLessThan(1024);
      expect(alarm.AlarmDescription).toMatch(
        /^.{20,}\. (Threshold: .{20,}\. )?First: .{10,}\. Runbook: docs\/runbook\.md#[a-z-]+$/,
      );
      expect(alarm.AlarmActions).toEqual([topic]);
      expect(alarm.OKActions).toEqual([topic]);
    }
  });

  it('rolls deployments back by alarms that send nothing, and by no other', () => {
    const { Alarms } = of(environment).one('AWS::ECS::Service').Properties.DeploymentConfiguration as {
      Alarms: { AlarmNames: string[] };
    };
    const alarms = released(environment);
    expect(alarms.map(({ AlarmName }) => AlarmName)).toEqual(Alarms.AlarmNames);
    expect(Alarms.AlarmNames).toEqual(deploymentAlarms(settingsFor(environment)));
    for (const alarm of alarms) {
      expect(alarm.AlarmDescription.length).toBeLessThan(1024);
      expect(alarm.AlarmDescription).toMatch(new RegExp(`Runbook: docs/runbook\\.md#${RELEASE_ENTRY}$`));
      for (const actions of [alarm.AlarmActions, alarm.OKActions, alarm.InsufficientDataActions])
        expect(actions, alarm.AlarmName).toBeUndefined();
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

describe('the nodes of a broker', () => {
  const GIB = 1024 ** 3;
  const { memoryBytes, diskFreeBytes, connections } = nodeLimits(settingsFor('production').broker);

  /** The state of an alarm after half an hour in which each node had this value, as Amazon MQ writes it. */
  function judged(
    environment: string,
    id: string,
    metric: string,
    values: readonly number[],
    ...rest: [string, number][]
  ) {
    const data = new DataPoints();
    const Broker = `discord-ingestor-${environment}`;
    const sum = values.reduce((total, value) => total + value, 0);
    for (let minute = 0; minute < 30; minute += 1) {
      const write = (name: string, dimensions: Record<string, string>, value: number) =>
        data.add({ namespace: 'AWS/AmazonMQ', name, dimensions, minute, value });
      for (const [node, value] of values.entries()) write(metric, { Broker, Node: `rabbit@ip-10-0-0-${node}` }, value);
      // Another broker of the account.
      write(metric, { Broker: 'another', Node: 'rabbit@ip-10-0-9-9' }, id === 'broker-disk' ? 1 : 1e15);
      write(metric, { Broker }, sum);
      for (const [name, value] of rest) write(name, { Broker }, value);
    }
    const alarm = alarmsOf(environment).find(({ AlarmName }) => AlarmName === `${Broker}-${id}`);
    if (alarm === undefined) throw new Error(`no alarm ${id}`);
    return statesOf(alarm, data, 30, 0).at(-1);
  }
  const percent = (limit: number, ...values: number[]) => values.map((value) => (limit * value) / 100);

  it.each([
    // The issue's own example: 77 % of the sum, and every publisher is blocked.
    ['broker-memory', 'RabbitMQMemUsed', percent(memoryBytes, 100, 65, 65), 'ALARM'],
    ['broker-memory', 'RabbitMQMemUsed', percent(memoryBytes, 20, 20, 81), 'ALARM'],
    ['broker-memory', 'RabbitMQMemUsed', percent(memoryBytes, 79, 79, 79), 'OK'],
    ['broker-disk', 'RabbitMQDiskFree', percent(diskFreeBytes, 100, 300, 300), 'ALARM'],
    ['broker-disk', 'RabbitMQDiskFree', percent(diskFreeBytes, 900, 900, 199), 'ALARM'],
    ['broker-disk', 'RabbitMQDiskFree', percent(diskFreeBytes, 201, 201, 201), 'OK'],
    ['broker-cpu', 'SystemCpuUtilization', [10, 81, 10], 'ALARM'],
    ['broker-cpu', 'SystemCpuUtilization', [79, 79, 79], 'OK'],
    ['broker-connections', 'ConnectionCount', percent(connections, 81, 1, 1), 'ALARM'],
    ['broker-connections', 'ConnectionCount', percent(connections, 79, 79, 79), 'OK'],
  ])('of a cluster are judged by the worst: %s of %s %j is %s', (id, metric, values, state) => {
    expect(judged('production', id, metric, values)).toBe(state);
  });

  it.each([
    ['broker-memory', 'RabbitMQMemUsed', 0.81 * 1.8 * GIB, 'ALARM', ['RabbitMQMemLimit', 1.8 * GIB]],
    ['broker-memory', 'RabbitMQMemUsed', 0.79 * 1.8 * GIB, 'OK', ['RabbitMQMemLimit', 1.8 * GIB]],
    ['broker-disk', 'RabbitMQDiskFree', 19 * GIB, 'ALARM', ['RabbitMQDiskFreeLimit', 10 * GIB]],
    ['broker-disk', 'RabbitMQDiskFree', 21 * GIB, 'OK', ['RabbitMQDiskFreeLimit', 10 * GIB]],
    ['broker-connections', 'ConnectionCount', 0.81 * 300, 'ALARM', ['RabbitMQMemLimit', 1]],
    ['broker-connections', 'ConnectionCount', 0.79 * 300, 'OK', ['RabbitMQMemLimit', 1]],
  ] as const)('alone is judged likewise: %s of %s %d is %s', (id, metric, value, state, [name, limit]) => {
    expect(judged('staging', id, metric, [value], [name, limit])).toBe(state);
  });

  it('without data is no reason to call', () => {
    expect(judged('production', 'broker-memory', 'SystemCpuUtilization', [1, 1, 1])).toBe('OK');
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
    expect(entries.map(([, id]) => id).sort()).toEqual([...ids, UNHEALTHY, RELEASE_ENTRY].sort());
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
