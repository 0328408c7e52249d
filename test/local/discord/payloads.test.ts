// The payloads are what discord.js takes for real: each is given to a discord.js client as if its gateway had sent it,
// and what its structures say is compared with what was sent.

import {
  type AutocompleteInteraction,
  type ButtonInteraction,
  type ChatInputCommandInteraction,
  Client,
  Events,
  type GuildMember,
  type Interaction,
  type Message,
  type MessageContextMenuCommandInteraction,
  type ModalSubmitInteraction,
  Options,
  type UserContextMenuCommandInteraction,
} from 'discord.js';
import { GatewayDispatchEvents, InteractionType } from 'discord-api-types/v10';
import { describe, expect, test } from 'vitest';
import { withoutContent } from '../../../local/discord/payloads/content-intent.ts';
import * as guild from '../../../local/discord/payloads/guild.ts';
import { INTERACTION_TOKEN_PREFIX } from '../../../local/discord/payloads/interaction.ts';
import type * as message from '../../../local/discord/payloads/message.ts';
import { Moment } from '../../../local/discord/payloads/moment.ts';
import { ready } from '../../../local/discord/payloads/ready.ts';
import { type Sample, samplePayloads } from '../../../local/discord/payloads/samples.ts';
import { VARIANTS, variantOf } from '../../../local/discord/payloads/variants.ts';
import { World } from '../../../local/discord/payloads/world.ts';

const MARKER = 'marker-7f3a';
const world = new World({ seed: 11, marker: MARKER });
const home = world.guild(0);

describe('seeds', () => {
  const timeless = (samples: readonly Sample[]) => samples.filter(({ name }) => name !== 'guild.join');

  test('the same seed gives the same payloads, another seed others', () => {
    expect(timeless(samplePayloads(5))).toEqual(timeless(samplePayloads(5)));
    expect(timeless(samplePayloads(5))).not.toEqual(timeless(samplePayloads(6)));
  });

  test.each(VARIANTS.map(({ name }) => name))('%s made again is the same, the next one is not', (name) => {
    const variant = variantOf(name);
    const made = (index: number) => JSON.stringify(variant.make(new Moment(world, home, index)));
    expect(made(4)).toBe(made(4));
    if (name !== 'user.update') expect(made(4)).not.toBe(made(5));
  });

  test('ids are unique over events', () => {
    const ids = new Set<string>();
    const make = variantOf('message.text').make;
    for (let index = 0; index < 20_000; index += 1)
      ids.add((make(new Moment(world, home, index)) as { id: string }).id);
    expect(ids.size).toBe(20_000);
  });
});

describe('what a worker is due', () => {
  const dueOf = (samples: readonly Sample[]) =>
    new Set(
      samples.flatMap(({ routingKey }) => (routingKey === null ? [] : [routingKey.split('.').slice(0, 2).join('.')])),
    );

  test('there is a sample for every row of the table', () => {
    expect([...dueOf(samplePayloads(1))].toSorted()).toEqual([
      'guild.join',
      'guild.leave',
      'interaction.autocomplete',
      'interaction.button',
      'interaction.command',
      'interaction.modal',
      'interaction.select',
      'member.join',
      'member.leave',
      'member.update',
      'message.create',
    ]);
  });

  test('no routing key has an empty word, a wildcard or a blank', () => {
    for (const { routingKey } of samplePayloads(1)) {
      if (routingKey !== null) expect(routingKey).toMatch(/^[^.*#\s]+(\.[^.*#\s]+){1,2}$/);
    }
  });

  test('the default traffic is made of things that the default intents let through', () => {
    const intents = 1 | 2 | 512;
    for (const { name, weight, intents: needs } of VARIANTS)
      if (weight > 0) expect([name, needs === 0 || (needs & intents) !== 0]).toEqual([name, true]);
  });
});

describe('content', () => {
  const messages = VARIANTS.filter(({ dispatch }) => dispatch === GatewayDispatchEvents.MessageCreate);

  test('the marker stands in every message that holds something written', () => {
    for (const { name, make } of messages) {
      if (['message.welcome', 'message.voice'].includes(name)) continue;
      expect([name, JSON.stringify(make(new Moment(world, home, 3))).includes(MARKER)]).toEqual([name, true]);
    }
  });

  test.each(['message.text', 'message.reply', 'message.forward', 'message.files', 'message.link', 'message.poll'])(
    '%s has nothing written in it without the MessageContent intent',
    (name) => {
      const full = variantOf(name).make(new Moment(world, home, 3)) as ReturnType<typeof message.text>;
      const blanked = withoutContent(full, world.bot.id);
      expect(JSON.stringify(blanked)).not.toContain(MARKER);
      expect(blanked).toMatchObject({ id: full.id, content: '', embeds: [], attachments: [] });
    },
  );

  test.each(['message.mention', 'message.direct', 'message.by-ourselves'])(
    '%s keeps its text without the intent, as Discord leaves it',
    (name) => {
      const full = variantOf(name).make(new Moment(world, home, 3)) as ReturnType<typeof message.text>;
      expect(withoutContent(full, world.bot.id)).toEqual(full);
    },
  );
});

describe("discord.js's structures", () => {
  test.each(['command.plain', 'command.unicode', 'command.subcommand', 'command.subcommand-group', 'command.direct'])(
    '%s is a chat command',
    async (name) => {
      const { sent, got } = await interaction<ChatInputCommandInteraction>(name);
      expect(got.isChatInputCommand()).toBe(true);
      expect([got.commandName, got.commandId]).toEqual([sent.data.name, sent.data.id]);
    },
  );

  test('every kind of option is resolved', async () => {
    const { sent, got } = await interaction<ChatInputCommandInteraction<'cached'>>('command.everything');
    const value = (name: string) => sent.data.options.find((option: { name: string }) => option.name === name).value;
    const { options } = got;
    expect(options.getString('text', true)).toBe(value('text'));
    expect(options.getInteger('count', true)).toBe(value('count'));
    expect(options.getNumber('ratio', true)).toBe(value('ratio'));
    expect(options.getBoolean('loud', true)).toBe(value('loud'));
    expect(options.getUser('who', true).id).toBe(value('who'));
    expect(options.getMember('who')?.id).toBe(value('who'));
    expect(options.getChannel('where', true).id).toBe(value('where'));
    expect(options.getRole('crew', true).id).toBe(value('crew'));
    expect(options.getMentionable('any', true).id).toBe(value('any'));
    expect(options.getAttachment('file', true).url).toContain(value('file'));
  });

  test('subcommands and their groups are found', async () => {
    const plain = await interaction<ChatInputCommandInteraction>('command.subcommand');
    expect(plain.got.options.getSubcommand()).toBe('reset');
    expect(plain.got.options.getBoolean('confirm')).toBe(true);
    const group = await interaction<ChatInputCommandInteraction>('command.subcommand-group');
    expect([group.got.options.getSubcommandGroup(), group.got.options.getSubcommand()]).toEqual(['roles', 'add']);
    expect(group.got.options.getRole('role')?.id).toBe(world.roleId(home, 1));
  });

  test('a user command has its target, member included', async () => {
    const { sent, got } = await interaction<UserContextMenuCommandInteraction>('command.user');
    expect(got.isUserContextMenuCommand()).toBe(true);
    expect([got.targetUser.id, got.targetMember !== null]).toEqual([sent.data.target_id, true]);
  });

  test.each(['command.message', 'command.hostile-name'])('%s has its target message with its text', async (name) => {
    const { sent, got } = await interaction<MessageContextMenuCommandInteraction>(name);
    expect(got.isMessageContextMenuCommand()).toBe(true);
    expect(got.targetMessage.id).toBe(sent.data.target_id);
    expect(got.targetMessage.content).toContain(MARKER);
  });

  test('an entry point is one', async () => {
    const { got } = await interaction<Interaction>('command.entry-point');
    expect(got.isPrimaryEntryPointCommand()).toBe(true);
  });

  test('autocomplete has its focused option, in a subcommand too', async () => {
    const plain = await interaction<AutocompleteInteraction>('autocomplete.plain');
    expect(plain.got.isAutocomplete()).toBe(true);
    expect(plain.got.options.getFocused(true)).toMatchObject({ name: 'query', value: 'app' });
    const nested = await interaction<AutocompleteInteraction>('autocomplete.subcommand');
    expect(nested.got.options.getSubcommand()).toBe('volume');
    expect(nested.got.options.getFocused()).toBe('1');
  });

  test.each(['button.plain', 'button.in-thread', 'button.direct'])('%s is a button on our message', async (name) => {
    const { sent, got } = await interaction<ButtonInteraction>(name);
    expect(got.isButton()).toBe(true);
    expect([got.customId, got.message.id, got.message.author.id]).toEqual([
      sent.data.custom_id,
      sent.message.id,
      world.bot.id,
    ]);
    expect(JSON.parse(JSON.stringify(got.component))).toMatchObject({ custom_id: sent.data.custom_id });
  });

  test('each select is of its kind and has what it selected', async () => {
    const select = async (name: string) => (await interaction<Interaction>(name)).got;
    const text = await select('select.string');
    expect(text.isStringSelectMenu() && text.values).toEqual(['red', 'green']);
    const user = await select('select.user');
    expect(user.isUserSelectMenu() && [user.users.size, user.members.size]).toEqual([1, 1]);
    const role = await select('select.role');
    expect(role.isRoleSelectMenu() && role.roles.first()?.id).toBe(world.roleId(home, 2));
    const any = await select('select.mentionable');
    expect(any.isMentionableSelectMenu() && [any.roles.size, any.users.size, any.members.size]).toEqual([1, 1, 1]);
    const channel = await select('select.channel');
    expect(channel.isChannelSelectMenu() && channel.channels.first()?.id).toBe(world.voiceChannelId(home));
  });

  test('a modal has the value of each of its fields', async () => {
    const { sent, got } = await interaction<ModalSubmitInteraction>('modal.labels');
    expect(got.isModalSubmit()).toBe(true);
    const { fields } = got;
    expect(fields.getTextInputValue('reason')).toContain(MARKER);
    expect(fields.getStringSelectValues('topic')).toEqual(['help']);
    expect(fields.getSelectedUsers('who', true).size).toBe(1);
    expect(fields.getSelectedRoles('crew', true).size).toBe(1);
    expect(fields.getSelectedMentionables('any', true).roles.size).toBe(1);
    expect(fields.getSelectedChannels('where', true).first()?.id).toBe(world.voiceChannelId(home));
    expect(fields.getUploadedFiles('proof', true).size).toBe(1);
    expect(fields.getRadioGroup('size')).toBe('large');
    expect(fields.getCheckboxGroup('extras')).toEqual(['a', 'c']);
    expect(fields.getCheckbox('agree')).toBe(true);
    expect(got.customId).toBe(sent.data.custom_id);
  });

  test('an older modal has text inputs in rows, and the message of its button', async () => {
    const { got } = await interaction<ModalSubmitInteraction>('modal.rows');
    expect(got.fields.getTextInputValue('title')).toContain(MARKER);
    expect(got.fields.getTextInputValue('details')).toBe('');
    expect(got.isFromMessage()).toBe(true);
    const direct = await interaction<ModalSubmitInteraction>('modal.direct');
    expect(direct.got.inGuild()).toBe(false);
  });

  test('in a guild there is a member with permissions, in direct messages a user', async () => {
    const { sent, got } = await interaction<ChatInputCommandInteraction>('command.plain');
    expect(got.inGuild()).toBe(true);
    expect(got.memberPermissions?.has('SendMessages')).toBe(true);
    expect([got.user.id, got.locale, got.guildLocale]).toEqual([sent.member.user.id, sent.locale, sent.guild_locale]);
    expect(got.token.startsWith(INTERACTION_TOKEN_PREFIX)).toBe(true);
    const direct = await interaction<ChatInputCommandInteraction>('command.direct');
    expect([direct.got.inGuild(), direct.got.member, direct.got.user.id]).toEqual([false, null, direct.sent.user.id]);
  });

  test('every interaction is taken for the kind that it says', async () => {
    for (const variant of VARIANTS.filter(({ dispatch }) => dispatch === GatewayDispatchEvents.InteractionCreate)) {
      const { sent, got } = await interaction<Interaction>(variant.name);
      expect([variant.name, got.type, got.id]).toEqual([variant.name, sent.type, sent.id]);
      expect(Object.values(InteractionType)).toContain(got.type);
    }
  });

  test.each(
    VARIANTS.filter(({ dispatch }) => dispatch === GatewayDispatchEvents.MessageCreate).map(({ name }) => name),
  )('%s is a message', async (name) => {
    const { sent, got } = await received<Message>(name, Events.MessageCreate);
    expect([got.id, got.author.id, got.channelId, got.guildId]).toEqual([
      sent.id,
      sent.author.id,
      sent.channel_id,
      sent.guild_id ?? null,
    ]);
    expect([got.content, got.attachments.size, got.embeds.length]).toEqual([
      sent.content,
      sent.attachments.length,
      sent.embeds.length,
    ]);
  });

  test('members join, are updated and leave', async () => {
    const joined = await received<GuildMember>('member.join', Events.GuildMemberAdd);
    expect([joined.got.id, joined.got.guild.id]).toEqual([joined.sent.user.id, home.id]);
    expect(joined.got.joinedAt).not.toBeNull();
    const bot = await received<GuildMember>('member.bot-join', Events.GuildMemberAdd);
    expect(bot.got.user.bot).toBe(true);
    const left = await received<GuildMember>('member.leave', Events.GuildMemberRemove, ['member.join']);
    expect(left.got.id).toBe(left.sent.user.id);
    for (const name of ['member.update', 'member.partial-update', 'member.timeout']) {
      // A member that is not cached yet is told as this event.
      const updated = await received<GuildMember>(name, Events.GuildMemberAvailable);
      expect([updated.got.id, updated.got.roles.cache.size]).toEqual([
        updated.sent.user.id,
        updated.sent.roles.length + 1,
      ]);
    }
    const { got } = await received<GuildMember>('member.timeout', Events.GuildMemberAvailable);
    expect(got.communicationDisabledUntil?.getTime()).toBe(world.epoch + 8 + 600_000);
  });

  test('a guild has its channels, roles and members', async () => {
    const { client, guildOf } = await clientAtHome();
    const { memberCount, textChannels, roles } = home;
    expect([guildOf().name, guildOf().memberCount]).toEqual([home.name, memberCount]);
    expect([guildOf().channels.cache.size, guildOf().roles.cache.size]).toEqual([textChannels + 1, roles]);
    expect(guildOf().members.me?.id).toBe(client.user?.id);
    expect(guildOf().joinedAt.getTime()).toBe(guild.joinedLongAgo(world, home));
  });

  test('an outage takes a guild and brings it back; a removal takes it for good', async () => {
    const { client, feed, guildOf } = await clientAtHome();
    feed(GatewayDispatchEvents.GuildDelete, guild.outage(home));
    expect(guildOf().available).toBe(false);
    feed(GatewayDispatchEvents.GuildCreate, guild.create(world, home, guild.joinedLongAgo(world, home), 3));
    expect(guildOf().available).toBe(true);
    feed(GatewayDispatchEvents.GuildDelete, guild.remove(home));
    expect(client.guilds.cache.size).toBe(0);
  });

  test('what nobody wants is understood too', async () => {
    const { client, feed } = await clientAtHome();
    const raw: string[] = [];
    client.on('raw', ({ t }: { t: string }) => raw.push(t));
    const unwanted = VARIANTS.filter(({ weight, dispatch }) => weight === 0 || dispatch !== 'INTERACTION_CREATE');
    for (const { dispatch, make } of unwanted) feed(dispatch, make(new Moment(world, home, 9)));
    expect(raw).toEqual(unwanted.map(({ dispatch }) => dispatch));
  });

  test('a large guild exceeds 512 KiB', () => {
    const large = JSON.stringify(guild.create(world, home, Date.now(), 2_000));
    expect(Buffer.byteLength(large)).toBeGreaterThan(524_288);
  });
});

/** A client of discord.js that got READY and its guild, without a connection. */
async function clientAtHome() {
  const client = new Client({ intents: 0, partials: [1, 3], makeCache: Options.cacheEverything() });
  // Its own packet handler, as its gateway calls it.
  const handle = (client.ws as unknown as { handlePacket(packet: object, shard: object): boolean }).handlePacket.bind(
    client.ws,
  );
  const shard = {
    id: 0,
    status: 0,
    checkReady: () => undefined,
    gotGuild: () => undefined,
    onReadyPacket: () => undefined,
  };
  const feed = (t: string, d: object | null) => {
    client.ws.status = 0;
    client.emit('raw', { t }, 0);
    handle({ op: 0, t, d: JSON.parse(JSON.stringify(d)), s: 1 }, shard);
  };
  const session = { sessionId: 'x', resumeUrl: 'ws://127.0.0.1:1', shard: [0, 1] as const };
  feed(GatewayDispatchEvents.Ready, ready(world, session, [home]));
  feed(GatewayDispatchEvents.GuildCreate, guild.create(world, home, guild.joinedLongAgo(world, home), 0));
  const guildOf = () => {
    const found = client.guilds.cache.get(home.id);
    if (found) return found;
    throw new Error('discord.js does not know the guild');
  };
  return { client, feed, guildOf };
}

/** What discord.js emits for this payload, and the payload. */
async function received<T>(name: string, event: string, before: readonly string[] = []) {
  const { client, feed } = await clientAtHome();
  const moment = () => new Moment(world, home, 8);
  for (const each of before) {
    const variant = variantOf(each);
    feed(variant.dispatch, variant.make(moment()));
  }
  const variant = variantOf(name);
  // biome-ignore lint/suspicious/noExplicitAny: fields of payloads of every shape are compared
  const sent = variant.make(moment()) as any;
  let got: T | undefined;
  client.once(event, (structure: T) => {
    got = structure;
  });
  feed(variant.dispatch, sent);
  if (got === undefined) throw new Error(`discord.js emitted no ${event} for ${name}`);
  return { sent, got };
}

const interaction = <T>(name: string) => received<T>(name, Events.InteractionCreate);
