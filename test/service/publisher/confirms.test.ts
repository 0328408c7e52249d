// Delivery tags of one channel, against a list of what was written.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Confirms } from '../../../service/publisher/confirms.ts';

it('answers one message by its tag, and those before it too when multiple', () => {
  const confirms = new Confirms<string>();
  for (const message of ['a', 'b', 'c', 'd']) confirms.written(message);
  expect(confirms.answered(2, false)).toEqual(['b']);
  expect(confirms.answered(3, true)).toEqual(['a', 'c']);
  expect(confirms.size).toBe(1);
});

it('knows nothing of a tag that was never written, or was answered before', () => {
  const confirms = new Confirms<string>();
  confirms.written('a');
  expect(confirms.answered(7, false)).toEqual([]);
  expect(confirms.answered(1, true)).toEqual(['a']);
  expect(confirms.answered(1, true)).toEqual([]);
  expect(confirms.answered(1, false)).toEqual([]);
});

it('answers each message once, in the order written, whatever the answers', () => {
  const step = fc.oneof(
    { weight: 2, arbitrary: fc.constant('write' as const) },
    fc.record({ tag: fc.integer({ min: 1, max: 60 }), multiple: fc.boolean() }),
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
          (tag) => !answered.has(tag) && (each.multiple ? tag <= each.tag : tag === each.tag),
        );
        expect(confirms.answered(each.tag, each.multiple)).toEqual(due);
        for (const tag of due) answered.add(tag);
        expect(confirms.size).toBe(written - answered.size);
      }
    }),
  );
});
