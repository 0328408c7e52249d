// EVENTS: what is chosen, what is refused, and the intents that follow. What the names, groups and intents mean, against another
// reading of Discord's documentation: test/contracts/events.test.ts.

import { GatewayDispatchEvents, GatewayIntentBits } from 'discord-api-types/v10';
import { describe, expect, test } from 'vitest';
import { DEFAULT_EVENTS, GROUPS, intentsFor, parseEvents, unread } from '../../../service/events/choice.ts';
import { NO_OPT_INS } from '../../support/dispatch-context.ts';

const OF_SESSION: readonly string[] = [GatewayDispatchEvents.Ready, GatewayDispatchEvents.Resumed];
const intents = (text: string, optIns = {}) => intentsFor(parseEvents(text), { ...NO_OPT_INS, ...optIns });

test('`all` is every dispatch of discord-api-types but those of the session', () => {
  const all = Object.values(GatewayDispatchEvents).filter((name) => !OF_SESSION.includes(name));
  expect([...parseEvents('all').dispatches].sort()).toEqual([...all].sort());
});

test('every intent of Discord brings some dispatch, but the one that governs content', () => {
  const aliases = ['GuildBans', 'GuildEmojisAndStickers'];
  const needed: readonly string[] = intents('all', { directMessages: true });
  const all = Object.keys(GatewayIntentBits).filter((name) => Number.isNaN(Number(name)) && !aliases.includes(name));
  expect([...needed, 'MessageContent'].sort()).toEqual(all.sort());
});

test('the default is the seven, which need these intents', () => {
  expect(DEFAULT_EVENTS).toEqual([
    ...['INTERACTION_CREATE', 'GUILD_MEMBER_ADD', 'GUILD_MEMBER_REMOVE', 'GUILD_MEMBER_UPDATE'],
    ...['GUILD_CREATE', 'GUILD_DELETE', 'MESSAGE_CREATE'],
  ]);
  expect(intents(DEFAULT_EVENTS.join())).toEqual(['GuildMembers', 'Guilds', 'GuildMessages']);
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
    ['messageReactionAdd', 'MESSAGE_REACTION_ADD'],
    ['MESAGE_CREATE', 'MESSAGE_CREATE'],
    ['reaction', 'reactions'],
    ['scheduled_events', 'scheduled-events'],
    ['guild.full', 'guilds.full'],
    ['*', 'all'],
    // A letter to insert, to delete or to replace counts the same.
    ['rol', 'roles'],
    ['eads', 'threads'],
    ['THE_reactions', 'reactions'],
    ['GUILD_USER_ADD', 'GUILD_BAN_ADD'],
    ['SERVER_BAN_ADD', 'GUILD_BAN_ADD'],
  ])('%s: %s', (word, nearest) => {
    expect(() => parseEvents(`roles,${word}`)).toThrow(
      `, all), separated by commas, got '${word}'. The nearest is ${nearest}`,
    );
  });

  test.each<[string, number]>([
    ['roles,', 0],
    ['x'.repeat(100_000), 100_000],
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

test('what is not chosen is not read, but for the guilds that the session remembers', () => {
  const names = unread(parseEvents('GUILD_DELETE,MESSAGE_CREATE'));
  const isUnread = ['MESSAGE_CREATE', 'GUILD_CREATE', 'GUILD_DELETE', 'TYPING_START'].map((name) => names.has(name));
  expect(isUnread).toEqual([false, false, false, true]);
});

test('message content needs an intent of its own', () => {
  expect(intents('messages', { messageContent: true })).toEqual(['GuildMessages', 'MessageContent']);
});
