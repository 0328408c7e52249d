// What a worker may send. What Discord documents is taken as it is; the refusals that a person reads are in
// commands.broker.test.ts.

import { describe, expect, it } from 'vitest';
import { admit } from '../../../service/commands/admit.ts';

const NOW = 1_700_000_000_500;
/** Of shard 3 of 4. */
const GUILD = String((1_000_003n << 22n) + 5n);
const SHARDS = { shardIds: [2, 3], shardCount: 4, intents: 1 << 1 };

const admitted = (body: object, { key = 'shard.3', ...message }: object & { key?: string } = {}) => {
  const sent = { body: Buffer.from(JSON.stringify(body)), timestamp: undefined, expiration: undefined, ...message };
  return admit({ ...sent, routingKey: key }, SHARDS, NOW);
};
const presence = (data: object) => ({ command: 'update_presence', data: { status: 'online', ...data } });
const members = (data: object) => ({ command: 'request_guild_members', data: { guild_id: GUILD, ...data } });
const bytes = (count: number) => 'é'.repeat(count / 2);

describe('what Discord documents is taken, as it is', () => {
  it.each<[object, object?]>([
    [presence({ since: 91_879_201, activities: [{ name: 'Save the Oxford Comma', type: 0 }], afk: false })],
    [presence({ since: null, activities: [{ name: 'x', type: 1, url: 'https://twitch.tv/x' }], afk: true })],
    [presence({ activities: [{ name: 'x', type: 5 }] })],
    [members({ query: '', limit: 0 })],
    [members({ query: 'ab', limit: 100, presences: false, nonce: bytes(32) })],
    [members({ user_ids: GUILD })],
    [members({ user_ids: Array.from({ length: 100 }, () => GUILD) })],
    [{ command: 'update_voice_state', data: { guild_id: GUILD, channel_id: null, self_mute: true, self_deaf: false } }],
    [{ command: 'request_soundboard_sounds', data: { guild_ids: [GUILD] } }],
  ])('%j', (body) => {
    const { data } = body as { readonly data: object };
    expect(admitted(body)).toMatchObject({ shardIds: [3], payload: { d: data }, expiresAt: NOW + 30_000 });
  });
});

it('a status alone is a presence without activities, of somebody who is there', () => {
  const d = { since: null, activities: [], status: 'online', afk: false };
  expect(admitted(presence({}))).toMatchObject({ payload: { d } });
});

it.each<[string, object, RegExp]>([
  ['a status', presence({ status: 'busy' }), /^data\.status: /],
  ['an activity without a name', presence({ activities: [{ type: 0 }] }), /^data\.activities\.0\.name: /],
  [
    'an activity of an unknown type',
    presence({ activities: [{ name: 'x', type: 6 }] }),
    /^data\.activities\.0\.type: /,
  ],
  ['both ways of asking', members({ query: '', limit: 0, user_ids: GUILD }), /^data: expected guild_id, either query/],
  ['a query without a limit', members({ query: '' }), /either query and limit, or user_ids/],
  ['101 ids', members({ user_ids: Array.from({ length: 101 }, () => GUILD) }), /user_ids \(1 to 100\)/],
  ['a nonce that Discord ignores', members({ user_ids: GUILD, nonce: bytes(34) }), /^data\.nonce: expected at most 32/],
  ['a misspelled field', members({ user_ids: GUILD, presence: true }), /^data: expected no field 'presence'/],
  [
    'a payload that is too large',
    { command: 'request_soundboard_sounds', data: { guild_ids: Array.from({ length: 300 }, () => GUILD) } },
    /^data: Discord takes payloads of at most 4096 bytes, this one has \d+/,
  ],
  ['a body without an end', { ...presence({}), more: 'x'.repeat(70_000) }, /^expected at most 65536 bytes, got 7\d{4}/],
  ['no data', { command: 'update_presence' }, /^data: /],
])('%s is refused', (_, body, reason) => {
  expect(admitted(body)).toMatch(reason);
});

const OTHER_GUILD = String(1_000_002n << 22n);
const voice = { command: 'update_voice_state', data: { channel_id: null, self_mute: false, self_deaf: false } };
const sounds = (...guild_ids: string[]) => ({ command: 'request_soundboard_sounds', data: { guild_ids } });

it.each<[string, object, string, RegExp]>([
  [
    'the guild of another shard',
    sounds(GUILD, OTHER_GUILD),
    'shard.3',
    /^routing key: expected shard\.2, to which guild \d+ belongs \(\(id >> 22\) % 4\), got shard\.3$/,
  ],
  ['a command about a guild for each shard', sounds(GUILD), 'shard.all', /^routing key: only update_presence goes to/],
  [
    'all members, without their intent',
    members({ query: '', limit: 0, presences: true }),
    'shard.3',
    /^data: Discord answers this only with the intent GuildPresences\. Add it to GATEWAY_INTENTS$/,
  ],
  ['an id that is none', { ...voice, data: { ...voice.data, guild_id: 'x' } }, 'shard.3', /^data\.guild_id: /],
])('%s: refused', (_, body, key, reason) => {
  expect(admitted(body, { key })).toMatch(reason);
});

it.each<[object, number, RegExp | object]>([
  [{ query: '', limit: 0 }, 0, /the intent GuildMembers\. /],
  [{ query: '', limit: 0, presences: true }, 1 << 8, /the intent GuildMembers\. /],
  [{ query: '', limit: 0, presences: true }, (1 << 1) | (1 << 8), { shardIds: [3] }],
  [{ query: 'a', limit: 0 }, 0, { shardIds: [3] }],
  [{ user_ids: GUILD, presences: false }, 0, { shardIds: [3] }],
])('members, with %j and the intents %d: %o', (data, intents, expected) => {
  const body = Buffer.from(JSON.stringify(members(data)));
  const message = { body, routingKey: 'shard.3', timestamp: undefined, expiration: undefined };
  const got = admit(message, { ...SHARDS, intents }, NOW);
  if (expected instanceof RegExp) expect(got).toMatch(expected);
  else expect(got).toMatchObject(expected);
});

it.each<[string, Buffer, string | object]>([
  ['no JSON', Buffer.from('{'), 'expected a command as JSON, got no JSON'],
  ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'expected a command as JSON in UTF-8, got bytes that are none'],
  ['65,537 bytes', Buffer.alloc(65_537, ' '), 'expected at most 65536 bytes, got 65537'],
  ['65,536 bytes', Buffer.from(JSON.stringify(presence({})).padEnd(65_536)), { shardIds: [3] }],
])('%s', (_, body, expected) => {
  const got = admit({ body, routingKey: 'shard.3', timestamp: undefined, expiration: undefined }, SHARDS, NOW);
  if (typeof expected === 'string') expect(got).toBe(expected);
  else expect(got).toMatchObject(expected);
});

it('a payload of 4,096 bytes is taken, and of one more not', () => {
  const ofBytes = (count: number) => {
    const empty = JSON.stringify({ op: 8, d: members({ query: '', limit: 1 }).data }).length;
    return admitted(members({ query: 'x'.repeat(count - empty), limit: 1 }));
  };
  expect(ofBytes(4_096)).toMatchObject({ shardIds: [3] });
  expect(ofBytes(4_097)).toMatch(/^data: Discord takes payloads of at most 4096 bytes, this one has 4097$/);
});

it('quotes the beginning of what is long', () => {
  const key = Array.from({ length: 200 }, (_, index) => index).join('.');
  expect(admitted(presence({}), { key })).toContain(`, got '${key.slice(0, 100)}'. Where`);
  const name = '0123456789'.repeat(4);
  expect(admitted(presence({ [name]: 1 }))).toBe(`data: expected no field '${name.slice(0, 30)}'`);
});

it.each(['shard.1', 'shard.4', 'shard.03', 'shard.', 'shard.3.4', 'all', ''])('the key %j is refused', (key) => {
  expect(admitted(presence({}), { key })).toMatch(
    /^routing key: expected shard.<id> of shards 2 to 3, or shard.all, got /,
  );
});

it('shard.all is each shard of the group', () => {
  expect(admitted(presence({}), { key: 'shard.all' })).toMatchObject({ shardIds: [2, 3] });
});

it.each<[string, object, number]>([
  ['no time of its own', {}, 30_000],
  ['a shorter life', { expiration: '1000' }, 1_000],
  ['a life of 1 ms', { expiration: '1' }, 1],
  ['a longer life', { expiration: '3600000' }, 30_000],
  ['a life that is none', { expiration: 'soon' }, 30_000],
  // The timestamp has whole seconds: it may have been published a second later.
  ['ten seconds on the way', { timestamp: Math.floor(NOW / 1_000) - 10 }, 20_500],
  ['a sender whose clock is ahead', { timestamp: Math.floor(NOW / 1_000) + 10 }, 30_000],
])('%s: it expires then', (_, message, inMs) => {
  const at = admitted(members({ user_ids: GUILD }), message);
  expect(at).toMatchObject({ expiresAt: NOW + inMs });
});

it('what is past its life is refused, but a presence is a state', () => {
  const late = { timestamp: Math.floor(NOW / 1_000) - 40 };
  expect(admitted(members({ user_ids: GUILD }), late)).toMatch(/^expired: it was 9500 ms past its life when it came/);
  expect(admitted(presence({}), late)).toMatchObject({ shardIds: [3] });
  const noLife = { expiration: '0' };
  expect(admitted(members({ user_ids: GUILD }), noLife)).toMatch(/^expired: it was 0 ms past/);
});
