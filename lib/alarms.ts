// The alarms as data: each with its metric, its threshold and the reason for it, what is wrong and what to do first.
// docs/runbook.md has an entry for each. Pure: monitoring.ts creates the alarms. Those that roll a deployment back are in
// release-alarms.ts.
//
// All tasks of an environment, standbys included, write to the same metric. So what only one task has (its shards) is
// summed; what each task has (outbox, heap) is judged by the worst task; and a counter, written as its growth since the
// last minute, is summed. Tasks write every 60 s, each at its own second, so CloudWatch may count no value in one minute and
// two in the next: alarms that this would disturb take four of five minutes.
import type { METRICS } from '../service/contract/metrics.ts';
import { QUEUES } from '../service/contract/names.ts';
import { nodeLimits } from './broker-limits.ts';
import type { Settings } from './settings.ts';

/** The id and runbook entry of the alarm that sums up the family health: what the broker's maintenance does not explain. */
export const UNHEALTHY = 'unhealthy';
/** And of the alarm that sums up the rest of that family. */
export const IMPAIRED = 'impaired';

export type Family = 'health' | 'pressure' | 'budget';

/** A metric of the ingestor. */
export interface OwnMetric {
  readonly ingestor: keyof typeof METRICS;
  readonly statistic: 'Sum' | 'Maximum' | 'Minimum' | 'SampleCount' | `p${number}`;
  readonly queue?: string;
}

/** A calculation with metrics of the ingestor. */
export interface Calculation {
  readonly expression: string;
  readonly metrics: Readonly<Record<string, OwnMetric>>;
}

/** Those in use, of a broker with RabbitMQ 4, which has none per queue. Source: Amazon MQ, metrics for RabbitMQ. */
type BrokerMetric =
  | 'ConnectionCount'
  | 'SystemCpuUtilization'
  | 'RabbitMQMemUsed'
  | 'RabbitMQMemLimit'
  | 'RabbitMQDiskFree'
  | 'RabbitMQDiskFreeLimit';

/**
 * A metric of the broker's worst node: a cluster's own metrics are sums over its nodes, and one full node blocks all
 * publishers. With `percentOf`, in percent of what one node can take.
 */
export interface WorstNode {
  readonly broker: BrokerMetric;
  readonly worst: 'MAX' | 'MIN';
  readonly percentOf?: number;
  /** The same limit as a metric, which only a single node has. */
  readonly limit?: BrokerMetric;
}

export interface AlarmDefinition {
  /** Part of its name. */
  readonly id: string;
  readonly metric: OwnMetric | Calculation | WorstNode;
  /** The alarm is on below this value, or from this value on. */
  readonly threshold: { readonly below: number } | { readonly atLeast: number };
  /** Why this threshold and this duration. */
  readonly because: string;
  /** @default - 1 */
  readonly periodMinutes?: number;
  /** So many of so many periods. @default - four of five */
  readonly datapoints: readonly [number, number];
  /** What missing data means: `missing` is insufficient data, `ignore` keeps the state. @default - notBreaching */
  readonly silence?: 'breaching' | 'ignore' | 'missing';
  readonly wrong: string;
  readonly first: string;
  /** Heading in the runbook. @default - its id */
  readonly entry?: string;
  /** Expected while the broker is maintained, and then muted. */
  readonly mutedInMaintenance?: true;
}

/** Without its id, which is its key. */
type Definitions = Readonly<Record<string, Omit<AlarmDefinition, 'id' | 'datapoints'> & Partial<AlarmDefinition>>>;

export function alarmDefinitions(settings: Settings): (AlarmDefinition & { readonly family: Family })[] {
  const families = { health: health(settings), pressure: pressure(settings), budget: budget(settings) };
  return Object.entries(families).flatMap(([family, definitions]) =>
    Object.entries(definitions).map(([id, definition]) => ({
      ...{ id, family: family as Family, datapoints: [4, 5] },
      ...definition,
    })),
  );
}

/**
 * What is lost stays lost: the alarm stays on for a quarter of an hour, so that no message says that all is well while the
 * next alarm of the same fault is not on yet.
 */
const LOSS = { threshold: { atLeast: 1 }, datapoints: [1, 15] } as const;

function health({ shards }: Settings): Definitions {
  return {
    silent: {
      // CloudWatch would look for older reports before it takes their absence for silence: minutes more.
      metric: {
        expression: 'FILL(reporting, 0)',
        metrics: { reporting: { ingestor: 'residentMemory', statistic: 'SampleCount' } },
      },
      threshold: { below: 1 },
      because: 'every task reports once a minute: three minutes without a report are no coincidence',
      datapoints: [3, 3],
      silence: 'breaching',
      wrong: 'No task of the ingestor reports: the bot is offline',
      first: "Read the service's events and the last lines of its log",
    },
    'shards-missing': {
      metric: { ingestor: 'shardsConnected', statistic: 'Sum' },
      threshold: { below: shards.count },
      because: 'all shards of all tasks together; a hand-over takes a second, a start a minute',
      silence: 'breaching',
      wrong: 'Not every shard is connected: Discord keeps their events for a few minutes only',
      first: 'Find in the log why the shard is closed: token, intents, budget, or Discord',
    },
    'gateway-gap': {
      metric: { ingestor: 'gatewayGaps', statistic: 'Sum' },
      because: 'each one is a lost session, and maybe lost events',
      ...LOSS,
      wrong: 'A session was lost: events between its last sequence and its new session may be missing',
      first: 'Read the gateway.gap event (queue events.gateway) for the shard and the time span',
    },
    'broker-unreachable': {
      metric: { ingestor: 'brokerConnected', statistic: 'Minimum' },
      threshold: { below: 1 },
      because: 'the worst task; a restart of one node takes seconds, of a single broker some minutes',
      wrong: 'A task cannot publish: its events wait in its outbox, and then at Discord',
      first: "See whether the broker runs, then whether the login is refused (the task's log has the reason)",
      mutedInMaintenance: true,
    },
    'broker-blocked': {
      metric: { ingestor: 'brokerBlocked', statistic: 'Maximum' },
      threshold: { atLeast: 1 },
      because: 'the broker blocks publishers only when it is out of memory or disk; a short alarm passes by itself',
      datapoints: [2, 3],
      wrong: 'The broker takes no messages: it is short of memory or disk',
      first: 'Find the queue that grew, and start its workers or purge it',
      mutedInMaintenance: true,
    },
    unconfirmed: {
      metric: { ingestor: 'oldestUnconfirmed', statistic: 'Maximum' },
      threshold: { atLeast: 10 },
      because: 'events are confirmed in milliseconds, and a fail-over of the broker takes up to 11 s',
      datapoints: [3, 5],
      wrong: 'Events or group records wait to be confirmed: a queue confirms nothing, or the broker does not',
      first: "Read the task's log or /health: it names the queue, if others confirm",
      mutedInMaintenance: true,
    },
    'not-understood': {
      metric: { ingestor: 'eventsUnknown', statistic: 'Sum' },
      because: 'Discord changed a dispatch; each one is an event that workers do not get',
      ...LOSS,
      wrong: 'A dispatch from Discord could not be published and was dropped',
      first: 'The log has its type and the reason, once per type: compare with the changelog of Discord',
    },
    'messages-dropped': {
      metric: { ingestor: 'messagesDropped', statistic: 'Sum' },
      because: 'each one is an event that workers do not get; Discord chooses what is in it, so no release is at fault',
      ...LOSS,
      wrong: 'An event was dropped: it is too large for the broker, or the broker closes the channel over it',
      first: 'The log has its id, type and size, and the limit or the error: raise the limit if it is lower than ours',
    },
    returned: {
      metric: { ingestor: 'eventsReturned', statistic: 'Sum' },
      because: 'not even the alternate exchange took it: these events are lost to workers',
      ...LOSS,
      wrong: 'The broker returned messages: the alternate exchange or its queue is missing',
      first: 'Apply the topology again: it was changed by hand',
    },
    ...(shards.standbys > 0 && {
      'standby-missing': {
        metric: { ingestor: 'standby', statistic: 'Sum' },
        // One report less of all of them together is a minute's drift, two are a standby that ends before its fifth.
        threshold: { below: 5 * shards.standbys - 1 },
        because: 'each reports five times in five minutes; a replacement starts within two',
        periodMinutes: 5,
        datapoints: [3, 3],
        wrong: 'There are fewer standbys than configured: the next crash costs the start of a task',
        first: "Read the service's events: a task that cannot be placed or does not stay healthy",
        mutedInMaintenance: true,
      },
    }),
  };
}

function pressure({ budgets, broker }: Settings): Definitions {
  const limits = nodeLimits(broker);
  const waiting = (queue: string, atLeast: number, because: string, meaning: string) => ({
    metric: { ingestor: 'queueDepth', statistic: 'Maximum', queue } as const,
    threshold: { atLeast },
    because,
    // A queue whose depth is unknown is not empty.
    silence: 'missing' as const,
    wrong: `Messages pile up in ${queue}: ${meaning}`,
    first: 'See whether the workers run and consume, then whether they are too few',
  });
  return {
    outbox: {
      metric: { ingestor: 'outboxUsed', statistic: 'Maximum' },
      threshold: { atLeast: budgets.outboxPercent },
      because: 'at 100 % the task closes its shards; confirmed in time, the outbox is almost empty',
      datapoints: [2, 3],
      wrong: 'The broker confirms more slowly than Discord sends',
      first: "Look at the broker's CPU, memory and disk, and at the alarms beside this one",
      mutedInMaintenance: true,
    },
    'slow-confirms': {
      metric: { ingestor: 'frameToConfirm', statistic: 'p95' },
      threshold: { atLeast: budgets.frameToConfirmMs },
      // Longer periods, because a small bot has no event in most minutes.
      because: 'a user waits for an interaction, and Discord gives three seconds for the answer',
      periodMinutes: 5,
      datapoints: [2, 3],
      wrong: 'Events take long from Discord to the queue',
      first: "Look at the broker's CPU, then at the task's",
      mutedInMaintenance: true,
    },
    'publish-errors': {
      metric: { ingestor: 'publishErrors', statistic: 'Sum' },
      threshold: { atLeast: 1 },
      // After a refusal one message is tried every 15 to 30 s, so a higher number is never reached.
      because: 'one refusal may pass; a queue that refuses everything is tried two to four times a minute',
      datapoints: [3, 5],
      wrong: 'The broker refuses messages',
      first: 'See which queue is full (reject-publish) or has lost its quorum',
      mutedInMaintenance: true,
    },
    unrouted: {
      metric: { ingestor: 'queueDepth', statistic: 'Maximum', queue: QUEUES.unrouted },
      threshold: { atLeast: 1 },
      because: 'every routing key has a queue: one message here means a missing binding',
      datapoints: [1, 1],
      silence: 'missing',
      wrong: 'Messages found no queue and wait in unrouted',
      first: 'Apply the topology again: a binding is missing',
    },
    'no-consumer': {
      metric: { ingestor: 'queueConsumers', statistic: 'Maximum', queue: QUEUES.interactions },
      threshold: { below: 1 },
      because: 'workers deploy and restart within minutes',
      datapoints: [5, 5],
      silence: 'missing',
      wrong: 'No worker consumes interactions: users get no answer',
      first: 'See whether the workers run, and what their log says of the connection to the broker',
      mutedInMaintenance: true,
    },
    'interactions-waiting': waiting(
      QUEUES.interactions,
      budgets.interactionsWaiting,
      'a user waits for each, and they expire after 15 minutes',
      'users get no answer',
    ),
    'guild-events-waiting': waiting(
      QUEUES.guildEvents,
      budgets.guildEventsWaiting,
      'half of what the queue holds before it drops its oldest',
      'when it is full, the oldest are dropped',
    ),
    'dispatches-waiting': waiting(
      QUEUES.dispatches,
      budgets.dispatchesWaiting,
      'half of what the queue holds before it drops its oldest',
      'when it is full, the oldest are dropped',
    ),
    'gateway-events-waiting': waiting(
      QUEUES.gatewayEvents,
      budgets.gatewayEventsWaiting,
      'these are rare: so many unread messages mean that there is no consumer',
      'gaps are not noticed',
    ),
    'dead-letters': {
      ...waiting(
        QUEUES.deadLetters,
        budgets.deadLetters,
        'a few expire while workers restart; they are kept for seven days',
        'messages expired or were refused by workers',
      ),
      first: 'Read some (their header x-death has queue and reason), fix the worker, then move or purge them',
    },
    heap: {
      metric: { ingestor: 'heapUsed', statistic: 'Maximum' },
      threshold: { atLeast: 75 },
      because: '/health reports the task as unhealthy from there; a collection brings it down within a minute',
      wrong: 'A task is short of heap: it gets slow, and then ends',
      first: 'See whether the outbox is full (then the broker is the cause); else raise task.memoryMiB',
    },
    'broker-memory': {
      metric: { broker: 'RabbitMQMemUsed', worst: 'MAX', percentOf: limits.memoryBytes, limit: 'RabbitMQMemLimit' },
      threshold: { atLeast: 80 },
      because: 'of the fullest node: at 100 % of its limit all nodes block all publishers',
      wrong: 'The memory of a node of the broker is nearly used up',
      first: 'Find the queue that grew or the connections that multiplied; then raise broker.size',
    },
    'broker-disk': {
      metric: {
        broker: 'RabbitMQDiskFree',
        worst: 'MIN',
        percentOf: limits.diskFreeBytes,
        limit: 'RabbitMQDiskFreeLimit',
      },
      threshold: { below: 200 },
      because: 'of the fullest node: below 100 % of its limit all nodes block all publishers; twice leaves time to act',
      wrong: 'The disk of a node of the broker is nearly full',
      first: 'Find the queue that grew, start its workers or purge it; a cluster can have more: broker.storageGb',
    },
    'broker-cpu': {
      metric: { broker: 'SystemCpuUtilization', worst: 'MAX' },
      threshold: { atLeast: 80 },
      because: 'of the busiest node, for a quarter of an hour: bursts and restarts are shorter',
      periodMinutes: 5,
      datapoints: [3, 3],
      wrong: 'A node of the broker has been too busy for a long time',
      first: 'Look at the rates: if the load is real, raise broker.size',
    },
    'broker-connections': {
      metric: { broker: 'ConnectionCount', worst: 'MAX', percentOf: limits.connections },
      threshold: { atLeast: 80 },
      because: `a node takes ${limits.connections} connections and refuses the next, the ingestor's too`,
      wrong: 'A node of the broker has nearly all the connections it takes',
      first: 'See whose they are on the management page, and stop the worker that opens so many',
    },
  };
}

function budget({ budgets }: Settings): Definitions {
  return {
    'identifies-left': {
      metric: { ingestor: 'identifiesRemaining', statistic: 'Minimum' },
      threshold: { below: budgets.identifiesLeft },
      because: 'Discord gives 1,000 a day; with none left a lost session stays lost until the reset',
      periodMinutes: 5,
      datapoints: [1, 1],
      silence: 'ignore',
      wrong: "Discord's daily budget of IDENTIFYs is nearly spent",
      first: 'Stop what restarts: tasks that crash, a second deployment with the same token',
    },
    'discord-rest': {
      // A standby needs nothing, so the task that needs something counts.
      metric: { ingestor: 'restUnanswered', statistic: 'Maximum' },
      threshold: { atLeast: 1 },
      because: 'for a quarter of an hour: Discord limits a burst for seconds, and bans an address for longer',
      periodMinutes: 5,
      datapoints: [3, 3],
      wrong: "Discord's REST refuses what a task needs, or does not answer: a shard without a session stays offline",
      first:
        'Read the problems in /health: they say what Discord answers and until when; find what else uses the address',
    },
    'more-shards-wanted': {
      metric: { ingestor: 'shardsUnderprovisioned', statistic: 'Maximum' },
      threshold: { atLeast: 1 },
      because: 'Discord refuses shards with more than 2,500 guilds',
      periodMinutes: 5,
      datapoints: [1, 1],
      silence: 'ignore',
      wrong: 'Discord recommends more shards than are configured',
      first: 'Plan a resharding: raise shards.count (the runbook has its cost)',
    },
  };
}
