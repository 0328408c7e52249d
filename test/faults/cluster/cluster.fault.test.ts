// One node of three goes, in every way that we know, or all of them do. What a group may be silent for is measured by a
// publisher that is not ours, on a node that the fault does not touch: at most ten seconds more than that.

import { expect, test } from 'vitest';
import { Zones } from '../../../local/rabbitmq/zones.ts';
import { faultsOn, full } from '../fault.ts';
import { CLUSTER_FAULTS, CLUSTER_STAGE, RATE, strike } from './cluster-fault.ts';

/** More than a probe's silence. */
const MOST_SILENCE_MS = 10_000;
/** An owner that goes, and one that comes; twice, as both may try. */
const MOST_TAKINGS = 4;

const { fullRun } = faultsOn(CLUSTER_STAGE);
const trial = full ? await Zones.make(1) : undefined;
await trial?.remove();

for (const fault of CLUSTER_FAULTS) {
  if (fault.cuts && trial?.obstacle !== undefined) {
    test.skip(`${fault.title} (skipped: ${trial.obstacle})`);
    continue;
  }
  fullRun(fault.title, {
    rate: RATE,
    async inject(stage) {
      const { silenceMs, probeMs, takings } = await strike(stage, fault, { awayMs: 30_000, leaders: 'there' });
      expect(silenceMs, `the probe's silence was ${probeMs} ms`).toBeLessThanOrEqual(probeMs + MOST_SILENCE_MS);
      expect(takings).toBeLessThanOrEqual(MOST_TAKINGS);
    },
  });
}
