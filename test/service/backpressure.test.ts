// When to receive from Discord, by how full the outbox is.

import { expect, it } from 'vitest';
import { fullness, mayReceive } from '../../service/backpressure.ts';

it.each([
  [0, 0, 0],
  [10, 900, 0.9],
  [200, 0, 2],
])('an outbox of %d of 100 events and %d of 1,000 bytes is as full as the fuller bound: %d', (count, bytes, full) => {
  expect(fullness({ count, bytes }, { maxEvents: 100, maxBytes: 1_000 })).toBe(full);
});

it.each([
  ['receiving', 'goes on below the bound, although the broker is away', 0.99, false, true],
  ['receiving', 'stops at the bound', 1, true, false],
  ['stopped', 'stays so above half of the bound', 0.51, true, false],
  ['stopped', 'starts at half of the bound', 0.5, true, true],
  ['stopped', 'stays so while the broker is away, however empty the outbox is', 0, false, false],
])('a task that is %s %s', (state, _, full, flowing, receives) => {
  expect(mayReceive(state === 'receiving', full, flowing)).toBe(receives);
});
