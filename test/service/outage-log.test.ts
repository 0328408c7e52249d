import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { OutageLog } from '../../service/outage-log.ts';
import { type LogLines, logLines } from '../support/log-lines.ts';

let lines: LogLines;
let outage: OutageLog;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 0, 1) });
  lines = logLines();
  outage = new OutageLog(lines.log, 'error', 'cannot connect; retrying');
});
afterEach(() => void vi.useRealTimers());

/** One failure each second. */
function failFor(seconds: number, message: string | ((second: number) => string), fields = {}): void {
  for (let second = 0; second < seconds; second += 1) {
    outage.failed(new Error(typeof message === 'string' ? message : message(second)), fields);
    vi.advanceTimersByTime(1_000);
  }
}

const failures = () => lines.lines.map((line) => line.failures);

it('the first failure is a line, and then each minute is one', () => {
  failFor(30 * 60, 'refused', { broker: 'a' });
  expect(failures()).toEqual([1, ...Array.from({ length: 29 }, (_, minute) => 61 + 60 * minute)]);
  const since = '2026-01-01T00:00:00.000Z';
  expect(lines.lines.at(-1)).toMatchObject({
    ...{ level: 'error', msg: 'cannot connect; retrying', broker: 'a', since },
    err: { message: 'refused' },
  });
});

it('another cause, or another broker, is a line; one that comes again is none', () => {
  failFor(3, 'refused', { broker: 'a' });
  failFor(3, 'refused', { broker: 'b' });
  failFor(50, (second) => ['reset', 'refused'][second % 2] ?? '', { broker: 'a' });
  expect(failures()).toEqual([1, 4, 7]);
});

it('causes that never come again are a line a minute after ten', () => {
  failFor(60, (second) => `cause ${second}`);
  expect(failures()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  failFor(60, (second) => `later ${second}`);
  expect(failures().slice(10)).toEqual([70]);
});

it('the end has the count and the time, once; the next failure is a first one again', () => {
  expect(outage.over()).toBeUndefined();
  failFor(5, 'refused');
  expect(outage.over()).toEqual({ failures: 5, failedForMs: 5_000 });
  expect(outage.over()).toBeUndefined();
  failFor(1, 'refused');
  expect(failures()).toEqual([1, 1]);
});
