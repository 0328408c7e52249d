// The metrics in both formats: Prometheus' text and CloudWatch's embedded metric format, each read as its reader does.

import { beforeEach, describe, expect, it } from 'vitest';
import { ENVIRONMENT_DIMENSION, METRICS, type Metric } from '../../service/contract/metrics.ts';
import { declareGauges } from '../../service/gauges.ts';
import type { HealthSnapshot } from '../../service/health.ts';
import { Metrics } from '../../service/metrics.ts';
import { HEALTHY, MIB, NOW, SHARD } from '../support/health-snapshot.ts';

interface Line extends Readonly<Record<string, unknown>> {
  readonly _aws: {
    readonly Timestamp: number;
    readonly CloudWatchMetrics: readonly {
      readonly Namespace: string;
      readonly Dimensions: readonly (readonly string[])[];
      readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[];
    }[];
  };
}

const ALL: readonly Metric[] = Object.values(METRICS);
let metrics: Metrics;
let snapshot: HealthSnapshot;
let depths: ReadonlyMap<string, number>;

beforeEach(() => {
  metrics = new Metrics();
  snapshot = HEALTHY;
  depths = new Map([
    ['interactions', 3],
    ['dead-letters', 0],
  ]);
});

/** As in a task. */
function declared(): Metrics {
  const queues = {
    get depths() {
      return depths;
    },
  };
  declareGauges(metrics, () => snapshot, queues, { latest: { shards: 5 } });
  return metrics;
}

const emf = () => metrics.emf('Ingestor', 'test', NOW).map((line) => JSON.parse(line) as Line);
const namesIn = (line?: Line) => line?._aws.CloudWatchMetrics[0]?.Metrics.map(({ Name }) => Name).toSorted();

it('the contract names each metric once in each format, as the format allows', () => {
  expect(new Set(ALL.map(({ prometheus }) => prometheus)).size).toBe(ALL.length);
  expect(new Set(ALL.map(({ cloudWatch }) => cloudWatch)).size).toBe(ALL.length);
  for (const { prometheus, cloudWatch, kind } of ALL) {
    expect(prometheus).toMatch(/^ingestor_[a-z][a-z0-9_]*$/);
    expect(prometheus.endsWith('_total')).toBe(kind === 'counter');
    expect(cloudWatch).toMatch(/^[A-Z][A-Za-z]*$/);
  }
});

describe("Prometheus' text", () => {
  it('has every metric, with its type and its help', async () => {
    const text = await declared().registry.metrics();
    const types = { counter: 'counter', gauge: 'gauge', summary: 'histogram' } as const;
    for (const { prometheus, kind, help } of ALL)
      expect(text).toContain(`# HELP ${prometheus} ${help}\n# TYPE ${prometheus} ${types[kind]}\n`);
  });

  it('counts from the start of the process, and reads gauges whenever it is asked', async () => {
    declared().add('eventsReceived', 5);
    emf();
    metrics.add('eventsReceived');
    snapshot = { ...HEALTHY, outbox: { ...HEALTHY.outbox, events: 8 } };
    expect(await metrics.registry.metrics()).toMatch(/^ingestor_queue_depth\{queue="interactions"\} 3$/m);
    depths = new Map();
    const text = await metrics.registry.metrics();
    expect(text).toMatch(/^ingestor_events_received_total 6$/m);
    expect(text).toMatch(/^ingestor_outbox_events 8$/m);
    expect(text, 'a queue that is deleted').not.toContain('{queue=');
  });

  it('counts confirms by family, and has no label of many values', async () => {
    metrics.addConfirmed('interaction.command');
    metrics.addConfirmed('interaction.command');
    const text = await metrics.registry.metrics();
    expect(text).toMatch(/^ingestor_events_by_type_total\{event_type="interaction\.command"\} 2$/m);
    expect(text).toMatch(/^ingestor_events_confirmed_total 2$/m);
    const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map(([, name]) => name));
    expect([...labels].toSorted()).toEqual(['event_type', 'le']);
  });

  it('has a histogram whose buckets are fine enough for a percentile', async () => {
    for (const milliseconds of [1, 2, 1_000_000]) metrics.observe('frameToConfirm', milliseconds);
    const text = await metrics.registry.metrics();
    expect(text).toMatch(/^ingestor_frame_to_confirm_milliseconds_sum 1000003$/m);
    const bounds = [...text.matchAll(/_bucket\{le="([\d.]+)"\}/g)].map(([, bound]) => Number(bound));
    for (const [index, bound] of bounds.slice(1).entries()) expect(bound / (bounds[index] ?? 0)).toBeCloseTo(1.25, 1);
    expect(bounds[0]).toBe(0.25);
    expect(bounds.at(-1)).toBe(34_200);
    expect(bounds).toHaveLength(54);
  });
});

describe('the embedded metric format', () => {
  it('has every metric of the contract, with its unit and the environment as its dimension', () => {
    declared().observe('frameToConfirm', 4);
    const [line] = emf();
    const unlabelled = ALL.filter(({ label }) => label === undefined);
    expect(line?.[ENVIRONMENT_DIMENSION]).toBe('test');
    expect(line?._aws).toEqual({
      Timestamp: NOW,
      CloudWatchMetrics: [
        {
          Namespace: 'Ingestor',
          Dimensions: [[ENVIRONMENT_DIMENSION]],
          Metrics: expect.toSatisfy((list: unknown[]) => list.length === unlabelled.length),
        },
      ],
    });
    for (const { cloudWatch, unit } of unlabelled) {
      expect(line?._aws.CloudWatchMetrics[0]?.Metrics).toContainEqual({ Name: cloudWatch, Unit: unit });
      expect([line?.[cloudWatch]].flat(), cloudWatch).toEqual([expect.any(Number)]);
    }
  });

  it('has a line for each queue, with the queue as a dimension beside the environment', () => {
    declared();
    const [, ...lines] = emf();
    expect(lines.map(({ Environment, Queue, QueueDepth }) => [Environment, Queue, QueueDepth])).toEqual([
      ['test', 'interactions', 3],
      ['test', 'dead-letters', 0],
    ]);
    for (const line of lines)
      expect(line._aws.CloudWatchMetrics).toMatchObject([
        { Dimensions: [['Environment', 'Queue']], Metrics: [{ Name: 'QueueDepth', Unit: 'Count' }] },
      ]);
  });

  it('has the gauges of a task', () => {
    const identifying = { ...SHARD, id: 1, connected: false, confirmedSequence: undefined };
    snapshot = {
      ...{ ...HEALTHY, shards: [SHARD, { ...identifying, state: 'identifying', identifyingSince: NOW }, SHARD] },
      broker: { ...HEALTHY.broker, blocked: true },
    };
    declared();
    expect(emf()[0]).toMatchObject({
      ...{ OutboxEvents: 2, OutboxBytes: 1_024, OutboxUsed: 0.5 },
      ...{ ShardsAssigned: 3, ShardsConnected: 2, ShardsMissing: 1, ShardsWaiting: 1 },
      ...{ ShardsConfigured: 2, ShardsUnderprovisioned: 3, GatewayLatency: 41, IdentifiesRemaining: 998 },
      ...{ BrokerConnected: 1, BrokerBlocked: 1, Standby: 0, HeapUsed: 10, ResidentMemory: 200 * MIB },
    });
    snapshot = { ...HEALTHY, role: 'standby', shardCount: 6, broker: { ...HEALTHY.broker, channelOpen: false } };
    expect(emf()[0]).toMatchObject({ Standby: 1, ShardsUnderprovisioned: 0, BrokerConnected: 0, BrokerBlocked: 0 });
  });

  it('has no value of what is unknown: no data instead of zero', () => {
    snapshot = { ...HEALTHY, shardCount: undefined, shards: [] };
    snapshot = { ...snapshot, identifies: { remaining: undefined, spentUntil: undefined } };
    declared();
    const [line] = emf();
    for (const name of ['GatewayLatency', 'IdentifiesRemaining', 'ShardsConfigured', 'FrameToConfirm']) {
      expect(line).not.toHaveProperty(name);
      expect(namesIn(line)).not.toContain(name);
    }
  });

  it('has counters as their growth since the last line, zero included', () => {
    metrics.add('eventsReceived', 5);
    expect(emf()[0]).toMatchObject({ EventsReceived: 5, GatewayGaps: 0 });
    metrics.add('eventsReceived', 2);
    metrics.add('gatewayGaps');
    expect(emf()[0]).toMatchObject({ EventsReceived: 2, GatewayGaps: 1 });
  });

  it('has in the last line of a process what it counted, and no gauge', () => {
    declared().add('publishErrors', 3);
    emf();
    metrics.add('publishErrors', 2);
    const [line, ...more] = metrics.lastEmf('Ingestor', 'test', NOW).map((text) => JSON.parse(text) as Line);
    expect(more).toEqual([]);
    expect(line).toMatchObject({ PublishErrors: 2, GatewayGaps: 0 });
    const counters = ALL.filter(({ kind }) => kind === 'counter').map(({ cloudWatch }) => cloudWatch);
    expect(namesIn(line)).toEqual(counters.toSorted());
  });

  it('has a summary as a fair sample of at most 100 values, of this period only', () => {
    const observed = (values: number) => {
      for (let value = 1; value <= values; value += 1) metrics.observe('frameToConfirm', value);
      return emf()[0]?.FrameToConfirm as number[];
    };
    expect(observed(100)).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
    const sample = observed(20_000);
    expect(new Set(sample).size).toBe(100);
    expect(sample).toHaveLength(100);
    // Of the whole period, not of its beginning or end: the mean of 100 of 20,000 is within 5 standard errors of 10,000.
    expect(Math.abs(sample.reduce((sum, value) => sum + value, 0) / 100 - 10_000)).toBeLessThan(2_900);
    expect(observed(0)).toBeUndefined();
  });
});
