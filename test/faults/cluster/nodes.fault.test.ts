// One node of three goes: it is killed, frozen, restarted, isolated, or cut off from the other two; or all go. Nothing is
// lost, no session ends, and workers see at most ten seconds more of silence than a publisher on a healthy node.

import { expect } from 'vitest';
import { RabbitMqCluster } from '../../../local/rabbitmq/cluster.ts';
import { type Fault, type FaultStage, faultsOn } from '../fault.ts';
import { CLUSTER_FAULTS, CLUSTER_STAGE, type ClusterFault, rateFor, strike } from './cluster-fault.ts';

/** Played by `npm test`, with the seconds for which the node is away; the others by `npm run faults`, for 75 s each. */
const AWAY: Readonly<Record<string, number>> = {
  'kill -9 of the node with the lease connection': 15,
  'SIGTERM and start of one node after the other': 0,
  'all nodes killed with kill -9, away for 45 s': 45,
  // Longer than the 45 to 75 s after which the other nodes count it as down.
  'the node with the lease connection isolated': 80,
  'the node with the publishing connection cut off from the other nodes': 30,
  'the node with the lease connection cut off from the other nodes, which soon count it as down': 30,
};
const MOST_MORE_SILENCE_MS = 10_000;
/** Of a session, by RESUME or IDENTIFY: two owners take it from each other a few times at most. */
const MOST_TAKINGS = 3;

const { everyRun, fullRun } = faultsOn(CLUSTER_STAGE);

for (const each of CLUSTER_FAULTS) (each.title in AWAY ? everyRun : fullRun)(each.title, played(each));

function played(fault: ClusterFault): Fault {
  const rate = rateFor(2_048);
  const awayMs = 1_000 * (AWAY[fault.title] ?? 75);
  return {
    rate,
    obstacle: ({ broker }: FaultStage) =>
      fault.cuts && broker instanceof RabbitMqCluster ? broker.obstacle : undefined,
    // What two owners published, for as long as the silence may last. While all nodes are away neither learns of the other.
    mostRepeats: 2_000 + (fault.victim === 'all' ? (rate * awayMs) / 1_000 : 0),
    async inject(stage) {
      const cost = await strike(stage, fault, { awayMs, leaders: 'there' });
      const { silenceMs, probeMs, takings } = cost;
      expect(silenceMs, `the probe's silence was ${probeMs} ms`).toBeLessThanOrEqual(probeMs + MOST_MORE_SILENCE_MS);
      expect(takings).toBeLessThanOrEqual(MOST_TAKINGS);
      return cost;
    },
  };
}
