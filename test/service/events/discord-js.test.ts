// What a worker built on discord.js sees: its own structures, made once from Discord's dispatch and once from our message
// (`{...data, token}`), say the same. Both Clients are real, with discord.js's own handlers and caches; neither logs in.

import {
  ApplicationCommandType,
  type AutocompleteInteraction,
  type BaseInteraction,
  ChannelType,
  type ChatInputCommandInteraction,
  Client,
  type ClientEvents,
  Events,
  type Message,
  type MessageComponentInteraction,
  type MessageContextMenuCommandInteraction,
  type ModalSubmitInteraction,
  PermissionFlagsBits,
  type UserContextMenuCommandInteraction,
} from 'discord.js';
import { afterEach, describe, expect, test } from 'vitest';
import { samplePayloads } from '../../../local/discord/payloads/samples.ts';
import { GuildPresence } from '../../../service/events/guild-presence.ts';
import type { DiscordEventPayload } from '../../../service/events/payload.ts';
import { type Dispatch, toPayload } from '../../../service/events/to-payload.ts';
import * as dispatches from './dispatches.ts';

const clients: Client[] = [];
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.destroy()));
});

/** A Client after READY. Discord's own dispatches reach its handlers by the door that its gateway connection uses. */
class Bot {
  readonly client = new Client({ intents: [] });
  readonly #handle: (packet: Dispatch, shard: object) => void;
  readonly #shard = { id: 0, status: 0, checkReady: () => {} };

  /** @param guild the GUILD_CREATE of the one guild that it knows, or none. */
  constructor(guild?: Dispatch) {
    clients.push(this.client);
    this.#handle = Reflect.get(this.client.ws, 'handlePacket').bind(this.client.ws);
    this.take(dispatches.ready(...(guild ? [idOf(guild)] : [])));
    Reflect.get(this.client.ws, 'triggerClientReady').call(this.client.ws);
    if (guild) this.take(guild);
  }

  take(dispatch: Dispatch): void {
    this.#handle(structuredClone(dispatch), this.#shard);
  }

  /** The arguments of the event that this dispatch makes. */
  see<E extends keyof ClientEvents>(event: E, dispatch: Dispatch): ClientEvents[E] {
    let seen: ClientEvents[E] | undefined;
    this.client.once(event, (...all) => {
      seen = all;
    });
    this.take(dispatch);
    if (!seen) throw new Error(`discord.js made no ${event} of this ${dispatch.t}`);
    return seen;
  }
}

/** It has a message as its target, with words: a test of its own. */
const isMessageCommand = ({ d }: Dispatch): boolean => Object(Object(d).data).type === ApplicationCommandType.Message;

const idOf = ({ d }: Dispatch): string => String(Object(d).id);
const known = dispatches.guildCreate();

function eventOf(dispatch: Dispatch): DiscordEventPayload {
  const outcome = toPayload(dispatch, {
    sessionId: 's',
    shardId: 0,
    sequence: 5,
    receivedAt: Date.now(),
    guilds: new GuildPresence(0),
  });
  if (outcome.kind !== 'event') throw new Error(`${dispatch.t} became ${outcome.kind}: ${outcome.reason}`);
  return JSON.parse(JSON.stringify(outcome.payload));
}

/** What a worker gives to discord.js. */
function handedOn(dispatch: Dispatch): Dispatch {
  const payload = eventOf(dispatch);
  const token = 'interactionToken' in payload ? { token: payload.interactionToken } : {};
  return { t: dispatch.t, d: { ...payload.data, ...token } };
}

/** Of a message, all but what it says. */
function withoutWords(message: Message | null | undefined): object | undefined {
  if (!message) return undefined;
  const { id, channelId, guildId, type, system, tts, pinned, position, flags, author, webhookId, applicationId } =
    message;
  const { createdTimestamp, editedTimestamp, interactionMetadata } = message;
  const references = { reference: message.reference, groupActivityApplication: null };
  return {
    ...{ id, channelId, guildId, type, system, tts, pinned, position, flags, author, webhookId, applicationId },
    ...{ createdTimestamp, editedTimestamp, interactionMetadata },
    ...references,
  };
}

/** Discord's dispatch without the ornaments of users, and without polls, of which discord.js wants the channel cached. */
function plain({ t, d }: Dispatch): Dispatch {
  const left = new Set(['avatar_decoration_data', 'collectibles', 'primary_guild', 'poll', 'topic']);
  return { t, d: JSON.parse(JSON.stringify(d), (key, value: unknown) => (left.has(key) ? undefined : value)) };
}

function interactions<I extends BaseInteraction>(
  dispatch: Dispatch,
  guild: Dispatch | null = known,
): { direct: I; worker: I } {
  const [direct] = new Bot(guild ?? undefined).see(Events.InteractionCreate, plain(dispatch));
  const [worker] = new Bot(guild ?? undefined).see(Events.InteractionCreate, handedOn(dispatch));
  expect(worker.constructor).toBe(direct.constructor);
  return { direct: narrowed<I>(direct), worker: narrowed<I>(worker) };
}

/** The caller knows which dispatch it gave. */
const narrowed = <I extends BaseInteraction>(interaction: BaseInteraction): I => interaction as I;

const all = {
  chatCommand: dispatches.chatCommand,
  subcommand: dispatches.subcommand,
  userCommand: dispatches.userCommand,
  entryPointCommand: dispatches.entryPointCommand,
  autocomplete: dispatches.autocomplete,
  button: dispatches.button,
  stringSelect: dispatches.stringSelect,
  mentionableSelect: dispatches.mentionableSelect,
  channelSelect: dispatches.channelSelect,
  modal: dispatches.modal,
};

/** In every field, the words of its message aside. */
function expectSame(dispatch: Dispatch, guild: Dispatch | null): void {
  const { direct, worker } = interactions<ModalSubmitInteraction>(dispatch, guild);
  const { message, ...fields } = worker;
  const { message: directMessage, ...directFields } = direct;
  expect(fields).toEqual(directFields);
  expect(Object.keys(fields).length).toBeGreaterThan(15);
  expect(withoutWords(message)).toEqual(withoutWords(directMessage));
  expect(worker.token).toBe(direct.token);
}

const caches = (guild: Dispatch): [string, Dispatch | null][] => [
  ['with the guild in the cache', guild],
  ['without any cache', null],
];

describe.each(caches(known))('an interaction, %s', (_, guild) => {
  test.each(Object.entries(all))('of %s is the same', (_name, dispatch) => {
    expectSame(dispatch, guild);
  });
});

describe.each([1, 2, 3])("the simulator's dispatches of seed %i", (seed) => {
  const samples = samplePayloads(seed);
  const create = samples.find(({ name }) => name === 'guild.of-ready');
  if (!create) throw new Error('the samples have no guild of the READY list');
  const due = (prefix: string) =>
    samples
      .filter(({ routingKey }) => routingKey?.startsWith(prefix))
      .map(({ name, dispatch }) => [name, dispatch] as const);

  test.each(caches(create.dispatch))('make the same interactions, %s', (_, guild) => {
    const named = due('interaction.').filter(([, dispatch]) => !isMessageCommand(dispatch));
    expect(named.length).toBeGreaterThan(15);
    for (const [, dispatch] of named) expectSame(dispatch, guild);
  });

  test('make the same messages, their words aside', () => {
    // discord.js is silent about a thread that it has not seen start.
    const named = due('message.').filter(([, { d }]) => Object(d).channel_type !== ChannelType.PublicThread);
    expect(named.length).toBeGreaterThan(5);
    for (const [name, dispatch] of named) {
      const [direct] = new Bot(create.dispatch).see(Events.MessageCreate, plain(dispatch));
      const [worker] = new Bot(create.dispatch).see(Events.MessageCreate, handedOn(dispatch));
      expect(withoutWords(worker), name).toEqual(withoutWords(direct));
      expect(worker.member, name).toEqual(direct.member);
    }
  });

  test('make the same members', () => {
    for (const [, dispatch] of due('member.join')) {
      const [direct] = new Bot(create.dispatch).see(Events.GuildMemberAdd, plain(dispatch));
      const [worker] = new Bot(create.dispatch).see(Events.GuildMemberAdd, handedOn(dispatch));
      expect(worker).toEqual(direct);
    }
  });
});

describe('the fields of an event say what the structure says', () => {
  test('of every interaction', () => {
    for (const dispatch of Object.values(all)) {
      const [seen]: [BaseInteraction] = new Bot(known).see(Events.InteractionCreate, dispatch);
      expect(eventOf(dispatch)).toMatchObject({
        guildId: seen.guildId,
        channelId: seen.channelId,
        userId: seen.user.id,
        interactionId: seen.id,
        interactionToken: seen.token,
        data: {
          application_id: seen.applicationId,
          locale: seen.locale,
          guild_locale: seen.guildLocale,
          app_permissions: String(seen.appPermissions.bitfield),
          member: { permissions: String(seen.memberPermissions?.bitfield) },
        },
      });
    }
  });
});

describe('a worker reads', () => {
  test("a chat command's options", () => {
    const { worker } = interactions<ChatInputCommandInteraction<'cached'>>(dispatches.chatCommand);
    const { options } = worker;
    expect(worker.commandName).toBe('report');
    expect(options.getUser('who', true).username).toBe('nelly');
    expect(options.getMember('who')?.nickname).toBe('Mase');
    expect(options.getChannel('where', true).type).toBe(ChannelType.PublicThread);
    expect(options.getRole('role', true).name).toBe('Moderators');
    expect(options.getString('why', true)).toBe('typed by the user');
    expect(options.getInteger('times', true)).toBe(3);
    expect(options.getNumber('weight', true)).toBe(0.5);
    expect(options.getBoolean('silent', true)).toBe(true);
    expect(options.getAttachment('file', true).name).toBe('log.txt');
    expect(worker.memberPermissions.has(PermissionFlagsBits.SendMessages)).toBe(true);
    expect(worker.member.joinedTimestamp).toBe(Date.parse('2017-03-13T19:19:14.040Z'));
  });

  test('the subcommand and its group', () => {
    const { worker } = interactions<ChatInputCommandInteraction>(dispatches.subcommand);
    expect(worker.options.getSubcommandGroup()).toBe('member');
    expect(worker.options.getSubcommand()).toBe('add');
    expect(worker.options.getInteger('days')).toBe(7);
  });

  test('the focused option', () => {
    const { worker } = interactions<AutocompleteInteraction>(dispatches.autocomplete);
    expect(worker.options.getFocused(true)).toMatchObject({ name: 'number', value: '9' });
    expect(worker.options.getString('artist')).toBe('Bach');
  });

  test("a user command's target", () => {
    const { worker } = interactions<UserContextMenuCommandInteraction<'cached'>>(dispatches.userCommand);
    expect(worker.targetUser.id).toBe(dispatches.OTHER_USER);
    expect(worker.targetMember?.nickname).toBe('Mase');
  });

  test("a message command's target, without its words", () => {
    const { direct, worker } = interactions<MessageContextMenuCommandInteraction>(dispatches.messageCommand);
    expect(withoutWords(worker.targetMessage)).toEqual(withoutWords(direct.targetMessage));
    expect(worker.targetMessage.author.id).toBe(dispatches.OTHER_USER);
    expect(worker.targetMessage.content).toBeFalsy();
    expect(direct.targetMessage.content).toBe(dispatches.PRIVATE);
  });

  test('what was pressed and picked, and whose command it was', () => {
    const pressed = interactions<MessageComponentInteraction>(dispatches.button).worker;
    expect(pressed.customId).toBe('confirm');
    expect(pressed.message.interactionMetadata?.user.id).toBe(dispatches.OTHER_USER);
    const picked = interactions<MessageComponentInteraction>(dispatches.stringSelect).worker;
    expect(picked.isStringSelectMenu() && picked.values).toEqual(['one', 'two']);
    const people = interactions<MessageComponentInteraction>(dispatches.mentionableSelect).worker;
    expect(people.isMentionableSelectMenu() && [...people.users.keys(), ...people.roles.keys()]).toEqual([
      dispatches.OTHER_USER,
      dispatches.ROLE,
    ]);
  });

  test("a modal's fields, of every kind", () => {
    const { fields } = interactions<ModalSubmitInteraction>(dispatches.modal).worker;
    expect(fields.getTextInputValue('title')).toBe('typed by the user');
    expect(fields.getTextInputValue('body')).toBe('two\nlines');
    expect(fields.getStringSelectValues('kind')).toEqual(['bug', 'idea']);
    expect(fields.getSelectedMentionables('who')?.users.first()?.username).toBe('nelly');
    expect(fields.getSelectedChannels('place')?.first()?.id).toBe('278325129692446799');
    expect(fields.getUploadedFiles('proof')?.first()?.name).toBe('log.txt');
  });
});

describe('members, guilds and messages', () => {
  test('who joins is the same member', () => {
    const [direct] = new Bot(known).see(Events.GuildMemberAdd, plain(dispatches.memberJoin));
    const [worker] = new Bot(known).see(Events.GuildMemberAdd, handedOn(dispatches.memberJoin));
    expect(worker).toEqual(direct);
    const data = eventOf(dispatches.memberJoin).data;
    expect('roles' in data && data.roles).toContain(dispatches.ROLE);
    expect(direct.roles.cache.has(dispatches.ROLE)).toBe(true);
    expect(data).toMatchObject({ nick: direct.nickname, pending: direct.pending, flags: direct.flags.bitfield });
    expect('joined_at' in data && Date.parse(String(data.joined_at))).toBe(direct.joinedTimestamp);
  });

  test('who is updated is the same member, before and after', () => {
    const change = { t: 'GUILD_MEMBER_UPDATE', d: { ...Object(dispatches.memberUpdate.d), nick: 'New', roles: [] } };
    const [before, after] = new Bot(known).see(Events.GuildMemberUpdate, plain(change));
    const [workerBefore, workerAfter] = new Bot(known).see(Events.GuildMemberUpdate, handedOn(change));
    expect(workerBefore.nickname).toBe('Mase');
    expect(workerBefore.nickname).toBe(before.nickname);
    expect(workerAfter).toEqual(after);
  });

  test('who leaves is the same member', () => {
    const [direct] = new Bot(known).see(Events.GuildMemberRemove, plain(dispatches.memberLeave));
    const [worker] = new Bot(known).see(Events.GuildMemberRemove, handedOn(dispatches.memberLeave));
    expect(worker).toEqual(direct);
  });

  test('a joined guild is the same guild in all that the summary tells', () => {
    const [direct] = new Bot().see(Events.GuildCreate, dispatches.guildCreate());
    const [worker] = new Bot().see(Events.GuildCreate, handedOn(dispatches.guildCreate()));
    for (const field of [
      ...(['id', 'name', 'ownerId', 'icon', 'banner', 'description', 'memberCount', 'large', 'features'] as const),
      ...([
        'joinedTimestamp',
        'preferredLocale',
        'premiumTier',
        'premiumSubscriptionCount',
        'verificationLevel',
      ] as const),
      ...(['nsfwLevel', 'mfaLevel', 'vanityURLCode', 'systemChannelId', 'systemChannelFlags'] as const),
      ...(['rulesChannelId', 'publicUpdatesChannelId'] as const),
    ]) {
      expect(worker[field], field).toEqual(direct[field]);
      expect(worker[field], field).toBeDefined();
    }
  });

  test('a guild that the bot leaves is the same guild', () => {
    const [direct] = new Bot(known).see(Events.GuildDelete, dispatches.guildDelete());
    const [worker] = new Bot(known).see(Events.GuildDelete, handedOn(dispatches.guildDelete()));
    expect(worker.id).toBe(direct.id);
  });

  test('a message is the same message, its words aside', () => {
    const [direct] = new Bot(known).see(Events.MessageCreate, plain(dispatches.messageCreate()));
    const [worker] = new Bot(known).see(Events.MessageCreate, handedOn(dispatches.messageCreate()));
    expect(withoutWords(worker)).toEqual(withoutWords(direct));
    expect(worker.member).toEqual(direct.member);
    expect([...worker.mentions.users.keys()]).toEqual([...direct.mentions.users.keys()]);
    expect([...worker.mentions.roles.keys()]).toEqual([...direct.mentions.roles.keys()]);
    expect(worker.mentions.everyone).toBe(direct.mentions.everyone);
    expect([...worker.stickers.keys()]).toEqual([...direct.stickers.keys()]);
    expect(direct.content).toBe(dispatches.PRIVATE);
    expect(worker.content).toBeFalsy();
    expect(worker.embeds).toEqual([]);
    expect(worker.attachments.size).toBe(0);
  });
});
