// The alarms of alarms.ts in CloudWatch, the topic they speak through, the one alarm that sums up the ingestor's
// health, and the silence for what the broker's maintenance window explains. Those that roll a deployment back are in
// release-alarms.ts.
import { Duration, Stack, TimeZone } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Effect, PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import { type AlarmDefinition, alarmDefinitions } from './alarms.ts';
import { BROKER_NAMESPACE, brokerMetric, brokerNameOf } from './broker.ts';
import { ingestorMetric } from './ingestor-metrics.ts';
import type { Environment, Settings } from './settings.ts';

/** Amazon MQ's maintenance windows are of this length. */
const WINDOW = Duration.hours(2);

export interface MonitoringProps {
  readonly settings: Settings;
}

export class Monitoring extends Construct {
  readonly alarms: readonly cloudwatch.Alarm[];
  readonly unhealthy: cloudwatch.CompositeAlarm;
  readonly topic: Topic;

  constructor(scope: Construct, id: string, props: MonitoringProps) {
    super(scope, id);
    const { settings } = props;
    const { environment } = settings;
    this.topic = this.createTopic(settings.alarmEmail);
    const action = new SnsAction(this.topic);
    const definitions = alarmDefinitions(settings);
    const made = definitions.map((definition) => ({ definition, alarm: this.createAlarm(definition, settings) }));
    this.alarms = made.map(({ alarm }) => alarm);

    const health = made.filter(({ definition }) => definition.family === 'health').map(({ alarm }) => alarm);
    this.unhealthy = new cloudwatch.CompositeAlarm(this, 'Unhealthy', {
      compositeAlarmName: alarmName(environment, UNHEALTHY),
      alarmDescription: alarmDescription(
        'The ingestor is unhealthy: at least one alarm of the family health is on.',
        'See which one, and follow its entry',
        UNHEALTHY,
      ),
      alarmRule: cloudwatch.AlarmRule.anyOf(
        ...health.map((alarm) => cloudwatch.AlarmRule.fromAlarm(alarm, cloudwatch.AlarmState.ALARM)),
      ),
    });
    for (const alarm of [...this.alarms, this.unhealthy]) {
      alarm.addAlarmAction(action);
      alarm.addOkAction(action);
    }

    const window = settings.broker.maintenanceWindow;
    const [hour = '', minute = ''] = window.time.split(':');
    new cloudwatch.AlarmMuteRule(this, 'Maintenance', {
      alarmMuteRuleName: `discord-ingestor-${environment}-maintenance`,
      description: "The broker's maintenance window: alarms still change, and nobody is called",
      schedule: cloudwatch.ScheduleExpression.cron({
        minute: String(Number(minute)),
        hour: String(Number(hour)),
        weekDay: window.day.slice(0, 3),
        timeZone: TimeZone.of(window.timeZone),
      }),
      duration: WINDOW,
      alarms: [
        ...made.filter(({ definition }) => definition.mutedInMaintenance).map(({ alarm }) => alarm),
        this.unhealthy,
      ],
    });
  }

  private createAlarm(definition: AlarmDefinition, settings: Settings): cloudwatch.Alarm {
    const [datapointsToAlarm, evaluationPeriods] = definition.datapoints;
    return new cloudwatch.Alarm(this, definition.id, {
      alarmName: alarmName(settings.environment, definition.id),
      alarmDescription: alarmDescription(
        `${definition.wrong}. Threshold: ${definition.because}.`,
        definition.first,
        definition.id,
      ),
      metric: metricOf(definition, settings),
      comparisonOperator:
        definition.breached === 'below'
          ? cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
          : cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      threshold: definition.threshold,
      evaluationPeriods,
      datapointsToAlarm,
      treatMissingData: {
        breaching: cloudwatch.TreatMissingData.BREACHING,
        notBreaching: cloudwatch.TreatMissingData.NOT_BREACHING,
        ignore: cloudwatch.TreatMissingData.IGNORE,
        missing: cloudwatch.TreatMissingData.MISSING,
      }[definition.silence],
    });
  }

  private createTopic(emails: readonly string[] = []): Topic {
    const topic = new Topic(this, 'Topic', { displayName: 'Discord ingestor', enforceSSL: true });
    // A topic with a policy of its own loses the default one, by which CloudWatch would be allowed to publish.
    const { account } = Stack.of(this);
    topic.addToResourcePolicy(
      new PolicyStatement({
        sid: 'Alarms',
        effect: Effect.ALLOW,
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': account } },
      }),
    );
    for (const email of emails) topic.addSubscription(new EmailSubscription(email));
    return topic;
  }
}

/** The composite alarm's id and runbook entry. */
export const UNHEALTHY = 'unhealthy';

export const alarmName = (environment: Environment, id: string): string => `discord-ingestor-${environment}-${id}`;

function metricOf(definition: AlarmDefinition, settings: Settings): cloudwatch.IMetric {
  const { figure } = definition;
  const period = Duration.minutes(definition.periodMinutes);
  if (figure.of === 'ingestor') {
    const { statistic, queue } = figure;
    return ingestorMetric(figure.metric, { environment: settings.environment, statistic, queue, period });
  }
  return worstNode(figure, settings, period);
}

/**
 * The names of nodes hold addresses that are not known beforehand, so a cluster is asked by a query; without GROUP BY it
 * gives one series, the worst of all nodes. An alarm may hold one query, and arithmetic on it.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Metrics_Insights_Alarm.html
 */
function worstNode(
  { metric, worst, percentOf, limit }: Extract<AlarmDefinition['figure'], { of: 'broker' }>,
  settings: Settings,
  period: Duration,
): cloudwatch.IMetric {
  const name = brokerNameOf(settings);
  const of = (each: typeof metric) =>
    brokerMetric(name, each, {
      period,
      statistic: worst === 'MAX' ? cloudwatch.Stats.MAXIMUM : cloudwatch.Stats.MINIMUM,
    });
  const single = settings.broker.nodes === 1;
  const value: cloudwatch.IMetric = single
    ? of(metric)
    : new cloudwatch.MathExpression({
        expression: `SELECT ${worst}(${metric}) FROM SCHEMA("${BROKER_NAMESPACE}", Broker, Node) WHERE Broker = '${name}'`,
        label: `${metric} of the worst node`,
        period,
      });
  if (percentOf === undefined) return value;
  const measured = single && limit !== undefined;
  return new cloudwatch.MathExpression({
    expression: `100 * used / ${measured ? 'whole' : percentOf}`,
    usingMetrics: { used: value, ...(measured && { whole: of(limit) }) },
    label: `${metric} of the worst node in %`,
    period,
  });
}

export function alarmDescription(wrong: string, first: string, id: string): string {
  return `${wrong} First: ${first}. Runbook: docs/runbook.md#${id}`;
}
