import { expect, it } from 'vitest';
import { InvalidRequests } from '../../../service/gateway/invalid-requests.ts';

it('counts those of the last ten minutes', () => {
  const invalid = new InvalidRequests();
  expect(invalid.count(0)).toBe(0);
  for (const time of [0, 1_000, 599_999]) invalid.add(time);
  expect(invalid.count(599_999)).toBe(3);
  expect(invalid.count(600_000)).toBe(2);
  expect(invalid.count(601_000)).toBe(1);
  expect(invalid.count(2_000_000)).toBe(0);
});

it('at a hundred, a hundredth of those that bring a ban, there is a pause until the first is ten minutes old', () => {
  const invalid = new InvalidRequests();
  for (let time = 0; time < 99; time += 1) invalid.add(time);
  expect(invalid.pauseMs(99)).toBe(0);
  invalid.add(99);
  expect(invalid.pauseMs(100)).toBe(599_900);
  expect(invalid.pauseMs(599_999)).toBe(1);
  expect(invalid.pauseMs(600_000)).toBe(0);
});
