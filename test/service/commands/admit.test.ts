// What a worker may send. What Discord documents is taken as it is. How a worker learns of a refusal:
// commands.broker.test.ts.

import { describe, expect, it } from 'vitest';
import { admit } from '../../../service/commands/admit.ts';

const NOW = 1_700_000_000_500;
/** Of shard 3 of 4. */
const GUILD = String((1_000_003n << 22n) + 5n);
const SHARDS = { shardIds: [2, 3], shardCount: 4, intents: 1 << 1 };

const admitted = (
  body: object,
  { key = 'shard.3', intents = SHARDS.intents, ...message }: object & { key?: string; intents?: number } = {},
) => {
  const written = body instanceof Buffer ? body : Buffer.from(JSON.stringify(body));
  const sent = { body: written, routingKey: key, timestamp: undefined, expiration: undefined, ...message };
  return admit(sent, { ...SHARDS, intents }, NOW);
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

const OTHER_GUILD = String(1_000_002n << 22n);
const sounds = (...guild_ids: string[]) => ({ command: 'request_soundboard_sounds', data: { guild_ids } });
const voice = (guild_id: unknown) => ({
  ...{ command: 'update_voice_state' },
  data: { guild_id, channel_id: null, self_mute: false, self_deaf: false },
});

it.each<[string, object, RegExp, key?: string]>([
  ['a list', [], /^expected an object whose command is one of update_presence, update_voice_state, /],
  ['an unknown command', { command: 'identify', data: {} }, /^command: .* command is one of update_presence, /],
  ['a field beside the command', { ...presence({}), op: 3 }, /^expected no field 'op'$/],
  ['a status', presence({ status: 'busy' }), /^data\.status: /],
  ['an activity without a name', presence({ activities: [{ type: 0 }] }), /^data\.activities\.0\.name: /],
  ['an unknown activity', presence({ activities: [{ name: 'x', type: 6 }] }), /^data\.activities\.0\.type: /],
  ['both ways of asking', members({ query: '', limit: 0, user_ids: GUILD }), /^data: expected guild_id, either query/],
  ['a query without a limit', members({ query: '' }), /either query and limit, or user_ids/],
  ['101 ids', members({ user_ids: Array.from({ length: 101 }, () => GUILD) }), /user_ids \(1 to 100\)/],
  ['a nonce that Discord ignores', members({ user_ids: GUILD, nonce: bytes(34) }), /^data\.nonce: expected at most 32/],
  ['a misspelled field', members({ user_ids: GUILD, presence: true }), /^data: expected no field 'presence'/],
  ['no data', { command: 'update_presence' }, /^data: /],
  ['an id that is a number', voice(1), /^data\.guild_id: expected an id, as a string of digits$/],
  ['an id that is none', voice('x'), /^data\.guild_id: expected an id, as a string of digits$/],
  [
    'the guild of another shard',
    sounds(GUILD, OTHER_GUILD),
    /^routing key: expected shard\.2, to which guild \d+ belongs \(\(id >> 22\) % 4\), got shard\.3$/,
  ],
  ['a command about a guild for each shard', sounds(GUILD), /^routing key: only update_presence goes to/, 'shard.all'],
  [
    'all members with their presences, without the intent for these',
    members({ query: '', limit: 0, presences: true }),
    /^data: Discord answers this only with the intent GuildPresences\. Add it to GATEWAY_INTENTS$/,
  ],
])('%s is refused', (_, body, reason, key = 'shard.3') => {
  expect(admitted(body, { key })).toMatch(reason);
});

it.each<[object, number, RegExp | object]>([
  [{ query: '', limit: 0 }, 0, /the intent GuildMembers\. /],
  [{ query: '', limit: 0, presences: true }, 1 << 8, /the intent GuildMembers\. /],
  [{ query: '', limit: 0, presences: true }, (1 << 1) | (1 << 8), { shardIds: [3] }],
  [{ query: 'a', limit: 0 }, 0, { shardIds: [3] }],
  [{ user_ids: GUILD, presences: false }, 0, { shardIds: [3] }],
])('members, with %j and the intents %d: %o', (data, intents, expected) => {
  const got = admitted(members(data), { intents });
  if (expected instanceof RegExp) expect(got).toMatch(expected);
  else expect(got).toMatchObject(expected);
});

it.each<[string, Buffer, string | object]>([
  ['no JSON', Buffer.from('{'), 'expected a command as JSON, got no JSON'],
  ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'expected a command as JSON in UTF-8, got bytes that are none'],
  ['65,537 bytes', Buffer.alloc(65_537, ' '), 'expected at most 65536 bytes, got 65537'],
  ['65,536 bytes', Buffer.from(JSON.stringify(presence({})).padEnd(65_536)), { shardIds: [3] }],
])('%s', (_, body, expected) => {
  const got = admitted(body);
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

it('a presence of 3,072 bytes, which fits into an IDENTIFY, is taken, and of one more not', () => {
  const ofBytes = (count: number) => {
    const named = (name: string) => ({ since: null, activities: [{ name, type: 0 }], status: 'online', afk: false });
    const more = count - Buffer.byteLength(JSON.stringify(named('é')));
    return admitted(presence(named(`é${'x'.repeat(more)}`)));
  };
  expect(ofBytes(3_072)).toMatchObject({ shardIds: [3] });
  expect(ofBytes(3_073)).toBe('data: expected at most 3072 bytes');
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
