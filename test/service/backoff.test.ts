// 1 s, 2 s, 4 s … 30 s, with jitter.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { backoffMs } from '../../service/backoff.ts';

it.each([
  [1, 1_000],
  [2, 2_000],
  [3, 4_000],
  [4, 8_000],
  [5, 16_000],
  [6, 30_000],
  [7, 30_000],
  [1_000_000, 30_000],
])('try %d waits from half of %d ms to all of it', (attempt, longest) => {
  expect(backoffMs(attempt, () => 0)).toBe(longest / 2);
  expect(backoffMs(attempt, () => 1 - Number.EPSILON)).toBe(longest);
});

it('spreads those who fail together over the whole second half', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempt, random) => {
      const longest = backoffMs(attempt, () => 1);
      const waited = backoffMs(attempt, () => random);
      expect(waited).toBeGreaterThanOrEqual(longest / 2);
      expect(waited).toBeLessThanOrEqual(longest);
      expect(Math.abs(waited - (longest / 2) * (1 + random))).toBeLessThanOrEqual(0.5);
    }),
  );
});
