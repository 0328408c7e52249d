// The alarms of alarms.ts in CloudWatch, the topic they speak through, the one alarm that sums up the ingestor's
// health, and the silence for what the broker's maintenance window explains. Names are fixed: a deployment refers to
// alarms by name.
import { Duration, Stack, TimeZone } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Effect, PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import { type AlarmDefinition, alarmDefinitions } from './alarms.ts';
import { brokerMetric, brokerNameOf } from './broker.ts';
import { ingestorMetric } from './ingestor-metrics.ts';
import type { Environment, Settings } from './settings.ts';

/** Amazon MQ's maintenance windows are of this length. */
const WINDOW = Duration.hours(2);

export interface MonitoringProps {
  readonly settings: Settings;
}

export class Monitoring extends Construct {
  readonly alarms: readonly cloudwatch.Alarm[];
  /** Those of them that roll a deployment back. */
  readonly watchers: readonly cloudwatch.Alarm[];
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
    this.watchers = made.filter(({ definition }) => definition.rollsBack).map(({ alarm }) => alarm);

    const health = made.filter(({ definition }) => definition.family === 'health').map(({ alarm }) => alarm);
    this.unhealthy = new cloudwatch.CompositeAlarm(this, 'Unhealthy', {
      compositeAlarmName: alarmName(environment, UNHEALTHY),
      alarmDescription: description(
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
      alarmDescription: description(
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

/** Names of the alarms that end a deployment, known before the alarms are made. */
export function deploymentAlarms(settings: Settings): string[] {
  return alarmDefinitions(settings)
    .filter((definition) => definition.rollsBack)
    .map((definition) => alarmName(settings.environment, definition.id));
}

function metricOf(definition: AlarmDefinition, settings: Settings): cloudwatch.IMetric {
  const { figure } = definition;
  const period = Duration.minutes(definition.periodMinutes);
  if (figure.of === 'ingestor') {
    const { statistic, queue } = figure;
    return ingestorMetric(figure.metric, { environment: settings.environment, statistic, queue, period });
  }
  const metric = brokerMetric(brokerNameOf(settings), figure.metric, { period });
  if (!figure.percentOf) return metric;
  // Over the whole broker: a cluster reports the sum of its nodes for both.
  return new cloudwatch.MathExpression({
    expression: '100 * part / whole',
    usingMetrics: { part: metric, whole: brokerMetric(brokerNameOf(settings), figure.percentOf, { period }) },
    label: `${figure.metric} in % of ${figure.percentOf}`,
    period,
  });
}

function description(wrong: string, first: string, id: string): string {
  return `${wrong} First: ${first}. Runbook: docs/runbook.md#${id}`;
}
