// When the next connection is made, at both ends of the random pause, and at which address.

import { describe, expect, it } from 'vitest';
import {
  type Attempts,
  addressToResume,
  type EndedConnection,
  reconnectAfter,
} from '../../../service/gateway/reconnect.ts';

const KINDS = ['unreachable', 'resume', 'refused', 'token rejected'] as const;
const END: EndedConnection = { verdict: 'resume', lastedMs: 0, wasReady: false, hasSession: true };

function decided(end: Partial<EndedConnection>, before: Partial<Attempts> = {}, random?: () => number) {
  const decision = reconnectAfter({ ...END, ...end }, { failures: 0, unanswered: 0, ...before }, random);
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
  it.each(KINDS.filter((kind) => kind !== 'refused'))(
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

  it("a new session waits for Discord's 1 to 5 s, and longer after three failures", () => {
    const pauses = [1, 3, 4, 5, 12].map((failures) => bounds({ verdict: 'refused', hasSession: false }, failures));
    expect(pauses).toEqual([
      ...[
        [1_000, 5_000],
        [1_000, 5_000],
      ],
      [4_000, 8_000],
      [8_000, 16_000],
      [15_000, 30_000],
    ]);
  });

  it('is random by default', () => {
    expect(new Set(Array.from({ length: 20 }, () => decided({}).pauseMs)).size).toBeGreaterThan(1);
  });
});

it.each([true, false])(
  'a fatal verdict is the only one without another connection; with a session: %s',
  (hasSession) => {
    expect(reconnectAfter({ ...END, verdict: 'fatal', hasSession }, { failures: 0, unanswered: 0 })).toBeUndefined();
  },
);

it("the address is the session's for two tries without an answer, then in turn the gateway's and the session's", () => {
  const addresses = [0, 1, 2, 3, 4].map((unanswered) => addressToResume({ failures: 0, unanswered }));
  expect(addresses).toEqual(['session', 'session', 'gateway', 'session', 'gateway']);
});

it.each(KINDS)('%s: counts connections in a row that were not answered', (verdict) => {
  const counts = [0, 7].map((unanswered) => decided({ verdict }, { unanswered }).attempts.unanswered);
  expect(counts).toEqual(verdict === 'unreachable' ? [1, 8] : [0, 0]);
});
