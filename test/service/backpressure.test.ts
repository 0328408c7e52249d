// When to receive from Discord, by how full the outbox is.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fullness, mayReceive, type Pressure } from '../../service/backpressure.ts';

const MARKS = { maxEvents: 100, maxBytes: 1_000 };
const pressure = (count: number, bytes: number, flowing = true): Pressure => ({ count, bytes, flowing });

describe('fullness', () => {
  it.each([
    [0, 0, 0],
    [50, 0, 0.5],
    [0, 500, 0.5],
    [10, 900, 0.9],
    [200, 0, 2],
  ])('of %d events and %d bytes is that of the fuller bound: %d', (count, bytes, share) => {
    expect(fullness({ count, bytes }, MARKS)).toBe(share);
  });
});

describe('who receives', () => {
  it.each([
    ['goes on below the high mark', pressure(99, 999), true],
    ['goes on below it though the broker is away', pressure(99, 999, false), true],
    ['stops at the high mark of events', pressure(100, 0), false],
    ['stops at the high mark of bytes', pressure(0, 1_000), false],
    ['stops above it', pressure(101, 2_000), false],
  ])('%s', (_name, now, receives) => expect(mayReceive(true, now, MARKS)).toBe(receives));
});

describe('who does not receive', () => {
  it.each([
    ['waits above the low mark', pressure(51, 0), false],
    ['waits for the bytes too', pressure(0, 501), false],
    ['begins again at the low mark', pressure(50, 500), true],
    ['waits while the broker is away, however empty the outbox', pressure(0, 0, false), false],
  ])('%s', (_name, now, receives) => expect(mayReceive(false, now, MARKS)).toBe(receives));
});

it('turns only after the whole way from one mark to the other', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -30, max: 30 }), { maxLength: 200 }), (steps) => {
      let receiving = true;
      let count = 0;
      let lastTurnAt = 0;
      for (const step of steps) {
        count = Math.max(0, count + step);
        const next = mayReceive(receiving, pressure(count, 0), MARKS);
        if (next === receiving) continue;
        // Between two turns lies at least the way from one mark to the other.
        if (next) expect(count).toBeLessThanOrEqual(50);
        else expect(count).toBeGreaterThanOrEqual(100);
        if (lastTurnAt > 0) expect(Math.abs(count - lastTurnAt)).toBeGreaterThanOrEqual(50);
        lastTurnAt = count;
        receiving = next;
      }
    }),
  );
});
