// Events a second held for a while, the time from frame to confirm, and the memory of the ingestor: one task, one
// shard, everything (broker, simulator, worker) on this machine. `npm run bench -- --rate 2000 --seconds 60`; with `--all 1`
// EVENTS is all.
// The service has held its rate when the worker has read everything a moment after the traffic ends.

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { MetricsCollector } from '../local/stage-metrics.ts';
import { onStage, readNumbers } from './bench.ts';

const { rate, seconds, shards, all } = readNumbers({ rate: 2_000, seconds: 60, shards: 1, all: 0 });
const simulator = { guilds: 200, maxConcurrency: 16 };
const events = all === 0 ? undefined : 'all';

await onStage({ shards, shardsPerTask: shards, simulator, events }, async (stage) => {
  const collector = new MetricsCollector(stage);
  const start = await collector.collect();
  const cpuBefore = await cpuSeconds(stage.living[0]?.pid);
  stage.simulator?.startTraffic(rate);
  let largestOutbox = 0;
  let atHundredThousand: number | undefined;
  for (let second = 0; second < seconds; second += 1) {
    await sleep(1_000);
    const metrics = await collector.collect();
    largestOutbox = Math.max(largestOutbox, metrics.outbox.events);
    if (metrics.received >= 100_000) atHundredThousand ??= metrics.tasks[0]?.rss;
  }
  stage.simulator?.stopTraffic();
  const stoppedAt = Date.now();
  const end = await collector.collect();
  const { lost, repeated } = await stage.settled();
  const readAfterMs = Date.now() - stoppedAt;
  const cpu = (await cpuSeconds(stage.living[0]?.pid)) - cpuBefore;
  const received = end.received - start.received;
  const confirmed = end.confirmed - start.confirmed;
  const perSecond = (count: number) => `${count} (${(count / seconds).toFixed(0)}/s)`;
  const mib = (bytes?: number) => (bytes === undefined ? 'not reached' : `${(bytes / 1024 ** 2).toFixed(0)} MiB`);
  console.log(`broker                   RabbitMQ ${stage.broker.version}
shards                   ${shards}
asked for                ${rate} events/s for ${seconds} s
received                 ${perSecond(received)}
confirmed                ${perSecond(confirmed)}; the rest no worker wants
read everything          ${readAfterMs} ms after the traffic ended, ${lost} lost, ${repeated} repeated
frame to confirm         p50 ${end.latency.p50?.toFixed(1)} ms, p99 ${end.latency.p99?.toFixed(1)} ms
largest outbox           ${largestOutbox} events
CPU of the ingestor      ${((cpu / received) * 1e6).toFixed(0)} µs an event received
RSS of the ingestor      ${mib(start.tasks[0]?.rss)} at the start, ${mib(atHundredThousand)} after 100,000 events, ${mib(end.tasks[0]?.rss)} at the end`);
});
process.exit();

/** User and system time of a process so far, on Linux; NaN elsewhere. */
async function cpuSeconds(pid: number | undefined): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // Fields 14 and 15 of proc(5), in clock ticks of 10 ms.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
