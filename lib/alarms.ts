// What is watched, as data: every alarm with its figure, its threshold and why there, what it means and what to do
// first. docs/runbook.md has an entry for each. Pure: `monitoring.ts` makes alarms of it.
//
// All tasks of an environment, standbys included, write to the same metric. So: what only one task has (its shards)
// is summed, what each has for itself (outbox, heap) is judged by the worst one, and a counter is the growth since the
// last minute and is summed. A task writes every 60 s at a moment of its own, and near the edge of a minute CloudWatch
// may see none and then two: alarms that would mind take four of five minutes.
import type { METRICS } from '../service/contract/metrics.ts';
import { QUEUES } from '../service/contract/names.ts';
import type { BrokerMetric } from './broker.ts';
import { nodeLimits } from './broker-limits.ts';
import type { Settings } from './settings.ts';

export type Family = 'health' | 'pressure' | 'budget';

export type Figure =
  | {
      readonly of: 'ingestor';
      readonly metric: keyof typeof METRICS;
      readonly statistic: 'Sum' | 'Maximum' | 'Minimum' | 'SampleCount' | 'p95';
      readonly queue?: string;
    }
  /**
   * A metric of the broker's worst node (a cluster's own metrics are sums over its nodes, and one full node blocks
   * everybody), or 100 × it ÷ what one node bears.
   */
  | {
      readonly of: 'broker';
      readonly metric: BrokerMetric;
      readonly worst: 'MAX' | 'MIN';
      readonly percentOf?: number;
      /** The same limit as a metric, which a single node has beside it. */
      readonly limit?: BrokerMetric;
    };

export interface AlarmDefinition {
  /** Part of its name, and the heading of its runbook entry. */
  readonly id: string;
  readonly family: Family;
  readonly figure: Figure;
  readonly breached: 'below' | 'at or above';
  readonly threshold: number;
  /** Why there and for so long. */
  readonly because: string;
  readonly periodMinutes: number;
  /** So many of so many periods. */
  readonly datapoints: readonly [number, number];
  /** What no data means; `missing` shows as insufficient data, `ignore` keeps the last state. */
  readonly silence: 'breaching' | 'notBreaching' | 'ignore' | 'missing';
  readonly wrong: string;
  readonly first: string;
  /** Expected while the broker is maintained, and then muted. */
  readonly mutedInMaintenance?: true;
}

export function alarmDefinitions(settings: Settings): AlarmDefinition[] {
  const { budgets, shards } = settings;
  const limits = nodeLimits(settings.broker);
  const waiting = (
    id: string,
    queue: string,
    threshold: number,
    because: string,
    meaning: string,
  ): AlarmDefinition => ({
    id,
    family: 'pressure',
    figure: { of: 'ingestor', metric: 'queueDepth', statistic: 'Maximum', queue },
    breached: 'at or above',
    threshold,
    because,
    periodMinutes: 1,
    datapoints: [4, 5],
    // A queue that nobody can ask has no figure, and is not empty for that.
    silence: 'missing',
    wrong: `Messages pile up in ${queue}: ${meaning}`,
    first: 'See whether the workers run and consume, then whether they are too few',
  });

  const health: AlarmDefinition[] = [
    {
      id: 'silent',
      family: 'health',
      figure: { of: 'ingestor', metric: 'residentMemory', statistic: 'SampleCount' },
      breached: 'below',
      threshold: 1,
      because: 'every task reports once a minute: three silent minutes are no accident',
      periodMinutes: 1,
      datapoints: [3, 3],
      silence: 'breaching',
      wrong: 'No task of the ingestor reports: the bot is offline',
      first: "Read the service's events and the last lines of its log",
    },
    {
      id: 'shards-missing',
      family: 'health',
      figure: { of: 'ingestor', metric: 'shardsConnected', statistic: 'Sum' },
      breached: 'below',
      threshold: shards.count,
      because: 'all shards of all tasks together; a hand-over takes a second, a start a minute',
      periodMinutes: 1,
      datapoints: [4, 5],
      silence: 'breaching',
      wrong: 'Not every shard is connected: Discord keeps their events for a few minutes only',
      first: 'Look in the log for the shard that says why it is closed: token, intents, budget, or Discord',
      mutedInMaintenance: true,
    },
    {
      id: 'gateway-gap',
      family: 'health',
      figure: { of: 'ingestor', metric: 'gatewayGaps', statistic: 'Sum' },
      breached: 'at or above',
      threshold: 1,
      because: 'each one is a lost session, and maybe lost events',
      periodMinutes: 1,
      datapoints: [1, 1],
      silence: 'notBreaching',
      wrong: 'A session was lost: events between its last sequence and its new session may be missing',
      first: 'Read the gateway.gap event (queue events.gateway) for the shard and the time span',
    },
    {
      id: 'broker-unreachable',
      family: 'health',
      figure: { of: 'ingestor', metric: 'brokerConnected', statistic: 'Minimum' },
      breached: 'below',
      threshold: 1,
      because: 'the worst task; a restart of one node takes seconds, of a single broker some minutes',
      periodMinutes: 1,
      datapoints: [4, 5],
      // Nobody reporting is the alarm `silent`.
      silence: 'notBreaching',
      wrong: 'A task cannot publish: its events wait in its outbox, and then at Discord',
      first: "See whether the broker runs, then whether the login is refused (the task's log says which)",
      mutedInMaintenance: true,
    },
    {
      id: 'broker-blocked',
      family: 'health',
      figure: { of: 'ingestor', metric: 'brokerBlocked', statistic: 'Maximum' },
      breached: 'at or above',
      threshold: 1,
      because: 'the broker blocks publishers only when it is out of memory or disk; a short alarm passes by itself',
      periodMinutes: 1,
      datapoints: [2, 3],
      silence: 'notBreaching',
      wrong: 'The broker takes no messages: it is short of memory or disk',
      first: 'Find the queue that grew, and start its workers or purge it',
      mutedInMaintenance: true,
    },
    {
      id: 'not-understood',
      family: 'health',
      figure: { of: 'ingestor', metric: 'eventsUnknown', statistic: 'Sum' },
      breached: 'at or above',
      threshold: 1,
      because: 'Discord changed a dispatch; each one is an event that workers do not get',
      periodMinutes: 5,
      datapoints: [1, 1],
      silence: 'notBreaching',
      wrong: 'A dispatch of Discord could not be understood and was left out',
      first: 'The log names its type and the reason once: compare with the changelog of Discord',
    },
  ];
  if (shards.standbys > 0) {
    health.push({
      id: 'standby-missing',
      family: 'health',
      figure: { of: 'ingestor', metric: 'standby', statistic: 'Sum' },
      breached: 'below',
      threshold: shards.standbys,
      because: 'a replacement starts within a minute or two; beyond that something keeps it from starting',
      periodMinutes: 5,
      datapoints: [3, 3],
      silence: 'notBreaching',
      wrong: 'There are fewer standbys than configured: the next crash costs the start of a task',
      first: "Read the service's events: a task that cannot be placed or does not stay healthy",
      mutedInMaintenance: true,
    });
  }

  const pressure: AlarmDefinition[] = [
    {
      id: 'outbox',
      family: 'pressure',
      figure: { of: 'ingestor', metric: 'outboxUsed', statistic: 'Maximum' },
      breached: 'at or above',
      threshold: budgets.outboxPercent,
      because: 'at 100 % the task closes its shards; confirmed in time, the outbox is almost empty',
      periodMinutes: 1,
      datapoints: [2, 3],
      silence: 'notBreaching',
      wrong: 'The broker confirms more slowly than Discord sends',
      first: "Look at the broker's CPU, memory and disk, and at the alarms beside this one",
      mutedInMaintenance: true,
    },
    {
      id: 'slow-confirms',
      family: 'pressure',
      figure: { of: 'ingestor', metric: 'frameToConfirm', statistic: 'p95' },
      breached: 'at or above',
      threshold: budgets.frameToConfirmMs,
      because: 'a user waits for an interaction, and Discord gives three seconds for the answer',
      periodMinutes: 1,
      datapoints: [4, 5],
      silence: 'notBreaching',
      wrong: 'Events take long from Discord to the queue',
      first: "Look at the broker's CPU, then at the task's",
      mutedInMaintenance: true,
    },
    {
      id: 'publish-errors',
      family: 'pressure',
      figure: { of: 'ingestor', metric: 'publishErrors', statistic: 'Sum' },
      breached: 'at or above',
      threshold: 10,
      because: 'a nack is published again; ten a minute are a queue that refuses',
      periodMinutes: 1,
      datapoints: [3, 5],
      silence: 'notBreaching',
      wrong: 'The broker refuses messages',
      first: 'See which queue is full (reject-publish) or has lost its quorum',
      mutedInMaintenance: true,
    },
    {
      id: 'unrouted',
      family: 'pressure',
      figure: { of: 'ingestor', metric: 'queueDepth', statistic: 'Maximum', queue: QUEUES.unrouted },
      breached: 'at or above',
      threshold: 1,
      because: 'every routing key has a queue: one message here is a binding that is missing',
      periodMinutes: 1,
      datapoints: [1, 1],
      silence: 'missing',
      wrong: 'Messages found no queue and wait in unrouted',
      first: 'Apply the topology again: a binding is missing',
    },
    {
      id: 'returned',
      family: 'pressure',
      figure: { of: 'ingestor', metric: 'eventsReturned', statistic: 'Sum' },
      breached: 'at or above',
      threshold: 1,
      because: 'not even the alternate exchange took it: these events are lost to workers',
      periodMinutes: 1,
      datapoints: [1, 1],
      silence: 'notBreaching',
      wrong: 'The broker returned messages: the alternate exchange or its queue is missing',
      first: 'Apply the topology again: it was changed by hand',
    },
    waiting(
      'interactions-waiting',
      QUEUES.interactions,
      budgets.interactionsWaiting,
      'somebody waits for each, and they expire after 15 minutes',
      'users get no answer',
    ),
    waiting(
      'guild-events-waiting',
      QUEUES.guildEvents,
      budgets.guildEventsWaiting,
      'half of what the queue holds before it drops its oldest',
      'when it is full, the oldest are dropped',
    ),
    waiting(
      'gateway-events-waiting',
      QUEUES.gatewayEvents,
      budgets.gatewayEventsWaiting,
      'these are rare: so many unread mean that nobody reads them',
      'nobody learns of gaps',
    ),
    {
      ...waiting(
        'dead-letters',
        QUEUES.deadLetters,
        budgets.deadLetters,
        'a few expire while workers restart; they are kept for seven days',
        'messages expired or were refused by workers',
      ),
      first: 'Read some (their header x-death says queue and reason), mend the worker, then move or purge them',
    },
    {
      id: 'heap',
      family: 'pressure',
      figure: { of: 'ingestor', metric: 'heapUsed', statistic: 'Maximum' },
      breached: 'at or above',
      threshold: 75,
      because: '/health calls the task unhealthy from there; a collection brings it down within a minute',
      periodMinutes: 1,
      datapoints: [4, 5],
      silence: 'notBreaching',
      wrong: 'A task is short of heap: it will be slow, and then end',
      first: 'See whether the outbox is full (then the broker is the cause); else raise task.memoryMiB',
    },
    {
      id: 'broker-memory',
      family: 'pressure',
      figure: {
        of: 'broker',
        metric: 'RabbitMQMemUsed',
        worst: 'MAX',
        percentOf: limits.memoryBytes,
        limit: 'RabbitMQMemLimit',
      },
      breached: 'at or above',
      threshold: 80,
      because: 'of the fullest node: at 100 % of its limit all nodes block all publishers',
      periodMinutes: 1,
      datapoints: [4, 5],
      silence: 'notBreaching',
      wrong: 'The memory of a node of the broker is nearly used up',
      first: 'Find the queue that grew or the connections that multiplied; then raise broker.size',
    },
    {
      id: 'broker-disk',
      family: 'pressure',
      figure: {
        of: 'broker',
        metric: 'RabbitMQDiskFree',
        worst: 'MIN',
        percentOf: limits.diskFreeBytes,
        limit: 'RabbitMQDiskFreeLimit',
      },
      breached: 'below',
      threshold: 200,
      because: 'of the fullest node: below 100 % of its limit all nodes block all publishers; twice leaves time to act',
      periodMinutes: 1,
      datapoints: [4, 5],
      silence: 'notBreaching',
      wrong: 'The disk of a node of the broker is nearly full',
      first: 'Find the queue that grew, start its workers or purge it; a cluster can have more: broker.storageGb',
    },
    {
      id: 'broker-cpu',
      family: 'pressure',
      figure: { of: 'broker', metric: 'SystemCpuUtilization', worst: 'MAX' },
      breached: 'at or above',
      threshold: 80,
      because: 'of the busiest node, for a quarter of an hour: bursts and restarts are shorter',
      periodMinutes: 5,
      datapoints: [3, 3],
      silence: 'notBreaching',
      wrong: 'A node of the broker is busy beyond what it bears for long',
      first: 'Look at the rates: if the load is real, raise broker.size',
    },
    {
      id: 'broker-connections',
      family: 'pressure',
      figure: { of: 'broker', metric: 'ConnectionCount', worst: 'MAX', percentOf: limits.connections },
      breached: 'at or above',
      threshold: 80,
      because: `a node takes ${limits.connections} connections and refuses the next, the ingestor's too`,
      periodMinutes: 1,
      datapoints: [4, 5],
      silence: 'notBreaching',
      wrong: 'A node of the broker has nearly all the connections it takes',
      first: 'See whose they are on the management page, and end the worker that opens so many',
    },
  ];

  const budget: AlarmDefinition[] = [
    {
      id: 'identifies-left',
      family: 'budget',
      figure: { of: 'ingestor', metric: 'identifiesRemaining', statistic: 'Minimum' },
      breached: 'below',
      threshold: budgets.identifiesLeft,
      because: 'Discord gives 1,000 a day; with none left a lost session stays lost until the reset',
      periodMinutes: 5,
      datapoints: [1, 1],
      silence: 'ignore',
      wrong: "Discord's daily budget of IDENTIFYs is nearly spent",
      first: 'Stop what restarts: tasks that crash, a second deployment with the same token',
    },
    {
      id: 'more-shards-wanted',
      family: 'budget',
      figure: { of: 'ingestor', metric: 'shardsUnderprovisioned', statistic: 'Maximum' },
      breached: 'at or above',
      threshold: 1,
      because: 'Discord refuses shards with more than 2,500 guilds',
      periodMinutes: 60,
      datapoints: [1, 1],
      silence: 'ignore',
      wrong: 'Discord recommends more shards than are configured',
      first: 'Plan a resharding: raise shards.count (see the runbook for what it costs)',
    },
  ];
  return [...health, ...pressure, ...budget];
}
