// The three positions of a session, against the plainest model: a list of what came and what is settled.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Watermark } from '../../../service/session/watermark.ts';

it('agrees with a list of everything, in any order of settling and replaying', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('receive' as const), ahead: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ kind: fc.constant('replay' as const), back: fc.nat({ max: 20 }) }),
    fc.record({ kind: fc.constant('settle' as const), index: fc.nat() }),
    fc.record({ kind: fc.constant('store' as const), back: fc.nat({ max: 20 }) }),
  );
  fc.assert(
    fc.property(fc.nat({ max: 1_000 }), fc.array(step, { maxLength: 120 }), (start, steps) => {
      const watermark = new Watermark(start);
      const unsettled: number[] = [];
      let received = start;
      let stored = start;
      for (const each of steps) {
        if (each.kind === 'receive') {
          received += each.ahead;
          unsettled.push(received);
          expect(watermark.receive(received)).toBe(true);
        } else if (each.kind === 'replay') expect(watermark.receive(received - each.back)).toBe(false);
        else if (each.kind === 'store') {
          // Records are confirmed in the order in which they were stored, or so they should be.
          const sequence = Math.max(start, watermark.confirmed - each.back);
          stored = Math.max(stored, sequence);
          watermark.store(sequence);
        } else if (unsettled.length > 0) {
          const [sequence = 0] = unsettled.splice(each.index % unsettled.length, 1);
          watermark.settle(sequence);
        }
        expect([watermark.received, watermark.stored]).toEqual([received, stored]);
        expect(watermark.confirmed).toBe(unsettled.length > 0 ? Math.min(...unsettled) - 1 : received);
      }
    }),
  );
});

it('forgets the oldest of more than 1,000 holes, and no other', () => {
  const watermark = new Watermark(0);
  const missing = Array.from({ length: 1_001 }, (_, index) => 2 * index + 1);
  for (const sequence of missing) {
    watermark.miss({ first: sequence, last: sequence });
    watermark.receive(sequence + 1);
  }
  expect(missing.map((sequence) => watermark.isMissing(sequence)).indexOf(true)).toBe(1);
  expect([watermark.receive(1), watermark.receive(3), watermark.receive(3)]).toEqual([false, true, false]);
});

it('counts a hole as settled; what comes late for it is new and moves nothing', () => {
  const watermark = new Watermark(3);
  watermark.miss({ first: 4, last: 8 });
  expect(watermark.receive(9)).toBe(true);
  expect([watermark.received, watermark.confirmed]).toEqual([9, 8]);
  expect([6, 4, 8].map((sequence) => watermark.receive(sequence))).toEqual([true, true, true]);
  expect([4, 5, 6, 7, 8].map((sequence) => watermark.isMissing(sequence))).toEqual([false, true, false, true, false]);
  expect(watermark.confirmed).toBe(8);
  watermark.settle(9);
  expect([watermark.received, watermark.confirmed]).toEqual([9, 9]);
});

it('resolves `settled` when all that was received is settled, also what came in the meantime', async () => {
  const watermark = new Watermark(0);
  await watermark.settled;
  const seen: string[] = [];
  for (const sequence of [1, 2]) watermark.receive(sequence);
  const settled = Promise.all([watermark.settled, watermark.settled]).then(() => seen.push('settled'));
  for (const step of [() => watermark.settle(2), () => watermark.receive(3), () => watermark.settle(1)]) {
    step();
    await new Promise(setImmediate);
    seen.push('waits');
  }
  watermark.settle(3);
  await settled;
  expect(seen).toEqual(['waits', 'waits', 'waits', 'settled']);
});
