// EVENTS: names and groups, what is refused, and the intents that follow.

import { GatewayDispatchEvents, GatewayIntentBits } from 'discord-api-types/v10';
import { describe, expect, test } from 'vitest';
import { DEFAULT_EVENTS, GROUPS, intentsFor, parseEvents } from '../../../service/events/choice.ts';
import { DISPATCHES } from '../../../service/events/dispatches.ts';

const NONE = { messageContent: false, botMessages: false, directMessages: false };
const OF_SESSION: readonly string[] = [GatewayDispatchEvents.Ready, GatewayDispatchEvents.Resumed];
const chosen = (text: string) => [...parseEvents(text).dispatches];
const intents = (text: string, optIns = {}) => intentsFor(parseEvents(text), { ...NONE, ...optIns });

test('every dispatch of discord-api-types has a row, and no other', () => {
  const all = Object.values(GatewayDispatchEvents).filter((name) => !OF_SESSION.includes(name));
  expect(Object.keys(DISPATCHES).sort()).toEqual([...all].sort());
  expect(chosen('all').sort()).toEqual([...all].sort());
});

test('every intent of Discord brings some dispatch, but the one that governs content', () => {
  const aliases = ['GuildBans', 'GuildEmojisAndStickers'];
  const needed: readonly string[] = intents('all', { directMessages: true });
  const all = Object.keys(GatewayIntentBits).filter((name) => Number.isNaN(Number(name)) && !aliases.includes(name));
  expect([...needed, 'MessageContent'].sort()).toEqual(all.sort());
});

test('the default is the seven, which need the same intents as ever', () => {
  expect(DEFAULT_EVENTS).toEqual([
    ...['INTERACTION_CREATE', 'GUILD_MEMBER_ADD', 'GUILD_MEMBER_REMOVE', 'GUILD_MEMBER_UPDATE'],
    ...['GUILD_CREATE', 'GUILD_DELETE', 'MESSAGE_CREATE'],
  ]);
  expect(intents(DEFAULT_EVENTS.join())).toEqual(['GuildMembers', 'Guilds', 'GuildMessages']);
});

test('a group has the dispatches of its kind', () => {
  const groups = Object.fromEntries([...GROUPS].map(([group, names]) => [group, names.toSorted().join(' ')]));
  const { all: _, ...rest } = groups;
  expect(rest).toEqual({
    interactions: 'INTERACTION_CREATE',
    members: 'GUILD_MEMBERS_CHUNK GUILD_MEMBER_ADD GUILD_MEMBER_REMOVE GUILD_MEMBER_UPDATE',
    guilds: 'GUILD_CREATE GUILD_DELETE GUILD_UPDATE',
    'guilds.full': 'GUILD_CREATE',
    messages: 'MESSAGE_CREATE MESSAGE_DELETE MESSAGE_DELETE_BULK MESSAGE_UPDATE',
    reactions: 'MESSAGE_REACTION_ADD MESSAGE_REACTION_REMOVE MESSAGE_REACTION_REMOVE_ALL MESSAGE_REACTION_REMOVE_EMOJI',
    voice:
      'STAGE_INSTANCE_CREATE STAGE_INSTANCE_DELETE STAGE_INSTANCE_UPDATE VOICE_CHANNEL_EFFECT_SEND ' +
      'VOICE_CHANNEL_START_TIME_UPDATE VOICE_CHANNEL_STATUS_UPDATE VOICE_SERVER_UPDATE VOICE_STATE_UPDATE',
    channels: 'CHANNEL_CREATE CHANNEL_DELETE CHANNEL_PINS_UPDATE CHANNEL_UPDATE',
    threads: 'THREAD_CREATE THREAD_DELETE THREAD_LIST_SYNC THREAD_MEMBERS_UPDATE THREAD_MEMBER_UPDATE THREAD_UPDATE',
    roles: 'GUILD_ROLE_CREATE GUILD_ROLE_DELETE GUILD_ROLE_UPDATE',
    moderation:
      'AUTO_MODERATION_ACTION_EXECUTION AUTO_MODERATION_RULE_CREATE AUTO_MODERATION_RULE_DELETE ' +
      'AUTO_MODERATION_RULE_UPDATE GUILD_AUDIT_LOG_ENTRY_CREATE GUILD_BAN_ADD GUILD_BAN_REMOVE',
    invites: 'INVITE_CREATE INVITE_DELETE',
    'scheduled-events':
      'GUILD_SCHEDULED_EVENT_CREATE GUILD_SCHEDULED_EVENT_DELETE GUILD_SCHEDULED_EVENT_UPDATE ' +
      'GUILD_SCHEDULED_EVENT_USER_ADD GUILD_SCHEDULED_EVENT_USER_REMOVE',
    polls: 'MESSAGE_POLL_VOTE_ADD MESSAGE_POLL_VOTE_REMOVE',
    monetization:
      'ENTITLEMENT_CREATE ENTITLEMENT_DELETE ENTITLEMENT_UPDATE SUBSCRIPTION_CREATE SUBSCRIPTION_DELETE SUBSCRIPTION_UPDATE',
    presence: 'PRESENCE_UPDATE',
    typing: 'TYPING_START',
  });
});

test.each<[string, readonly string[], boolean]>([
  ['MESSAGE_CREATE', ['MESSAGE_CREATE'], false],
  [' roles , GUILD_ROLE_CREATE,TYPING_START ', [...(GROUPS.get('roles') ?? []), 'TYPING_START'], false],
  ['guilds.full', ['GUILD_CREATE'], true],
  ['GUILD_CREATE,guilds.full', ['GUILD_CREATE'], true],
  ['all', [...(GROUPS.get('all') ?? [])], false],
])('%s', (text, dispatches, wholeGuilds) => {
  expect(parseEvents(text)).toEqual({ dispatches: new Set(dispatches), wholeGuilds });
});

describe('a name that is none is refused with the nearest', () => {
  test.each([
    ['message_create', 'MESSAGE_CREATE'],
    ['messageReactionAdd', 'MESSAGE_REACTION_ADD'],
    ['MESAGE_CREATE', 'MESSAGE_CREATE'],
    ['PRESENCES', 'presence'],
    ['reaction', 'reactions'],
    ['Members', 'members'],
    ['scheduled_events', 'scheduled-events'],
    ['guild.full', 'guilds.full'],
    ['*', 'all'],
  ])('%s: %s', (word, nearest) => {
    expect(() => parseEvents(`roles,${word}`)).toThrow(
      `, all), separated by commas, got '${word}'. The nearest is ${nearest}`,
    );
  });

  test.each<[string, number]>([
    ['', 0],
    ['roles,', 0],
    ['x'.repeat(100_000), 100_000],
    ['roles typing', 12],
    ['amqps://ingestor:hunter2hunter2@broker', 38],
  ])('what cannot be one is not quoted: %.50s', (text, length) => {
    expect(() => parseEvents(text)).toThrow(new RegExp(`separated by commas, got ${length} characters that are none$`));
  });

  test.each(OF_SESSION)('%s stays inside', (name) => {
    expect(() => parseEvents(`all,${name}`)).toThrow(
      `${name} is about the session itself, which the ingestor keeps: workers get gateway.ready and gateway.gap without asking. Remove it`,
    );
  });
});

test.each<[string, object, readonly string[]]>([
  ['MESSAGE_CREATE', { directMessages: true }, ['GuildMessages', 'DirectMessages']],
  ['MESSAGE_CREATE', { messageContent: true }, ['GuildMessages', 'MessageContent']],
  ['interactions', { directMessages: true }, []],
  ['reactions', {}, ['GuildMessageReactions']],
  [
    'typing,polls',
    { directMessages: true },
    [...['GuildMessagePolls', 'DirectMessagePolls', 'GuildMessageTyping', 'DirectMessageTyping']],
  ],
  ['CHANNEL_PINS_UPDATE', { directMessages: true }, ['Guilds', 'DirectMessages']],
  ['GUILD_MEMBERS_CHUNK,VOICE_SERVER_UPDATE', {}, []],
  [
    'presence,moderation',
    {},
    [...['GuildPresences', 'AutoModerationExecution', 'AutoModerationConfiguration', 'GuildModeration']],
  ],
])('%s with %j needs %j', (text, optIns, needed) => {
  expect([...intents(text, optIns)].sort()).toEqual([...needed].sort());
});
