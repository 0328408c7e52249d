// The two positions of a session, against the plainest model: a list of what came and what is settled.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Watermark } from '../../../service/session/watermark.ts';

it('agrees with a list of everything, in any order of settling and replaying', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('receive' as const), ahead: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ kind: fc.constant('replay' as const), back: fc.nat({ max: 20 }) }),
    fc.record({ kind: fc.constant('settle' as const), index: fc.nat() }),
  );
  fc.assert(
    fc.property(fc.nat({ max: 1_000 }), fc.array(step, { maxLength: 120 }), (start, steps) => {
      const watermark = new Watermark(start);
      const unsettled: number[] = [];
      let received = start;
      for (const each of steps) {
        if (each.kind === 'receive') {
          received += each.ahead;
          unsettled.push(received);
          expect(watermark.receive(received)).toBe(true);
        } else if (each.kind === 'replay') expect(watermark.receive(received - each.back)).toBe(false);
        else if (unsettled.length > 0) {
          const [sequence = 0] = unsettled.splice(each.index % unsettled.length, 1);
          watermark.settle(sequence);
        }
        expect(watermark.received).toBe(received);
        expect(watermark.confirmed).toBe(unsettled.length > 0 ? Math.min(...unsettled) - 1 : received);
      }
    }),
  );
});
