// What a shard knows of its last connections when it asks for another: may another task have resumed the session?

import { expect, it, vi } from 'vitest';
import type { EndCause } from '../../../service/gateway/close-code.ts';
import { Permission } from '../../../service/gateway/permission.ts';
import type { AskPermission } from '../../../service/gateway/shard-options.ts';
import type { LastEnd } from '../../../service/last-end.ts';

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

const unaborted = new AbortController().signal;

/** Each question is answered with the next of these. */
function asking(...answers: ('proven' | 'unproven' | Error)[]) {
  const asked: LastEnd[] = [];
  const permission = new Permission(async (_, end) => {
    asked.push(end);
    const answer = answers.shift() ?? expect.fail('asked too often');
    if (answer instanceof Error) throw answer;
    return answer;
  }, session);
  return { permission, asked };
}

it('counts connections without proof in a row, until a proof', async () => {
  const { permission, asked } = asking('unproven', 'unproven', 'proven', 'unproven');
  for (let times = 0; times < 4; times += 1) await permission.toConnect(unaborted);
  expect(asked.map(({ unproven }) => unproven)).toEqual([0, 1, 2, 0]);
});

it('asks once for a proof while a connection without one works, which only a proof answers', async () => {
  const { permission, asked } = asking('unproven', new Error('stopped'), 'unproven', 'proven', 'proven');
  await permission.untilProven(unaborted);
  expect(asked, 'nothing is to be proven').toEqual([]);
  await permission.toConnect(unaborted);
  for (let times = 0; times < 4; times += 1) await permission.untilProven(unaborted);
  expect(asked.map(({ resumable, unproven }) => [resumable, unproven])).toEqual([
    [true, 0],
    ...[1, 2, 3].map(() => [false, 1]),
  ]);
  await permission.toConnect(unaborted);
  expect(asked.at(-1)).toMatchObject({ resumable: true, unproven: 0 });
});

it('the session can be resumed after any end but op 9, and the end has its time', async () => {
  const { permission, asked } = asking('proven', 'proven', 'proven');
  for (const [at, end] of [[1_000, closed(4000)] as const, [2_000, op9] as const, [3_000, zombie] as const]) {
    permission.ended(at, end, true);
    await permission.toConnect(unaborted);
  }
  expect(asked.map(({ endedAt, resumable }) => [endedAt, resumable])).toEqual([
    [1_000, true],
    [2_000, false],
    [3_000, true],
  ]);
  const without = vi.fn<AskPermission>(async () => 'proven');
  await new Permission(without, { resumable: undefined }).toConnect(unaborted);
  expect(without.mock.calls).toMatchObject([[unaborted, { resumable: false, endedAt: undefined }]]);
});

it('has a proof where one comes within 2 s, and none after an error or before the signal', async () => {
  const { permission } = asking('proven', 'unproven', new Error('stopped'));
  const answers = [await permission.isProven(unaborted), await permission.isProven(unaborted)];
  expect([...answers, await permission.isProven(unaborted)]).toEqual([true, false, false]);
  const { timeout } = AbortSignal;
  const deadline = vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => timeout.call(AbortSignal, 10));
  const aborted = vi.fn();
  const waiting = new Permission(
    (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(aborted()))),
    session,
  );
  expect(await waiting.isProven(unaborted)).toBe(false);
  expect([deadline.mock.calls, aborted.mock.calls]).toEqual([[[2_000]], [[]]]);
  deadline.mockRestore();
});
