// What is drawn while many dead letters are read.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Progress } from '../../../lib/operator/progress.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

const on = (isTTY: boolean) => {
  const written: string[] = [];
  const progress = new Progress({ isTTY, write: (text) => written.push(String(text)) > 0 });
  return { progress, written };
};

it('draws a bar on a terminal, ten times a second at most, and removes it', () => {
  const { progress, written } = on(true);
  progress.show(0, 0);
  vi.advanceTimersByTime(99);
  progress.show(1, 40);
  vi.advanceTimersByTime(1);
  progress.show(10, 40);
  vi.advanceTimersByTime(100);
  // More than were announced.
  progress.show(41, 40);
  progress.clear();
  expect(written).toEqual([
    `\r[${'░'.repeat(30)}] 0 of 0\x1b[K`,
    `\r[${'█'.repeat(8)}${'░'.repeat(22)}] 10 of 40\x1b[K`,
    `\r[${'█'.repeat(30)}] 41 of 40\x1b[K`,
    '\r\x1b[K',
  ]);
});

it('draws nothing elsewhere', () => {
  const { progress, written } = on(false);
  progress.show(1, 2);
  progress.clear();
  expect(written).toEqual([]);
});
