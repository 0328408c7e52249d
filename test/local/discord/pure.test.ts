import { describe, expect, test } from 'vitest';
import { IdentifyLimits } from '../../../local/discord/identify-limits.ts';
import { complete } from '../../../local/discord/options.ts';
import { shardOf } from '../../../local/discord/payloads/snowflake.ts';
import { World } from '../../../local/discord/payloads/world.ts';
import { hash32, Random } from '../../../local/discord/random.ts';
import { ReplayBuffer } from '../../../local/discord/replay-buffer.ts';

describe('random', () => {
  test('the same seeds give the same row, others give another', () => {
    const row = (...seeds: number[]) => {
      const random = new Random(...seeds);
      return Array.from({ length: 20 }, () => random.uint32());
    };
    expect(row(1, 2)).toEqual(row(1, 2));
    expect(row(1, 2)).not.toEqual(row(2, 1));
    expect(row(1)).not.toEqual(row(1, 0));
    expect(hash32(5, 6)).toBe(hash32(5, 6));
  });

  test('numbers spread evenly', () => {
    const random = new Random(7);
    const buckets = new Array<number>(10).fill(0);
    for (let n = 0; n < 100_000; n += 1) {
      const bucket = random.below(10);
      buckets[bucket] = (buckets[bucket] ?? 0) + 1;
    }
    for (const count of buckets) expect(count).toBeGreaterThan(9_500);
  });
});

describe('identify limits', () => {
  const limits = () =>
    new IdentifyLimits({ maxConcurrency: 2, everyMs: 5_000, slackMs: 100, total: 3, windowMs: 86_400_000 }, 0);

  test('one IDENTIFY per bucket in five seconds, buckets apart', () => {
    const subject = limits();
    expect(subject.admit(0, 0)).toEqual({ kind: 'admitted' });
    expect(subject.admit(1, 1)).toEqual({ kind: 'admitted' });
    expect(subject.admit(2, 4_000)).toEqual({ kind: 'too early', bucket: 0, sinceMs: 4_000 });
    expect(subject.admit(2, 4_950)).toEqual({ kind: 'admitted' });
  });

  test('what is refused is not counted', () => {
    const subject = limits();
    subject.admit(0, 0);
    for (let n = 0; n < 10; n += 1) subject.admit(0, n);
    expect(subject.state(20)).toEqual({ total: 3, remaining: 2, reset_after: 86_399_980, max_concurrency: 2 });
    expect(subject.admit(0, 5_000)).toEqual({ kind: 'admitted' });
  });

  test('the daily total is spent, and comes back with the next day', () => {
    const subject = limits();
    for (let n = 0; n < 3; n += 1) expect(subject.admit(0, n * 5_000)).toEqual({ kind: 'admitted' });
    expect(subject.admit(1, 20_000)).toEqual({ kind: 'exhausted' });
    expect(subject.state(20_000).remaining).toBe(0);
    expect(subject.admit(1, 86_400_000)).toEqual({ kind: 'admitted' });
    expect(subject.state(86_400_001)).toMatchObject({ remaining: 2, reset_after: 86_399_999 });
  });
});

describe('replay buffer', () => {
  function filled(capacity: number, count: number): ReplayBuffer<number> {
    const buffer = new ReplayBuffer<number>(capacity);
    for (let n = 1; n <= count; n += 1) expect(buffer.push(n)).toBe(n);
    return buffer;
  }

  test('gives what came after a sequence, in order', () => {
    expect(filled(10, 5).after(2)).toEqual([3, 4, 5]);
    expect(filled(10, 5).after(5)).toEqual([]);
    expect(filled(10, 0).after(0)).toEqual([]);
  });

  test('keeps the newest, and says when it no longer reaches back', () => {
    const buffer = filled(10, 25);
    expect([buffer.first, buffer.last]).toEqual([16, 25]);
    expect(buffer.after(14)).toBeUndefined();
    expect(buffer.after(15)).toEqual([16, 17, 18, 19, 20, 21, 22, 23, 24, 25]);
  });

  test('drops what a heartbeat acknowledged', () => {
    const buffer = filled(10, 10);
    buffer.trim(7);
    buffer.trim(3);
    expect(buffer.after(7)).toEqual([8, 9, 10]);
    expect(buffer.after(6)).toBeUndefined();
    buffer.trim(99);
    expect(buffer.after(10)).toEqual([]);
    expect(buffer.push(11)).toBe(11);
  });

  test('sequences stay right over many drops', () => {
    const buffer = filled(1_000, 100_000);
    expect([buffer.first, buffer.last]).toEqual([99_001, 100_000]);
    expect(buffer.after(99_500)?.[0]).toBe(99_501);
    expect(buffer.after(99_000)).toHaveLength(1_000);
  });
});

describe('world', () => {
  test.each([1, 2, 3, 5, 12, 16, 32, 64, 256])('guild n belongs to shard n modulo %i', (count) => {
    const world = new World({ seed: 99 });
    for (let n = 0; n < 300; n += 7) expect(shardOf(world.guild(n).id, count)).toBe(n % count);
  });

  test('ids of everything in a thousand guilds are distinct', () => {
    const world = new World({ seed: 3 });
    const ids = new Set<string>();
    let expected = 0;
    for (let n = 0; n < 1_000; n += 1) {
      const guild = world.guild(n);
      const own = [guild.id, world.voiceChannelId(guild), world.threadId(guild, 0), world.emojiId(guild, 0)];
      for (let c = 0; c < guild.textChannels; c += 1) own.push(world.channelId(guild, c));
      for (let r = 1; r < guild.roles; r += 1) own.push(world.roleId(guild, r));
      expected += own.length;
      for (const id of own) ids.add(id);
    }
    expect(ids.size).toBe(expected);
  });
});

test('every faulty option is told at once, with what was expected', () => {
  const faulty = () =>
    complete({
      guilds: -1,
      port: 70_000,
      token: '',
      mix: { 'no.such': 1, typing: -2 },
      bursts: { events: 0, everyMs: 1 },
    });
  expect(faulty).toThrow(/guilds: expected a whole number from 0/);
  expect(faulty).toThrow(/port: expected .* got 70000/);
  expect(faulty).toThrow(/token: expected text/);
  expect(faulty).toThrow(/no kind of event 'no.such'/);
  expect(faulty).toThrow(/share of 0 or more for 'typing', got -2/);
  expect(faulty).toThrow(/bursts: expected/);
});
