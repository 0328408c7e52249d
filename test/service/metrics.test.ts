// The metrics in both formats, Prometheus' text and CloudWatch's embedded metric format, read by the rules of each.

import { describe, expect, it } from 'vitest';
import { ENVIRONMENT_DIMENSION, METRICS, type Metric } from '../../service/contract/metrics.ts';
import { type GaugeName, Metrics } from '../../service/metrics.ts';

const NOW = Date.UTC(2026, 10, 23);
/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html */
const UNITS = ['Count', 'Bytes', 'Milliseconds', 'Percent', 'Seconds'];

interface Directive {
  readonly Namespace: string;
  readonly Dimensions: readonly (readonly string[])[];
  readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[];
}

type Line = Readonly<Record<string, unknown>> & {
  readonly _aws: { readonly Timestamp: number; readonly CloudWatchMetrics: readonly Directive[] };
};

/** Reads a line as CloudWatch does, and refuses what it would drop. */
function read(text: string): Line {
  expect(text).not.toContain('\n');
  expect(Buffer.byteLength(text)).toBeLessThan(1_000_000);
  const line = JSON.parse(text) as Line;
  expect(line._aws.Timestamp).toBe(NOW);
  expect(line._aws.CloudWatchMetrics).toHaveLength(1);
  for (const { Namespace, Dimensions, Metrics: metrics } of line._aws.CloudWatchMetrics) {
    expect(Namespace).toBe('Ingestor');
    expect(metrics.length).toBeGreaterThan(0);
    expect(metrics.length).toBeLessThanOrEqual(100);
    expect(new Set(metrics.map(({ Name }) => Name)).size).toBe(metrics.length);
    for (const set of Dimensions) {
      expect(set.length).toBeLessThanOrEqual(30);
      for (const dimension of set) expect(line[dimension]).toBeTypeOf('string');
    }
    for (const { Name, Unit } of metrics) {
      expect(UNITS).toContain(Unit);
      const value = line[Name];
      const values = Array.isArray(value) ? value : [value];
      expect(values.length).toBeGreaterThan(0);
      expect(values.length).toBeLessThanOrEqual(100);
      for (const each of values) expect(Number.isFinite(each)).toBe(true);
    }
  }
  return line;
}

const emf = (metrics: Metrics) => metrics.emf('Ingestor', 'test', NOW).map(read);
const all = Object.values(METRICS) as Metric[];
const gauges = (Object.entries(METRICS) as [string, Metric][]).flatMap(([name, { kind, label }]) =>
  kind === 'gauge' && label === undefined ? [name as GaugeName] : [],
);

function withAllGauges(): Metrics {
  const metrics = new Metrics();
  for (const [index, name] of gauges.entries()) metrics.gauge(name, () => index + 0.5);
  const depths = new Map(Object.entries({ interactions: 3, 'events.guild': 0 }));
  metrics.gauge('queueDepth', () => depths);
  return metrics;
}

it('the contract names each metric once in each format, by its rules', () => {
  expect(new Set(all.map(({ prometheus }) => prometheus)).size).toBe(all.length);
  expect(new Set(all.map(({ cloudWatch }) => cloudWatch)).size).toBe(all.length);
  for (const { prometheus, cloudWatch, kind, unit } of all) {
    expect(prometheus).toMatch(/^ingestor_[a-z][a-z0-9_]*$/);
    expect(prometheus.endsWith('_total')).toBe(kind === 'counter');
    expect(cloudWatch).toMatch(/^[A-Z][A-Za-z]*$/);
    expect(UNITS).toContain(unit);
  }
});

describe("Prometheus' text", () => {
  it('has every metric, with its type and its help', async () => {
    const text = await withAllGauges().prometheus();
    const types = { counter: 'counter', gauge: 'gauge', summary: 'histogram' } as const;
    for (const { prometheus, kind, help } of all) {
      expect(text).toContain(`# TYPE ${prometheus} ${types[kind]}\n`);
      expect(text).toContain(`# HELP ${prometheus} ${help}\n`);
    }
  });

  it('has counters since the start, gauges and queues as of now, and confirms by family', async () => {
    const metrics = new Metrics();
    let events = 7;
    let depths = new Map([['interactions', 3]]);
    metrics.gauge('outboxEvents', () => events);
    metrics.gauge('queueDepth', () => depths);
    metrics.add('eventsReceived', 5);
    metrics.emf('Ingestor', 'test', NOW);
    metrics.add('eventsReceived');
    metrics.addConfirmed('interaction.command');
    metrics.addConfirmed('interaction.command');
    events = 8;
    const text = await metrics.prometheus();
    expect(text).toMatch(/^ingestor_events_received_total 6$/m);
    expect(text).toMatch(/^ingestor_outbox_events 8$/m);
    expect(text).toMatch(/^ingestor_queue_depth\{queue="interactions"\} 3$/m);
    expect(text).toMatch(/^ingestor_events_by_type_total\{event_type="interaction\.command"\} 2$/m);
    expect(text).toMatch(/^ingestor_events_confirmed_total 2$/m);
    const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map(([, name]) => name));
    expect([...labels].toSorted()).toEqual(['event_type', 'le', 'queue']);
    depths = new Map();
    expect(await metrics.prometheus()).not.toContain('queue="interactions"');
  });

  it('has durations in buckets fine enough for a percentile', async () => {
    const metrics = new Metrics();
    for (const milliseconds of [1, 2, 3, 4, 1_000_000]) metrics.observe('frameToConfirm', milliseconds);
    const text = await metrics.prometheus();
    expect(text).toMatch(/^ingestor_frame_to_confirm_milliseconds_count 5$/m);
    expect(text).toMatch(/^ingestor_frame_to_confirm_milliseconds_sum 1000010$/m);
    const bounds = [...text.matchAll(/_bucket\{le="([\d.]+)"\}/g)].map(([, bound]) => Number(bound));
    for (const [index, bound] of bounds.entries())
      if (index > 0) expect(bound / (bounds[index - 1] ?? 0)).toBeLessThan(1.3);
    expect(bounds.at(-1)).toBeGreaterThan(30_000);
  });
});

describe('the embedded metric format', () => {
  it('has every metric of the contract, with its unit, in the dimension of the environment', () => {
    const metrics = withAllGauges();
    metrics.observe('frameToConfirm', 4);
    const [line, ...rest] = emf(metrics);
    const [directive] = line?._aws.CloudWatchMetrics ?? [];
    expect(directive?.Dimensions).toEqual([[ENVIRONMENT_DIMENSION]]);
    expect(line?.[ENVIRONMENT_DIMENSION]).toBe('test');
    const named = all.filter(({ label }) => label === undefined);
    expect(directive?.Metrics.toSorted((a, b) => a.Name.localeCompare(b.Name))).toEqual(
      named
        .map(({ cloudWatch, unit }) => ({ Name: cloudWatch, Unit: unit }))
        .toSorted((a, b) => a.Name.localeCompare(b.Name)),
    );
    expect(rest).toHaveLength(2);
  });

  it('has counters as their growth since the last line, zero included', () => {
    const metrics = new Metrics();
    metrics.add('eventsReceived', 5);
    expect(emf(metrics)[0]).toMatchObject({ EventsReceived: 5, GatewayGaps: 0 });
    metrics.add('eventsReceived', 2);
    metrics.add('gatewayGaps');
    expect(emf(metrics)[0]).toMatchObject({ EventsReceived: 2, GatewayGaps: 1 });
    expect(emf(metrics)[0]).toMatchObject({ EventsReceived: 0, GatewayGaps: 0 });
  });

  it('of a process that ends has its counters, and no gauge', () => {
    const metrics = withAllGauges();
    metrics.add('publishErrors', 3);
    metrics.emf('Ingestor', 'test', NOW);
    metrics.add('publishErrors', 2);
    const lines = metrics.lastEmf('Ingestor', 'test', NOW).map(read);
    expect(lines).toHaveLength(1);
    const names = lines[0]?._aws.CloudWatchMetrics[0]?.Metrics.map(({ Name }) => Name);
    expect(lines[0]).toMatchObject({ PublishErrors: 2, GatewayGaps: 0 });
    const counters = all.filter(({ kind }) => kind === 'counter').map(({ cloudWatch }) => cloudWatch);
    expect(names?.toSorted()).toEqual(counters.toSorted());
  });

  it('has no value for what is not known: no data, not zero', () => {
    const metrics = new Metrics();
    metrics.gauge('gatewayLatency', () => Number.NaN);
    const [line] = emf(metrics);
    for (const name of ['GatewayLatency', 'OutboxEvents', 'FrameToConfirm']) {
      expect(line).not.toHaveProperty(name);
      expect(line?._aws.CloudWatchMetrics[0]?.Metrics.map(({ Name }) => Name)).not.toContain(name);
    }
  });

  it('has a line for each queue, with the queue as a dimension beside the environment', () => {
    const [, ...lines] = emf(withAllGauges());
    expect(lines.map(({ Queue, QueueDepth }) => [Queue, QueueDepth])).toEqual([
      ['interactions', 3],
      ['events.guild', 0],
    ]);
    for (const line of lines)
      expect(line._aws.CloudWatchMetrics).toMatchObject([
        { Dimensions: [['Environment', 'Queue']], Metrics: [{ Name: 'QueueDepth', Unit: 'Count' }] },
      ]);
  });

  it('has a summary as a fair sample of at most a hundred values, and starts again', () => {
    const metrics = new Metrics();
    for (let value = 1; value <= 40; value += 1) metrics.observe('frameToConfirm', value);
    expect(emf(metrics)[0]?.FrameToConfirm).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
    for (let value = 1; value <= 20_000; value += 1) metrics.observe('frameToConfirm', value);
    const sample = emf(metrics)[0]?.FrameToConfirm as number[];
    expect(sample).toHaveLength(100);
    expect(new Set(sample).size).toBe(100);
    // Of the whole minute, not of its beginning or end: the mean of 100 of 20,000 is within 5 standard errors of 10,000.
    expect(sample.reduce((sum, value) => sum + value, 0) / 100).toBeGreaterThan(7_100);
    expect(sample.reduce((sum, value) => sum + value, 0) / 100).toBeLessThan(12_900);
    expect(emf(metrics)[0]).not.toHaveProperty('FrameToConfirm');
  });
});
