// `npm run cluster-faults -- --repeats 3 --away 75 --events 100 NAME …`: the faults of a cluster's nodes (test/faults/cluster), each
// several times, every second time with the leaders of all queues on a node that does not fail. Silence is that of the
// group; the probe's is the broker's own share. Discord keeps `--events` for a RESUME, with `--trimmed` only what was not
// acknowledged; without either, the table is made under both readings of 100 and of 2,048 events.

import { parseArgs } from 'node:util';
import { REPLAY_BUFFERS, type ReplayBufferReading, replayBufferName } from '../local/discord/options.ts';
import { Stage } from '../local/stage.ts';
import {
  CLUSTER_FAULTS,
  CLUSTER_STAGE,
  type ClusterCost,
  type ClusterFault,
  rateFor,
  strike,
} from '../test/faults/cluster/cluster-fault.ts';
import type { FaultStage } from '../test/faults/fault.ts';
import { quantile } from './bench.ts';

const { values, positionals } = parseArgs({
  options: {
    repeats: { type: 'string', default: '2' },
    away: { type: 'string', default: '75' },
    events: { type: 'string' },
    trimmed: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const COUNTED = ['lost', 'gaps', 'repeated', 'disorders', 'conflicts', 'unexpected'] as const;
type Row = ClusterCost & Record<(typeof COUNTED)[number], number>;
interface Rows {
  readonly seen: Row[];
  failed: number;
}

const chosen = CLUSTER_FAULTS.filter(({ title }) => positionals.every((word) => title.includes(word)));
const readings =
  values.events === undefined
    ? REPLAY_BUFFERS
    : [{ events: Number(values.events), trimmedByAcknowledgement: values.trimmed }];
let stage: FaultStage | undefined;
try {
  for (const replayBuffer of readings) {
    const rows = new Map<ClusterFault, Rows>();
    for (const fault of chosen) rows.set(fault, await repeated(fault, replayBuffer));
    print(replayBuffer, rows);
  }
} finally {
  await stage?.stop();
}
process.exit();

async function repeated(fault: ClusterFault, replayBuffer: ReplayBufferReading): Promise<Rows> {
  const rows: Rows = { seen: [], failed: 0 };
  for (let repeat = 0; repeat < Number(values.repeats); repeat += 1) {
    stage ??= (await Stage.start(CLUSTER_STAGE)) as FaultStage;
    const leaders = repeat % 2 === 0 ? 'there' : 'elsewhere';
    const title = `${fault.title}, ${replayBufferName(replayBuffer)}, leaders ${leaders}`;
    stage.simulator.read({ replayBuffer });
    try {
      const row = await measured(stage, fault, leaders, rateFor(replayBuffer.events));
      rows.seen.push(row);
      console.error(`${title}: ${JSON.stringify(row)}`);
    } catch (error) {
      rows.failed += 1;
      console.error(`${title}: ${error instanceof Error ? error.message : error}`);
      await stage.stop();
      stage = undefined;
    }
  }
  return rows;
}

async function measured(
  on: FaultStage,
  fault: ClusterFault,
  leaders: 'there' | 'elsewhere',
  rate: number,
): Promise<Row> {
  const before = await on.settled();
  on.simulator.startTraffic(rate);
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

function print(replayBuffer: ReplayBufferReading, rows: ReadonlyMap<ClusterFault, Rows>): void {
  const columns = [
    'silence p50',
    'max',
    'probe p50',
    'max',
    'takings',
    'lost',
    'sessions lost',
    'repeated',
    'wrong',
    'failed',
  ];
  console.log(
    `\n${replayBufferName(replayBuffer)}\n${'fault'.padEnd(100)}${columns.map((name) => name.padStart(14)).join('')}`,
  );
  for (const [{ title }, { seen, failed }] of rows) {
    const of = (read: (row: Row) => number, share = 1) => quantile(seen.map(read), share);
    const seconds = (read: (row: Row) => number, share: number) => `${(of(read, share) / 1_000).toFixed(1)} s`;
    const cells = [
      ...[0.5, 1].map((share) => seconds((row) => row.silenceMs, share)),
      ...[0.5, 1].map((share) => seconds((row) => row.probeMs, share)),
      of((row) => row.takings),
      ...(['lost', 'gaps', 'repeated'] as const).map((name) => of((row) => row[name])),
      of((row) => row.disorders + row.conflicts + row.unexpected),
      failed,
    ];
    console.log(`${title.padEnd(100)}${cells.map((cell) => String(cell).padStart(14)).join('')}`);
  }
}
