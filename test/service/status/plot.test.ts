// A plot as SVG: which points are connected, where they are, and the scale.

import { expect, it } from 'vitest';
import { plot } from '../../../service/status/plot.ts';
import type { Point } from '../../../service/status/report.ts';

type Values = readonly (readonly [at: number, value: number | null])[];

/** One unit of the width is a second. */
function plotted(values: Values, marks: readonly number[] = [], series = [({ p50 }: Point) => p50]) {
  const points = values.map(([at, p50]) => ({ at, perSecond: 0, p50, p99: 9, outbox: 0, waiting: null }));
  const { text } = plot({ label: 'Latency', points, series, from: 0, to: 300_000, marks });
  const all = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, found]) => found);
  return {
    areas: all(/<polygon class="area" points="([^"]*)"/g),
    lines: all(/<polyline class="first" points="([^"]*)"/g),
    seconds: all(/<polyline class="second" points="([^"]*)"/g),
    events: all(/<line class="event" x1="([^"]*)"/g),
    label: all(/aria-label="([^"]*)"/g)[0],
    scale: all(/<span>(0–[^<]*)</g)[0],
  };
}

it('connects points that are at most 75 s apart, and leaves out those without a value', () => {
  const values: Values = [
    [100_000, 1],
    [120_000, null],
    [175_000, 2],
    [250_001, 1],
  ];
  const { areas, lines, label } = plotted(values);
  expect(lines).toEqual(['100.0,50.0 175.0,0.0', '250.0,50.0']);
  expect(areas).toEqual(['100.0,100 100.0,50.0 175.0,0.0 175.0,100', '250.0,100 250.0,50.0 250.0,100']);
  expect(label).toBe('Latency: at most 2 in the last 15 minutes, 1 at last');
});

it('has two lines without an area', () => {
  const { areas, lines, seconds } = plotted([[0, 1]], [], [({ p50 }) => p50, ({ p99 }) => p99]);
  expect([areas, lines, seconds]).toEqual([[], ['0.0,90.0'], ['0.0,10.0']]);
});

it('marks what happened in its time only', () => {
  expect(plotted([], [-1, 0, 150_000, 300_000, 300_001]).events).toEqual(['0.0', '150.0', '300.0']);
});

it.each<[number, string]>([
  [0, '0–1'],
  [0.3, '0–1'],
  [1, '0–1'],
  [1.5, '0–2'],
  [2, '0–2'],
  [3, '0–5'],
  [6, '0–10'],
  [11, '0–20'],
  [700, '0–1,000'],
])('for %d has the scale %s', (value, scale) => {
  expect(plotted([[0, value]])).toMatchObject({ scale, label: expect.stringContaining(`at most ${value} in`) });
});

it('without a value says so', () => {
  expect(plotted([[0, null]])).toMatchObject({ lines: [], scale: '0–1', label: 'Latency: no values yet' });
});
