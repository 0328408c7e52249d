// A simulator for one test, stopped when the test ends, however it ends.

import { onTestFinished } from 'vitest';
import type { SimulatorOptions } from '../../local/discord/options.ts';
import { DiscordSimulator } from '../../local/discord/simulator.ts';

/** @default - IDENTIFYs need not wait */
export async function startSimulator(options: Partial<SimulatorOptions> = {}): Promise<DiscordSimulator> {
  const simulator = await DiscordSimulator.start({ identifyEveryMs: 0, ...options });
  onTestFinished(() => simulator.stop());
  return simulator;
}
