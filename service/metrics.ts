// The metrics of the service, named in contract/metrics.ts: a Prometheus registry, and once a minute the same metrics in
// CloudWatch's embedded metric format (counters as their growth since the last time, summaries as a sample).
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { ENVIRONMENT_DIMENSION, METRICS, type Metric } from './contract/metrics.ts';

type Named<K extends Metric['kind']> = {
  [N in keyof typeof METRICS]: (typeof METRICS)[N]['kind'] extends K ? N : never;
}[keyof typeof METRICS];
export type CounterName = Named<'counter'>;
export type GaugeName = Named<'gauge'>;
export type SummaryName = Named<'summary'>;

/** Upper bounds in milliseconds, each a quarter above the last: enough for a percentile, few enough for Prometheus. */
const BUCKETS_MS = Array.from({ length: 54 }, (_, index) => Number((0.25 * 1.25 ** index).toPrecision(3)));
/** EMF takes at most 100 values of one metric in a line. */
const SAMPLE = 100;

export class Metrics {
  readonly registry = new Registry();
  readonly #counters = new Map<CounterName, { counter: Counter; value: number; written: number }>();
  readonly #gauges = new Map<GaugeName, () => number | ReadonlyMap<string, number>>();
  readonly #summaries = new Map<SummaryName, { histogram: Histogram; sample: number[]; seen: number }>();
  readonly #byType: Counter;

  constructor() {
    for (const [name, metric] of Object.entries(METRICS) as [keyof typeof METRICS, Metric][]) {
      const options = { name: metric.prometheus, help: metric.help, registers: [this.registry] };
      if (metric.kind === 'counter')
        this.#counters.set(name as CounterName, { counter: new Counter(options), value: 0, written: 0 });
      else if (metric.kind === 'summary')
        this.#summaries.set(name as SummaryName, {
          histogram: new Histogram({ ...options, buckets: BUCKETS_MS }),
          sample: [],
          seen: 0,
        });
      else this.#declareGauge(name as GaugeName, metric);
    }
    this.#byType = new Counter({
      name: 'ingestor_events_by_type_total',
      help: 'Events confirmed, by family of event types',
      labelNames: ['event_type'],
      registers: [this.registry],
    });
  }

  add(name: CounterName, by = 1): void {
    const entry = this.#counters.get(name);
    if (entry === undefined) return;
    entry.value += by;
    entry.counter.inc(by);
  }

  /** Only in Prometheus; families are few. */
  addConfirmed(family: string): void {
    this.add('eventsConfirmed');
    this.#byType.inc({ event_type: family });
  }

  /** From now on this metric is read when it is asked for; one with a label is a map from label to value. */
  gauge(name: GaugeName, read: () => number | ReadonlyMap<string, number>): void {
    this.#gauges.set(name, read);
  }

  observe(name: SummaryName, value: number): void {
    const entry = this.#summaries.get(name);
    if (entry === undefined) return;
    entry.histogram.observe(value);
    // Reservoir sampling (algorithm R): each value of the minute is in the sample with the same chance.
    entry.seen += 1;
    if (entry.sample.length < SAMPLE) entry.sample.push(value);
    else {
      const place = Math.floor(Math.random() * entry.seen);
      if (place < SAMPLE) entry.sample[place] = value;
    }
  }

  prometheus(): Promise<string> {
    return this.registry.metrics();
  }

  /** The lines of one period, to be written to standard output as they are. Starts the next period. */
  emf(namespace: string, environment: string, now = Date.now()): string[] {
    return this.#lines(namespace, environment, now, this.#gauges);
  }

  /**
   * The last line of a process: its counters only. Its gauges would be those of a task without broker and shards.
   */
  lastEmf(namespace: string, environment: string, now = Date.now()): string[] {
    return this.#lines(namespace, environment, now, new Map());
  }

  #lines(
    namespace: string,
    environment: string,
    now: number,
    gauges: ReadonlyMap<GaugeName, () => number | ReadonlyMap<string, number>>,
  ): string[] {
    const values: [Metric, number | readonly number[]][] = [];
    const labelled: string[] = [];
    const line = (each: typeof values, label: Readonly<Record<string, string>> = {}): string => {
      const dimensions = { [ENVIRONMENT_DIMENSION]: environment, ...label };
      const units = each.map(([{ cloudWatch, unit }]) => ({ Name: cloudWatch, Unit: unit }));
      const directive = { Namespace: namespace, Dimensions: [Object.keys(dimensions)], Metrics: units };
      return JSON.stringify({
        _aws: { Timestamp: now, CloudWatchMetrics: [directive] },
        ...dimensions,
        ...Object.fromEntries(each.map(([{ cloudWatch }, value]) => [cloudWatch, value])),
      });
    };
    for (const [name, entry] of this.#counters) {
      values.push([METRICS[name], entry.value - entry.written]);
      entry.written = entry.value;
    }
    for (const [name, read] of gauges) {
      const metric: Metric = METRICS[name];
      const value = read();
      if (typeof value !== 'number')
        for (const [label, each] of value) labelled.push(line([[metric, each]], { [metric.label ?? '']: label }));
      else if (Number.isFinite(value)) values.push([metric, value]);
    }
    for (const [name, entry] of this.#summaries) {
      if (entry.sample.length > 0) values.push([METRICS[name], entry.sample]);
      entry.sample = [];
      entry.seen = 0;
    }
    return [line(values), ...labelled];
  }

  #declareGauge(name: GaugeName, metric: Metric): void {
    const read = () => this.#gauges.get(name)?.();
    const labelNames = metric.label === undefined ? [] : [metric.label.toLowerCase()];
    new Gauge({
      name: metric.prometheus,
      help: metric.help,
      labelNames,
      registers: [this.registry],
      collect() {
        const value = read();
        this.reset();
        if (typeof value === 'number') this.set(value);
        else for (const [label, each] of value ?? []) this.set({ [labelNames[0] ?? '']: label }, each);
      },
    });
  }
}
