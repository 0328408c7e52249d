// Writes the metrics to standard output: once a minute; at once when a counter rises whose first count is an alarm, and when
// the budget of IDENTIFYs is known; and when the process ends, unless by SIGKILL. So a task that lives for seconds has
// metrics too.

import { METRICS_PERIOD_SECONDS } from './contract/metrics.ts';
import type { Metrics } from './metrics.ts';
import type { Output } from './output.ts';

/** Between two lines that are written at once. */
const LEAST_MS = 1_000;

export function startMetricLines(
  metrics: Metrics,
  output: Pick<Output, 'write'>,
  { metricsNamespace, environment }: { readonly metricsNamespace: string; readonly environment: string },
) {
  const write = (what: 'all' | 'counted') => {
    for (const line of metrics.emf(metricsNamespace, environment, what)) output.write(`${line}\n`);
  };
  let writtenAt = Number.NEGATIVE_INFINITY;
  let soon: NodeJS.Timeout | undefined;
  const writeCounted = () => {
    soon = undefined;
    writtenAt = performance.now();
    write('counted');
  };
  /** Writes the counters in a later turn of the event loop, at least a second after the last such line. */
  const atOnce = () => {
    soon ??= setTimeout(writeCounted, Math.max(0, writtenAt + LEAST_MS - performance.now())).unref();
  };
  metrics.onUrgent(atOnce);
  process.once('exit', writeCounted);
  // It keeps the process alive, whatever becomes of the sockets: no other timer does.
  const everyMinute = setInterval(() => write('all'), METRICS_PERIOD_SECONDS * 1_000);
  /** The last line is that of the end of the process. */
  const stop = () => {
    clearInterval(everyMinute);
    clearTimeout(soon);
  };
  return { atOnce, stop };
}
