// Writes the metrics to standard output: once a minute, and between that when a counter rises of which one is an alarm, when
// the budget of IDENTIFYs is known, and when the process ends, however it does but by SIGKILL. A task that lives for
// seconds, again and again, is seen by these.

import { METRICS_PERIOD_SECONDS } from './contract/metrics.ts';
import type { Metrics } from './metrics.ts';
import type { Output } from './output.ts';

/** Between two lines that are written at once. */
const LEAST_MS = 1_000;

export class MetricLines {
  readonly #write: (what: 'all' | 'counted') => void;
  readonly #everyMinute: NodeJS.Timeout;
  readonly #last = () => this.#write('counted');
  #writtenAt = Number.NEGATIVE_INFINITY;
  #soon: NodeJS.Timeout | undefined;

  constructor(
    metrics: Metrics,
    output: Output,
    { metricsNamespace, environment }: { readonly metricsNamespace: string; readonly environment: string },
  ) {
    this.#write = (what) => {
      for (const line of metrics.emf(metricsNamespace, environment, what)) output.write(`${line}\n`);
    };
    metrics.onUrgent(() => this.atOnce());
    process.once('exit', this.#last);
    // It keeps the process alive, whatever becomes of the sockets: no other timer does.
    this.#everyMinute = setInterval(() => this.#write('all'), METRICS_PERIOD_SECONDS * 1_000);
  }

  /** What was counted until the next turn, a second after the last such line at the earliest. */
  atOnce(): void {
    this.#soon ??= setTimeout(
      () => {
        this.#soon = undefined;
        this.#writtenAt = performance.now();
        this.#write('counted');
      },
      Math.max(0, this.#writtenAt + LEAST_MS - performance.now()),
    ).unref();
  }

  stop(): void {
    clearInterval(this.#everyMinute);
    clearTimeout(this.#soon);
    process.off('exit', this.#last);
    this.#last();
  }
}
