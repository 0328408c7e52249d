// Standard output of a tool, at the speed of its reader: `less` may wait for minutes.

import { once } from 'node:events';

let room: Promise<unknown> | undefined;

/** @returns nothing, or a promise that resolves when there is room for more, or the signal ends the wait */
export function print(text: string, signal: AbortSignal): Promise<unknown> | undefined {
  if (process.stdout.write(text)) return undefined;
  room ??= once(process.stdout, 'drain', { signal })
    .catch(() => undefined)
    .finally(() => {
      room = undefined;
    });
  return room;
}
