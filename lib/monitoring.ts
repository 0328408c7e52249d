// Creates the alarms of alarms.ts in CloudWatch, and where each sends its messages. Of the family health only two alarms that
// sum it up act: they page, once for a fault. `unhealthy` is what the broker's maintenance does not explain, and is never
// muted; `impaired` is the rest, muted in the maintenance window, and suppressed while `unhealthy` is on. All others are notices.
import { Duration, Stack, TimeZone } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Effect, PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import {
  type AlarmDefinition,
  alarmDefinitions,
  IMPAIRED,
  type OwnMetric,
  UNHEALTHY,
  type WorstNode,
} from './alarms.ts';
import { brokerNameOf } from './broker.ts';
import { BROKER_NAMESPACE, ingestorMetric } from './cloudwatch-metrics.ts';
import type { Environment, Settings } from './settings.ts';
import { prefixOf } from './stack-identity.ts';

/** Amazon MQ's maintenance windows have this length. */
const WINDOW = Duration.hours(2);
/** The alarms for what follows from a fault are on, and off again, some minutes after its own. */
const CONSEQUENCES = Duration.minutes(3);

export const alarmName = (environment: Environment, id: string): string => `${prefixOf(environment)}-${id}`;

export class Monitoring extends Construct {
  readonly alarms: readonly cloudwatch.Alarm[];
  readonly unhealthy: cloudwatch.CompositeAlarm;
  readonly impaired: cloudwatch.CompositeAlarm;
  readonly pages: Topic;
  readonly notices: Topic;

  constructor(scope: Construct, id: string, { settings }: { readonly settings: Settings }) {
    super(scope, id);
    const { environment } = settings;
    this.pages = this.createTopic('Topic', 'Discord ingestor', settings.alarmEmail);
    this.notices = this.createTopic('Notices', 'Discord ingestor: notices', settings.alarmEmail);
    const created = alarmDefinitions(settings).map((definition) => ({
      ...definition,
      alarm: createAlarm(this, definition, settings),
    }));
    this.alarms = created.map(({ alarm }) => alarm);

    const health = created.filter(({ family }) => family === 'health');
    const sumOf = (entry: string, summed: typeof health, wrong: string) => ({
      compositeAlarmName: alarmName(environment, entry),
      alarmDescription: description({ wrong, first: 'See which one, and follow its entry', entry }),
      alarmRule: cloudwatch.AlarmRule.anyOf(
        ...summed.map(({ alarm }) => cloudwatch.AlarmRule.fromAlarm(alarm, cloudwatch.AlarmState.ALARM)),
      ),
    });
    this.unhealthy = new cloudwatch.CompositeAlarm(
      this,
      'Unhealthy',
      sumOf(
        UNHEALTHY,
        health.filter(({ mutedInMaintenance }) => !mutedInMaintenance),
        'The bot is offline, or events are lost: an alarm of the family health is on.',
      ),
    );
    this.impaired = new cloudwatch.CompositeAlarm(this, 'Impaired', {
      ...sumOf(
        IMPAIRED,
        health.filter(({ mutedInMaintenance }) => mutedInMaintenance),
        'The ingestor cannot do all its work, as while the broker is maintained: an alarm of the family health is on.',
      ),
      actionsSuppressor: this.unhealthy,
      actionsSuppressorWaitPeriod: CONSEQUENCES,
      actionsSuppressorExtensionPeriod: CONSEQUENCES,
    });
    const notices = created.filter(({ family }) => family !== 'health').map(({ alarm }) => alarm);
    for (const [topic, alarms] of [
      [this.pages, [this.unhealthy, this.impaired]],
      [this.notices, notices],
    ] as const) {
      const action = new SnsAction(topic);
      for (const alarm of alarms) {
        alarm.addAlarmAction(action);
        alarm.addOkAction(action);
      }
    }

    const window = settings.broker.maintenanceWindow;
    const [hour, minute] = window.time.split(':').map(Number);
    const muted = created.filter(({ family, mutedInMaintenance }) => family !== 'health' && mutedInMaintenance);
    new cloudwatch.AlarmMuteRule(this, 'Maintenance', {
      alarmMuteRuleName: alarmName(environment, 'maintenance'),
      description: "The broker's maintenance window: alarms change their state and send no message",
      schedule: cloudwatch.ScheduleExpression.cron({
        minute: String(minute),
        hour: String(hour),
        weekDay: window.day.slice(0, 3),
        timeZone: TimeZone.of(window.timeZone),
      }),
      duration: WINDOW,
      alarms: [...muted.map(({ alarm }) => alarm), this.impaired],
    });
  }

  private createTopic(id: string, displayName: string, emails: readonly string[] = []): Topic {
    const topic = new Topic(this, id, { displayName, enforceSSL: true });
    // A topic with its own policy loses the default one, which allows CloudWatch to publish.
    topic.addToResourcePolicy(
      new PolicyStatement({
        sid: 'Alarms',
        effect: Effect.ALLOW,
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } },
      }),
    );
    for (const email of emails) topic.addSubscription(new EmailSubscription(email));
    return topic;
  }
}

export function createAlarm(scope: Construct, definition: AlarmDefinition, settings: Settings): cloudwatch.Alarm {
  const { id, threshold, because, silence = 'notBreaching', wrong, first, entry = id } = definition;
  const [datapointsToAlarm, evaluationPeriods] = definition.datapoints;
  const { LESS_THAN_THRESHOLD, GREATER_THAN_OR_EQUAL_TO_THRESHOLD } = cloudwatch.ComparisonOperator;
  const below = 'below' in threshold;
  return new cloudwatch.Alarm(scope, id, {
    alarmName: alarmName(settings.environment, id),
    alarmDescription: description({ wrong: `${wrong}. Threshold: ${because}.`, first, entry }),
    metric: metricOf(definition, settings),
    comparisonOperator: below ? LESS_THAN_THRESHOLD : GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
    threshold: below ? threshold.below : threshold.atLeast,
    evaluationPeriods,
    datapointsToAlarm,
    treatMissingData: silence as cloudwatch.TreatMissingData,
  });
}

function description({ wrong, first, entry }: Readonly<Record<'wrong' | 'first' | 'entry', string>>): string {
  return `${wrong} First: ${first}. Runbook: docs/runbook.md#${entry}`;
}

function metricOf({ id, metric, periodMinutes = 1 }: AlarmDefinition, settings: Settings): cloudwatch.IMetric {
  const period = Duration.minutes(periodMinutes);
  const own = (each: OwnMetric) => ingestorMetric(each, settings.environment, { period });
  if ('ingestor' in metric) return own(metric);
  if ('broker' in metric) return worstNode(metric, settings, period);
  const usingMetrics = Object.fromEntries(Object.entries(metric.metrics).map(([name, each]) => [name, own(each)]));
  return new cloudwatch.MathExpression({ expression: metric.expression, usingMetrics, label: id, period });
}

/**
 * The names of nodes contain addresses that are not known beforehand, so a cluster is read by a query; without GROUP BY it
 * gives one series, the worst of all nodes. An alarm may contain one query, and arithmetic on it.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Metrics_Insights_Alarm.html
 */
function worstNode(watched: WorstNode, settings: Settings, period: Duration): cloudwatch.IMetric {
  const { broker: metric, worst, percentOf, limit } = watched;
  const Broker = brokerNameOf(settings);
  const statistic = worst === 'MAX' ? cloudwatch.Stats.MAXIMUM : cloudwatch.Stats.MINIMUM;
  const plain = (metricName: string) =>
    new cloudwatch.Metric({
      ...{ namespace: BROKER_NAMESPACE, metricName, dimensionsMap: { Broker }, period, statistic },
    });
  const single = settings.broker.nodes === 1;
  const used = single
    ? plain(metric)
    : new cloudwatch.MathExpression({
        expression: `SELECT ${worst}(${metric}) FROM SCHEMA("${BROKER_NAMESPACE}", Broker, Node) WHERE Broker = '${Broker}'`,
        label: `${metric} of the worst node`,
        period,
      });
  if (percentOf === undefined) return used;
  const whole = single && limit !== undefined ? plain(limit) : undefined;
  return new cloudwatch.MathExpression({
    expression: `100 * used / ${whole ? 'whole' : percentOf}`,
    usingMetrics: { used, ...(whole && { whole }) },
    label: `${metric} of the worst node in %`,
    period,
  });
}
