// The metrics of the task, named in contract/metrics.ts: a Prometheus registry, and once a minute the same values in
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
/** NaN when it is unknown. Of a metric with a label: from label to value. */
export type GaugeValue = number | ReadonlyMap<string, number>;

/** Upper bounds in milliseconds, a quarter apart: fine enough for a percentile, few enough for Prometheus. */
export const BUCKETS_MS: readonly number[] = Array.from({ length: 54 }, (_, index) =>
  Number((0.25 * 1.25 ** index).toPrecision(3)),
);
/** EMF takes at most 100 values of one metric in a line. */
const SAMPLE = 100;

export class Metrics {
  readonly #registry = new Registry();
  readonly #counters = new Map<string, { metric: Metric; counter: Counter; growth: number }>();
  readonly #gauges = new Map<GaugeName, Gauge>();
  readonly #summaries = new Map<string, { metric: Metric; histogram: Histogram; sample: number[]; seen: number }>();
  readonly #confirmedByFamily: Counter;
  #readGauges: (() => ReadonlyMap<GaugeName, GaugeValue>) | undefined;
  #onUrgent: (() => void) | undefined;

  constructor() {
    const registers = [this.#registry];
    for (const [name, metric] of Object.entries<Metric>(METRICS)) {
      const options = { name: metric.prometheus, help: metric.help, registers };
      if (metric.kind === 'counter') this.#counters.set(name, { metric, counter: new Counter(options), growth: 0 });
      else if (metric.kind === 'summary') {
        const histogram = new Histogram({ ...options, buckets: [...BUCKETS_MS] });
        this.#summaries.set(name, { metric, histogram, sample: [], seen: 0 });
      } else {
        const labelNames = metric.label === undefined ? [] : [metric.label.toLowerCase()];
        this.#gauges.set(name as GaugeName, new Gauge({ ...options, labelNames }));
      }
    }
    this.#confirmedByFamily = new Counter({
      name: 'ingestor_events_by_type_total',
      help: 'Events confirmed, by family of event types',
      labelNames: ['event_type'],
      registers,
    });
  }

  add(name: CounterName, by = 1): void {
    const entry = this.#counters.get(name);
    if (entry === undefined) return;
    entry.growth += by;
    entry.counter.inc(by);
    if (entry.metric.atOnce) this.#onUrgent?.();
  }

  /** @param write called when a counter rises that is to be written at once: the task may end before the minute does */
  onUrgent(write: () => void): void {
    this.#onUrgent = write;
  }

  /** By family only in Prometheus; families are few. */
  addConfirmed(family: string): void {
    this.add('eventsConfirmed');
    this.#confirmedByFamily.inc({ event_type: family });
  }

  /** @param read called once whenever the metrics are read or written; what it leaves out has no value */
  gauges(read: () => ReadonlyMap<GaugeName, GaugeValue>): void {
    this.#readGauges = read;
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Prometheus' text. */
  async text(): Promise<string> {
    const values = this.#readGauges?.();
    for (const [name, gauge] of this.#gauges) {
      const value = values?.get(name);
      const { label }: Metric = METRICS[name];
      gauge.reset();
      if (label === undefined) gauge.set(typeof value === 'number' ? value : Number.NaN);
      else if (typeof value === 'object')
        for (const [key, each] of value) gauge.set({ [label.toLowerCase()]: key }, each);
    }
    return await this.#registry.metrics();
  }

  observe(name: SummaryName, value: number): void {
    const entry = this.#summaries.get(name);
    if (entry === undefined) return;
    entry.histogram.observe(value);
    // Reservoir sampling (algorithm R): each value of the minute is in the sample with the same chance.
    entry.seen += 1;
    const place = entry.seen <= SAMPLE ? entry.seen - 1 : Math.floor(Math.random() * entry.seen);
    if (place < SAMPLE) entry.sample[place] = value;
  }

  /** Of all that was observed since the start: how many values were in each bucket; above the last one is one more. */
  async buckets(name: SummaryName): Promise<number[]> {
    const { values = [] } = (await this.#summaries.get(name)?.histogram.get()) ?? {};
    const upTo = values.filter(({ labels }) => 'le' in labels).map(({ value }) => value);
    return upTo.map((count, index) => count - (upTo[index - 1] ?? 0));
  }

  /**
   * The lines of one period, to be written to standard output as they are. Starts the next period.
   * @param what between the periods only what was counted, and what is of the bot: other gauges, twice in a minute, would
   *   count as those of two tasks, and when a task starts or ends as those of one that reaches neither broker nor Discord
   */
  emf(namespace: string, environment: string, what: 'all' | 'counted' = 'all', now = Date.now()): string[] {
    const line = (
      dimensions: Readonly<Record<string, string>>,
      values: readonly (readonly [Metric, number | readonly number[]])[],
    ) => {
      const metrics = values.map(([{ cloudWatch, unit }]) => ({ Name: cloudWatch, Unit: unit }));
      const directive = { Namespace: namespace, Dimensions: [Object.keys(dimensions)], Metrics: metrics };
      return JSON.stringify({
        _aws: { Timestamp: now, CloudWatchMetrics: [directive] },
        ...dimensions,
        ...Object.fromEntries(values.map(([{ cloudWatch }, value]) => [cloudWatch, value])),
      });
    };
    const everywhere = { [ENVIRONMENT_DIMENSION]: environment };
    const values: [Metric, number | readonly number[]][] = [];
    const byLabel = new Map<string, typeof values>();
    for (const entry of this.#counters.values()) {
      if (what === 'all' || entry.growth > 0) values.push([entry.metric, entry.growth]);
      entry.growth = 0;
    }
    for (const [name, value] of this.#readGauges?.() ?? []) {
      const metric: Metric = METRICS[name];
      if (what === 'counted' && metric.of !== 'bot') continue;
      if (typeof value !== 'number')
        for (const [key, each] of value) byLabel.set(key, [...(byLabel.get(key) ?? []), [metric, each]]);
      else if (Number.isFinite(value)) values.push([metric, value]);
    }
    for (const entry of this.#summaries.values()) {
      if (entry.seen > 0) values.push([entry.metric, entry.sample]);
      entry.sample = [];
      entry.seen = 0;
    }
    const labelled = [...byLabel].map(([key, each]) => line({ ...everywhere, [each[0]?.[0].label ?? '']: key }, each));
    return values.length === 0 ? labelled : [line(everywhere, values), ...labelled];
  }
}
