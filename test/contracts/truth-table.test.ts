// The alarms' truth table: today's synthesized alarms evaluate what real tasks wrote in each disaster, as recorded by
// `npm run alarms -- --record`. A changed alarm must still turn on in time in its disasters, and in no other.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  complaints,
  DISASTERS,
  type DisasterName,
  fileOf,
  metricsRead,
  outcomeOf,
  RECORDED,
  recordingOf,
  tableOf,
  withTable,
} from './disasters.ts';
import { written } from './recording.ts';

const names = Object.keys(DISASTERS) as DisasterName[];
const outcomes = new Map(names.map((name) => [name, outcomeOf(recordingOf(name), DISASTERS[name])] as const));

it.each(names)('%s', (name) => {
  const found = outcomes.get(name);
  expect(found && complaints(found, DISASTERS[name])).toEqual([]);
});

it('the table in the runbook is current (otherwise: npm run alarms -- --record)', () => {
  const runbook = readFileSync(join(import.meta.dirname, '../../docs/runbook.md'), 'utf8');
  expect(withTable(runbook, tableOf(outcomes))).toBe(runbook);
});

it('every disaster has a recording, in few kilobytes, with every metric that an alarm reads', () => {
  const files = readdirSync(RECORDED).map((file) => join(RECORDED, file));
  expect(files.sort()).toEqual(names.map(fileOf).sort());
  expect(files.reduce((sum, file) => sum + statSync(file).size, 0)).toBeLessThan(400 * 1024);
  const recorded = new Set(recordingOf('healthy').rows.flatMap(({ values }) => Object.keys(values)));
  for (const metric of metricsRead()) expect(recorded, 'record the disasters again').toContain(metric);
});

it('a recording is the same after it is read and written', () => {
  for (const name of names) expect(written(recordingOf(name))).toBe(readFileSync(fileOf(name), 'utf8'));
});
