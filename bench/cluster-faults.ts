// `npm run cluster-faults -- --repeats 3 --away 75 NAME …`: the faults of a cluster's nodes (test/faults/cluster), each several
// times, every second time with the leaders of all queues on a node that does not fail. Silence is that of the group; the
// probe's is the broker's own share.

import { parseArgs } from 'node:util';
import { Stage } from '../local/stage.ts';
import {
  CLUSTER_FAULTS,
  CLUSTER_STAGE,
  type ClusterCost,
  type ClusterFault,
  RATE,
  strike,
} from '../test/faults/cluster/cluster-fault.ts';
import type { FaultStage } from '../test/faults/fault.ts';
import { quantile } from './bench.ts';

const { values, positionals } = parseArgs({
  options: { repeats: { type: 'string', default: '2' }, away: { type: 'string', default: '75' } },
  allowPositionals: true,
});
const COUNTED = ['lost', 'gaps', 'repeated', 'disorders', 'conflicts', 'unexpected'] as const;
type Row = ClusterCost & Record<(typeof COUNTED)[number], number>;

const chosen = CLUSTER_FAULTS.filter(({ title }) => positionals.every((word) => title.includes(word)));
const rows = new Map<ClusterFault, Row[]>(chosen.map((fault) => [fault, []]));
let stage: FaultStage | undefined;
try {
  for (const [fault, seen] of rows)
    for (let repeat = 0; repeat < Number(values.repeats); repeat += 1) {
      stage ??= (await Stage.start(CLUSTER_STAGE)) as FaultStage;
      const leaders = repeat % 2 === 0 ? 'there' : 'elsewhere';
      try {
        const row = await measured(stage, fault, leaders);
        seen.push(row);
        console.error(`${fault.title}, leaders ${leaders}: ${JSON.stringify(row)}`);
      } catch (error) {
        console.error(`${fault.title}, leaders ${leaders}: ${error instanceof Error ? error.message : error}`);
        await stage.stop();
        stage = undefined;
      }
    }
} finally {
  await stage?.stop();
}
print();
process.exit();

async function measured(on: FaultStage, fault: ClusterFault, leaders: 'there' | 'elsewhere'): Promise<Row> {
  const before = await on.settled();
  on.simulator.startTraffic(RATE);
  try {
    const cost = await strike(on, fault, { awayMs: Number(values.away) * 1_000, leaders });
    on.simulator.stopTraffic();
    const after = await on.settled(240_000, 20_000);
    const counts = Object.fromEntries(COUNTED.map((name) => [name, after[name] - before[name]]));
    return { ...cost, ...counts } as Row;
  } finally {
    on.simulator.stopTraffic();
  }
}

function print(): void {
  const columns = ['silence p50', 'max', 'probe p50', 'max', 'takings', 'lost', 'sessions lost', 'repeated', 'wrong'];
  console.log(`${'fault'.padEnd(72)}${columns.map((name) => name.padStart(14)).join('')}`);
  for (const [{ title }, seen] of rows) {
    const of = (read: (row: Row) => number, share = 1) => quantile(seen.map(read), share);
    const seconds = (read: (row: Row) => number, share: number) => `${(of(read, share) / 1_000).toFixed(1)} s`;
    const cells = [
      ...[0.5, 1].map((share) => seconds((row) => row.silenceMs, share)),
      ...[0.5, 1].map((share) => seconds((row) => row.probeMs, share)),
      of((row) => row.takings),
      ...(['lost', 'gaps', 'repeated'] as const).map((name) => of((row) => row[name])),
      of((row) => row.disorders + row.conflicts + row.unexpected),
    ];
    console.log(`${title.padEnd(72)}${cells.map((cell) => String(cell).padStart(14)).join('')}`);
  }
}
