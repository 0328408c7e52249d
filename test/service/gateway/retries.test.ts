// What a shard keeps of the ends of its connections. The session, the gate and the clock are fake; reconnect.test.ts has the
// decisions.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Verdict } from '../../../service/gateway/close-code.ts';
import { type Progress, Retries } from '../../../service/gateway/retries.ts';
import type { ShardOptions } from '../../../service/gateway/shard-options.ts';
import { logLines } from '../../support/log-lines.ts';

beforeEach(() => void vi.useFakeTimers({ fakeNodeBuiltins: true }));
afterEach(() => void vi.useRealTimers());

const HOUR_MS = 3_600_000;
const ended = (kind: Verdict['kind']): Verdict => ({ kind, reason: kind });

function retriesOf(resumable?: { sequence: number; startedAt: number }) {
  let nextReady = new AbortController();
  const gate = {
    closed: undefined as string | undefined,
    close: vi.fn(),
    untilOpen: vi.fn(async () => undefined),
    get nextReady() {
      return nextReady.signal;
    },
  };
  const session = { resumable, shardCount: 1, refused: vi.fn(() => false) };
  // An IDENTIFY for the day.
  const information = {
    latest: { session_start_limit: { total: 1, remaining: 1, reset_after: 0, max_concurrency: 1 } },
  };
  const token = { reject: vi.fn() };
  const add = vi.fn();
  const options = { id: 3, session, token, information, gate, metrics: { add }, log: logLines().log };
  const retries = new Retries(options as unknown as ShardOptions);
  const stop = new AbortController();
  const waits = (next: ReturnType<Retries['after']>) => {
    const wait = { over: false };
    void retries.wait(next, stop.signal).then(() => {
      wait.over = true;
    });
    return wait;
  };
  const after = (kind: Verdict['kind'], progress: Partial<Progress> = {}) =>
    retries.after(ended(kind), { token: 'a', sent: undefined, readyAt: undefined, ...progress });
  return {
    ...{ add, after, gate, retries, session, stop, token, waits },
    /** Another shard comes to READY. */
    ready: async () => {
      nextReady.abort();
      nextReady = new AbortController();
      await vi.advanceTimersByTimeAsync(0);
    },
  };
}

const IDENTIFIED = { what: 'identify', from: undefined } as const;
const RESUMED = { what: 'resume', from: 7 } as const;

it('two connections in a row that end before READY are a problem, one is none, and READY ends it', () => {
  const { after, retries } = retriesOf();
  after('unreachable');
  expect(retries.problem).toBeUndefined();
  after('unreachable');
  expect(retries.problem).toBe('unreachable: 2 connections in a row ended; it is retried');
  retries.succeeded();
  after('unreachable');
  expect(retries.problem).toBeUndefined();
});

it('a shard that starts again waits as after a first failure', () => {
  const { after, retries } = retriesOf({ sequence: 7, startedAt: Date.now() });
  for (let failures = 1; failures <= 8; failures += 1) after('unreachable');
  expect(after('unreachable')?.pauseMs).toBeGreaterThanOrEqual(15_000);
  retries.started();
  expect(after('unreachable')?.pauseMs).toBeLessThanOrEqual(250);
  expect(retries.attempts.unanswered, 'the address is still the one to try next').toBe(10);
});

it('a refusal is the problem as the gate tells it, until another connection ends for another reason', () => {
  const { after, gate, retries } = retriesOf();
  expect(after('fatal')).toBeUndefined();
  expect([gate.close.mock.calls, retries.fatal, retries.problem]).toEqual([[['fatal']], 'fatal', 'fatal']);
  gate.closed = 'fatal, tried again';
  expect([retries.fatal, retries.problem]).toEqual(['fatal, tried again', 'fatal, tried again']);
  after('unreachable');
  expect([retries.fatal, retries.problem]).toEqual([
    ...[undefined, 'unreachable: 2 connections in a row ended; it is retried'],
  ]);
});

it('after a refusal it waits for the gate, otherwise for the pause', async () => {
  const { after, gate, stop, waits } = retriesOf({ sequence: 7, startedAt: Date.now() });
  const opened = Promise.withResolvers<undefined>();
  gate.untilOpen.mockReturnValueOnce(opened.promise);
  const refused = waits(after('fatal'));
  await vi.advanceTimersByTimeAsync(HOUR_MS);
  expect([refused.over, gate.untilOpen.mock.calls]).toEqual([false, [[stop.signal]]]);
  opened.resolve(undefined);
  await vi.advanceTimersByTimeAsync(0);
  expect(refused.over).toBe(true);
  const next = after('resume');
  const paused = waits(next);
  await vi.advanceTimersByTimeAsync(Math.floor(next?.pauseMs ?? 0) - 1);
  expect(paused.over).toBe(false);
  await vi.advanceTimersByTimeAsync(2);
  expect(paused.over).toBe(true);
  const aborted = waits(after('resume'));
  stop.abort();
  await vi.advanceTimersByTimeAsync(0);
  expect(aborted.over).toBe(true);
});

it('READY of another shard ends the pause between IDENTIFYs once, and again after a session that lasted', async () => {
  const { after, ready, retries, session, waits } = retriesOf();
  const thirdIdentify = () => {
    after('resume', { sent: IDENTIFIED });
    after('resume', { sent: IDENTIFIED });
    return after('resume', { sent: IDENTIFIED });
  };
  const first = waits(thirdIdentify());
  expect(retries.problem).toMatch(/^resume: 3 connections in a row ended; it is retried at \d{4}-/);
  await ready();
  expect([first.over, retries.problem]).toEqual([true, 'resume: 3 connections in a row ended; it is retried']);
  const second = waits(after('resume', { sent: IDENTIFIED }));
  await ready();
  await vi.advanceTimersByTimeAsync(3 * HOUR_MS - 1);
  expect(second.over).toBe(false);
  await vi.advanceTimersByTimeAsync(21 * HOUR_MS + 1);
  expect(second.over).toBe(true);
  const third = waits(after('resume', { sent: IDENTIFIED }));
  await ready();
  expect(third.over).toBe(false);
  session.resumable = { sequence: 7, startedAt: Date.now() - 6 * HOUR_MS };
  after('resume', { sent: RESUMED, readyAt: Date.now() });
  session.resumable = undefined;
  const next = waits(thirdIdentify());
  await ready();
  expect(next.over).toBe(true);
});

it('a session whose RESUMEs get no answer is refused after four, and 15 s after the first', async () => {
  const { after, session } = retriesOf({ sequence: 7, startedAt: Date.now() });
  const unanswered = async (times: number) => {
    for (let time = 0; time < times; time += 1) after('unreachable', { sent: RESUMED });
    await vi.advanceTimersByTimeAsync(5_000);
  };
  await unanswered(3);
  // A dispatch came: it begins again.
  after('unreachable', { sent: { ...RESUMED, from: 6 } });
  await vi.advanceTimersByTimeAsync(60_000);
  for (let seconds = 0; seconds < 15; seconds += 5) await unanswered(2);
  expect(session.refused).not.toHaveBeenCalled();
  await unanswered(1);
  expect(session.refused.mock.calls).toEqual([['unreachable', Date.now() - 5_000]]);
});

it('counts malformed frames, and rejects the token that Discord rejected', () => {
  const { add, after, token } = retriesOf({ sequence: 7, startedAt: Date.now() });
  after('malformed');
  after('resume');
  expect([add.mock.calls, token.reject.mock.calls]).toEqual([[['invalidFrames']], []]);
  after('token rejected');
  expect(token.reject.mock.calls).toEqual([['a', 'token rejected']]);
});
