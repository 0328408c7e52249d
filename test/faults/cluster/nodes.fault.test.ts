// One node of three fails: it is killed, frozen, restarted, isolated, or cut off from the other two; or all nodes fail. Nothing
// is lost, no session ends, and the longest time without an event is at most ten seconds more than for a publisher on a healthy
// node. FAULTS_REPEATS=<n> repeats each fault n times for each reading of what Discord keeps for a RESUME, every second time
// with the leaders of all queues on a node that does not fail.

import { expect } from 'vitest';
import { REPLAY_BUFFERS, replayBufferName } from '../../../local/discord/options.ts';
import { RabbitMqCluster } from '../../../local/rabbitmq/cluster.ts';
import { type Fault, type FaultStage, faultsOn, HARDER } from '../fault.ts';
import { CLUSTER_FAULTS, CLUSTER_STAGE, type ClusterFault, type Leaders, rateFor, strike } from './cluster-fault.ts';

const MOST_MORE_SILENCE_MS = 10_000;
/** RESUMEs and IDENTIFYs for each shard: two owners take a session from each other a few times at most. */
const MOST_TAKINGS = 3;

const { fullRun } = faultsOn(CLUSTER_STAGE);

for (const each of CLUSTER_FAULTS) fullRun(each.title, played(each));

for (let repeat = 0; repeat < Number(process.env.FAULTS_REPEATS ?? 0); repeat += 1)
  for (const replayBuffer of REPLAY_BUFFERS)
    for (const each of CLUSTER_FAULTS) {
      const leaders = repeat % 2 === 0 ? 'there' : 'elsewhere';
      const title = `${each.title}, ${replayBufferName(replayBuffer)}, leaders ${leaders} (${repeat + 1})`;
      fullRun(title, played(each, leaders, replayBuffer));
    }

function played(fault: ClusterFault, leaders: Leaders = 'there', replayBuffer = HARDER): Fault {
  const rate = rateFor(replayBuffer.events);
  return {
    ...{ rate, replayBuffer },
    obstacle: ({ broker }: FaultStage) =>
      fault.cuts && broker instanceof RabbitMqCluster ? broker.obstacle : undefined,
    // What two owners publish at the same time. While all nodes are down, neither learns of the other.
    mostRepeats: 2_000 + (fault.title.startsWith('all nodes') ? 45 * rate : 0),
    async inject(stage) {
      const cost = await strike(stage, fault, leaders);
      const { silenceMs, probeMs, takings } = cost;
      expect(silenceMs, `the probe's silence was ${probeMs} ms`).toBeLessThanOrEqual(probeMs + MOST_MORE_SILENCE_MS);
      expect(takings).toBeLessThanOrEqual(MOST_TAKINGS);
      return cost;
    },
  };
}
