// The alarms that roll a deployment back, each for something a release can be blamed for. They send no mail. docs/deploy.md
// has the table of what is rolled back and what is not; a test plays it. ECS looks at no alarm of a deployment at whose
// start one is on, so that a fix is not rolled back to what it repairs: so each is on while the old version fails, and
// the first also while no task reports. It is on before the first deployment too, because they are made minutes before
// the service, with the broker; beside the service it would go on while the first image is pulled, and fail everything.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import type { METRICS } from '../service/contract/metrics.ts';
import { ingestorMetric } from './ingestor-metrics.ts';
import { alarmDescription, alarmName } from './monitoring.ts';
import type { Settings } from './settings.ts';

export interface ReleaseAlarmDefinition {
  /** Part of its name. ECS refers to it by name: another id is another alarm. */
  readonly id: `release-${string}`;
  /** 1 or more in a minute in which a release is to blame. */
  readonly blame: string;
  readonly metrics: Readonly<
    Record<
      string,
      readonly [Exclude<keyof typeof METRICS, 'queueDepth'>, 'Sum' | 'Maximum' | 'Minimum' | 'SampleCount']
    >
  >;
  /** So many of so many minutes. */
  readonly datapoints: readonly [number, number];
  readonly silence: 'breaching' | 'notBreaching';
  readonly wrong: string;
  readonly because: string;
}

/** The heading of their runbook entry. */
export const RELEASE_ENTRY = 'release';

/** They are the same from one deployment to the next: nothing in them belongs to a version. */
export function releaseAlarmDefinitions({ tasks }: Pick<Settings, 'tasks'>): ReleaseAlarmDefinition[] {
  // Each task reports once a minute. More than are desired are old and new ones side by side.
  const reporting = { reporting: ['residentMemory', 'SampleCount'] } as const;
  return [
    {
      id: 'release-offline',
      // The number of shards comes from the tasks: with a new one it changes when they do.
      blame: `IF(reporting > ${tasks}, 0, configured - connected - waiting)`,
      metrics: {
        ...reporting,
        configured: ['shardsConfigured', 'Minimum'],
        connected: ['shardsConnected', 'Sum'],
        waiting: ['shardsWaiting', 'Sum'],
      },
      datapoints: [4, 5],
      silence: 'breaching',
      wrong: 'Shards are not connected, for a reason that a release can be blamed for, or no task reports',
      because: 'the new tasks are alone, and have had longer than a start takes',
    },
    {
      id: 'release-broker',
      blame: `IF(worst >= 1, 0, IF(best >= 1, 1, IF(reporting > ${tasks}, 0, 1)))`,
      metrics: { ...reporting, best: ['brokerConnected', 'Maximum'], worst: ['brokerConnected', 'Minimum'] },
      datapoints: [4, 5],
      silence: 'notBreaching',
      wrong: 'A task cannot use the broker although another one can, or none of the new tasks can',
      because: 'a restart of one node takes seconds, of a single broker some minutes',
    },
    {
      id: 'release-publish-errors',
      blame: 'refused',
      metrics: { refused: ['publishErrors', 'Sum'] },
      // After a refusal one message is tried each 15 to 30 s, so that a higher number is never reached.
      datapoints: [3, 5],
      silence: 'notBreaching',
      wrong: 'The broker refuses what is published',
      because: 'one refusal may pass; the backoff tries one message each 15 to 30 s',
    },
    {
      id: 'release-returned',
      blame: 'returned',
      metrics: { returned: ['eventsReturned', 'Sum'] },
      datapoints: [1, 1],
      silence: 'notBreaching',
      wrong: 'The broker returned messages: no queue takes them',
      because: 'these events are lost to workers',
    },
    {
      id: 'release-gaps',
      // One of many shards may be lost by chance in such a moment.
      blame: 'IF(lost > configured / 10, 1, 0)',
      metrics: { lost: ['gapsInHandOver', 'Sum'], configured: ['shardsConfigured', 'Minimum'] },
      datapoints: [1, 1],
      silence: 'notBreaching',
      wrong: 'More than a tenth of the sessions were alive, and were lost with the hand-over to another task',
      because: 'the old task had it a moment ago; what expired before, or was given up on purpose, does not count',
    },
  ];
}

/** Names of the alarms that end a deployment. */
export function deploymentAlarms(settings: Settings): string[] {
  return releaseAlarmDefinitions(settings).map(({ id }) => alarmName(settings.environment, id));
}

export class ReleaseAlarms extends Construct {
  constructor(scope: Construct, id: string, { settings }: { readonly settings: Settings }) {
    super(scope, id);
    const { environment } = settings;
    for (const { id, blame, metrics, datapoints, silence, wrong, because } of releaseAlarmDefinitions(settings)) {
      const period = Duration.minutes(1);
      const named = Object.entries(metrics).map(
        ([name, [metric, statistic]]) => [name, ingestorMetric(metric, { environment, statistic, period })] as const,
      );
      const alone = named.length === 1 ? named[0]?.[1] : undefined;
      const [datapointsToAlarm, evaluationPeriods] = datapoints;
      new cloudwatch.Alarm(this, id, {
        alarmName: alarmName(environment, id),
        alarmDescription: alarmDescription(
          `${wrong}. Threshold: ${because}.`,
          'Read the log of the tasks of that deployment',
          RELEASE_ENTRY,
        ),
        metric:
          alone ??
          new cloudwatch.MathExpression({
            expression: blame,
            usingMetrics: Object.fromEntries(named),
            label: id,
            period,
          }),
        comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        threshold: 1,
        evaluationPeriods,
        datapointsToAlarm,
        treatMissingData:
          silence === 'breaching' ? cloudwatch.TreatMissingData.BREACHING : cloudwatch.TreatMissingData.NOT_BREACHING,
      });
    }
  }
}
