// What the benches share: numbers from the command line, a stage that is stopped in any case, and quantiles.

import { parseArgs } from 'node:util';
import { Stage, type StageOptions } from '../local/stage.ts';

/** `--name N` for each number. @throws for an unknown name */
export function readNumbers<T extends Record<string, number>>(defaults: T): T {
  const options = Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: 'string' } as const]));
  const { values } = parseArgs({ options });
  const numbers = Object.entries(values).map(([name, text]) => [name, Number(text)]);
  return { ...defaults, ...Object.fromEntries(numbers) };
}

export async function onStage<T>(options: StageOptions, measure: (stage: Stage) => Promise<T>): Promise<T> {
  const stage = await Stage.start(options);
  try {
    return await measure(stage);
  } finally {
    await stage.stop();
  }
}

/** The nearest rank. */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
