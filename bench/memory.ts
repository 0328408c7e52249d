// What a shard costs: the resident memory of one task with 1, 16, 64 and 256 shards, each shard with the same number of
// guilds, under the same traffic. Heartbeats, session, watermark and socket are in it; events are not, as they leave.
// `node bench/memory.ts --guilds 20 --rate 200 --seconds 20`

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Stage } from '../local/stage.ts';

const { values } = parseArgs({
  options: {
    /** Of each shard. */
    guilds: { type: 'string', default: '20' },
    rate: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
  },
});
const COUNTS = [1, 16, 64, 256];
const MB = 1_000_000;

interface Measured {
  readonly shards: number;
  readonly rss: number;
  readonly heapUsed: number;
}

const seen: Measured[] = [];
for (const shards of COUNTS) {
  const measured = await measure(shards);
  seen.push(measured);
  if (values.json) continue;
  const before = seen.at(-2);
  const each = before && ((measured.rss - before.rss) / (measured.shards - before.shards) / MB).toFixed(3);
  process.stdout.write(
    `${String(shards).padStart(4)} shards   RSS ${(measured.rss / MB).toFixed(1).padStart(6)} MB   heap ${(measured.heapUsed / MB).toFixed(1).padStart(6)} MB${each === undefined ? '' : `   ${each} MB for each shard more`}\n`,
  );
}
const [first] = seen;
const last = seen.at(-1);
const perShard = first && last ? (last.rss - first.rss) / (last.shards - first.shards) / MB : Number.NaN;
if (values.json) process.stdout.write(`${JSON.stringify({ seen, megabytesPerShard: perShard }, null, 2)}\n`);
else process.stdout.write(`from ${first?.shards} to ${last?.shards} shards: ${perShard.toFixed(3)} MB for each\n`);
process.exit();

async function measure(shards: number): Promise<Measured> {
  const stage = await Stage.start({
    shards,
    shardsPerTask: shards,
    simulator: { guilds: Number(values.guilds) * shards, maxConcurrency: 256 },
  });
  try {
    stage.simulator?.startTraffic(Number(values.rate));
    const samples: { rss: number; heapUsed: number }[] = [];
    for (let second = 0; second < Number(values.seconds); second += 1) {
      await sleep(1_000);
      const report = await stage.living[0]?.health();
      if (report !== undefined) samples.push(report.checks.memory);
    }
    // The second half: the start's garbage is gone by then.
    const settled = samples.slice(Math.floor(samples.length / 2));
    return {
      shards,
      rss: median(settled.map(({ rss }) => rss)),
      heapUsed: median(settled.map((each) => each.heapUsed)),
    };
  } finally {
    await stage.stop();
  }
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}
