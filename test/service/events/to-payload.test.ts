import { describe, expect, test } from 'vitest';
import { eventId } from '../../../service/events/event-id.ts';
import { gatewayGap } from '../../../service/events/gap.ts';
import { GuildPresence } from '../../../service/events/guild-presence.ts';
import type { DispatchContext, Outcome } from '../../../service/events/outcome.ts';
import { DiscordEventPayload } from '../../../service/events/payload.ts';
import { type Dispatch, toPayload } from '../../../service/events/to-payload.ts';
import * as dispatches from './dispatches.ts';

const SESSION = 'fd4f4f6e8d9e4a0c8a3f3d1b2c5e7a90';
const NOW = Date.parse('2026-11-20T12:00:30Z');

function context(sequence = 7, guilds = new GuildPresence(Date.parse('2026-11-20T11:00:00Z'))): DispatchContext {
  return { sessionId: SESSION, shardId: 3, sequence, receivedAt: NOW, guilds };
}

/** As a worker reads it: through JSON, and held against the contract. */
function eventOf(dispatch: Dispatch): { routingKey: string; priority: number; payload: DiscordEventPayload } {
  const outcome = toPayload(dispatch, context());
  if (outcome.kind !== 'event') throw new Error(`${dispatch.t} became ${outcome.kind}: ${outcome.reason}`);
  const payload = DiscordEventPayload.parse(JSON.parse(JSON.stringify(outcome.payload)));
  return { routingKey: outcome.routingKey, priority: outcome.priority, payload };
}

const reasonOf = (outcome: Outcome): string => (outcome.kind === 'event' ? 'an event' : outcome.reason);

const change = (dispatch: Dispatch, fields: object): Dispatch => ({
  t: dispatch.t,
  d: { ...Object(dispatch.d), ...fields },
});

describe('every row of the table', () => {
  const rows: [keyof typeof dispatches.forwarded, string, number][] = [
    ['chatCommand', 'interaction.command.report', 10],
    ['subcommand', 'interaction.command.role', 10],
    ['userCommand', 'interaction.command.Show_Profile', 10],
    ['messageCommand', 'interaction.command.Report_to_Mods__1', 10],
    ['entryPointCommand', 'interaction.command.launch', 10],
    ['button', 'interaction.button', 8],
    ['stringSelect', 'interaction.select', 8],
    ['mentionableSelect', 'interaction.select', 8],
    ['channelSelect', 'interaction.select', 8],
    ['modal', 'interaction.modal', 7],
    ['autocomplete', 'interaction.autocomplete.play', 6],
    ['memberJoin', 'member.join', 5],
    ['memberLeave', 'member.leave', 5],
    ['memberUpdate', 'member.update', 5],
    ['guildJoin', 'guild.join', 4],
    ['guildLeave', 'guild.leave', 4],
    ['messageCreate', 'message.create', 1],
  ];

  test('is tried here', () => {
    expect(rows.map(([name]) => name).toSorted()).toEqual(Object.keys(dispatches.forwarded).toSorted());
  });

  test.each(rows)('%s becomes %s with priority %i', (name, routingKey, priority) => {
    const dispatch = dispatches.forwarded[name];
    if (!dispatch) throw new Error(`no dispatch ${name}`);
    const event = eventOf(dispatch);
    expect(event).toMatchObject({ routingKey, priority });
    expect(event.payload).toMatchObject({
      eventType: routingKey,
      eventId: eventId(SESSION, 7),
      timestamp: NOW,
      shardId: 3,
      guildId: dispatches.GUILD,
    });
  });
});

describe('an interaction', () => {
  test('names its channel, user, id and token once each in the envelope', () => {
    for (const dispatch of [dispatches.chatCommand, dispatches.autocomplete, dispatches.button, dispatches.modal]) {
      const { payload } = eventOf(dispatch);
      expect(payload).toMatchObject({
        channelId: dispatches.CHANNEL,
        userId: dispatches.USER,
        interactionId: '846462639134605312',
        interactionToken: dispatches.TOKEN,
      });
      expect(JSON.stringify(payload).split(dispatches.TOKEN)).toHaveLength(2);
    }
  });

  test('keeps who acted, where, with which rights and in which language', () => {
    const { payload } = eventOf(dispatches.chatCommand);
    expect(payload.data).toMatchObject({
      application_id: dispatches.APPLICATION,
      member: {
        user: { id: dispatches.USER, username: 'mason', global_name: 'Mason' },
        nick: 'Mase',
        permissions: '2248473465835073',
        joined_at: '2017-03-13T19:19:14.040000+00:00',
      },
      channel: { id: dispatches.CHANNEL, type: 0, name: 'general' },
      app_permissions: '442368',
      locale: 'de',
      guild_locale: 'en-US',
      entitlements: [{ sku_id: '1019475255913222144' }],
      authorizing_integration_owners: { 0: dispatches.GUILD, 1: dispatches.USER },
      context: 0,
      attachment_size_limit: 10485760,
    });
  });

  test('of a chat command keeps `data` as Discord sent it', () => {
    expect(eventOf(dispatches.chatCommand).payload.data).toHaveProperty('data.options', [
      { name: 'who', type: 6, value: dispatches.OTHER_USER },
      { name: 'where', type: 7, value: '278325129692446799' },
      { name: 'role', type: 8, value: dispatches.ROLE },
      { name: 'why', type: 3, value: 'typed by the user' },
      { name: 'times', type: 4, value: 3 },
      { name: 'weight', type: 10, value: 0.5 },
      { name: 'silent', type: 5, value: true },
      { name: 'file', type: 11, value: '1145678901234567890' },
    ]);
    expect(eventOf(dispatches.chatCommand).payload.data).toMatchObject({
      data: {
        resolved: {
          users: { [dispatches.OTHER_USER]: { username: 'nelly' } },
          members: { [dispatches.OTHER_USER]: { permissions: '1071698660929' } },
          roles: { [dispatches.ROLE]: { name: 'Moderators', permissions: '66321471' } },
          channels: { '278325129692446799': { type: 11, thread_metadata: { archived: false } } },
          attachments: { '1145678901234567890': { filename: 'log.txt', size: 4096 } },
        },
      },
    });
  });

  test('of a subcommand keeps the whole path', () => {
    expect(eventOf(dispatches.subcommand).payload.data).toHaveProperty('data.options', [
      { name: 'member', type: 2, options: [{ name: 'add', type: 1, options: [{ name: 'days', type: 4, value: 7 }] }] },
    ]);
  });

  test('of autocomplete says which option is being typed', () => {
    expect(eventOf(dispatches.autocomplete).payload.data).toHaveProperty('data.options.0.options.1', {
      name: 'number',
      type: 4,
      value: '9',
      focused: true,
    });
  });

  test('of a component keeps its custom id, its values and who started it', () => {
    const { payload } = eventOf(dispatches.stringSelect);
    expect(payload.data).toMatchObject({
      data: { custom_id: 'choice', component_type: 3, values: ['one', 'two'] },
      message: { id: dispatches.MESSAGE, flags: 16384, interaction_metadata: { user: { id: dispatches.OTHER_USER } } },
    });
  });

  test('of a modal keeps every kind of field', () => {
    expect(eventOf(dispatches.modal).payload.data).toHaveProperty('data.components', [
      { type: 1, id: 1, components: [{ type: 4, id: 2, custom_id: 'title', value: 'typed by the user' }] },
      { type: 10, id: 3 },
      { type: 18, id: 4, component: { type: 4, id: 5, custom_id: 'body', value: 'two\nlines' } },
      { type: 18, id: 6, component: { type: 3, id: 7, custom_id: 'kind', values: ['bug', 'idea'] } },
      {
        type: 18,
        id: 8,
        component: { type: 7, id: 9, custom_id: 'who', values: [dispatches.OTHER_USER, dispatches.ROLE] },
      },
      { type: 18, id: 10, component: { type: 8, id: 11, custom_id: 'place', values: ['278325129692446799'] } },
      { type: 18, id: 12, component: { type: 19, id: 13, custom_id: 'proof', values: ['1145678901234567890'] } },
      { type: 18, id: 14, component: { type: 21, id: 15, custom_id: 'mood', value: null } },
      { type: 18, id: 16, component: { type: 22, id: 17, custom_id: 'days', values: ['mon'] } },
      { type: 18, id: 18, component: { type: 23, id: 19, custom_id: 'agree', value: true } },
    ]);
  });

  test('of a kind of modal row that is newer than this program keeps the kind, and the event', () => {
    const { payload } = eventOf(
      change(dispatches.modal, { data: { custom_id: 'x', components: [{ type: 99, id: 1, novelty: 'y' }] } }),
    );
    expect(payload.data).toHaveProperty('data.components', [{ type: 99, id: 1 }]);
  });

  test('takes the channel from the object where the deprecated field is gone', () => {
    expect(eventOf(change(dispatches.button, { channel_id: undefined })).payload).toHaveProperty(
      'channelId',
      dispatches.CHANNEL,
    );
  });

  test('outside guilds is filtered, and says so', () => {
    for (const dispatch of [dispatches.chatCommand, dispatches.button, dispatches.modal, dispatches.autocomplete]) {
      const outside = change(dispatch, { guild_id: undefined, member: undefined, user: dispatches.user, context: 1 });
      expect(toPayload(outside, context())).toEqual({ kind: 'filtered', reason: 'an interaction outside guilds' });
    }
  });

  test('of a newer kind is unknown', () => {
    expect(toPayload(change(dispatches.chatCommand, { type: 17 }), context())).toEqual({
      kind: 'unknown',
      reason: 'expected d.type to be a kind of interaction that this version knows',
    });
    expect(
      toPayload(change(dispatches.button, { data: { custom_id: 'x', component_type: 99 } }), context()),
    ).toMatchObject({ kind: 'unknown', reason: expect.stringContaining('d.data.component_type') });
  });
});

describe('a member', () => {
  test('who joins is told whole', () => {
    expect(eventOf(dispatches.memberJoin).payload).toMatchObject({
      userId: dispatches.USER,
      data: {
        guild_id: dispatches.GUILD,
        user: { id: dispatches.USER, username: 'mason', discriminator: '0', public_flags: 4194304 },
        roles: [dispatches.ROLE, '539082325061836999'],
        joined_at: '2017-03-13T19:19:14.040000+00:00',
        deaf: false,
        flags: 8,
      },
    });
  });

  test('who leaves is a user and a guild', () => {
    const { payload } = eventOf(dispatches.memberLeave);
    expect(payload.data).toMatchObject({ guild_id: dispatches.GUILD, user: { id: dispatches.USER } });
    expect(Object.keys(payload.data)).toEqual(['guild_id', 'user']);
  });

  test('who is updated has the fields that Discord sent, and no other', () => {
    const { payload } = eventOf(dispatches.memberUpdate);
    expect(payload.data).toMatchObject({ roles: [dispatches.ROLE], nick: null, joined_at: null });
    expect(payload.data).not.toHaveProperty('deaf');
    expect(payload.data).not.toHaveProperty('flags');
  });
});

describe('a guild', () => {
  test('that the bot joins is summed up in a bounded message', () => {
    const crowd = Array.from({ length: 5000 }, (_, index) => ({ ...dispatches.member, nick: `member ${index}` }));
    const rooms = Array.from({ length: 500 }, (_, index) => ({
      id: String(index + 1),
      type: 0,
      name: `room ${index}`,
    }));
    const { payload } = eventOf(
      dispatches.guildCreate({
        name: '帮'.repeat(100),
        description: '帮'.repeat(300),
        features: Array.from({ length: 60 }, (_, index) => `FEATURE_OF_DISCORD_${index}`),
        member_count: 5000,
        large: true,
        members: crowd,
        presences: crowd,
        voice_states: crowd,
        channels: rooms,
        threads: rooms,
        roles: rooms,
        emojis: rooms,
        stickers: rooms,
      }),
    );
    expect(payload.data).toMatchObject({ id: dispatches.GUILD, owner_id: dispatches.USER, member_count: 5000 });
    expect(JSON.stringify(payload).length).toBeLessThan(4096);
  });

  test('of the READY list, or back from an outage, is filtered', () => {
    const known = { kind: 'filtered', reason: 'a guild of the READY list, or back from an outage' };
    const guilds = new GuildPresence(Date.parse('2026-11-20T11:00:00Z'));
    expect(toPayload(dispatches.ready(dispatches.GUILD), context(1, guilds))).toMatchObject({ kind: 'filtered' });
    expect(toPayload(dispatches.guildCreate(), context(2, guilds))).toEqual(known);
    expect(toPayload(dispatches.guildDelete({ unavailable: true }), context(3, guilds))).toEqual({
      kind: 'filtered',
      reason: 'a guild taken by an outage',
    });
    expect(toPayload(dispatches.guildCreate(), context(4, guilds))).toEqual(known);
    expect(toPayload(dispatches.guildDelete(), context(5, guilds))).toMatchObject({ routingKey: 'guild.leave' });
    expect(toPayload(dispatches.guildCreate(), context(6, guilds))).toMatchObject({ routingKey: 'guild.join' });
  });

  test('that is unavailable when the bot joins it is told once it is there', () => {
    const guilds = new GuildPresence(Date.parse('2026-11-20T11:00:00Z'));
    toPayload(dispatches.ready(), context(1, guilds));
    expect(
      toPayload({ t: 'GUILD_CREATE', d: { id: dispatches.GUILD, unavailable: true } }, context(2, guilds)),
    ).toEqual({
      kind: 'filtered',
      reason: 'a guild that is unavailable',
    });
    expect(toPayload(dispatches.guildCreate(), context(3, guilds))).toMatchObject({ routingKey: 'guild.join' });
  });

  test('that the bot was in before the session is none that it joined, for an owner without memory', () => {
    const taken = context(900);
    expect(toPayload(dispatches.guildCreate({ joined_at: '2024-01-01T00:00:00Z' }), taken)).toMatchObject({
      kind: 'filtered',
    });
    expect(toPayload(dispatches.guildCreate(), taken)).toMatchObject({ routingKey: 'guild.join' });
  });
});

describe('a message', () => {
  test('is told by where, when and who, and whether it said anything', () => {
    expect(eventOf(dispatches.messageCreate()).payload).toEqual({
      eventId: eventId(SESSION, 7),
      eventType: 'message.create',
      timestamp: NOW,
      shardId: 3,
      guildId: dispatches.GUILD,
      channelId: dispatches.CHANNEL,
      userId: dispatches.USER,
      data: {
        id: dispatches.MESSAGE,
        channel_id: dispatches.CHANNEL,
        guild_id: dispatches.GUILD,
        channel_type: 0,
        author: {
          id: dispatches.USER,
          username: 'mason',
          discriminator: '0',
          global_name: 'Mason',
          avatar: 'a_bab14f271d565501444b2ca3be944b25',
          public_flags: 4194304,
        },
        member: {
          roles: [dispatches.ROLE, '539082325061836999'],
          nick: 'Mase',
          avatar: null,
          banner: null,
          joined_at: '2017-03-13T19:19:14.040000+00:00',
          premium_since: null,
          communication_disabled_until: null,
          pending: false,
          deaf: false,
          mute: false,
          flags: 8,
        },
        type: 19,
        timestamp: '2026-11-20T10:00:00.000000+00:00',
        edited_timestamp: null,
        flags: 16384,
        tts: false,
        pinned: false,
        position: 3,
        mention_everyone: false,
        mention_roles: [dispatches.ROLE],
        mentions: [
          {
            id: dispatches.OTHER_USER,
            username: 'nelly',
            discriminator: '0',
            global_name: null,
            avatar: null,
            public_flags: 4194304,
          },
        ],
        message_reference: {
          type: 0,
          message_id: '1034567890123456700',
          channel_id: dispatches.CHANNEL,
          guild_id: dispatches.GUILD,
        },
        sticker_items: [{ id: '749054660769218631', format_type: 3 }],
        hasContent: true,
        hasAttachments: true,
      },
    });
  });

  test('that Discord has blanked says so', () => {
    expect(eventOf(dispatches.messageCreate({ content: '', attachments: [] })).payload.data).toMatchObject({
      hasContent: false,
      hasAttachments: false,
    });
  });

  test.each([
    ['a direct message', { guild_id: undefined, member: undefined }],
    ["a bot's message", { author: { ...dispatches.user, bot: true } }],
    ["a webhook's message", { webhook_id: '223704706495545344', author: { ...dispatches.user, bot: true } }],
  ])('that is %s is filtered, and says so', (reason, fields) => {
    expect(toPayload(dispatches.messageCreate(fields), context())).toEqual({ kind: 'filtered', reason });
  });
});

describe('other dispatches', () => {
  test.each(['TYPING_START', 'PRESENCE_UPDATE', 'GUILD_UPDATE', 'MESSAGE_UPDATE', 'CHANNEL_CREATE'])(
    '%s is filtered: no worker asked for it',
    (t) => {
      expect(toPayload({ t, d: {} }, context())).toEqual({
        kind: 'filtered',
        reason: 'a dispatch that no worker asked for',
      });
    },
  );

  test("RESUMED is the session's own", () => {
    expect(toPayload({ t: 'RESUMED', d: { _trace: [] } }, context())).toMatchObject({
      kind: 'filtered',
      reason: "the session's own bookkeeping",
    });
  });

  test('one that Discord has invented since is unknown', () => {
    for (const t of ['GUILD_TELEPORTED', '', 'toString']) {
      expect(toPayload({ t, d: {} }, context())).toMatchObject({ kind: 'unknown' });
    }
  });
});

describe('a malformed dispatch', () => {
  test.each<[string, Dispatch]>([
    ['expected d to be an object, got null', { t: 'MESSAGE_CREATE', d: null }],
    ['expected d to be an object, got a list', { t: 'GUILD_MEMBER_ADD', d: [] }],
    ['expected d.author to be an object, got nothing', dispatches.messageCreate({ author: undefined })],
    ['expected d.id to be a snowflake, got a number', dispatches.messageCreate({ id: 5 })],
    ['expected d.id to be a snowflake, got a string', dispatches.messageCreate({ id: 'five' })],
    ['expected d.member.roles to be a list of snowflakes, got nothing', dispatches.messageCreate({ member: {} })],
    ['expected d.mentions[].id to be a snowflake, got nothing', dispatches.messageCreate({ mentions: [{}] })],
    ['expected d.token to be text, got nothing', change(dispatches.button, { token: undefined })],
    ['expected d.member to be an object, got nothing', change(dispatches.modal, { member: undefined })],
    ['expected d.data.name to be text, got nothing', change(dispatches.chatCommand, { data: { id: '1', type: 1 } })],
    [
      'expected d.data.values to be a list of texts, got nothing',
      change(dispatches.stringSelect, { data: { custom_id: 'x', component_type: 3 } }),
    ],
    ['expected d.user to be an object, got nothing', { t: 'GUILD_MEMBER_REMOVE', d: { guild_id: '1' } }],
    ['expected d.guilds[].id to be a snowflake, got a boolean', { t: 'READY', d: { guilds: [{ id: true }] } }],
    ['expected d.id to be a snowflake, got nothing', { t: 'GUILD_DELETE', d: {} }],
  ])('%s', (reason, dispatch) => {
    expect(toPayload(dispatch, context())).toEqual({ kind: 'unknown', reason });
  });

  test('in an optional ornament costs the ornament, not the event', () => {
    const { payload } = eventOf(dispatches.messageCreate({ flags: 'many', tts: 3, edited_timestamp: {} }));
    expect(payload.data).not.toHaveProperty('flags');
    expect(payload.data).not.toHaveProperty('tts');
    expect(payload.data).not.toHaveProperty('edited_timestamp');
  });

  test('that breaks a mapper is unknown too, and its words stay out of the sentence', () => {
    const d = {
      get guild_id(): string {
        throw new TypeError(dispatches.PRIVATE);
      },
    };
    const outcome = toPayload({ t: 'MESSAGE_CREATE', d }, context());
    expect(outcome.kind).toBe('unknown');
    expect(reasonOf(outcome)).toContain('TypeError');
    expect(reasonOf(outcome)).not.toContain(dispatches.PRIVATE);
  });
});

test('a lost session becomes one gateway.gap, whoever tells it', () => {
  const gap = {
    sessionId: SESSION,
    shardId: 2,
    lastSequence: 815,
    lostFrom: NOW - 60_000,
    lostUntil: NOW,
    reason: 'Discord invalidated the session',
  };
  const event = gatewayGap(gap);
  expect(event).toMatchObject({ kind: 'event', routingKey: 'gateway.gap', priority: 5 });
  expect(DiscordEventPayload.parse(JSON.parse(JSON.stringify(event.payload)))).toMatchObject({
    eventType: 'gateway.gap',
    shardId: 2,
    timestamp: NOW,
    data: { sessionId: SESSION, lastSequence: 815, lostFrom: NOW - 60_000, lostUntil: NOW },
  });
  expect(gatewayGap({ ...gap, lostUntil: NOW + 5 }).payload.eventId).toBe(event.payload.eventId);
});
