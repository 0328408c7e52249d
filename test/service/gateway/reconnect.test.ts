// Every end of a connection, after every number of failures, with and without READY and a session, at both ends of the
// random pause.

import { describe, expect, it } from 'vitest';
import {
  type Attempts,
  addressToResume,
  type EndedConnection,
  reconnectAfter,
} from '../../../service/gateway/reconnect.ts';

const KINDS = ['unreachable', 'resume', 'refused', 'token rejected'] as const;
const SHORT_MS = 10_000;
const LONG_MS = 10_001;
const FAILURES = Array.from({ length: 12 }, (_, failures) => failures);

interface Case extends EndedConnection {
  readonly before: number;
  /** The pause at both ends of the random range. */
  readonly least: number;
  readonly most: number;
  /** What the next decision starts from. */
  readonly failures: number;
}

const CASES: readonly Case[] = KINDS.flatMap((verdict) =>
  [SHORT_MS, LONG_MS].flatMap((lastedMs) =>
    [true, false].flatMap((wasReady) =>
      [true, false].flatMap((hasSession) =>
        FAILURES.map((before) => {
          const end = { verdict, lastedMs, wasReady, hasSession };
          const [least, most] = [() => 0, () => 1 - Number.EPSILON].map((random) =>
            decided(end, { failures: before }, random),
          );
          return {
            ...end,
            before,
            least: least?.pauseMs ?? -1,
            most: most?.pauseMs ?? -1,
            failures: least?.attempts.failures ?? -1,
          };
        }),
      ),
    ),
  ),
);

function decided(end: EndedConnection, before: Partial<Attempts> = {}, random?: () => number) {
  const decision = reconnectAfter(end, { failures: 0, unanswered: 0, ...before }, random);
  if (decision === undefined) throw new Error('expected another connection');
  return decision;
}

/** Every case that matches holds; there are some. */
function each(of: Partial<Case>, holds: (each: Case) => void): void {
  const matching = CASES.filter((one) =>
    Object.entries(of).every(([name, value]) => one[name as keyof Case] === value),
  );
  expect(matching.length).toBeGreaterThan(0);
  for (const one of matching) holds(one);
}

describe('failures', () => {
  it('count from one again after a connection of more than ten seconds', () => {
    each({ lastedMs: LONG_MS }, ({ failures }) => expect(failures).toBe(1));
  });

  it('count up to three while connections come to READY or RESUMED', () => {
    each({ lastedMs: SHORT_MS, wasReady: true }, ({ before, failures }) =>
      expect(failures).toBe(Math.min(before + 1, 3)),
    );
  });

  it('count on while none does', () => {
    each({ lastedMs: SHORT_MS, wasReady: false }, ({ before, failures }) => expect(failures).toBe(before + 1));
  });
});

describe('the pause', () => {
  it.each(KINDS.filter((kind) => kind !== 'refused'))(
    '%s: quick at first, then from half of 1, 2, 4 … 30 s to all of it',
    (verdict) => {
      each({ verdict }, ({ failures, least, most }) => {
        const step = Math.min(30_000, 1_000 * 2 ** (failures - 2));
        expect([least, most]).toEqual(failures === 1 ? [50, expect.closeTo(250, 3)] : [step / 2, step]);
      });
    },
  );

  it('a refused session that is kept is resumed within half a second', () => {
    each({ verdict: 'refused', hasSession: true }, ({ least, most }) =>
      expect([least, most]).toEqual([0, expect.closeTo(500, 3)]),
    );
  });

  it("a new session waits for Discord's 1 to 5 s, and longer after three failures", () => {
    each({ verdict: 'refused', hasSession: false }, ({ failures, least, most }) => {
      const step = failures > 3 ? Math.min(30_000, 1_000 * 2 ** (failures - 1)) : 0;
      expect([least, most]).toEqual([Math.max(1_000, step / 2), expect.closeTo(Math.max(5_000, step), 3)]);
    });
  });

  it('never gets shorter with more failures, and is never longer than 30 s', () => {
    each({}, (one) => {
      expect(one.most).toBeLessThanOrEqual(30_000);
      const { before, least, most, failures, ...end } = one;
      each({ ...end, before: Math.min(before + 1, 11) }, (next) => {
        expect(next.least).toBeGreaterThanOrEqual(least);
        expect(next.most).toBeGreaterThanOrEqual(most);
      });
    });
  });

  it('is random by default', () => {
    const pauses = Array.from(
      { length: 20 },
      () => decided({ verdict: 'resume', lastedMs: 0, wasReady: true, hasSession: true }).pauseMs,
    );
    expect(new Set(pauses).size).toBeGreaterThan(1);
  });
});

it('a fatal verdict is the only one without another connection', () => {
  for (const hasSession of [true, false])
    expect(
      reconnectAfter({ verdict: 'fatal', lastedMs: 0, wasReady: false, hasSession }, { failures: 0, unanswered: 0 }),
    ).toBeUndefined();
});

describe('the address', () => {
  it("is the session's for two tries without an answer, and then in turn the gateway's and the session's", () => {
    const addresses = Array.from({ length: 8 }, (_, unanswered) => addressToResume({ failures: 0, unanswered }));
    const [session, gateway] = ['session', 'gateway'];
    expect(addresses).toEqual([session, session, gateway, session, gateway, session, gateway, session]);
  });

  it.each(KINDS)('%s: counts connections in a row that were not answered', (verdict) => {
    for (const wasReady of [true, false])
      for (const unanswered of [0, 1, 7]) {
        const { attempts } = decided({ verdict, lastedMs: 0, wasReady, hasSession: true }, { unanswered });
        expect(attempts.unanswered).toBe(verdict === 'unreachable' ? unanswered + 1 : 0);
      }
  });
});
