// When the metrics are written: each minute, at once for what is an alarm by itself, and before the process ends.

import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startMetricLines } from '../../service/metric-lines.ts';
import { Metrics } from '../../service/metrics.ts';

const NAMES = { metricsNamespace: 'Ingestor', environment: 'test' };
const metricLines = JSON.stringify(new URL('../../service/metric-lines.ts', import.meta.url).href);
const metricsModule = JSON.stringify(new URL('../../service/metrics.ts', import.meta.url).href);

describe('with a clock', () => {
  let metrics: Metrics;
  let lines: ReturnType<typeof startMetricLines>;
  let written: Record<string, number>[];

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
    metrics = new Metrics();
    metrics.gauges(() => new Map([['standby', 1]]));
    written = [];
    lines = startMetricLines(metrics, { write: (line) => written.push(JSON.parse(line)) }, NAMES);
  });
  afterEach(() => {
    lines.stop();
    vi.useRealTimers();
  });

  const linesWithin = async (ms: number) => {
    await vi.advanceTimersByTimeAsync(ms);
    return written.splice(0);
  };

  it('writes everything once a minute', async () => {
    expect(await linesWithin(59_999)).toEqual([]);
    const _aws = { CloudWatchMetrics: [{ Namespace: 'Ingestor' }] };
    expect(await linesWithin(1)).toMatchObject([{ _aws, Environment: 'test', Standby: 1, GatewayGaps: 0 }]);
    expect(await linesWithin(60_000)).toMatchObject([{ Standby: 1 }]);
  });

  it('writes at once what is an alarm by itself, without gauges, and counts it once', async () => {
    metrics.add('resumes');
    expect(await linesWithin(10)).toEqual([]);
    metrics.add('gatewayGaps', 2);
    metrics.add('gapsInHandOver');
    const [line, ...more] = await linesWithin(1);
    expect([line, more]).toMatchObject([{ GatewayGaps: 2, GatewayGapsInHandOver: 1, Resumes: 1 }, []]);
    expect(line).not.toHaveProperty('Standby');
    expect(await linesWithin(60_000)).toMatchObject([{ GatewayGaps: 0, Standby: 1 }]);
  });

  it('writes so again after a second, however often it counts meanwhile, and not after it is stopped', async () => {
    metrics.add('messagesDropped');
    expect(await linesWithin(0)).toHaveLength(1);
    for (let second = 0; second < 3; second += 1) {
      metrics.add('messagesDropped');
      expect(await linesWithin(500)).toEqual([]);
      metrics.add('messagesDropped');
      expect(await linesWithin(499)).toEqual([]);
      expect(await linesWithin(1)).toMatchObject([{ MessagesDropped: 2 }]);
    }
    metrics.add('messagesDropped');
    lines.stop();
    expect(await linesWithin(120_000)).toEqual([]);
  });
});

describe('before a process ends', () => {
  it.each([
    ['by process.exit', 'process.exit(3)', 3],
    ['by an error', 'throw new Error("a defect")', 1],
    ['by an empty event loop, after stop', 'lines.stop()', 0],
  ])('%s', (_, end, status) => {
    const program = `
      const { startMetricLines } = await import(${metricLines});
      const { Metrics } = await import(${metricsModule});
      const metrics = new Metrics();
      const lines = startMetricLines(metrics, process.stdout, ${JSON.stringify(NAMES)});
      metrics.add('identifies', 7);
      ${end};`;
    const ended = spawnSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' });
    expect(ended.status).toBe(status);
    const [line, ...more] = ended.stdout.trim().split('\n');
    expect([JSON.parse(line ?? ''), more]).toMatchObject([{ Identifies: 7 }, []]);
  });
});
