// What waits for a server that never answers gives it up at a certain time.

import { expect, onTestFinished, vi } from 'vitest';
import { silentServer } from './fake-servers.ts';

/** @param attempt gets the server's port; rejects with this reason after exactly this time */
export async function givesUpAfter(ms: number, attempt: (port: number) => Promise<unknown>, reason: RegExp) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const server = await silentServer();
  let ended = false;
  const late = expect(
    attempt(server.port).finally(() => {
      ended = true;
    }),
  ).rejects.toThrow(reason);
  await vi.advanceTimersByTimeAsync(ms - 1);
  expect(ended).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await late;
  await server.close();
}
