// How long a worker waits when a task goes: from the last event of the old owner to the first of the new one, for each
// shard, over deploys (SIGTERM, with a standby that is ready) and over kill -9s; what is repeated after a kill; and how
// often the session record is stored. `npm run bench:handover -- --times 20 --shards 4 --rate 400`

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Stage } from '../local/stage.ts';
import { METRICS } from '../service/contract/metrics.ts';

const { values } = parseArgs({
  options: {
    times: { type: 'string', default: '20' },
    shards: { type: 'string', default: '4' },
    rate: { type: 'string', default: '400' },
    json: { type: 'boolean', default: false },
  },
});
const times = Number(values.times);
const shards = Number(values.shards);
const rate = Number(values.rate);

interface Change {
  /** The longest silence of any shard, ms. */
  readonly silenceMs: number;
  readonly repeated: number;
  /** In the last second before it. */
  readonly arrived: number;
}

const stage = await Stage.start({
  shards,
  shardsPerTask: shards,
  tasks: 1,
  simulator: { guilds: 50 * shards, maxConcurrency: 16 },
});
try {
  stage.simulator?.startTraffic(rate);
  await standby();
  const commits = await commitsPerSecond(10);
  const deploys = await changes((owner) => owner.terminate());
  const kills = await changes((owner) => owner.kill());
  stage.simulator?.stopTraffic();
  const verdict = await stage.settled();
  const figures = {
    shards,
    rate,
    commitsPerSecond: commits,
    deploy: summary(deploys),
    kill: summary(kills),
    lost: verdict.lost,
    disorders: verdict.disorders,
    gaps: verdict.gaps,
  };
  if (values.json) process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`);
  else
    process.stdout.write(
      `${[
        `broker                     RabbitMQ ${stage.broker.version}`,
        `shards, events             ${shards} in one group, ${rate}/s`,
        `commits of the record      ${commits.toFixed(2)} a second`,
        line('deploy: silence', figures.deploy),
        line('kill -9: silence', figures.kill),
        `repeated after a kill -9   ${figures.kill.repeated.p50} (p50), ${figures.kill.repeated.most} (most); arrived in the second before: ${figures.kill.arrived}`,
        `repeated after a deploy    ${figures.deploy.repeated.most} (most)`,
        `lost, out of order, gaps   ${verdict.lost}, ${verdict.disorders}, ${verdict.gaps}`,
      ].join('\n')}\n`,
    );
  process.exitCode = verdict.lost + verdict.disorders + verdict.gaps === 0 ? 0 : 1;
} finally {
  await stage.stop();
}
process.exit();

async function changes(end: (owner: Stage['tasks'][number]) => Promise<unknown>): Promise<Change[]> {
  const seen: Change[] = [];
  for (let time = 0; time < times; time += 1) {
    await standby();
    // At any moment between two commits.
    await sleep(1_000 + Math.random() * 1_000);
    const owner = await stage.owner();
    if (owner === undefined) throw new Error('nobody is the owner');
    const repeats = stage.reader.repeats;
    const before = stage.reader.events;
    await sleep(1_000);
    const arrived = stage.reader.events - before;
    stage.reader.resetSilences();
    await end(owner);
    await stage.ready();
    // The replay is read, and every shard has had something since.
    await sleep(1_000);
    const silenceMs = Math.max(...[...stage.reader.silences.values()].map(({ longestMs }) => longestMs));
    seen.push({ silenceMs, repeated: stage.reader.repeats - repeats, arrived });
    if (!values.json) process.stderr.write(`${time + 1}/${times}: ${silenceMs} ms\r`);
  }
  return seen;
}

/** One task owns the group, another one is ready to. */
async function standby(): Promise<void> {
  if (stage.living.length < 2) await stage.startTask();
  await stage.until('an owner and a standby', 60_000, async () => {
    const reports = await stage.reports();
    const owner = reports.some(({ lease, shard }) => lease.state === 'owner' && shard.connected === shards);
    return owner && reports.some(({ lease }) => lease.state === 'standby' && lease.ready === true);
  });
}

async function commitsPerSecond(seconds: number): Promise<number> {
  const commits = async () => {
    const figures = await Promise.all(stage.living.map((task) => task.metrics()));
    return figures.reduce((sum, each) => sum + (each.get(METRICS.leaseCommits.prometheus) ?? 0), 0);
  };
  const before = await commits();
  await sleep(seconds * 1_000);
  return ((await commits()) - before) / seconds;
}

function summary(seen: readonly Change[]) {
  const repeated = seen.map((each) => each.repeated);
  const silences = seen.map(({ silenceMs }) => silenceMs);
  return {
    times: seen.length,
    silenceMs: { p50: quantile(silences, 0.5), p95: quantile(silences, 0.95), most: Math.max(...silences) },
    repeated: { p50: quantile(repeated, 0.5), most: Math.max(...repeated) },
    arrived: Math.round(seen.reduce((sum, each) => sum + each.arrived, 0) / seen.length),
  };
}

function line(what: string, { times: count, silenceMs: { p50, p95, most } }: ReturnType<typeof summary>): string {
  return `${what.padEnd(26)} ${p50} ms (p50), ${p95} ms (p95), ${most} ms (most) of ${count}`;
}

/** The nearest rank. */
function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}
