// How a fault test is told: a stage under traffic, something terrible, and then bounds. What was seen goes, as one JSON
// line, into the file that FAULTS_REPORT names, of which `npm run faults` makes its table.

import { appendFile } from 'node:fs/promises';
import { afterAll, expect, test } from 'vitest';
import { Stage, type StageOptions, type Verdict } from '../../local/stage.ts';

export interface Disaster extends StageOptions {
  /** Events a second over all shards. */
  readonly rate: number;
  /** With traffic running: what happens. Returns what else is to be told in the report. */
  readonly happens: (stage: Stage) => Promise<Readonly<Record<string, number | string>> | undefined>;
  /** Traffic after it, so that the way back is seen under load. @default 2 s */
  readonly trafficAfterMs?: number;
  readonly settleMs?: number;
  /** Bounds beside the three that always hold: nothing lost, order kept, repeats only under the same id. */
  readonly bounds?: (verdict: Verdict, seen: Readonly<Record<string, number | string>>) => void;
  /** Sessions may be lost, and are then announced. @default false: not one gap */
  readonly gapsExpected?: boolean;
  /** Punishments of the simulator that the disaster itself provokes. */
  readonly mayBePunished?: RegExp;
  readonly timeoutMs?: number;
}

export function disaster(title: string, options: Disaster): void {
  const stages: Stage[] = [];
  afterAll(async () => {
    await Promise.all(stages.map((stage) => stage.stop()));
  });
  test(
    title,
    async () => {
      const seed = Number(process.env.FAULTS_SEED ?? 1);
      const stage = await Stage.start({
        ...options,
        simulator: { seed, guilds: 40, maxConcurrency: 16, ...options.simulator },
      });
      stages.push(stage);
      stage.simulator?.startTraffic(options.rate);
      await read(stage, 200);
      stage.reader.resetSilences();
      const seen = (await options.happens(stage)) ?? {};
      const before = stage.reader.events;
      await stage.until('events flow again after the disaster', 120_000, () => stage.reader.events > before + 100);
      await new Promise((resolve) => setTimeout(resolve, options.trafficAfterMs ?? 2_000));
      stage.simulator?.stopTraffic();
      const verdict = await stage.settled(options.settleMs ?? 120_000, 20_000);
      const gapMs = Math.max(0, ...[...stage.reader.silences.values()].map(({ longestMs }) => longestMs));
      await report({ disaster: title, seed, ...verdict, gapMs, ...seen });
      const context = [...verdict.examples, ...verdict.violations].join('\n');
      expect(verdict.lost, context).toBe(0);
      expect(verdict.disorders, context).toBe(0);
      expect(verdict.conflicts, context).toBe(0);
      expect(verdict.due, 'the simulator sent something').toBeGreaterThan(300);
      if (!options.gapsExpected) expect(verdict.gaps, context).toBe(0);
      const punished = verdict.violations.filter((violation) => !options.mayBePunished?.test(violation));
      expect(punished).toEqual([]);
      options.bounds?.(verdict, seen);
    },
    options.timeoutMs ?? 300_000,
  );
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
