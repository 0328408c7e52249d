// When a rehearsal has held, and what it prints.
import { expect, it } from 'vitest';
import { holds, Recorder, type Step, table } from '../../../local/rehearsal/report.ts';

const step = (result: Step['result']): Step => ({ name: 'build', result, seconds: 1, detail: 'why' });
const verdict = (changes = {}) => ({ due: 10, lost: 0, repeated: 0, gaps: 0, disorders: 0, ...changes });

it.each<[boolean, Step['result'][], ReturnType<typeof verdict> | null]>([
  [true, ['held', 'skipped'], null],
  [true, ['held'], verdict({ repeated: 3 })],
  [false, ['held'], verdict({ lost: 1 })],
  [false, ['held'], verdict({ gaps: 1 })],
  [false, ['held'], verdict({ disorders: 1 })],
  [false, ['held', 'failed'], verdict()],
  [false, ['skipped'], null],
  [false, [], null],
])('%s: a rehearsal with the steps %j and the verdict %j holds', (expected, results, seen) => {
  expect(holds(results.map(step), seen)).toBe(expected);
});

it('prints each step as it ends, also one that fails, whose error goes on', async () => {
  const lines: string[] = [];
  const recorder = new Recorder((line) => lines.push(line));
  await recorder.step('one', async () => 'done');
  await expect(recorder.step('two', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  recorder.skip('three', 'no engine');
  const printed = ['held 0.0 s one done', 'failed 0.0 s two broken', 'skipped 0.0 s three no engine'];
  expect(lines.map((line) => line.replace(/\s+/g, ' '))).toEqual(printed);
  expect(recorder.report()).toMatchObject({ held: false, verdict: null });
});

it('ends with a line of what was lost and what was repeated', () => {
  const report = { held: true, steps: [step('held'), step('skipped')], deviations: ['PORT'], seconds: 9 };
  const counts = '1 steps held, 0 failed, 1 skipped in 9 s';
  const lines = table({ ...report, verdict: verdict({ repeated: 2 }) });
  expect(lines.slice(2)).toEqual([
    'Different from AWS:',
    '  - PORT',
    `${counts}; 10 events, 0 lost, 2 repeated, 0 out of order, 0 gaps`,
  ]);
  expect(table({ ...report, verdict: null }).at(-1)).toBe(`${counts}; no events: no task was run`);
});
