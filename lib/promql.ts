// A metric of an alarm or a panel as PromQL. Pure.
//
// A counter's `increase()` wants two scrapes in its window, guesses beyond them, and misses what a new task has counted
// before its first scrape, such as a gap. So its growth is the difference of two last values; of a series that was not there
// in the hour before, or is lower now, it is the last value itself, unless no task had one: then Prometheus is new. A
// process that begins again under the same labels, and has reached its former value within the window, has grown by that
// much too little: tasks do not export when they began.
import { METRICS, type Metric } from '../service/contract/metrics.ts';
import type { AlarmDefinition, Calculation, OwnMetric, WorstNode } from './alarms.ts';

/** The values of Prometheus's label `job`. */
export interface Jobs {
  readonly ingestor: string;
  readonly rabbitmq: string;
}

/** Names in RabbitMQ's plugin rabbitmq_prometheus. */
const RABBITMQ: Readonly<Record<WorstNode['broker'], string | undefined>> = {
  RabbitMQMemUsed: 'rabbitmq_process_resident_memory_bytes',
  RabbitMQMemLimit: 'rabbitmq_resident_memory_limit_bytes',
  RabbitMQDiskFree: 'rabbitmq_disk_space_available_bytes',
  RabbitMQDiskFreeLimit: 'rabbitmq_disk_space_available_limit_bytes',
  ConnectionCount: 'rabbitmq_connections',
  SystemCpuUtilization: undefined,
};

/** How a gauge's values become one: those of all tasks at a moment, then those of several moments. */
const GAUGES = {
  Sum: ['sum', 'sum_over_time'],
  SampleCount: ['count', 'sum_over_time'],
  Maximum: ['max', 'max_over_time'],
  Minimum: ['min', 'min_over_time'],
} as const;

/** Why Prometheus has no such metric, and what to use in its place; nothing where it has one. */
export function missingMetric(metric: AlarmDefinition['metric']): string | undefined {
  if (!('worst' in metric)) return undefined;
  const { broker, percentOf, limit } = metric;
  const name = RABBITMQ[broker];
  if (name === undefined)
    return `RabbitMQ has no metric like Amazon MQ's ${broker}: use one of its machines (node_exporter)`;
  // What a node of Amazon MQ can take is no limit of another broker.
  if (percentOf === undefined || limit !== undefined) return undefined;
  return `RabbitMQ has no metric of this limit: compare ${name} with the one that it is given`;
}

/** What CloudWatch calculates for one period: one value, without labels. */
export function valueOver(metric: AlarmDefinition['metric'], minutes: number, jobs: Jobs): string {
  if ('expression' in metric) return filled(metric, minutes, jobs);
  if (!('worst' in metric) && METRICS[metric.ingestor].kind !== 'gauge') return grown(metric, `${minutes}m`, jobs);
  const [by, over] = GAUGES[statisticOf(metric)];
  const now = `${by}(${series(metric, jobs)})`;
  return minutes === 1 ? now : `${over}(${now}${points(minutes, 1)})`;
}

/** What a panel draws: one line, or one for each node of the broker. No peak between two of its points is left out. */
export function drawn(metric: OwnMetric | WorstNode, jobs: Jobs): string {
  if ('worst' in metric) return series(metric, jobs);
  if (METRICS[metric.ingestor].kind !== 'gauge') return grown(metric, '$__interval', jobs);
  const [by, over] = GAUGES[statisticOf(metric)];
  const now = `${by}(${series(metric, jobs)})`;
  return over === 'sum_over_time' ? now : `${over}(${now}[$__interval:1m])`;
}

/**
 * As many points as CloudWatch has in this time. A millisecond less, because Prometheus 2 counts both ends of a range, and
 * has one point more when the first is exactly on it; and no more than that, because a group is evaluated at any part of a
 * minute, and the points are at whole ones.
 */
export const points = (minutes: number, every: number): string => `[${minutes - 1}m59s999ms:${every}m]`;

function statisticOf(metric: OwnMetric | WorstNode): keyof typeof GAUGES {
  if ('worst' in metric) return metric.worst === 'MAX' ? 'Maximum' : 'Minimum';
  const { ingestor, statistic } = metric;
  if (!Object.hasOwn(GAUGES, statistic))
    throw new Error(`${ingestor}: expected a statistic of a gauge, got ${statistic}`);
  return statistic as keyof typeof GAUGES;
}

/** A gauge's values that are known: an unknown one is NaN, none is below 0. */
function series(metric: OwnMetric | WorstNode, jobs: Jobs): string {
  return 'worst' in metric ? ofNodes(metric, jobs) : `${selector(metric, jobs)} >= 0`;
}

function selector({ ingestor, queue }: OwnMetric, jobs: Jobs, suffix = ''): string {
  const { prometheus, label }: Metric = METRICS[ingestor];
  const labels = [`job="${jobs.ingestor}"`, ...(label ? [`${label.toLowerCase()}="${queue}"`] : [])];
  return `${prometheus}${suffix}{${labels.join(',')}}`;
}

function ofNodes({ broker, percentOf, limit }: WorstNode, { rabbitmq }: Jobs): string {
  const of = (metric: WorstNode['broker']) => `${RABBITMQ[metric]}{job="${rabbitmq}"}`;
  return percentOf === undefined || limit === undefined ? of(broker) : `100 * ${of(broker)} / ${of(limit)}`;
}

/** The growth of a counter, or a percentile of the values that a histogram got, over all tasks. */
function grown(metric: OwnMetric, window: string, jobs: Jobs): string {
  const { ingestor, statistic } = metric;
  const [, percent] = /^p(\d+)$/.exec(statistic) ?? [];
  const { kind } = METRICS[ingestor];
  if ((kind === 'summary') !== (percent !== undefined) || (kind === 'counter' && statistic !== 'Sum'))
    throw new Error(`${ingestor}: expected Sum of a counter, or a percentile of a summary, got ${statistic}`);
  const each = selector(metric, jobs, percent && '_bucket');
  const last = `last_over_time(${each}[${window}])`;
  const before = `last_over_time(${each}[1h] offset ${window})`;
  const growth = `(${last} - ${before} >= 0 or ${last} and on() ${before})`;
  return percent === undefined ? `sum${growth}` : `histogram_quantile(${Number(percent) / 100}, sum by (le) ${growth})`;
}

/** Of CloudWatch's metric math FILL alone: alarms with other calculations roll a deployment of Amazon ECS back. */
function filled({ expression, metrics }: Calculation, minutes: number, jobs: Jobs): string {
  const [, name = ''] = /^FILL\((\w+), 0\)$/.exec(expression) ?? [];
  const metric = metrics[name];
  if (metric === undefined) throw new Error(`expected FILL of a metric with 0, got ${expression}`);
  return `(${valueOver(metric, minutes, jobs)} or vector(0))`;
}
