// Delivery tags of one channel, against a list of what was written.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Confirms } from '../../../service/publisher/confirms.ts';

it('answers each message once, in the order written, whatever the answers', () => {
  const step = fc.oneof(
    { weight: 2, arbitrary: fc.constant('write' as const) },
    fc.record({
      tag: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.constantFrom(0, -1, 1e9, 2 ** 53)),
      multiple: fc.boolean(),
    }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const confirms = new Confirms<number>();
      let written = 0;
      const answered = new Set<number>();
      for (const each of steps) {
        if (each === 'write') {
          written += 1;
          confirms.written(written);
          continue;
        }
        const due = Array.from({ length: written }, (_, index) => index + 1).filter(
          (tag) => !answered.has(tag) && (each.multiple ? tag <= each.tag || each.tag === 0 : tag === each.tag),
        );
        expect(confirms.answered(each.tag, each.multiple)).toEqual(due);
        for (const tag of due) answered.add(tag);
        expect(confirms.size).toBe(written - answered.size);
      }
    }),
  );
});
