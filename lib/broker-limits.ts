// What Amazon MQ sells and allows: the limits of each size as data, for settings.ts, the broker's configuration, and the
// alarms, which may contain one query over the nodes only and so cannot divide one metric by another.
// Pure. RabbitMQ 4 runs on these sizes only; its limits start low and may be raised by configuration. Sources:
// https://docs.aws.amazon.com/amazon-mq/latest/developer-guide/rmq-broker-instance-types.html#rabbitmq-memory-disk-thresholds
// https://docs.aws.amazon.com/amazon-mq/latest/developer-guide/rabbitmq-resource-limits-configuration.html

type ByNodes = Readonly<Record<1 | 3, number>>;

interface BrokerSizeLimits {
  /** Bounds of a cluster's disk per node in GB. */
  readonly leastGb: number;
  readonly mostGb: number;
  /** The high watermark of a node. */
  readonly memoryGiB: number;
  /** Amazon MQ's default of `connection_max`, of a node. */
  readonly connections: ByNodes;
  /** What our configuration sets it to: medium, the most that Amazon MQ takes; others, the default of a single node. */
  readonly connectionsPerNode: number;
  /** Amazon MQ's default of `cluster_queue_limit`, which stays. Beyond xlarge it is not less. */
  readonly queues: ByNodes;
}

export const BROKER_SIZES = {
  'mq.m7g.medium': {
    ...{ leastGb: 5, mostGb: 25, memoryGiB: 1.8 },
    ...{ connections: { 1: 100, 3: 100 }, connectionsPerNode: 300, queues: { 1: 500, 3: 100 } },
  },
  'mq.m7g.large': {
    ...{ leastGb: 15, mostGb: 75, memoryGiB: 4.3 },
    ...{ connections: { 1: 1500, 3: 500 }, connectionsPerNode: 1500, queues: { 1: 1000, 3: 1000 } },
  },
  'mq.m7g.xlarge': {
    ...{ leastGb: 25, mostGb: 125, memoryGiB: 9.3 },
    ...{ connections: { 1: 3000, 3: 1000 }, connectionsPerNode: 3000, queues: { 1: 2000, 3: 2000 } },
  },
  'mq.m7g.2xlarge': {
    ...{ leastGb: 45, mostGb: 180, memoryGiB: 19.3 },
    ...{ connections: { 1: 6000, 3: 2000 }, connectionsPerNode: 6000, queues: { 1: 2000, 3: 2000 } },
  },
  'mq.m7g.4xlarge': {
    ...{ leastGb: 90, mostGb: 250, memoryGiB: 39.4 },
    ...{ connections: { 1: 12_000, 3: 4000 }, connectionsPerNode: 12_000, queues: { 1: 2000, 3: 2000 } },
  },
} as const satisfies Record<string, BrokerSizeLimits>;

export type BrokerSize = keyof typeof BROKER_SIZES;

interface SizedBroker {
  readonly size: BrokerSize;
  readonly nodes: 1 | 3;
  readonly existing?: unknown;
}

/**
 * Connections that a node accepts, and queues that the broker accepts.
 * @returns `undefined` for an existing broker: its owner may have changed its limits
 */
export function brokerLimits({ size, nodes, existing }: SizedBroker) {
  const { connectionsPerNode, queues } = BROKER_SIZES[size];
  return existing === undefined ? { connectionsPerNode, queues: queues[nodes] } : undefined;
}

/** The disk of one cluster node: 25 GB hold the queues' bounds twice over, unless the size starts higher. */
export function storageGb({ size, nodes, storageGb }: SizedBroker & { readonly storageGb?: number | undefined }) {
  return nodes === 1 ? undefined : (storageGb ?? Math.max(25, BROKER_SIZES[size].leastGb));
}

const GIB = 1024 ** 3;
const DISK_FREE_GIB = { 1: 10, 3: 2 } as const;

/**
 * Limits of one node: past those of memory and disk RabbitMQ blocks every publisher of the cluster, past that of connections
 * it refuses clients. Of an existing broker: what its size has by default.
 */
export function nodeLimits({ size, nodes, existing }: SizedBroker) {
  const { memoryGiB, connections, connectionsPerNode } = BROKER_SIZES[size];
  return {
    memoryBytes: Math.round(memoryGiB * GIB),
    diskFreeBytes: DISK_FREE_GIB[nodes] * GIB,
    connections: existing === undefined ? connectionsPerNode : connections[nodes],
  };
}
