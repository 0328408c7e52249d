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

it.each<[string, object, RegExp]>([
  ['a status', presence({ status: 'busy' }), /^data.status: /],
  ['an activity without a name', presence({ activities: [{ type: 0 }] }), /^data.activities.0.name: /],
  ['both ways of asking', members({ query: '', limit: 0, user_ids: GUILD }), /^data: expected guild_id, either query/],
  ['a query without a limit', members({ query: '' }), /either query and limit, or user_ids/],
  ['101 ids', members({ user_ids: Array.from({ length: 101 }, () => GUILD) }), /user_ids \(1 to 100\)/],
  ['a nonce that Discord ignores', members({ user_ids: GUILD, nonce: bytes(34) }), /^data.nonce: expected at most 32/],
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
});
