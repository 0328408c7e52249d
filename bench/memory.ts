// What a shard costs: the resident memory of one task with 1, 16, 64 and 256 shards, each shard with the same number of
// guilds, under the same traffic. Heartbeats, session, watermark and socket are in it; events are not, as they leave.
// `npm run bench:memory -- --guilds 20 --rate 200 --seconds 20`

import { setTimeout as sleep } from 'node:timers/promises';
import { onStage, quantile, readNumbers } from './bench.ts';

/** `guilds` of each shard. */
const { guilds, rate, seconds } = readNumbers({ guilds: 20, rate: 200, seconds: 20 });
const MB = 1_000_000;

interface Measured {
  readonly shards: number;
  readonly rss: number;
  readonly heapUsed: number;
}

const seen: Measured[] = [];
for (const shards of [1, 16, 64, 256]) {
  seen.push(await measure(shards));
  console.log(line(seen.at(-1), seen.at(-2)));
}
console.log(`from the first to the last: ${perShard(seen.at(-1), seen[0]).toFixed(3)} MB for each shard`);
process.exit();

async function measure(shards: number): Promise<Measured> {
  const simulator = { guilds: guilds * shards, maxConcurrency: 256 };
  return await onStage({ shards, shardsPerTask: shards, simulator }, async (stage) => {
    stage.simulator?.startTraffic(rate);
    const samples: { rss: number; heapUsed: number }[] = [];
    for (let second = 0; second < seconds; second += 1) {
      await sleep(1_000);
      samples.push(...(await stage.reports()).map(({ checks }) => checks.memory));
    }
    // The second half: the start's garbage is gone by then.
    const settled = samples.slice(Math.floor(samples.length / 2));
    const median = (of: 'rss' | 'heapUsed') =>
      quantile(
        settled.map((sample) => sample[of]),
        0.5,
      );
    return { shards, rss: median('rss'), heapUsed: median('heapUsed') };
  });
}

function perShard(more: Measured | undefined, fewer: Measured | undefined): number {
  return more && fewer ? (more.rss - fewer.rss) / (more.shards - fewer.shards) / MB : Number.NaN;
}

function line(measured: Measured | undefined, before: Measured | undefined): string {
  const { shards = 0, rss = 0, heapUsed = 0 } = measured ?? {};
  const more = before ? `   ${perShard(measured, before).toFixed(3)} MB for each shard more` : '';
  return `${String(shards).padStart(4)} shards   RSS ${(rss / MB).toFixed(1).padStart(6)} MB   heap ${(heapUsed / MB).toFixed(1).padStart(6)} MB${more}`;
}
