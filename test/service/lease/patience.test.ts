// How long an owner without Discord keeps its group.

import { expect, it } from 'vitest';
import { Patience } from '../../../service/lease/patience.ts';

it('is over after its time without Discord, and doubles up to its longest until Discord is reached', () => {
  const patience = new Patience(30, 100);
  const over = (ms: number) => patience.isOver(1_000, 1_000 + ms);
  expect([patience.isOver(undefined), over(29), over(30)]).toEqual([false, false, true]);
  patience.grow();
  expect([over(59), over(60)]).toEqual([false, true]);
  patience.grow();
  expect([over(99), over(100)]).toEqual([false, true]);
  patience.reset();
  expect(over(30)).toBe(true);
});
