// How a fault test is told: a stage under traffic, something terrible, and then bounds. What was seen goes, as one JSON
// line, into the file that FAULTS_REPORT names, of which `npm run faults` makes its table. Disasters that leave the stage
// as it was may share one (`disastersOn`): each is then judged by what came since the one before.

import { appendFile } from 'node:fs/promises';
import { afterAll, expect, test } from 'vitest';
import { Stage, type StageOptions } from '../../local/stage.ts';
import type { Verdict } from '../../local/verdict.ts';

export interface Disaster {
  /** Events a second over all shards. */
  readonly rate: number;
  /** Before the traffic starts: what only exists once the stage does. */
  readonly prepare?: (stage: Stage) => Promise<void>;
  /** With traffic running: what happens. Returns what else is to be told in the report. */
  readonly happens: (stage: Stage) => Promise<Readonly<Record<string, number | string>> | undefined>;
  /** Traffic after it, so that the way back is seen under load. @default 2 s */
  readonly trafficAfterMs?: number;
  readonly settleMs?: number;
  /** Bounds beside those that always hold: nothing lost or not due, order kept, repeats only under the same id. */
  readonly bounds?: (verdict: Verdict, seen: Readonly<Record<string, number | string>>) => void;
  /** Sessions may be lost, and are then announced. @default false: not one gap */
  readonly gapsExpected?: boolean;
  /** Punishments of the simulator that the disaster itself provokes. */
  readonly mayBePunished?: RegExp;
  readonly timeoutMs?: number;
}

/** A disaster on a stage of its own. */
export function disaster(title: string, options: Disaster & StageOptions): void {
  disastersOn(options)(title, options);
}

/** Disasters, one after the other, on a stage that starts before the first of them. */
export function disastersOn(options: StageOptions): (title: string, disaster: Disaster) => void {
  const stages: Stage[] = [];
  afterAll(async () => {
    await Promise.all(stages.map((stage) => stage.stop()));
  });
  return (title, told) =>
    test(
      title,
      async () => {
        const stage = stages[0] ?? (await Stage.start({ ...options, simulator: { ...WORLD, ...options.simulator } }));
        if (stages.length === 0) stages.push(stage);
        await strike(stage, title, told);
      },
      told.timeoutMs ?? 300_000,
    );
}

const seed = Number(process.env.FAULTS_SEED ?? 1);
const WORLD = { seed, guilds: 40, maxConcurrency: 16 };

async function strike(stage: Stage, title: string, options: Disaster): Promise<void> {
  const before = stage.verdict();
  await options.prepare?.(stage);
  stage.simulator?.startTraffic(options.rate);
  try {
    await read(stage, 200);
    stage.reader.resetSilences();
    const seen = (await options.happens(stage)) ?? {};
    const readBefore = stage.reader.events;
    await stage.until('events flow again after the disaster', 120_000, () => stage.reader.events > readBefore + 100);
    await new Promise((resolve) => setTimeout(resolve, options.trafficAfterMs ?? 2_000));
    stage.simulator?.stopTraffic();
    const verdict = since(before, await stage.settled(options.settleMs ?? 120_000, 20_000));
    const gapMs = Math.max(0, ...[...stage.reader.silences.values()].map(({ longestMs }) => longestMs));
    await report({ disaster: title, seed, ...verdict, gapMs, ...seen });
    const context = [...verdict.examples, ...verdict.violations].join('\n');
    expect(verdict.lost, context).toBe(0);
    expect(verdict.unexpected, context).toBe(0);
    expect(verdict.disorders, context).toBe(0);
    expect(verdict.conflicts, context).toBe(0);
    expect(verdict.due, 'the simulator sent something').toBeGreaterThan(300);
    if (!options.gapsExpected) expect(verdict.gaps, context).toBe(0);
    const punished = verdict.violations.filter((violation) => !options.mayBePunished?.test(violation));
    expect(punished).toEqual([]);
    options.bounds?.(verdict, seen);
  } finally {
    stage.simulator?.stopTraffic();
  }
}

/** What was seen after an earlier verdict. */
function since(before: Verdict, now: Verdict): Verdict {
  return {
    due: now.due - before.due,
    read: now.read - before.read,
    lost: now.lost - before.lost,
    announced: now.announced - before.announced,
    unexpected: now.unexpected - before.unexpected,
    repeated: now.repeated - before.repeated,
    conflicts: now.conflicts - before.conflicts,
    disorders: now.disorders - before.disorders,
    gaps: now.gaps - before.gaps,
    violations: now.violations.slice(before.violations.length),
    examples: now.examples,
  };
}

/** Resolves when so many more events have been read. */
export async function read(stage: Stage, more: number): Promise<void> {
  const before = stage.reader.events;
  await stage.until(`${more} more events read`, 60_000, () => stage.reader.events >= before + more);
}

async function report(line: object): Promise<void> {
  const file = process.env.FAULTS_REPORT;
  if (file !== undefined) await appendFile(file, `${JSON.stringify(line)}\n`);
}
