// Events a second held for a while, the time from frame to confirm, and the memory of the ingestor: one task, one
// shard, everything (broker, simulator, worker) on this machine. `npm run bench -- --rate 2000 --seconds 60`
// The service is held to its rate when the worker has read everything a moment after the traffic ends.

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Stage } from '../local/stage.ts';
import { MetricsCollector } from '../local/stage-metrics.ts';

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '60' },
    shards: { type: 'string', default: '1' },
    compression: { type: 'string', default: 'none' },
  },
});
const rate = Number(values.rate);
const seconds = Number(values.seconds);
const shards = Number(values.shards);

const stage = await Stage.start({
  shards,
  shardsPerTask: shards,
  simulator: { guilds: 200, maxConcurrency: 16 },
  env: { GATEWAY_COMPRESSION: values.compression },
});
try {
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
  const verdict = await stage.settled();
  const cpu = (await cpuSeconds(stage.living[0]?.pid)) - cpuBefore;
  const received = end.received - start.received;
  const mib = (bytes: number | undefined) =>
    bytes === undefined ? 'not reached' : `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
  process.stdout.write(
    `${[
      `broker                   RabbitMQ ${stage.broker.version}`,
      `shards, compression      ${shards}, ${values.compression}`,
      `asked for                ${rate} events/s for ${seconds} s`,
      `received                 ${received} (${(received / seconds).toFixed(0)}/s)`,
      `confirmed                ${end.confirmed - start.confirmed} (${((end.confirmed - start.confirmed) / seconds).toFixed(0)}/s; the rest no worker wants)`,
      `read everything          ${Date.now() - stoppedAt} ms after the traffic ended, ${verdict.lost} lost, ${verdict.repeated} repeated`,
      `frame to confirm         p50 ${end.latency.p50?.toFixed(1)} ms, p99 ${end.latency.p99?.toFixed(1)} ms`,
      `largest outbox           ${largestOutbox} events`,
      `CPU of the ingestor      ${((cpu / received) * 1e6).toFixed(0)} µs an event received`,
      `RSS of the ingestor      ${mib(start.tasks[0]?.rss)} at the start, ${mib(atHundredThousand)} after 100,000 events, ${mib(end.tasks[0]?.rss)} at the end`,
    ].join('\n')}\n`,
  );
} finally {
  await stage.stop();
}
process.exit();

/** User and system time of a process so far, on Linux; NaN elsewhere. */
async function cpuSeconds(pid: number | undefined): Promise<number> {
  const { readFile } = await import('node:fs/promises');
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // Fields 14 and 15 of proc(5), in clock ticks of 10 ms.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
