// A plot of the last minutes as SVG: one or two lines over time, from zero to a round maximum. Pure.

import { type Html, html } from './html.ts';
import type { Point } from './report.ts';

interface PlotOptions {
  readonly label: string;
  readonly points: readonly Point[];
  readonly series: readonly ((point: Point) => number | null)[];
  /** Unix ms. */
  readonly from: number;
  readonly to: number;
  /** When something happened. */
  readonly marks: readonly number[];
}

const [WIDTH, HEIGHT] = [300, 100];
/** Points further apart are not connected: nothing is known of the time between. */
const LONGEST_STEP_MS = 75_000;

export function plot({ label, points, series, from, to, marks }: PlotOptions): Html {
  const values = series.flatMap((of) => points.flatMap((point) => of(point) ?? []));
  const most = roundUp(Math.max(0, ...values));
  const x = (at: number) => ((WIDTH * (at - from)) / (to - from)).toFixed(1);
  const y = (value: number) => (HEIGHT - (HEIGHT * value) / most).toFixed(1);
  const lines = series.flatMap((of, index) =>
    runsOf(points, of).map((run) => {
      const line = run.map(({ at, value }) => `${x(at)},${y(value)}`).join(' ');
      const [first, last] = [run[0]?.at ?? from, run.at(-1)?.at ?? from];
      const area = `${x(first)},${HEIGHT} ${line} ${x(last)},${HEIGHT}`;
      const filled = series.length === 1 ? html`<polygon class="area" points="${area}"/>` : html``;
      return html`${filled}<polyline class="${index === 0 ? 'first' : 'second'}" points="${line}"/>`;
    }),
  );
  const events = marks
    .filter((at) => at >= from && at <= to)
    .map((at) => html`<line class="event" x1="${x(at)}" x2="${x(at)}" y1="0" y2="${HEIGHT}"/>`);
  const text = `${label}: ${values.length === 0 ? 'no values yet' : `at most ${Math.max(...values)} in the last 15 minutes, ${values.at(-1)} at last`}`;
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${text}"><line class="axis" x1="0" x2="${WIDTH}" y1="${HEIGHT}" y2="${HEIGHT}"/><line class="axis" x1="0" x2="${WIDTH}" y1="0" y2="0"/>${events}${lines}</svg><div class="scale"><span>−15 min</span><span>0–${most.toLocaleString('en')}</span><span>now</span></div>`;
}

function runsOf(points: readonly Point[], of: (point: Point) => number | null) {
  const runs: { at: number; value: number }[][] = [];
  let before = Number.NEGATIVE_INFINITY;
  for (const point of points) {
    const value = of(point);
    if (value === null) continue;
    if (point.at - before > LONGEST_STEP_MS) runs.push([]);
    runs.at(-1)?.push({ at: point.at, value });
    before = point.at;
  }
  return runs;
}

/** 1, 2 or 5 times a power of ten. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return ([1, 2, 5].find((factor) => factor * power >= value) ?? 10) * power;
}
