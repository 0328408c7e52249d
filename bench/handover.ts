// How long a worker waits when a task goes: from the last event of the old owner to the first of the new one, for each
// shard, over deploys (SIGTERM, with a standby that is ready) and over kill -9s; what is repeated after a kill; and how
// often the group record is stored. `npm run bench:handover -- --times 20 --shards 4 --rate 400`

import { setTimeout as sleep } from 'node:timers/promises';
import type { IngestorProcess } from '../local/ingestor-process.ts';
import type { Stage } from '../local/stage.ts';
import { METRICS } from '../service/contract/metrics.ts';
import { onStage, quantile, readNumbers } from './bench.ts';

const { times, shards, rate } = readNumbers({ times: 20, shards: 4, rate: 400 });
const simulator = { guilds: 50 * shards, maxConcurrency: 16 };

interface Change {
  /** The longest silence of any shard, ms. */
  readonly silenceMs: number;
  readonly repeated: number;
  /** In the last second before it. */
  readonly arrived: number;
}

await onStage({ shards, shardsPerTask: shards, simulator }, async (stage) => {
  stage.simulator?.startTraffic(rate);
  await standby(stage);
  const commitsPerSecond = (await commits(stage, 10)) / 10;
  const deploy = summary(await changes(stage, (owner) => owner.terminate()));
  const kill = summary(await changes(stage, (owner) => owner.kill()));
  stage.simulator?.stopTraffic();
  const { lost, disorders, gaps } = await stage.settled();
  console.log(`broker                     RabbitMQ ${stage.broker.version}
shards, events             ${shards} in one group, ${rate}/s
commits of the record      ${commitsPerSecond.toFixed(2)} a second
deploy: silence            ${silence(deploy)}
kill -9: silence           ${silence(kill)}
repeated after a kill -9   ${kill.repeated.p50} (p50), ${kill.repeated.most} (most); arrived in the second before: ${kill.arrived}
repeated after a deploy    ${deploy.repeated.most} (most)
lost, out of order, gaps   ${lost}, ${disorders}, ${gaps}`);
  process.exitCode = lost + disorders + gaps === 0 ? 0 : 1;
});
process.exit();

async function changes(stage: Stage, end: (owner: IngestorProcess) => Promise<unknown>): Promise<Change[]> {
  const { reader } = stage;
  const seen: Change[] = [];
  for (let time = 0; time < times; time += 1) {
    await standby(stage);
    // At any moment between two commits.
    await sleep(1_000 + Math.random() * 1_000);
    const owner = await stage.owner();
    if (owner === undefined) throw new Error('no task is the owner');
    const { repeats, events } = reader;
    await sleep(1_000);
    const arrived = reader.events - events;
    reader.resetSilences();
    await end(owner);
    await stage.ready();
    // The replay is read, and every shard has had something since.
    await sleep(1_000);
    const silenceMs = reader.longestSilenceMs;
    seen.push({ silenceMs, repeated: reader.repeats - repeats, arrived });
    process.stderr.write(`${time + 1}/${times}: ${silenceMs} ms\r`);
  }
  return seen;
}

/** One task owns the group, another one is ready to. */
async function standby(stage: Stage): Promise<void> {
  if (stage.living.length < 2) await stage.startTask();
  await stage.ready();
  await stage.standing(2);
}

async function commits(stage: Stage, seconds: number): Promise<number> {
  const total = async () => {
    const metrics = await Promise.all(stage.living.map((task) => task.metrics()));
    return metrics.reduce((sum, each) => sum + (each.get(METRICS.leaseCommits.prometheus) ?? 0), 0);
  };
  const before = await total();
  await sleep(seconds * 1_000);
  return (await total()) - before;
}

function summary(seen: readonly Change[]) {
  const of = (name: keyof Change) => {
    const values = seen.map((each) => each[name]);
    return { p50: quantile(values, 0.5), p95: quantile(values, 0.95), most: quantile(values, 1) };
  };
  return { times: seen.length, silenceMs: of('silenceMs'), repeated: of('repeated'), arrived: of('arrived').p50 };
}

function silence({ times: count, silenceMs: { p50, p95, most } }: ReturnType<typeof summary>): string {
  return `${p50} ms (p50), ${p95} ms (p95), ${most} ms (most) of ${count}`;
}
