// Waiting for what no event reports.

import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until the condition holds. @returns false when the time is over */
export async function poll(withinMs: number, condition: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) return false;
    await sleep(50);
  }
  return true;
}
