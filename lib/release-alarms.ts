// The alarms that roll a deployment back, each for a fault that a release can cause. They send no message. docs/deploy.md has the
// table of what is rolled back and what is not; a test evaluates it. ECS ignores all alarms of a deployment when one of them is on
// at its start, so that a fix is not rolled back to what it repairs. So each alarm is on while the old version fails, and
// `release-offline` also while no task reports. It is on before the first deployment too, because these alarms are created
// with the broker, minutes before the service; created with the service it would go on while the first image is pulled.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html
import { Construct } from 'constructs';
import type { AlarmDefinition, OwnMetric } from './alarms.ts';
import { alarmName, createAlarm } from './monitoring.ts';
import type { Settings } from './settings.ts';

/** The heading of their runbook entry. */
export const RELEASE_ENTRY = 'release';

/**
 * They are the same from one deployment to the next: nothing in them depends on a version. ECS refers to an alarm by its
 * name, so another id is another alarm. A value of 1 or more is a minute in which the release is at fault.
 */
export function releaseAlarmDefinitions({ tasks }: Pick<Settings, 'tasks'>): AlarmDefinition[] {
  // Each task reports once a minute. When more report than are desired, old and new ones run side by side.
  const reporting: OwnMetric = { ingestor: 'residentMemory', statistic: 'SampleCount' };
  const common = {
    threshold: { atLeast: 1 },
    first: 'Read the log of the tasks of that deployment',
    entry: RELEASE_ENTRY,
  };
  return [
    {
      ...common,
      id: 'release-offline',
      metric: {
        // The number of shards is reported by the tasks: a new number counts from the moment they use it.
        expression: `IF(reporting > ${tasks}, 0, configured - connected - waiting)`,
        metrics: {
          reporting,
          configured: { ingestor: 'shardsConfigured', statistic: 'Minimum' },
          connected: { ingestor: 'shardsConnected', statistic: 'Sum' },
          waiting: { ingestor: 'shardsWaiting', statistic: 'Sum' },
        },
      },
      datapoints: [4, 5],
      silence: 'breaching',
      wrong: 'Shards are not connected, for a reason that a release can cause, or no task reports',
      because: 'only new tasks run, and have had more time than a start takes',
    },
    {
      ...common,
      id: 'release-broker',
      metric: {
        expression: `IF(worst >= 1, 0, IF(best >= 1, 1, IF(reporting > ${tasks}, 0, 1)))`,
        metrics: {
          reporting,
          best: { ingestor: 'brokerConnected', statistic: 'Maximum' },
          worst: { ingestor: 'brokerConnected', statistic: 'Minimum' },
        },
      },
      datapoints: [4, 5],
      wrong: 'A task cannot use the broker although another one can, or none of the new tasks can',
      because: 'a restart of one node takes seconds, of a single broker some minutes',
    },
    {
      ...common,
      id: 'release-publish-errors',
      metric: { ingestor: 'publishErrors', statistic: 'Sum' },
      // After a refusal one message is tried every 15 to 30 s, so a higher number is never reached.
      datapoints: [3, 5],
      wrong: 'The broker refuses what is published',
      because: 'one refusal may pass; the backoff tries one message every 15 to 30 s',
    },
    {
      ...common,
      id: 'release-returned',
      metric: { ingestor: 'eventsReturned', statistic: 'Sum' },
      datapoints: [1, 1],
      wrong: 'The broker returned messages: no queue takes them',
      because: 'these events are lost to workers',
    },
    {
      ...common,
      id: 'release-gaps',
      metric: {
        // One of many shards may lose its session by coincidence at that moment.
        expression: 'IF(lost > configured / 10, 1, 0)',
        metrics: {
          lost: { ingestor: 'gapsInHandOver', statistic: 'Sum' },
          configured: { ingestor: 'shardsConfigured', statistic: 'Minimum' },
        },
      },
      datapoints: [1, 1],
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
    for (const definition of releaseAlarmDefinitions(settings)) createAlarm(this, definition, settings);
  }
}
