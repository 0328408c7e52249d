// Which GUILD_CREATE is a join.

import { describe, expect, test } from 'vitest';
import { GuildPresence } from '../../../service/session/guild-presence.ts';

const START = Date.parse('2026-11-20T12:00:00Z');
const at = (secondsAfterStart: number): string => new Date(START + secondsAfterStart * 1000).toISOString();
const ONE = '197038439483310086';
const TWO = '197038439483310087';

function presence(atReady: readonly string[]): GuildPresence {
  const guilds = new GuildPresence(START);
  guilds.ready(atReady);
  return guilds;
}

describe('a GUILD_CREATE', () => {
  test('of the READY list is no join, however late and however often it comes', () => {
    const guilds = presence([TWO, ONE]);
    expect(guilds.isJoin(ONE, 2, at(-9999))).toBe(false);
    expect(guilds.isJoin(TWO, 900, at(3600))).toBe(false);
    expect(guilds.isJoin(TWO, 901, at(3600))).toBe(false);
  });

  test('after an outage is no join, for a guild of the READY list and for one joined since', () => {
    const guilds = presence([ONE]);
    expect(guilds.isJoin(TWO, 3, at(10))).toBe(true);
    guilds.outage(ONE);
    guilds.outage(TWO);
    expect(guilds.isJoin(ONE, 6, at(-9999))).toBe(false);
    expect(guilds.isJoin(TWO, 7, at(10))).toBe(false);
  });

  test('after the bot was removed is a join again, also when that was in an outage', () => {
    const guilds = presence([ONE, TWO]);
    guilds.leave(ONE);
    guilds.outage(TWO);
    guilds.leave(TWO);
    expect(guilds.isJoin(ONE, 4, at(60))).toBe(true);
    expect(guilds.isJoin(TWO, 5, at(60))).toBe(true);
  });
});

describe('an owner that has not received the READY of the session', () => {
  test('takes a guild that the bot joined before the session for no join', () => {
    expect(new GuildPresence(START).isJoin(ONE, 800, at(-60.001))).toBe(false);
    expect(new GuildPresence(START).isJoin(ONE, 800, at(-60)), "a minute between Discord's clock and its own").toBe(
      true,
    );
  });

  test('takes a guild of the stored joins for one back from an outage, and joined again for a join', () => {
    const before = presence([]);
    expect(before.isJoin(ONE, 5, at(10))).toBe(true);
    const next = new GuildPresence(START, before.joinsUntil(7));
    expect(next.isJoin(ONE, 8, at(10))).toBe(false);
    expect(next.isJoin(ONE, 9, at(20)), 'it was removed, and joined again').toBe(true);
  });

  test('publishes a join that the previous owner received and did not get confirmed', () => {
    const before = presence([]);
    expect(before.isJoin(ONE, 5, at(10))).toBe(true);
    expect(before.joinsUntil(4)).toEqual({});
    expect(new GuildPresence(START, before.joinsUntil(4)).isJoin(ONE, 5, at(10))).toBe(true);
  });

  test('decides by what it has received where `joined_at` is missing or unreadable', () => {
    const guilds = new GuildPresence(START);
    guilds.outage(ONE);
    for (const joinedAt of [undefined, 'yesterday']) {
      expect(guilds.isJoin(ONE, 800, joinedAt)).toBe(false);
      expect(guilds.isJoin(TWO, 801, joinedAt)).toBe(true);
    }
  });
});

test('the newest 32 joins are stored', () => {
  const guilds = presence([]);
  for (let guild = 1; guild <= 40; guild += 1) guilds.isJoin(String(guild), guild, at(guild));
  const stored = guilds.joinsUntil(40);
  expect(Object.keys(stored)).toHaveLength(32);
  expect([stored[8], stored[9], stored[40]]).toEqual([undefined, START + 9_000, START + 40_000]);
});

test('no more than 100,000 guilds are expected, however many Discord names', () => {
  const id = (index: number) => String(1_000_000 + index);
  const many = Array.from({ length: 100_001 }, (_, index) => id(index));
  const listed = presence(many);
  expect([listed.isJoin(id(99_999), 2, at(10)), listed.isJoin(id(100_000), 3, at(10))]).toEqual([false, true]);
  const taken = presence([]);
  for (const each of many) taken.outage(each);
  expect([taken.isJoin(id(99_999), 2, at(10)), taken.isJoin(id(100_000), 3, at(10))]).toEqual([false, true]);
});
