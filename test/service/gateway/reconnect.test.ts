// When the next connection is made, at both ends of the random pause, and at which address.

import { describe, expect, it } from 'vitest';
import {
  type Attempts,
  addressToResume,
  type EndedConnection,
  effectiveVerdict,
  NO_ATTEMPTS,
  readyDeadlineMs,
  reconnectAfter,
} from '../../../service/gateway/reconnect.ts';

const KINDS = [
  ...(['unreachable', 'resume', 'not now', 'malformed', 'unclear', 'refused', 'no READY'] as const),
  'token rejected',
] as const;
const END: EndedConnection = { verdict: 'resume', lastedMs: 0, wasReady: false, hasSession: true };

function decided(end: Partial<EndedConnection>, before: Partial<Attempts> = {}, random?: () => number) {
  const decision = reconnectAfter({ ...END, ...end }, { ...NO_ATTEMPTS, ...before }, random);
  return decision ?? expect.fail('expected another connection');
}

/** Of the pause after so many failures. */
const bounds = (end: Partial<EndedConnection>, failures: number) =>
  [() => 0, () => 1].map((random) => decided(end, { failures: failures - 1 }, random).pauseMs);

it.each<[string, Partial<EndedConnection>, number, number]>([
  ['count from one again after a connection of more than ten seconds', { lastedMs: 10_001 }, 7, 1],
  ['count on after a shorter one', { lastedMs: 10_000 }, 7, 8],
  ['count up to three while connections come to READY or RESUMED', { wasReady: true }, 7, 3],
  ['reach three', { wasReady: true }, 2, 3],
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

  it.each(['refused', 'unclear'] as const)('%s, again and again after RESUMED: up to 2 s, not at once', (verdict) => {
    const pauses = [1, 2, 3, 12].map((failures) => {
      const before = { failures: failures - 1, unclear: failures - 1 };
      return [0, 1].map((random) => decided({ verdict, wasReady: true }, before, () => random).pauseMs);
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

  it.each(['refused', 'no READY', 'malformed', 'unclear'] as const)(
    "%s: a new session waits for Discord's 1 to 5 s, and after three in a row until 1,000 a day are enough",
    (verdict) => {
      const pauses = [1, 3, 4, 5, 12].map((newSessions) =>
        [() => 0, () => 1].map(
          (random) => decided({ verdict, hasSession: false }, { newSessions: newSessions - 1 }, random).pauseMs,
        ),
      );
      expect(pauses).toEqual([
        [1_000, 5_000],
        [1_000, 5_000],
        [4_000, 8_000],
        [8_000, 16_000],
        [45_000, 90_000],
      ]);
    },
  );

  it('is random by default', () => {
    expect(new Set(Array.from({ length: 20 }, () => decided({}).pauseMs)).size).toBeGreaterThan(1);
  });
});

it.each([true, false])(
  'a fatal verdict is the only one without another connection; with a session: %s',
  (hasSession) => {
    expect(reconnectAfter({ ...END, verdict: 'fatal', hasSession }, NO_ATTEMPTS)).toBeUndefined();
  },
);

it('a fatal verdict after READY or RESUMED contradicts it: the session is tried again', () => {
  expect(bounds({ verdict: 'fatal', wasReady: true }, 1)).toEqual([50, 250]);
  expect(bounds({ verdict: 'fatal', wasReady: true }, 9)).toEqual([1_000, 2_000]);
});

it("the address is the session's for two tries without an answer, then in turn the gateway's and the session's", () => {
  const addresses = [0, 1, 2, 3, 4].map((unanswered) => addressToResume({ unanswered }));
  expect(addresses).toEqual(['session', 'session', 'gateway', 'session', 'gateway']);
});

it.each(KINDS)('%s: counts connections in a row that were not answered', (verdict) => {
  const counts = [0, 7].map((unanswered) => decided({ verdict }, { unanswered }).attempts.unanswered);
  expect(counts).toEqual(verdict === 'unreachable' ? [1, 8] : [0, 0]);
});

it.each(KINDS)('%s: counts connections in a row after which a new session begins', (verdict) => {
  const count = (end: Partial<EndedConnection>) =>
    decided({ verdict, ...end }, { newSessions: 3 }).attempts.newSessions;
  expect(count({ hasSession: true })).toBe(3);
  expect(count({ hasSession: false })).toBe(verdict === 'unreachable' ? 3 : 4);
  expect(count({ hasSession: true, wasReady: true, lastedMs: 10_001 })).toBe(0);
  expect(count({ hasSession: true, wasReady: true, lastedMs: 10_000 })).toBe(3);
  expect(count({ hasSession: true, wasReady: false, lastedMs: 10_001 })).toBe(3);
});

describe('an answer that says nothing about the session', () => {
  const effective = (end: Partial<EndedConnection>, unclear: number) =>
    effectiveVerdict({ ...END, ...end }, { ...NO_ATTEMPTS, unclear });

  it.each(['malformed', 'unclear'] as const)('%s is a refusal the fifth time in a row', (verdict) => {
    expect([0, 3, 4, 9].map((unclear) => effective({ verdict }, unclear))).toEqual([
      verdict,
      verdict,
      'refused',
      'refused',
    ]);
  });

  it.each(KINDS.filter((kind) => kind !== 'malformed' && kind !== 'unclear'))(
    '%s is what it is, at any time',
    (verdict) => {
      expect(effective({ verdict }, 9)).toBe(verdict);
    },
  );

  it('counts from one again after a connection that came to READY or RESUMED and lasted', () => {
    const verdict = 'malformed';
    const counted = (end: Partial<EndedConnection>) => decided({ verdict, ...end }, { unclear: 3 }).attempts.unclear;
    expect([counted({}), counted({ wasReady: true }), counted({ lastedMs: 10_001 })]).toEqual([4, 4, 4]);
    expect(counted({ wasReady: true, lastedMs: 10_001 })).toBe(1);
    expect(effective({ verdict, wasReady: true, lastedMs: 10_001 }, 9)).toBe('malformed');
  });

  it('is not forgotten over connections that end otherwise, and is with the session', () => {
    const counted = (end: Partial<EndedConnection>) => decided(end, { unclear: 4 }).attempts.unclear;
    expect([counted({ verdict: 'resume' }), counted({ verdict: 'unreachable' })]).toEqual([4, 4]);
    expect([counted({ verdict: 'malformed' }), counted({ verdict: 'malformed', hasSession: false })]).toEqual([5, 0]);
  });
});

it('READY is waited for twice as long after each time that it did not come, up to 8 minutes', () => {
  const deadlines = [0, 1, 2, 3, 4, 5, 20].map((withoutReady) => readyDeadlineMs({ withoutReady }) / 1_000);
  expect(deadlines).toEqual([30, 60, 120, 240, 480, 480, 480]);
  const { attempts } = decided({ verdict: 'no READY', hasSession: false }, { withoutReady: 2 });
  expect(attempts.withoutReady).toBe(3);
  expect(decided({ verdict: 'resume', wasReady: false }, { withoutReady: 2 }).attempts.withoutReady).toBe(2);
  expect(decided({ verdict: 'resume', wasReady: true }, { withoutReady: 2 }).attempts.withoutReady).toBe(0);
});
