// What a shard knows of its last connections when it asks for another: may another task have resumed the session?

import { expect, it } from 'vitest';
import type { EndCause } from '../../../service/gateway/close-code.ts';
import { Permission } from '../../../service/gateway/permission.ts';

const session = { resumable: {} };
const closed = (code: number): EndCause => ({ how: 'closed by Discord', code });
const op9: EndCause = { how: 'op 9', resumable: true };
const zombie: EndCause = { how: 'zombie' };
const failed: EndCause = { how: 'failed', reason: 'read ECONNRESET' };

it.each<[boolean, ...[EndCause, 'ready' | 'not ready'][]]>([
  [true],
  [false, [zombie, 'ready']],
  [false, [failed, 'ready']],
  [false, [{ how: 'op 7' }, 'ready']],
  [false, [closed(1006), 'ready']],
  [true, [closed(4000), 'ready']],
  [true, [closed(1001), 'ready']],
  [true, [op9, 'ready']],
  // Only a connection on which Discord had the session for this task shows that it still had it.
  [true, [failed, 'not ready']],
  [true, [closed(4000), 'ready'], [failed, 'not ready'], [{ how: 'no HELLO' }, 'not ready']],
  [false, [closed(4000), 'ready'], [failed, 'ready']],
  [false, [zombie, 'ready'], [failed, 'not ready']],
  [true, [zombie, 'ready'], [op9, 'not ready']],
])('another task may have taken the session: %s', async (expected, ...ends) => {
  const asked: boolean[] = [];
  const permission = new Permission(async (_, { perhapsTaken }) => {
    asked.push(perhapsTaken);
    return 'proven';
  }, session);
  for (const [end, readiness] of ends) permission.ended(Date.now(), end, readiness === 'ready');
  await permission.toConnect(new AbortController().signal);
  expect([permission.perhapsTaken, asked]).toEqual([expected, [expected]]);
});
