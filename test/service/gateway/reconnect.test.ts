// When the next connection is made, at both ends of the random pause, and at which address. And how many
// IDENTIFYs a day takes in which Discord refuses them all.

import { describe, expect, it } from 'vitest';
import {
  type Attempts,
  addressToResume,
  type EndedConnection,
  effectiveVerdict,
  identifyIntervalMs,
  NO_ATTEMPTS,
  readyDeadlineMs,
  reconnectAfter,
} from '../../../service/gateway/reconnect.ts';

const KINDS = [
  ...(['unreachable', 'resume', 'not now', 'malformed', 'refused', 'no READY'] as const),
  'token rejected',
] as const;
const INTERVAL_MS = 100_000;
const END: EndedConnection = {
  ...{ verdict: 'resume', sent: 'resume', readyMs: undefined, progressed: false, hasSession: true },
  unresumedMs: 15_000,
  ...{ sessionMs: undefined, intervalMs: INTERVAL_MS },
};

function decided(end: Partial<EndedConnection>, before: Partial<Attempts> = {}, random?: () => number) {
  const decision = reconnectAfter({ ...END, ...end }, { ...NO_ATTEMPTS, ...before }, random);
  return decision ?? expect.fail('expected another connection');
}

/** Of the pause after so many failures. */
const bounds = (end: Partial<EndedConnection>, failures: number) =>
  [() => 0, () => 1].map((random) => decided(end, { failures: failures - 1 }, random).pauseMs);

it.each<[string, Partial<EndedConnection>, number, number]>([
  ['count from one again more than ten seconds after READY or RESUMED', { readyMs: 10_001 }, 7, 1],
  ['count up to three sooner after it', { readyMs: 10_000 }, 7, 3],
  ['reach three', { readyMs: 0 }, 2, 3],
  ['count up to three while dispatches come', { progressed: true }, 7, 3],
  ['count on where Discord asks for time after them', { verdict: 'not now', progressed: true }, 7, 8],
  ['count on without it, however long it was waited for', {}, 7, 8],
  ['count from one', {}, 0, 1],
])('failures %s', (_, end, before, failures) => {
  expect(decided(end, { failures: before }).attempts.failures).toBe(failures);
});

describe('the pause', () => {
  it.each(KINDS.filter((kind) => kind !== 'refused' && kind !== 'not now'))(
    '%s: quick at first, then from half of 1, 2, 4 … 30 s to all of it',
    (verdict) => {
      const pauses = [1, 2, 3, 6, 7, 12].map((failures) => bounds({ verdict }, failures));
      const longest = [1_000, 2_000, 16_000, 30_000, 30_000];
      expect(pauses).toEqual([[50, 250], ...longest.map((ms) => [ms / 2, ms])]);
    },
  );

  it.each([1, 12])('a refused session that is kept is resumed within half a second, after %d failures', (failures) => {
    expect(bounds({ verdict: 'refused' }, failures)).toEqual([0, 500]);
  });

  it.each(['refused', 'resume'] as const)('%s, again and again after RESUMED: up to 2 s, not at once', (verdict) => {
    const pauses = [1, 2, 3, 12].map((failures) => {
      const before = { failures: failures - 1 };
      return [0, 1].map((random) => decided({ verdict, readyMs: 0 }, before, () => random).pauseMs);
    });
    expect(pauses).toEqual([
      [50, 250],
      [500, 1_000],
      [1_000, 2_000],
      [1_000, 2_000],
    ]);
  });

  it('Discord asks for time: 1 to 5 s, then as long as after any failure, and never less', () => {
    const pauses = [1, 3, 4, 6, 12].map((failures) => bounds({ verdict: 'not now' }, failures));
    expect(pauses).toEqual([
      [1_000, 5_000],
      [2_000, 5_000],
      [4_000, 8_000],
      [15_000, 30_000],
      [15_000, 30_000],
    ]);
  });

  const beforeIdentify = (end: Partial<EndedConnection>, identifies: number) =>
    [() => 0, () => 1].map(
      (random) =>
        decided({ sent: 'identify', hasSession: false, ...end }, { identifies: identifies - 1 }, random).pauseMs,
    );

  it.each(['refused', 'no READY', 'malformed', 'resume', 'not now'] as const)(
    "%s after IDENTIFY: Discord's 1 to 5 s, and from the fourth in a row twice as long each time, up to four shares",
    (verdict) => {
      const pauses = [1, 3, 4, 6, 9, 10, 40].map((identifies) => beforeIdentify({ verdict }, identifies));
      const longest = [25_000, 200_000, 400_000, 400_000];
      expect(pauses).toEqual([[1_000, 5_000], [1_000, 5_000], [1_000, 6_250], ...longest.map((ms) => [ms / 8, ms])]);
    },
  );

  it('after IDENTIFY is the longest sooner where the budget has few for each shard', () => {
    const ofShare = (intervalMs: number) =>
      [2, 3, 5, 4].map((identifies) => beforeIdentify({ intervalMs }, identifies).map((ms) => ms / intervalMs));
    const [longest, free] = [[0.5, 4], [1_000, 5_000].map((ms) => ms / 17_280_000)];
    expect(ofShare(17_280_000)).toEqual([free, longest, longest, longest]);
    expect(ofShare(4_320_000)[1]?.[1]).toBeLessThan(0.01);
    expect(ofShare(4_320_000).slice(2)).toEqual([longest, [0.25, 2]]);
  });

  it('is none of these after an IDENTIFY that was not sent, a rejected token, or a connection that was not answered', () => {
    const quick = [50, 250];
    expect(beforeIdentify({ sent: undefined }, 41)).toEqual(quick);
    expect(beforeIdentify({ verdict: 'unreachable', sent: undefined }, 41)).toEqual(quick);
    expect(beforeIdentify({ verdict: 'token rejected' }, 41)).toEqual([1_000, 5_000]);
    // A session that is ended on purpose may IDENTIFY for 4 s.
    expect(beforeIdentify({ sent: 'resume', readyMs: 60_000 }, 1)).toEqual(quick);
    // Discord closes one that waits at the gate: it counts none.
    expect(beforeIdentify({ verdict: 'refused', sent: undefined }, 41)).toEqual([1_000, 5_000]);
  });

  it('is random by default', () => {
    expect(new Set(Array.from({ length: 20 }, () => decided({}).pauseMs)).size).toBeGreaterThan(1);
  });

  it('saves IDENTIFYs where that makes it longer than any other', () => {
    const saves = (identifies: number, end: Partial<EndedConnection> = {}) =>
      decided({ sent: 'identify', hasSession: false, ...end }, { identifies }, () => 0.9).savesIdentifies;
    expect([0, 2, 3, 9].map((identifies) => saves(identifies))).toEqual([false, false, true, true]);
    expect([saves(9, { hasSession: true }), saves(9, { sent: undefined })]).toEqual([false, false]);
    expect(saves(9, { verdict: 'refused', hasSession: true })).toBe(false);
    const savesAt = (intervalMs: number) =>
      decided({ sent: 'identify', hasSession: false, intervalMs }, { identifies: 9 }, () => 1).savesIdentifies;
    // As long as Discord's pause at its longest, and longer.
    expect([1_250, 1_251].map(savesAt)).toEqual([false, true]);
  });
});

it('a fatal verdict is the only one without another connection, but not after READY or RESUMED, which contradict it', () => {
  expect(reconnectAfter({ ...END, verdict: 'fatal' }, NO_ATTEMPTS)).toBeUndefined();
  expect(bounds({ verdict: 'fatal', readyMs: 0 }, 1)).toEqual([50, 250]);
  expect(bounds({ verdict: 'fatal', readyMs: 0 }, 9)).toEqual([1_000, 2_000]);
});

it("the address is the session's for two tries without an answer, then in turn the gateway's and the session's", () => {
  const addresses = (unresumed: number) =>
    [0, 1, 2, 3, 4].map((unanswered) => addressToResume({ unanswered, unresumed }));
  expect(addresses(2)).toEqual(['session', 'session', 'gateway', 'session', 'gateway']);
  // After three without an answer to RESUME.
  expect(addresses(3)).toEqual(['gateway', 'session', 'gateway', 'session', 'gateway']);
});

it.each(KINDS)('%s: counts connections in a row that were not answered', (verdict) => {
  const counts = [0, 7].map((unanswered) => decided({ verdict }, { unanswered }).attempts.unanswered);
  expect(counts).toEqual(verdict === 'unreachable' ? [1, 8] : [0, 0]);
});

it.each(KINDS)('%s: counts IDENTIFYs in a row whose session did not last for its share of the budget', (verdict) => {
  const count = (end: Partial<EndedConnection>) => decided({ verdict, ...end }, { identifies: 3 }).attempts.identifies;
  const spent = verdict === 'token rejected' ? 3 : 4;
  expect(count({ sent: 'identify', hasSession: false })).toBe(spent);
  // However long it waited for its turn.
  expect(count({ sent: 'identify', readyMs: 11_000, sessionMs: INTERVAL_MS - 1 })).toBe(spent);
  expect(count({ sent: 'identify', readyMs: INTERVAL_MS, sessionMs: INTERVAL_MS })).toBe(0);
  expect([count({}), count({ sent: undefined, hasSession: false })]).toEqual([3, 3]);
});

it.each<[Parameters<typeof identifyIntervalMs>[0], seconds: number]>([
  [undefined, 1_382.4],
  [{ total: 1_000, remaining: 1_000, reset_after: 86_400_000 }, 1_382.4],
  [{ total: 1_000, remaining: 250, reset_after: 43_200_000 }, 2_764.8],
  // It is no less where the budget is renewed soon.
  [{ total: 1_000, remaining: 1_000, reset_after: 0 }, 1_382.4],
  [{ total: 1_000, remaining: 0, reset_after: 0 }, 1_382.4],
  // Four are the longest pause: until it is renewed, or a day.
  [{ total: 1_000, remaining: 0, reset_after: 43_200_000 }, 10_800],
  [{ total: 1, remaining: 1, reset_after: 0 }, 21_600],
])('the share of one of 16 shards in %j: an IDENTIFY each %d s', (limit, seconds) => {
  expect(identifyIntervalMs(limit, 16) / 1_000).toBe(seconds);
});

/** @param readyMs how long each session lasts; nothing: no READY @returns IDENTIFYs of a day, after each hour */
function identifiesOfADay(shards: number, total: number, everyMs: number, readyMs?: number): readonly number[] {
  let seed = 1;
  const random = () => {
    seed = (seed * 16_807) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const all = Array.from({ length: shards }, () => ({ at: 0, attempts: NO_ATTEMPTS }));
  const hours: number[] = [];
  for (let [at, spent] = [0, 0]; ; at += everyMs, spent += 1) {
    const next = all.reduce((one, other) => (other.at < one.at ? other : one));
    at = Math.max(at, next.at);
    while (at >= (hours.length + 1) * 3_600_000) if (hours.push(spent) === 24) return hours;
    const limit = { total, remaining: total - spent, reset_after: 86_400_000 - at };
    const end = { sent: 'identify', readyMs, sessionMs: readyMs, hasSession: false } as const;
    const { attempts, pauseMs } = decided(
      { ...end, intervalMs: identifyIntervalMs(limit, shards) },
      next.attempts,
      random,
    );
    Object.assign(next, { attempts, at: at + (readyMs ?? 0) + pauseMs });
  }
}

it.each<[shards: number, total: number, everyMs: number, number | undefined, anHour: number, aDay: number]>([
  [1, 1_000, 5_000, undefined, 30, 500],
  [16, 1_000, 5_000, undefined, 170, 600],
  [400, 2_000, 300, undefined, 1_250, 1_900],
  // Sessions that are lost 11 s after READY.
  [16, 1_000, 5_000, 11_000, 170, 600],
  // The budget suffices for these.
  [16, 1_000, 5_000, 1_400_000, 60, 999],
])(
  '%d shards of %d IDENTIFYs a day, one each %d ms, whose sessions last %s ms, take at most %d in an hour and %d in all',
  (shards, total, everyMs, readyMs, anHour, aDay) => {
    const hours = identifiesOfADay(shards, total, everyMs, readyMs);
    expect(hours[0]).toBeLessThanOrEqual(anHour);
    expect(hours[23]).toBeLessThanOrEqual(aDay);
    // It is still tried, all day.
    expect(hours[23]).toBeGreaterThan((hours[11] ?? 0) + total / 20);
  },
);

describe('a connection without an answer about the session', () => {
  const effective = (end: Partial<EndedConnection>, unresumed: number) =>
    effectiveVerdict({ ...END, ...end }, { ...NO_ATTEMPTS, unresumed });

  it.each(['malformed', 'resume', 'unreachable'] as const)('%s is a refusal the fourth time in a row', (verdict) => {
    expect([0, 2, 3, 9].map((unresumed) => effective({ verdict }, unresumed))).toEqual([
      verdict,
      verdict,
      'refused',
      'refused',
    ]);
    expect([2, 3].map((unresumed) => decided({ verdict }, { unresumed }).attempts.unresumed)).toEqual([3, 4]);
  });

  it.each(['malformed', 'resume', 'unreachable'] as const)('%s is none within 15 s of the first', (verdict) => {
    expect(effective({ verdict, unresumedMs: 14_999 }, 9)).toBe(verdict);
    expect(effective({ verdict, unresumedMs: 15_000 }, 9)).toBe('refused');
  });

  it.each(['not now', 'no READY', 'token rejected'] as const)('%s is what it is, at any time', (verdict) => {
    expect(effective({ verdict }, 9)).toBe(verdict);
    expect(decided({ verdict }, { unresumed: 3 }).attempts.unresumed).toBe(3);
  });

  it.each<[string, Partial<EndedConnection>]>([
    ['RESUMED came', { readyMs: 0, progressed: true }],
    ['RESUMED came, and nothing else', { readyMs: 0 }],
    ['dispatches came', { progressed: true }],
    ['RESUME was not sent', { sent: undefined }],
    ['the network failed', { verdict: 'unreachable', sent: undefined }],
  ])('is none where %s', (_, end) => {
    expect(effective(end, 9)).toBe(end.verdict ?? 'resume');
    expect(decided(end, { unresumed: 3 }).attempts.unresumed).toBe(end.progressed ? 0 : 3);
  });

  it('malformed counts from one again after a connection that came to READY or RESUMED and lasted', () => {
    const verdict = 'malformed';
    const counted = (end: Partial<EndedConnection>) =>
      decided({ verdict, ...end }, { unresumed: 3 }).attempts.unresumed;
    expect([counted({}), counted({ readyMs: 10_000 }), counted({ progressed: true })]).toEqual([4, 4, 4]);
    expect(counted({ readyMs: 10_001 })).toBe(1);
    expect(effective({ verdict, readyMs: 10_001 }, 9)).toBe('malformed');
    expect(counted({ hasSession: false })).toBe(0);
  });
});

it('READY is waited for twice as long after each time that it did not come, up to 8 minutes', () => {
  const deadlines = [0, 1, 2, 3, 4, 5, 20].map((withoutReady) => readyDeadlineMs({ withoutReady }) / 1_000);
  expect(deadlines).toEqual([30, 60, 120, 240, 480, 480, 480]);
  const { attempts } = decided({ verdict: 'no READY', hasSession: false }, { withoutReady: 2 });
  expect(attempts.withoutReady).toBe(3);
  expect(decided({ verdict: 'resume' }, { withoutReady: 2 }).attempts.withoutReady).toBe(2);
  expect(decided({ verdict: 'resume', readyMs: 0 }, { withoutReady: 2 }).attempts.withoutReady).toBe(0);
});
