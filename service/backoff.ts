// How long to wait before the next try: 1 s, 2 s, 4 s … 30 s, each with jitter, for ever. Pure; the clock is the caller's.

const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;

/**
 * @param attempt how many tries have failed in a row, from 1
 * @param random a number in [0, 1)
 * @param longestMs the longest step
 * @returns milliseconds: between half and all of the step, so that many clients spread out and none waits longer than it
 */
export function backoffMs(attempt: number, random: () => number = Math.random, longestMs = LONGEST_MS): number {
  const step = Math.min(longestMs, FIRST_MS * 2 ** Math.min(attempt - 1, 10));
  return Math.round(step / 2 + (step / 2) * random());
}
