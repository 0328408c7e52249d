// The metrics in both formats: Prometheus' text and CloudWatch's embedded metric format, each read as its reader does.

import { beforeEach, describe, expect, it } from 'vitest';
import { ENVIRONMENT_DIMENSION, METRICS, type Metric } from '../../service/contract/metrics.ts';
import { declareGauges } from '../../service/gauges.ts';
import type { HealthSnapshot } from '../../service/health.ts';
import { type CounterName, Metrics } from '../../service/metrics.ts';
import { HEALTHY, MIB, NOW, SHARD } from '../support/health-snapshot.ts';
import { type LogLines, logLines } from '../support/log-lines.ts';

const ALL: readonly Metric[] = Object.values(METRICS);
let metrics: Metrics;
let snapshot: HealthSnapshot;
let depths: Map<string, number>;
let consumers: Map<string, number>;
let lines: LogLines;

beforeEach(() => {
  metrics = new Metrics();
  snapshot = HEALTHY;
  lines = logLines();
  depths = new Map(Object.entries({ interactions: 3, 'dead-letters': 0 }));
  consumers = new Map([['interactions', 2]]);
});

const information = { latest: { shards: 5 }, invalidRequests: 6, problem: undefined };
const declare = () => declareGauges(metrics, () => snapshot, { depths, consumers }, information, lines.log);
const emf = (what?: 'all' | 'counted') => metrics.emf('Ingestor', 'test', what, NOW).map((line) => JSON.parse(line));
const unitsIn = (line: ReturnType<typeof JSON.parse>): Record<string, string> =>
  Object.fromEntries(
    line._aws.CloudWatchMetrics[0].Metrics.map(({ Name, Unit }: Record<string, string>) => [Name, Unit]),
  );

describe("Prometheus' text", () => {
  it('has every metric, with its type and its help', async () => {
    declare();
    const text = await metrics.text();
    const types = { counter: 'counter', gauge: 'gauge', summary: 'histogram' } as const;
    for (const { prometheus, kind, help } of ALL)
      expect(text).toContain(`# HELP ${prometheus} ${help}\n# TYPE ${prometheus} ${types[kind]}\n`);
  });

  it('counts from the start of the process, and reads gauges whenever it is asked', async () => {
    declare();
    metrics.add('eventsReceived', 5);
    emf();
    metrics.add('eventsReceived');
    snapshot = { ...HEALTHY, outbox: { ...HEALTHY.outbox, events: 8 } };
    expect(await metrics.text()).toMatch(/^ingestor_queue_depth\{queue="interactions"\} 3$/m);
    depths.clear();
    consumers.clear();
    const text = await metrics.text();
    expect(text).toMatch(/^ingestor_events_received_total 6$/m);
    expect(text).toMatch(/^ingestor_outbox_events 8$/m);
    expect(text, 'a queue that is deleted').not.toContain('{queue=');
  });

  it('counts confirms by family, and has no label of many values', async () => {
    metrics.addConfirmed('interaction.command');
    metrics.addConfirmed('interaction.command');
    const text = await metrics.text();
    expect(text).toMatch(/^ingestor_events_by_type_total\{event_type="interaction\.command"\} 2$/m);
    expect(text).toMatch(/^ingestor_events_confirmed_total 2$/m);
    const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map(([, name]) => name));
    expect([...labels].toSorted()).toEqual(['event_type', 'le']);
  });

  it('has a histogram whose buckets are fine enough for a percentile', async () => {
    for (const milliseconds of [1, 2, 1_000_000]) metrics.observe('frameToConfirm', milliseconds);
    const text = await metrics.text();
    expect(text).toMatch(/^ingestor_frame_to_confirm_milliseconds_sum 1000003$/m);
    const bounds = [...text.matchAll(/_bucket\{le="([\d.]+)"\}/g)].map(([, bound]) => Number(bound));
    expect([bounds[0], bounds.at(-1), bounds.length]).toEqual([0.25, 34_200, 54]);
  });
});

describe('a gauge that cannot be computed', () => {
  const FIELDS = ['outbox', 'shards', 'shardCount', 'identifies', 'broker', 'role', 'memory', 'discord'] as const;

  it.each(FIELDS)('has no value, in both formats, and costs no other metric one: %s', async (field) => {
    declare();
    const [whole] = emf();
    snapshot = Object.defineProperty({ ...HEALTHY }, field, {
      get: () => {
        throw new Error('a defect');
      },
    });
    const text = await metrics.text();
    expect(text).toMatch(/^ingestor_queue_depth\{queue="interactions"\} 3$/m);
    const [line] = emf();
    const gone = Object.keys(unitsIn(whole)).filter((name) => !(name in unitsIn(line)));
    const logged = lines.lines.map(({ metric }) => METRICS[metric as keyof typeof METRICS].cloudWatch);
    // Logged once, although read twice.
    expect(logged.toSorted()).toEqual(gone.toSorted());
    for (const { prometheus, cloudWatch, kind, label } of ALL)
      if (kind === 'gauge' && label === undefined)
        expect(new RegExp(`^${prometheus} NaN$`, 'mi').test(text), cloudWatch).toBe(gone.includes(cloudWatch));
    expect(gone.length).toBeLessThan(6);
    snapshot = HEALTHY;
    expect(Object.keys(unitsIn(emf()[0]))).toEqual(Object.keys(unitsIn(whole)));
  });

  it('all gauges are of one moment: one snapshot for a scrape, one for a line', async () => {
    let taken = 0;
    const take = () => {
      taken += 1;
      return snapshot;
    };
    declareGauges(metrics, take, { depths, consumers }, { ...information, latest: undefined }, lines.log);
    await metrics.text();
    emf();
    expect(taken).toBe(2);
  });
});

describe('the embedded metric format', () => {
  it('has every metric of the contract, with its unit and the environment as its dimension', () => {
    declare();
    metrics.observe('frameToConfirm', 4);
    const [line] = emf();
    const directive = { Namespace: 'Ingestor', Dimensions: [[ENVIRONMENT_DIMENSION]] };
    expect(line._aws).toMatchObject({ Timestamp: NOW, CloudWatchMetrics: [directive] });
    const withoutLabel = ALL.filter(({ label }) => label === undefined);
    expect(unitsIn(line)).toEqual(Object.fromEntries(withoutLabel.map((each) => [each.cloudWatch, each.unit])));
    expect(line[ENVIRONMENT_DIMENSION]).toBe('test');
    for (const { cloudWatch } of withoutLabel) expect([line[cloudWatch]].flat()).toEqual([expect.any(Number)]);
  });

  it('has a line for each queue, with the queue as a dimension beside the environment', () => {
    declare();
    const line = (...names: string[]) => {
      const Metrics = names.map((Name) => ({ Name, Unit: 'Count' }));
      const directive = { Dimensions: [['Environment', 'Queue']], Metrics };
      return { _aws: { CloudWatchMetrics: [directive] }, Environment: 'test' };
    };
    expect(emf().slice(1)).toMatchObject([
      { ...line('QueueDepth', 'QueueConsumers'), Queue: 'interactions', QueueDepth: 3, QueueConsumers: 2 },
      { ...line('QueueDepth'), Queue: 'dead-letters', QueueDepth: 0 },
    ]);
  });

  it('has the gauges of a task', () => {
    const identifying = { ...SHARD, id: 1, connected: false, confirmedSequence: undefined };
    snapshot = {
      ...{ ...HEALTHY, shards: [SHARD, { ...identifying, state: 'identifying', identifyingSince: NOW }, SHARD] },
      broker: { ...HEALTHY.broker, blocked: true },
    };
    declare();
    expect(emf()[0]).toMatchObject({
      ...{ OutboxEvents: 2, OutboxBytes: 1_024, OutboxUsed: 0.5, OldestUnconfirmed: 0.02, GatewayLatency: 41 },
      ...{ ShardsAssigned: 3, ShardsConnected: 2, ShardsMissing: 1, ShardsWaiting: 1, ShardsConfigured: 2 },
      ...{ ShardsUnderprovisioned: 3, IdentifiesRemaining: 998, DiscordInvalidRequests: 6 },
      ...{ BrokerConnected: 1, BrokerBlocked: 1, Standby: 0, HeapUsed: 10, ResidentMemory: 200 * MIB },
    });
    snapshot = { ...HEALTHY, broker: { ...HEALTHY.broker, unprovenMs: 3_000 } };
    expect(emf()[0]).toMatchObject({ OldestUnconfirmed: 3, DiscordRestUnanswered: 0 });
    const standby = { ...HEALTHY, role: 'standby' as const, shardCount: 6, lease: { ready: true } };
    snapshot = { ...standby, broker: { ...HEALTHY.broker, channelOpen: false } };
    expect(emf()[0]).toMatchObject({ Standby: 1, ShardsUnderprovisioned: 0, BrokerConnected: 0, BrokerBlocked: 0 });
    // One of its connections is lost, so that no lease would come.
    snapshot = { ...standby, lease: { ready: false }, broker: { ...HEALTHY.broker, connected: false } };
    expect(emf()[0]).toMatchObject({ Standby: 0, BrokerConnected: 0 });
  });

  it('has no value of what is unknown: no data instead of zero', () => {
    const identifies = { remaining: undefined, spentUntil: undefined };
    snapshot = { ...HEALTHY, shardCount: undefined, shards: [], identifies };
    declare();
    const [line] = emf();
    const absent = ['GatewayLatency', 'IdentifiesRemaining', 'ShardsConfigured', 'ShardsUnderprovisioned'];
    for (const name of [...absent, 'FrameToConfirm']) {
      expect(line).not.toHaveProperty(name);
      expect(unitsIn(line)).not.toHaveProperty(name);
    }
  });

  it("has counters as their growth since the last line, and between the minutes only these and what is the bot's", () => {
    declare();
    metrics.add('publishErrors', 3);
    expect(emf()[0]).toMatchObject({ PublishErrors: 3, GatewayGaps: 0 });
    metrics.add('publishErrors', 2);
    metrics.observe('frameToConfirm', 5);
    const [line, ...more] = emf('counted');
    expect(more).toEqual([]);
    expect(line).toMatchObject({ PublishErrors: 2, IdentifiesRemaining: HEALTHY.identifies.remaining });
    expect(Object.keys(unitsIn(line))).toEqual(['PublishErrors', 'IdentifiesRemaining', 'FrameToConfirm']);
    expect(emf()[0]).toMatchObject({ PublishErrors: 0 });
    snapshot = { ...HEALTHY, identifies: { remaining: undefined, spentUntil: undefined } };
    expect(emf('counted')).toEqual([]);
  });

  it('is asked for at once by the counters of which one is an alarm, and by no other', () => {
    const asked: string[] = [];
    for (const [name, { kind }] of Object.entries<Metric>(METRICS))
      if (kind === 'counter') {
        metrics.onUrgent(() => asked.push(name));
        metrics.add(name as CounterName);
      }
    const urgent = Object.entries<Metric>(METRICS).flatMap(([name, { atOnce }]) => (atOnce ? name : []));
    expect(asked).toEqual(urgent);
  });

  it('has a summary as a fair sample of at most 100 values, of this period only', () => {
    const observed = (values: number) => {
      for (let value = 1; value <= values; value += 1) metrics.observe('frameToConfirm', value);
      return emf()[0].FrameToConfirm as number[];
    };
    expect(observed(100)).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
    expect(observed(3)).toEqual([1, 2, 3]);
    const sample = observed(20_000);
    expect(new Set(sample).size).toBe(100);
    expect(sample).toHaveLength(100);
    // Of the whole period, not of its beginning or end: the mean of 100 of 20,000 is within 5 standard errors of 10,000.
    expect(Math.abs(sample.reduce((sum, value) => sum + value, 0) / 100 - 10_000)).toBeLessThan(2_900);
    expect(observed(0)).toBeUndefined();
  });
});
