// Waiting with an end: backoff, sleeps and promises that a signal or a deadline cuts short. Every timer and listener is
// removed when the wait is over, and no timer keeps the process alive.

import { setTimeout } from 'node:timers/promises';

const FIRST_BACKOFF_MS = 1_000;
const LONGEST_BACKOFF_MS = 30_000;

/**
 * The pause before the next attempt: steps of 1 s, 2 s, 4 s … 30 s, each with jitter. Pure.
 * @param failures how many attempts have failed in a row, from 1
 * @param random a number in [0, 1)
 * @returns milliseconds: between half of the step and all of it, so that many clients spread out
 */
export function backoffMs(
  failures: number,
  random: () => number = Math.random,
  longestMs: number = LONGEST_BACKOFF_MS,
): number {
  const step = Math.min(longestMs, FIRST_BACKOFF_MS * 2 ** (failures - 1));
  return Math.round(step / 2 + (step / 2) * random());
}

/** @throws when the signal aborts */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, { ref: false, ...(signal && { signal }) });
}

/** What the promise settles with. @throws the signal's reason as soon as it aborts */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** What the promise settles with, or after `ms` what `otherwise` returns or throws. */
export async function orAfter<T, U>(promise: Promise<T>, ms: number, otherwise: () => U): Promise<T | U> {
  const settled = new AbortController();
  try {
    return await Promise.race([promise, sleep(ms, settled.signal).then(otherwise)]);
  } finally {
    settled.abort();
  }
}

/** What the promise settles with. @throws Error `<what> within <n> s` after `ms` */
export function withinDeadline<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  return orAfter(promise, ms, () => {
    throw new Error(`${what} within ${ms / 1_000} s`);
  });
}
