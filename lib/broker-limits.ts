// What one node of a broker bears: beyond the first two RabbitMQ blocks every publisher of the cluster, beyond the third
// it refuses clients. Amazon MQ sets them by size, in absolute figures. An alarm needs them, because it may hold only one
// query over the nodes, and so cannot divide one by another.
// https://docs.aws.amazon.com/amazon-mq/latest/developer-guide/rmq-broker-instance-types.html#rabbitmq-memory-disk-thresholds
// https://docs.aws.amazon.com/amazon-mq/latest/developer-guide/rabbitmq-resource-limits-configuration.html
import type { Settings } from './settings.ts';

export interface NodeLimits {
  /** The high watermark. */
  readonly memoryBytes: number;
  readonly diskFreeBytes: number;
  /** Amazon MQ's default of `connection_max`. */
  readonly connections: number;
}

const GIB = 1024 ** 3;

const SIZES: Readonly<
  Record<Settings['broker']['size'], { memoryGiB: number; connections: Readonly<Record<1 | 3, number>> }>
> = {
  'mq.m7g.medium': { memoryGiB: 1.8, connections: { 1: 100, 3: 100 } },
  'mq.m7g.large': { memoryGiB: 4.3, connections: { 1: 1_500, 3: 500 } },
  'mq.m7g.xlarge': { memoryGiB: 9.3, connections: { 1: 3_000, 3: 1_000 } },
  'mq.m7g.2xlarge': { memoryGiB: 19.3, connections: { 1: 6_000, 3: 2_000 } },
  'mq.m7g.4xlarge': { memoryGiB: 39.4, connections: { 1: 12_000, 3: 4_000 } },
};
const DISK_FREE_GIB = { 1: 10, 3: 2 } as const;

export function nodeLimits({ size, nodes }: Pick<Settings['broker'], 'size' | 'nodes'>): NodeLimits {
  const { memoryGiB, connections } = SIZES[size];
  return {
    memoryBytes: Math.round(memoryGiB * GIB),
    diskFreeBytes: DISK_FREE_GIB[nodes] * GIB,
    connections: connections[nodes],
  };
}
