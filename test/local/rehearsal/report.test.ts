// When a rehearsal has held, and what it prints.
import { describe, expect, it } from 'vitest';
import { holds, Recorder, type Step, table } from '../../../local/rehearsal/report.ts';

const step = (result: Step['result']): Step => ({ name: 'build', result, seconds: 1, detail: 'why' });
const verdict = (changes = {}) => ({ due: 10, lost: 0, repeated: 0, gaps: 0, disorders: 0, ...changes });

describe('a rehearsal has held', () => {
  it('when every step held or was left out, and nothing was lost', () => {
    expect(holds([step('held'), step('left out')], null)).toBe(true);
    expect(holds([step('held')], verdict({ repeated: 3 }))).toBe(true);
  });

  it.each([{ lost: 1 }, { gaps: 1 }, { disorders: 1 }])('not with %j', (changes) => {
    expect(holds([step('held')], verdict(changes))).toBe(false);
  });

  it('not when a step failed, nor when nothing was tried', () => {
    expect(holds([step('held'), step('failed')], verdict())).toBe(false);
    expect(holds([step('left out')], null)).toBe(false);
    expect(holds([], null)).toBe(false);
  });
});

describe('the record', () => {
  it('tells each step as it ends, also one that fails, whose error goes on', async () => {
    const lines: string[] = [];
    const recorder = new Recorder((line) => lines.push(line));
    await recorder.step('one', async () => 'done');
    await expect(recorder.step('two', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    recorder.leaveOut('three', 'no engine');
    expect(lines.map((line) => line.replace(/\s+/g, ' '))).toEqual([
      'held 0.0 s one done',
      'failed 0.0 s two broken',
      'left out 0.0 s three no engine',
    ]);
    expect(recorder.report()).toMatchObject({ held: false, verdict: null });
  });

  it('ends with a line that has what was lost and what was repeated', () => {
    const report = { held: true, steps: [step('held'), step('left out')], deviations: ['PORT'], seconds: 9 };
    expect(table({ ...report, verdict: verdict({ repeated: 2 }) }).at(-1)).toBe(
      '1 steps held, 0 failed, 1 left out in 9 s; 10 events, 0 lost, 2 repeated, 0 out of order, 0 gaps',
    );
    expect(table({ ...report, verdict: null }).at(-1)).toMatch(/; no events: no task was run$/);
    expect(table({ ...report, verdict: null })).toContain('  - PORT');
  });
});
