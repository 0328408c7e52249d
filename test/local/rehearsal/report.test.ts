// When a rehearsal succeeds, and what it prints.
import { expect, it } from 'vitest';
import { holds, Recorder, type Step } from '../../../local/rehearsal/report.ts';

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

it('prints each step when it ends; a failed step is printed too, and its error is thrown', async () => {
  const lines: string[] = [];
  const recorder = new Recorder((line) => lines.push(line));
  await recorder.step('one', async () => 'done');
  await expect(recorder.step('two', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  recorder.skip('three', 'no engine');
  const printed = ['held 0.0 s one done', 'failed 0.0 s two broken', 'skipped 0.0 s three no engine'];
  expect(lines.map((line) => line.replace(/\s+/g, ' '))).toEqual(printed);
  expect(recorder.report()).toMatchObject({ held: false, verdict: null });
});
