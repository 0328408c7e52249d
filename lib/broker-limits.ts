// What Amazon MQ sells and allows: the bounds of each size as data, for the refusals of settings.ts, the broker's
// configuration and the alarm on connections. Pure. Source: Amazon MQ, broker quotas and default resource limits
// (RabbitMQ 4 runs on these families only; its limits start low and may be raised by configuration).

/** By number of nodes. */
interface ByNodes {
  readonly 1: number;
  readonly 3: number;
}

interface BrokerSizeLimits {
  /** Bounds of a cluster's disk per node in GB. */
  readonly leastGb: number;
  readonly mostGb: number;
  /**
   * What the configuration sets `connection_max` to. The medium size: the most that Amazon MQ takes (its default is
   * 100). The others: the default of a single node, for clusters too, whose own is a third of it.
   */
  readonly connectionsPerNode: number;
  /** Amazon MQ's default of `cluster_queue_limit`, which stays. Beyond xlarge it is not less. */
  readonly queues: ByNodes;
}

export const BROKER_SIZES = {
  'mq.m7g.medium': { leastGb: 5, mostGb: 25, connectionsPerNode: 300, queues: { 1: 500, 3: 100 } },
  'mq.m7g.large': { leastGb: 15, mostGb: 75, connectionsPerNode: 1500, queues: { 1: 1000, 3: 1000 } },
  'mq.m7g.xlarge': { leastGb: 25, mostGb: 125, connectionsPerNode: 3000, queues: { 1: 2000, 3: 2000 } },
  'mq.m7g.2xlarge': { leastGb: 45, mostGb: 180, connectionsPerNode: 6000, queues: { 1: 2000, 3: 2000 } },
  'mq.m7g.4xlarge': { leastGb: 90, mostGb: 250, connectionsPerNode: 12_000, queues: { 1: 2000, 3: 2000 } },
} as const satisfies Record<string, BrokerSizeLimits>;

export type BrokerSize = keyof typeof BROKER_SIZES;

export interface BrokerLimits {
  /** Beyond it a node refuses: `connection refused: node connection limit (N) is reached`. */
  readonly connectionsPerNode: number;
  /** Of the whole broker, all vhosts together. */
  readonly queues: number;
}

/** `undefined` for a broker that somebody else made, whose limits only its owner knows. */
export function brokerLimits(settings: {
  readonly broker: { readonly size: BrokerSize; readonly nodes: 1 | 3; readonly existing?: unknown };
}): BrokerLimits | undefined {
  const { size, nodes, existing } = settings.broker;
  if (existing !== undefined) return undefined;
  const { connectionsPerNode, queues } = BROKER_SIZES[size];
  return { connectionsPerNode, queues: queues[nodes] };
}
