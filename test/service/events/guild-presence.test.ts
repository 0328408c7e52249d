import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GuildPresence } from '../../../service/events/guild-presence.ts';

const START = Date.parse('2026-11-20T12:00:00Z');
const at = (secondsAfterStart: number): string => new Date(START + secondsAfterStart * 1000).toISOString();
const ONE = '197038439483310086';
const TWO = '197038439483310087';

describe('a GUILD_CREATE', () => {
  test('of the READY list is no join, however late it comes', () => {
    const guilds = new GuildPresence(START);
    guilds.ready([TWO, ONE]);
    expect(guilds.isJoin(ONE, 2, at(-9999))).toBe(false);
    expect(guilds.isJoin(TWO, 900, at(3600))).toBe(false);
  });

  test('that nobody awaits is a join', () => {
    const guilds = new GuildPresence(START);
    guilds.ready([ONE]);
    expect(guilds.isJoin(TWO, 5, at(10))).toBe(true);
  });

  test('after an outage is no join, for a guild of the READY list and for one joined since', () => {
    const guilds = new GuildPresence(START);
    guilds.ready([ONE]);
    expect(guilds.isJoin(TWO, 3, at(10))).toBe(true);
    guilds.outage(ONE, 4);
    guilds.outage(TWO, 5);
    expect(guilds.isJoin(ONE, 6, at(-9999))).toBe(false);
    expect(guilds.isJoin(TWO, 7, at(10))).toBe(false);
  });

  test('after the bot was removed is a join again', () => {
    const guilds = new GuildPresence(START);
    guilds.ready([ONE]);
    guilds.leave(ONE, 3);
    expect(guilds.isJoin(ONE, 4, at(60))).toBe(true);
  });

  test('after an outage in which the bot was removed is a join', () => {
    const guilds = new GuildPresence(START);
    guilds.ready([]);
    guilds.outage(ONE, 3);
    guilds.leave(ONE, 4);
    expect(guilds.isJoin(ONE, 5, at(60))).toBe(true);
  });
});

describe('an owner that has not seen the session start', () => {
  test('takes a guild that the bot joined before the session for no join', () => {
    expect(new GuildPresence(START).isJoin(ONE, 800, at(-61))).toBe(false);
  });

  test('takes a guild that joined in this session, and of which the owner before told, for one back from an outage', () => {
    const before = new GuildPresence(START);
    before.ready([]);
    expect(before.isJoin(ONE, 5, at(10))).toBe(true);
    const next = new GuildPresence(START, before.joinsUntil(7));
    expect(next.isJoin(ONE, 8, at(10))).toBe(false);
    expect(next.isJoin(ONE, 9, at(20)), 'it was removed, and joined again').toBe(true);
  });

  test('tells a join that the owner before had seen and not got confirmed', () => {
    const before = new GuildPresence(START);
    before.ready([]);
    expect(before.isJoin(ONE, 5, at(10))).toBe(true);
    expect(before.isJoin(ONE, 5, at(10)), 'replayed').toBe(true);
    expect(new GuildPresence(START, before.joinsUntil(4)).isJoin(ONE, 5, at(10))).toBe(true);
  });

  test("allows a minute between Discord's clock and its own", () => {
    expect(new GuildPresence(START).isJoin(ONE, 800, at(-59))).toBe(true);
  });

  test('decides by what it has seen where `joined_at` is missing or unreadable', () => {
    const guilds = new GuildPresence(START);
    guilds.outage(ONE, 700);
    for (const joinedAt of [undefined, 'yesterday']) {
      expect(guilds.isJoin(ONE, 800, joinedAt)).toBe(false);
      expect(guilds.isJoin(TWO, 801, joinedAt)).toBe(true);
    }
  });
});

describe('a replay', () => {
  type Step = { readonly kind: 'create' | 'outage' | 'leave'; readonly guild: string; readonly joined?: number };

  const step: fc.Arbitrary<Step> = fc.record(
    {
      kind: fc.constantFrom('create', 'outage', 'leave'),
      guild: fc.constantFrom(ONE, TWO),
      joined: fc.integer({ min: -200, max: 200 }),
    },
    { requiredKeys: ['kind', 'guild'] },
  );

  function take(guilds: GuildPresence, { kind, guild, joined }: Step, sequence: number): boolean | undefined {
    if (kind === 'create') return guilds.isJoin(guild, sequence, joined === undefined ? undefined : at(joined));
    guilds[kind](guild, sequence);
    return undefined;
  }

  test('gets the answers of the first time, wherever it starts and ends and however often it comes', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 16 }),
        fc.array(fc.tuple(fc.nat(16), fc.nat(16)), { maxLength: 4 }),
        fc.subarray([ONE, TWO]),
        (steps, replays, atReady) => {
          const guilds = new GuildPresence(START);
          guilds.ready(atReady);
          const first = steps.map((each, index) => take(guilds, each, index + 2));
          // A replay that breaks off goes on from what the broker has confirmed meanwhile.
          for (const [from, to] of replays) {
            const again = steps.slice(from, to).map((each, index) => take(guilds, each, from + index + 2));
            expect(again).toEqual(first.slice(from, to));
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('that breaks off between a removal and an outage does not forget the outage', () => {
    const guilds = new GuildPresence(START);
    guilds.ready([ONE]);
    guilds.leave(ONE, 2);
    guilds.outage(ONE, 3);
    expect(guilds.isJoin(ONE, 4, at(10))).toBe(false);
    guilds.leave(ONE, 2);
    expect(guilds.isJoin(ONE, 4, at(10))).toBe(false);
  });

  test('in mid-stream, before anything new, changes nothing', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 16 }), fc.nat(16), fc.nat(16), (steps, cut, from) => {
        const straight = new GuildPresence(START);
        const interrupted = new GuildPresence(START);
        const wanted = steps.map((each, index) => take(straight, each, index + 2));
        const seen = steps.slice(0, cut).map((each, index) => take(interrupted, each, index + 2));
        const start = Math.min(from, cut);
        const rest = steps.slice(start).map((each, index) => take(interrupted, each, start + index + 2));
        expect([...seen.slice(0, start), ...rest]).toEqual(wanted);
      }),
      { numRuns: 3000 },
    );
  });
});

test('finds every guild of a full shard, and no other', () => {
  const ids = Array.from({ length: 2500 }, (_, index) => String(197038439483310086n + BigInt(index) * 4194304n));
  const guilds = new GuildPresence(START);
  guilds.ready(ids.toSorted());
  for (const id of ids) {
    expect(guilds.isJoin(id, 9, at(10))).toBe(false);
    expect(guilds.isJoin(String(BigInt(id) + 1n), 9, at(10))).toBe(true);
  }
});
