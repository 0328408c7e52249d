// Faults of a cluster's nodes and their cost: the longest time without an event of a group, compared with that of an independent
// publisher (probe.ts). Workers and probe are connected to a node without the fault; the owner's connections are on two nodes.

import { setTimeout as sleep } from 'node:timers/promises';
import { RabbitMqCluster } from '../../../local/rabbitmq/cluster.ts';
import type { RabbitMqNode } from '../../../local/rabbitmq/node.ts';
import type { StageOptions } from '../../../local/stage.ts';
import type { FaultStage } from '../fault.ts';
import { connectionOf, countOf, ownerOf } from '../tasks.ts';
import { Probe } from './probe.ts';

const SHARDS = 2;
/** A group of two shards, an owner and a standby. */
export const CLUSTER_STAGE: StageOptions = { nodes: 3, tasks: 2, shards: SHARDS };
/** Events per second at which a replay buffer of so many events lasts 20 s. */
export const rateFor = (events: number): number => Math.min(100, (SHARDS * events) / 20);

export interface ClusterFault {
  readonly title: string;
  /** The node with this connection of the owner, the node with neither, or all nodes. */
  readonly victim: 'lease' | 'publisher' | 'neither' | 'all';
  /** The fault needs network namespaces. */
  readonly cuts?: true;
  /** Erlang's net_ticktime: seconds, ±25 %, after which the others consider an unreachable node down. @default 60 */
  readonly netTickSeconds?: number;
  /** Resolves when all nodes are back. */
  readonly strike: (cluster: RabbitMqCluster, victim: RabbitMqNode, { simulator }: FaultStage) => Promise<void>;
}

interface ClusterCost {
  /** The longest time without an event of the group, and without a message of the probe, ms. */
  readonly silenceMs: number;
  readonly probeMs: number;
  /** RESUMEs and IDENTIFYs for each shard. */
  readonly takings: number;
}

const killed =
  (seconds = 75): ClusterFault['strike'] =>
  async (_, victim) => {
    await victim.kill();
    await sleep(seconds * 1_000);
    await victim.start();
  };
const cut =
  (
    from: Parameters<RabbitMqCluster['cut']>[1],
    seconds = 75,
    meanwhile?: (simulator: FaultStage['simulator']) => void,
  ): ClusterFault['strike'] =>
  async (cluster, victim, { simulator }) => {
    await cluster.cut(victim, from);
    meanwhile?.(simulator);
    await sleep(seconds * 1_000);
    await cluster.heal();
  };

export const CLUSTER_FAULTS: readonly ClusterFault[] = [
  { title: 'kill -9 of the node with the lease connection', victim: 'lease', strike: killed(15) },
  { title: 'kill -9 of the node with the publishing connection', victim: 'publisher', strike: killed() },
  { title: 'kill -9 of a node with neither', victim: 'neither', strike: killed() },
  {
    title: 'the node with the lease connection frozen for 30 s',
    victim: 'lease',
    async strike(_, victim) {
      victim.freeze();
      await sleep(30_000);
      victim.thaw();
    },
  },
  { title: 'SIGTERM and start of one node after the other', victim: 'all', strike: (cluster) => cluster.restart() },
  {
    title: 'all nodes killed with kill -9, away for 45 s',
    victim: 'all',
    async strike(cluster) {
      await cluster.kill();
      await sleep(45_000);
      await cluster.start();
    },
  },
  // Longer than the 45 to 75 s after which the other nodes consider it down.
  { title: 'the node with the lease connection isolated', victim: 'lease', cuts: true, strike: cut('everything', 80) },
  {
    title: 'the node with the lease connection isolated, and all gateway connections break',
    victim: 'lease',
    cuts: true,
    strike: cut('everything', 75, (simulator) => simulator.dropConnections()),
  },
  {
    title: 'the node with the publishing connection cut off from the other nodes',
    victim: 'publisher',
    cuts: true,
    strike: cut('its peers', 30),
  },
  {
    title: 'the node with the lease connection cut off from the other nodes',
    victim: 'lease',
    cuts: true,
    strike: cut('its peers'),
  },
  {
    title: 'the node with the lease connection cut off from the other nodes, which soon count it as down',
    victim: 'lease',
    cuts: true,
    netTickSeconds: 10,
    strike: cut('its peers', 30),
  },
];

/** The leaders of all queues: on the node that fails, or on another. */
export type Leaders = 'there' | 'elsewhere';

/** Causes the fault under traffic. Resolves when all nodes are back, the group is ready and events are read. */
export async function strike(stage: FaultStage, fault: ClusterFault, leaders: Leaders): Promise<ClusterCost> {
  const { broker: cluster, reader } = stage;
  if (!(cluster instanceof RabbitMqCluster)) throw new Error('a fault of a cluster needs `nodes: 3`');
  reader.silenceOf = () => 0;
  for (const node of cluster.nodes)
    await node.ctl('eval', `net_kernel:set_net_ticktime(${fault.netTickSeconds ?? 60}, 0).`);
  const at = await placed(stage, cluster);
  const victim = at[fault.victim === 'all' ? 'neither' : fault.victim];
  const healthy = fault.victim === 'all' ? cluster : at[fault.victim === 'lease' ? 'publisher' : 'lease'];
  const leader = leaders === 'there' || healthy === cluster ? victim : (healthy as RabbitMqNode);
  await lead(cluster, leader);
  stage.readFrom = healthy === cluster ? undefined : (healthy as RabbitMqNode);
  reader.pause();
  reader.resume();
  const administrator = { username: cluster.username, password: cluster.password };
  const probe = await Probe.start(healthy.amqpUrl(administrator), leader.amqpUrl(administrator));
  try {
    await sleep(2_000);
    reader.resetSilences();
    probe.longestMs = 0;
    const taken = [countOf(stage, 'resumed'), countOf(stage, 'identify')];
    await fault.strike(cluster, victim, stage);
    await stage.ready();
    await stage.standing(2);
    const before = reader.events;
    await stage.until('events are read', 60_000, () => reader.events > before + 20);
    const takings = taken.reduce((sum, count) => sum + count(), 0) / SHARDS;
    return { silenceMs: reader.longestSilenceMs, probeMs: probe.longestMs, takings };
  } finally {
    await probe.stop();
  }
}

/** The nodes of the owner's connections. Closes the publisher connection until the two are on different nodes. */
async function placed(
  stage: FaultStage,
  cluster: RabbitMqCluster,
): Promise<Record<'lease' | 'publisher' | 'neither', RabbitMqNode>> {
  for (let tries = 0; tries < 20; tries += 1) {
    await stage.ready();
    await stage.standing(2);
    const owner = await ownerOf(stage);
    const [lease, publisher] = [
      await nodeOf(cluster, connectionOf(owner, 'lease')),
      await nodeOf(cluster, connectionOf(owner, 'publisher')),
    ];
    const neither = cluster.nodes.find((node) => node !== lease && node !== publisher);
    if (lease && publisher && neither && lease !== publisher) return { lease, publisher, neither };
    if (lease && lease === publisher) await closed(cluster, connectionOf(owner, 'publisher'));
    await sleep(2_000);
  }
  throw new Error("the owner's connections are still on one node");
}

/** Pids of the connections with this name. The management API lists new ones late, and closed ones too long. */
const named = (name: RegExp) =>
  '[P || [{pid, P}, {client_properties, Properties}] <- rabbit_networking:connection_info_all([pid, client_properties]), ' +
  `{<<"connection_name">>, _, Name} <- Properties, re:run(Name, "${name.source}") =/= nomatch]`;

async function nodeOf(cluster: RabbitMqCluster, name: RegExp): Promise<RabbitMqNode | undefined> {
  const nodes = await cluster.ctl('eval', `[node(P) || P <- ${named(name)}].`);
  const found = cluster.nodes.filter((node) => nodes.includes(node.name));
  return found.length === 1 ? found[0] : undefined;
}

async function closed(cluster: RabbitMqCluster, name: RegExp): Promise<void> {
  await cluster.ctl('eval', `[rabbit_networking:close_connection(P, "moved") || P <- ${named(name)}].`);
}

/** Makes this node the leader of every quorum queue. */
async function lead(cluster: RabbitMqCluster, leader: RabbitMqNode): Promise<void> {
  const queues = 'Q <- rabbit_amqqueue:list(), amqqueue:is_quorum(Q)';
  await cluster.ctl('eval', `[rabbit_quorum_queue:transfer_leadership(Q, '${leader.name}') || ${queues}].`);
}
