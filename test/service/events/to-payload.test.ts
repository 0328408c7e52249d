// One dispatch in, one outcome out: the simulator's payloads, each with the routing key that it has to get; what is
// filtered; what cannot be published; and that nothing throws.

import { Buffer } from 'node:buffer';
import { GatewayDispatchEvents } from 'discord-api-types/v10';
import { describe, expect, test } from 'vitest';
import { samplePayloads } from '../../../local/discord/payloads/samples.ts';
import { parseEvents } from '../../../service/events/choice.ts';
import { eventId } from '../../../service/events/event-id.ts';
import { gatewayGap, sessionReplaced } from '../../../service/events/gap.ts';
import type { DispatchContext, Outcome } from '../../../service/events/outcome.ts';
import { EVENTS } from '../../../service/events/payload.ts';
import { family, ROUTES } from '../../../service/events/routing.ts';
import { toOutcomes, toPayload } from '../../../service/events/to-payload.ts';
import { GuildPresence } from '../../../service/session/guild-presence.ts';
import { toMessage } from '../../../service/to-message.ts';
import { dispatchContext, NO_OPT_INS } from '../../support/dispatch-context.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Fields = { [key: string]: Json };

const SESSION = 'fd4f4f6e8d9e4a0c8a3f3d1b2c5e7a90';
const NOW = Date.now();
const QUOTED = 'QUOTED-7f3a';
const ID = { guildId: '1', channelId: '2', userId: '3' };
const READY = { application: { id: '11' }, user: { id: '12' } };

const context = (sequence = 7, guilds = new GuildPresence(NOW - 3_600_000), changes = {}): DispatchContext =>
  dispatchContext({ sessionId: SESSION, shardId: 3, sequence, receivedAt: NOW, guilds, ...changes });

const samples = samplePayloads(42).map(({ name, dispatch: { t, d }, routingKey }) => ({
  name,
  routingKey,
  t,
  d: JSON.parse(JSON.stringify(d)) as Fields,
}));
const due = samples.filter(({ routingKey }) => routingKey !== null);

function sample(name: string): { readonly t: string; readonly d: Fields } {
  const found = samples.find((each) => each.name === name);
  if (found) return found;
  throw new Error(`the simulator has no ${name}`);
}

/** The sample with other values at these paths; `undefined` removes. */
function changed(name: string, changes: Readonly<Record<string, unknown>>): Outcome {
  const { t, d } = sample(name);
  const copy = structuredClone(d);
  for (const [path, value] of Object.entries(changes)) {
    const names = path.split('.');
    const last = names.pop() ?? '';
    const parent = names.reduce<Fields>((each, key) => each[key] as Fields, copy);
    if (value === undefined) delete parent[last];
    else parent[last] = value as Json;
  }
  return toPayload({ t, d: copy }, context());
}

/** As a worker reads it: through JSON, and held against the contract. */
function read(outcome: Outcome) {
  if (outcome.kind !== 'event') throw new Error(`it became ${outcome.kind}: ${outcome.reason}`);
  const name = family(outcome.routingKey);
  if (name === 'other') throw new Error(`no family has ${outcome.routingKey}`);
  expect(Buffer.byteLength(outcome.routingKey)).toBeLessThanOrEqual(255);
  const payload = JSON.parse(JSON.stringify(outcome.payload));
  // It leaves out what the contract does not name.
  expect(EVENTS[name].parse(payload)).toEqual(payload);
  return { ...outcome, payload };
}

describe("the simulator's payloads", () => {
  test('each become the event of their routing key, or none', () => {
    const guilds = new GuildPresence(Date.now());
    const got = samples.map(({ name, t, d, routingKey }, index) => {
      const outcome = toPayload({ t, d }, context(index + 1, guilds));
      const key = outcome.kind === 'event' ? read(outcome).routingKey : null;
      return { name, due: name === 'ready' ? 'gateway.ready' : routingKey, kind: outcome.kind, key };
    });
    expect(got.filter(({ due, key }) => due !== key)).toEqual([]);
    expect(got.filter(({ due }) => due !== null).length).toBeGreaterThan(20);
    expect(got.flatMap(({ name, kind }) => (kind === 'unknown' ? name : []))).toEqual(['undocumented']);
  });

  test.each(due.map(({ name, t, d }) => [name, t, d] as const))('%s has its envelope, and its priority', (_, t, d) => {
    const { payload, priority, routingKey } = read(toPayload({ t, d }, context()));
    const route = Object.values(ROUTES).find((each) => each.family === family(routingKey));
    expect(priority).toBe(route?.priority);
    const interaction = t === 'INTERACTION_CREATE';
    const user = (interaction ? (d.member as Fields).user : (d.user ?? d.author)) as Fields | undefined;
    expect(payload).toEqual({
      eventId: eventId(SESSION, 7),
      eventType: routingKey,
      timestamp: NOW,
      shardId: 3,
      guildId: d.guild_id ?? d.id,
      ...(d.channel_id !== undefined && { channelId: d.channel_id }),
      ...(user !== undefined && { userId: user.id }),
      ...(interaction && { interactionId: d.id, interactionToken: d.token }),
      data: expect.anything(),
    });
  });
});

test.each(['guild_id', '', 5, {}])(
  'an interaction whose guild_id is %j can be answered, and is of no guild',
  (guild_id) => {
    const outcome = changed('command.plain', { guild_id });
    if (outcome.kind !== 'event') throw new Error(`it became ${outcome.kind}`);
    expect(outcome.payload).toMatchObject({ interactionToken: expect.any(String), data: { guild_id } });
    expect(outcome.payload).not.toHaveProperty('guildId');
    expect(changed('message.text', { guild_id }).kind).toBe('unknown');
  },
);

describe('what is filtered', () => {
  test.each<[string, string, Readonly<Record<string, unknown>>]>([
    ['a guild that is unavailable', 'guild.join', { unavailable: true }],
    ['a guild of the READY list, or back from an outage', 'guild.join', { joined_at: '2024-01-01T00:00:00Z' }],
    ['a guild in an outage', 'guild.leave', { unavailable: true }],
  ])('%s: %s with %j', (reason, name, changes) => {
    expect(changed(name, changes)).toEqual({ kind: 'filtered', reason });
  });

  test('a guild of the READY list, an outage and its end; then a leave and a join are none of these', () => {
    const guilds = new GuildPresence(NOW - 3_600_000);
    const { d } = sample('guild.join');
    const seen = [
      { t: 'READY', d: { ...READY, guilds: [{ id: d.id, unavailable: true }, { id: true }] } },
      { t: 'GUILD_CREATE', d },
      { t: 'GUILD_DELETE', d: { id: d.id, unavailable: true } },
      { t: 'GUILD_CREATE', d },
      { t: 'GUILD_DELETE', d: { id: d.id } },
      { t: 'GUILD_CREATE', d },
    ].map((dispatch, index) => toPayload(dispatch, context(index + 1, guilds)));
    expect(seen.map((each) => (each.kind === 'event' ? each.routingKey : each.kind))).toEqual([
      ...['gateway.ready', 'filtered', 'filtered', 'filtered'],
      ...['guild.leave', 'guild.join'],
    ]);
  });

  test('every dispatch that is not chosen, without a look at what it holds', () => {
    for (const t of Object.values(GatewayDispatchEvents).filter((each) => each !== 'READY')) {
      const chosen = { choice: { dispatches: new Set<never>(), wholeGuilds: false } };
      const d = Object.defineProperty({}, 'guild_id', { get: () => expect.unreachable(t) });
      expect(toPayload({ t, d }, context(7, undefined, chosen)), t).toMatchObject({ kind: 'filtered' });
    }
  });
});

const ALL = parseEvents('all,guilds.full');

describe('a dispatch without a row of its own', () => {
  const own = new Set<string | null>(Object.values(ROUTES).map(({ dispatch }) => dispatch));
  const d = { guild_id: '1', channel_id: '2', user_id: '3', id: '4', content: QUOTED };

  test.each([...ALL.dispatches].filter((name) => !own.has(name)))('%s is published under its name', (t) => {
    const event = read(toPayload({ t, d }, context(7, undefined, { choice: ALL })));
    expect(event).toMatchObject({ routingKey: `dispatch.${t.toLowerCase()}`, priority: 2, queue: 'events.dispatch' });
    expect(event.payload).toMatchObject({ eventId: eventId(SESSION, 7), shardId: 3 });
    expect(JSON.stringify(event)).not.toContain(QUOTED);
  });

  const [GUILD, CHANNEL] = [{ guildId: 'guild_id' }, { channelId: 'channel_id' }];
  test.each<[string, Partial<typeof ID>]>([
    ['APPLICATION_COMMAND_PERMISSIONS_UPDATE', GUILD],
    ['AUTO_MODERATION_RULE_CREATE', { ...GUILD, userId: 'creator_id' }],
    ['CHANNEL_UPDATE', { ...GUILD, channelId: 'id' }],
    ['CHANNEL_PINS_UPDATE', { ...GUILD, ...CHANNEL }],
    ['ENTITLEMENT_CREATE', { userId: 'user_id' }],
    ['GUILD_UPDATE', { guildId: 'id' }],
    ['GUILD_BAN_ADD', { ...GUILD, userId: 'user.id' }],
    ['GUILD_AUDIT_LOG_ENTRY_CREATE', { ...GUILD, channelId: 'options.channel_id', userId: 'user_id' }],
    ['GUILD_SCHEDULED_EVENT_UPDATE', { ...GUILD, userId: 'creator.id' }],
    ['INVITE_CREATE', { ...GUILD, ...CHANNEL, userId: 'inviter.id' }],
    ['MESSAGE_UPDATE', { ...GUILD, ...CHANNEL, userId: 'author.id' }],
    ['PRESENCE_UPDATE', { ...GUILD, userId: 'user.id' }],
    ['RATE_LIMITED', { guildId: 'meta.guild_id' }],
    ['THREAD_CREATE', { ...GUILD, channelId: 'id', userId: 'owner_id' }],
    ['THREAD_MEMBER_UPDATE', { ...GUILD, channelId: 'id', userId: 'user_id' }],
    ['USER_UPDATE', { userId: 'id' }],
    ['VOICE_CHANNEL_STATUS_UPDATE', { ...GUILD, channelId: 'id' }],
  ])('%s has its ids where they stand: %j', (t, places) => {
    const d: Fields = {};
    for (const [name, id] of Object.entries(ID)) {
      const [first, inner] = places[name as keyof typeof ID]?.split('.') ?? [];
      if (first !== undefined) d[first] = inner === undefined ? id : { [inner]: id };
    }
    const { payload } = read(toPayload({ t, d }, context(7, undefined, { choice: ALL })));
    const { eventId: _, eventType: __, timestamp: ___, shardId: ____, data, ...ids } = payload;
    expect(ids).toEqual(Object.fromEntries(Object.entries(ID).filter(([name]) => name in places)));
    expect(data).toMatchObject(d);
  });
});

describe('opt-ins', () => {
  const outcomeOf = (t: string, d: object, optIns = {}) =>
    toPayload({ t, d }, context(7, undefined, { choice: ALL, optIns: { ...NO_OPT_INS, ...optIns } }));
  const { t: MESSAGE, d: text } = sample('message.text');
  const direct = { ...text, guild_id: undefined };

  test.each<[string, object, string]>([
    [MESSAGE, direct, 'a direct message'],
    ['MESSAGE_UPDATE', direct, 'a direct message'],
    ['MESSAGE_DELETE_BULK', { ids: ['1'], channel_id: '2', guild_id: null }, 'a direct message'],
    ['MESSAGE_REACTION_ADD', { user_id: '3', channel_id: '2' }, 'a direct message'],
    ['VOICE_STATE_UPDATE', { user_id: '3', channel_id: '2' }, 'a direct message'],
    ['INVITE_CREATE', { channel_id: '2' }, 'a direct message'],
    ['INTERACTION_CREATE', { ...sample('button.plain').d, guild_id: undefined }, 'an interaction outside guilds'],
  ])('%s outside guilds is published only with that for direct messages', (t, d, reason) => {
    for (const optIns of [{}, { messageContent: true, botMessages: true }])
      expect(outcomeOf(t, d, optIns)).toEqual({ kind: 'filtered', reason });
    const { payload } = read(outcomeOf(t, d, { directMessages: true }));
    expect(payload).not.toHaveProperty('guildId');
  });

  test('the user of an interaction outside guilds', () => {
    const { member: _, ...d } = sample('button.plain').d;
    const { payload } = read(
      outcomeOf('INTERACTION_CREATE', { ...d, guild_id: undefined, user: { id: '77' } }, { directMessages: true }),
    );
    expect(payload).toMatchObject({ userId: '77', interactionToken: d.token });
  });

  test.each([MESSAGE, 'MESSAGE_UPDATE'])('%s of a bot or webhook is published only with that for bots', (t) => {
    for (const [d, reason] of [
      [{ ...text, author: { id: '3', bot: true } }, "a bot's message"],
      [{ ...text, webhook_id: '4' }, "a webhook's message"],
    ] as const) {
      for (const optIns of [{}, { messageContent: true, directMessages: true }])
        expect(outcomeOf(t, d, optIns)).toEqual({ kind: 'filtered', reason });
      expect(outcomeOf(t, d, { botMessages: true }).kind).toBe('event');
    }
  });

  test('an update without an author is published', () => {
    expect(outcomeOf('MESSAGE_UPDATE', { id: '1', guild_id: '2', channel_id: '3' }).kind).toBe('event');
  });

  test('content is forwarded only with that for content, and no unknown field of a message ever', () => {
    const written = { ...text, content: QUOTED, embeds: [{ title: QUOTED }], poll: { question: { text: QUOTED } } };
    const d = { ...written, referenced_message: written, brand_new: 'NEVER', nonce: 'NEVER', thread: { name: QUOTED } };
    const execution = { guild_id: '1', content: QUOTED, matched_content: QUOTED };
    for (const t of [MESSAGE, 'MESSAGE_UPDATE']) {
      const outcome = outcomeOf(t, d, { messageContent: true });
      const { content, embeds, poll } = written;
      const data = { content, embeds, poll, hasContent: true, thread: { name: QUOTED } };
      expect(outcome).toMatchObject({
        unknownFields: ['brand_new'],
        payload: { data: { ...data, referenced_message: { content, hasContent: true } } },
      });
      expect(JSON.stringify(outcome)).not.toContain('NEVER');
      expect(JSON.stringify(outcomeOf(t, d, { botMessages: true, directMessages: true }))).not.toContain(QUOTED);
    }
    expect(outcomeOf(MESSAGE, text)).not.toHaveProperty('unknownFields');
    const [t, forwarded] = ['AUTO_MODERATION_ACTION_EXECUTION', { messageContent: true }];
    expect(outcomeOf(t, execution, forwarded)).toMatchObject({ payload: { data: execution } });
  });
});

describe('guilds.full', () => {
  const { d } = sample('guild.join');
  const whole = { ...d, members: [{ user: { id: '5' } }], channels: [{ id: '6' }] };
  const outcomes = (guild: object, choice = ALL, guilds = new GuildPresence(NOW - 3_600_000)) =>
    toOutcomes({ t: 'GUILD_CREATE', d: guild }, context(7, guilds, { choice }));

  test('a join makes two events: the whole guild under an id of its own, and the join as ever', () => {
    const [full, join] = outcomes(whole).map(read);
    expect([full?.routingKey, full?.queue, full?.priority]).toEqual(['dispatch.guild_create', 'events.dispatch', 2]);
    expect(full?.payload).toMatchObject({ guildId: d.id, eventId: eventId(SESSION, '7:dispatch.guild_create') });
    expect(full?.payload.data).toEqual(JSON.parse(JSON.stringify(whole)));
    expect(join?.payload).toEqual(read(outcomes(whole, parseEvents('guilds')).at(-1) as Outcome).payload);
    expect(join?.payload.eventId).toBe(eventId(SESSION, 7));
  });

  test('a guild of the READY list, back from an outage or unavailable makes the whole guild alone', () => {
    for (const guild of [
      { ...whole, joined_at: '2024-01-01T00:00:00Z' },
      { id: d.id, unavailable: true },
    ])
      expect(outcomes(guild).map((each) => (each.kind === 'event' ? each.routingKey : each.kind))).toEqual([
        ...['dispatch.guild_create', 'filtered'],
      ]);
  });

  test('is not published where it is not chosen, and no other dispatch makes two events', () => {
    expect(outcomes(whole, parseEvents('all'))).toMatchObject([{ routingKey: 'guild.join' }]);
    expect(toOutcomes({ t: 'GUILD_UPDATE', d }, context(7, undefined, { choice: ALL }))).toHaveLength(1);
  });

  test.each([
    [null, 'expected d to be an object, got null'],
    [{ ...whole, id: 5 }, 'expected d.id to be a snowflake, got a number'],
  ])('%j is malformed, as a whole and as a join', (guild, reason) => {
    const unknown = { kind: 'unknown', reason };
    expect(outcomes(guild as object)).toEqual([unknown, unknown]);
  });

  test('guilds are remembered, whoever wants to know of them', () => {
    const guilds = new GuildPresence(NOW - 3_600_000);
    const deleted = toPayload(
      { t: 'GUILD_DELETE', d: { id: d.id, unavailable: true } },
      context(6, guilds, { choice: parseEvents('typing') }),
    );
    expect(deleted).toMatchObject({ kind: 'filtered' });
    expect(outcomes(whole, parseEvents('guilds'), guilds)).toMatchObject([{ kind: 'filtered' }]);
  });
});

test.each([
  [[], 'd.guilds to be a list, got a list'],
  [{ ...READY, guilds: 5 }, 'd.guilds to be a list, got a number'],
  [{ ...READY, guilds: [], application: {} }, 'd.application.id to be a snowflake, got nothing'],
  [{ ...READY, guilds: [], user: { id: 'me' } }, 'd.user.id to be a snowflake, got a string'],
])('READY of %j is malformed', (d, reason) => {
  expect(toPayload({ t: 'READY', d }, context())).toEqual({ kind: 'unknown', reason: `expected ${reason}` });
});

test('READY is reported, with what a cache starts from', () => {
  const d = { ...READY, guilds: [{ id: '21', unavailable: true }, { id: '22' }], session_id: 'ignored' };
  const event = read(toPayload({ t: 'READY', d }, context(1, undefined, { shardCount: 4 })));
  expect(event).toMatchObject({ routingKey: 'gateway.ready', priority: 5, queue: 'events.gateway' });
  const { eventId: _, ...payload } = event.payload;
  const data = { sessionId: SESSION, applicationId: '11', userId: '12', shardCount: 4, guildIds: ['21', '22'] };
  expect(payload).toEqual({ eventType: 'gateway.ready', shardId: 3, timestamp: NOW, data });
});

describe('what routing needs', () => {
  test.each<[string, string, Readonly<Record<string, unknown>>]>([
    ['expected d.user.id to be a snowflake, got a string', 'member.join', { 'user.id': '1'.repeat(21) }],
    ['expected d.guild_id to be a snowflake, got a list', 'message.text', { guild_id: [] }],
    ['expected d.author to be an object, got a string', 'message.text', { author: QUOTED }],
    ['expected d.id to be a snowflake, got nothing', 'button.plain', { id: undefined }],
    ['expected d.token to be text, got a string', 'select.user', { token: '' }],
    ['expected d.user.id to be a snowflake, got nothing', 'member.leave', { user: undefined }],
    ['expected d.guild_id to be a snowflake, got a string', 'member.join', { guild_id: '1/2' }],
    ['expected d.guild_id to be a snowflake, got a string', 'member.join', { guild_id: '12:' }],
    ['expected d.id to be a snowflake, got an object', 'guild.join', { id: {}, joined_at: '2024-01-01T00:00:00Z' }],
    ['expected d.id to be a snowflake, got an object', 'guild.leave', { id: {}, unavailable: true }],
  ])('%s: %s with %j', (reason, name, changes) => {
    expect(changed(name, changes)).toEqual({ kind: 'unknown', reason });
  });

  test('the largest id, 2^64 - 1, is one', () => {
    const guild_id = '18446744073709551615';
    expect(read(changed('member.join', { guild_id })).payload.guildId).toBe(guild_id);
  });

  test.each([
    ['TYPING_START', { guild_id: 5 }, 'expected d.guild_id to be a snowflake, got a number'],
    ['MESSAGE_REACTION_ADD', { guild_id: '1', channel_id: '2' }, 'expected d.user_id to be a snowflake, got nothing'],
  ])('%s with %j', (t, d, reason) => {
    expect(toPayload({ t, d }, context(7, undefined, { choice: ALL }))).toEqual({ kind: 'unknown', reason });
  });

  test('a type that is known', () => {
    for (const t of ['GUILD_TELEPORTED', '', 'toString', '__proto__'])
      expect(toPayload({ t, d: {} }, context())).toEqual({ kind: 'unknown', reason: 'an unknown dispatch type' });
  });
});

test.each(due)('$name is an event without any of its other fields', ({ name, d }) => {
  const needed = ['id', 'guild_id', 'token', 'type', 'data', 'author', 'user'];
  for (const field of Object.keys(d).filter((key) => !needed.includes(key)))
    expect(read(changed(name, { [field]: undefined })).kind, field).toBe('event');
});

test.each<[string, Readonly<Record<string, unknown>>]>([
  ['command.plain', { type: 17 }],
  ['command.plain', { type: undefined }],
  ['command.plain', { data: null }],
  ['command.plain', { 'data.name': undefined }],
  ['command.plain', { 'data.name': '' }],
  ['autocomplete.plain', { 'data.name': 5 }],
  ['button.plain', { 'data.component_type': 99 }],
  ['select.user', { data: undefined }],
])(
  '%s with %j is an interaction of an unknown kind, which a worker gets with its id, token and type',
  (name, change) => {
    const { d } = sample(name);
    const { payload, priority } = read(changed(name, change));
    expect([payload.eventType, priority]).toEqual(['interaction.unknown', 5]);
    expect(payload).toMatchObject({ interactionId: d.id, interactionToken: d.token, guildId: d.guild_id });
    expect(Object(payload.data).type).toBe('type' in change ? change.type : d.type);
  },
);

test('an optional id of the envelope may be missing, or stand in its other place', () => {
  const { payload } = read(changed('button.plain', { member: undefined, channel_id: 5 }));
  expect(payload).not.toHaveProperty('userId');
  expect(payload).toHaveProperty('channelId', (sample('button.plain').d.channel as Fields).id);
});

test('a guild that the bot joins is a summary without its lists', () => {
  const lists = [
    ...['channels', 'threads', 'members', 'presences', 'voice_states', 'roles', 'emojis', 'stickers'],
    ...['soundboard_sounds', 'stage_instances', 'guild_scheduled_events'],
  ];
  const full = Object.fromEntries(
    lists.map((name) => [name, Array.from({ length: 5000 }, () => ({ nick: 'member' }))]),
  );
  const { payload } = read(changed('guild.join', { ...full, new_field: 'of Discord' }));
  const rest = Object.entries(sample('guild.join').d).filter(([name]) => !lists.includes(name));
  expect(payload.data).toEqual({ ...Object.fromEntries(rest), new_field: 'of Discord' });
});

describe('whatever comes, there is an answer', () => {
  test('to hostile values, of every dispatch type: an outcome, whose message can be written or is refused as too deep', () => {
    const deep = (open: string, close: string) =>
      JSON.parse(`${open.repeat(20_000)}1${close.repeat(20_000)}`) as unknown;
    const values: readonly unknown[] = [
      ...[undefined, null, [], {}, deep('[', ']'), deep('{"a":', '}')],
      ...['\ud800', '\0', QUOTED, 1e308, JSON.parse('1e400'), -0, 2 ** 60, '9'.repeat(100_000)],
      ...[{ toString: 1 }, { length: 1e9 }, JSON.parse('{"__proto__":{"polluted":1},"constructor":null}')],
    ];
    const names = [
      ...['id', 'guild_id', 'channel_id', 'user', 'author', 'member', 'guilds', 'data', 'token', 'type', 'joined_at'],
      ...['unavailable', 'embeds', 'message_snapshots', 'referenced_message'],
    ];
    for (const t of [...Object.values(GatewayDispatchEvents), '__proto__', 'constructor', '\ud800', ''])
      for (const value of values) {
        const valid = { id: '1', guild_id: '2', channel_id: '3', user: { id: '4' }, author: { id: '4' } };
        for (const d of [value, { ...valid, x: value }, ...names.map((name) => ({ ...valid, [name]: value }))]) {
          const outcome = toPayload({ t, d }, context());
          if (outcome.kind !== 'event') {
            expect(outcome.reason).toMatch(/^(?!.*(QUOTED|in the ingestor))[ -~]{5,200}$/);
            continue;
          }
          try {
            toMessage(outcome, SESSION, 7);
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
          }
        }
      }
    expect({}).not.toHaveProperty('polluted');
  });

  test('to a defect here, whose message is not in the reason', () => {
    const d = {
      get guild_id(): string {
        throw new TypeError(QUOTED);
      },
    };
    const outcome = toPayload({ t: 'MESSAGE_CREATE', d }, context());
    expect(outcome).toEqual({ kind: 'unknown', reason: 'TypeError in the ingestor: report this defect' });
  });
});

test('a lost session becomes a gateway.gap', () => {
  const session = { sessionId: SESSION, lastSequence: 815, reason: 'Discord invalidated the session' };
  const data = { ...session, lostFrom: NOW - 60_000, lostUntil: NOW };
  const event = read(gatewayGap({ ...data, shardId: 2 }));
  expect(event).toMatchObject({ routingKey: 'gateway.gap', priority: 5 });
  expect(event.payload).toMatchObject({ eventType: 'gateway.gap', shardId: 2, timestamp: NOW, data });
});

test('the planned end of a session becomes a gateway.session-replaced', () => {
  const data = { sessionId: SESSION, lastSequence: 815, reason: 'intents changed' };
  const event = read(sessionReplaced({ ...data, shardId: 2, endedAt: NOW }));
  expect(event).toMatchObject({ routingKey: 'gateway.session-replaced', priority: 5 });
  const { eventId: _, ...payload } = event.payload;
  expect(payload).toEqual({ eventType: 'gateway.session-replaced', shardId: 2, timestamp: NOW, data });
});
