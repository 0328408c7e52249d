// MESSAGE_CREATE by people, bots and webhooks, in guilds and in direct messages: every place where something that
// somebody wrote can hide. Complete, as a bot with the MessageContent intent gets them; `content-intent.ts` blanks them.

import {
  type APIAttachment,
  type APIEmbed,
  type APIMessage,
  type APIUser,
  ChannelType,
  EmbedType,
  type GatewayMessageCreateDispatchData,
  InteractionType,
  MessageFlags,
  MessageReferenceType,
  MessageType,
  PollLayoutType,
  StickerFormatType,
} from 'discord-api-types/v10';
import type { Moment } from './moment.ts';
import { NO_FLAGS } from './no-flags.ts';
import type { Person } from './world.ts';

type Data = GatewayMessageCreateDispatchData;

/** Of a person, in a text channel of the guild. */
export function text(moment: Moment): Data {
  return inGuild(moment, moment.person());
}

/** Names the bot, so that Discord lets it read the text without an intent. */
export function mention(moment: Moment): Data {
  const { bot } = moment.world;
  const message = text(moment);
  return { ...message, content: `<@${bot.id}> ${message.content}`, mentions: [bot] };
}

export function reply(moment: Moment): Data {
  const message = text(moment);
  const referenced = quoted(moment, message.channel_id);
  return {
    ...message,
    type: MessageType.Reply,
    mentions: [referenced.author],
    message_reference: {
      type: MessageReferenceType.Default,
      channel_id: message.channel_id,
      message_id: referenced.id,
      guild_id: moment.guild.id,
    },
    referenced_message: referenced,
  };
}

export function forward(moment: Moment): Data {
  const message = text(moment);
  const source = quoted(moment, moment.world.channelId(moment.guild, 0));
  return {
    ...message,
    content: '',
    flags: MessageFlags.HasSnapshot,
    message_reference: {
      type: MessageReferenceType.Forward,
      channel_id: source.channel_id,
      message_id: source.id,
      guild_id: moment.guild.id,
    },
    message_snapshots: [
      {
        message: {
          type: MessageType.Default,
          content: source.content,
          embeds: [embed(moment)],
          attachments: [picture(moment, source.channel_id)],
          timestamp: source.timestamp,
          edited_timestamp: null,
          flags: NO_FLAGS,
          mentions: [],
          mention_roles: [],
        },
      },
    ],
  };
}

export function files(moment: Moment): Data {
  const message = text(moment);
  const attachments = [picture(moment, message.channel_id)];
  if (moment.random.chance(0.3)) attachments.push(picture(moment, message.channel_id));
  return { ...message, attachments };
}

export function voice(moment: Moment): Data {
  const message = text(moment);
  const id = moment.id();
  const url = `https://cdn.discordapp.com/attachments/${message.channel_id}/${id}/voice-message.ogg`;
  return {
    ...message,
    content: '',
    flags: MessageFlags.IsVoiceMessage,
    attachments: [
      {
        id,
        filename: 'voice-message.ogg',
        content_type: 'audio/ogg',
        size: 20_000 + moment.random.below(60_000),
        url,
        proxy_url: url.replace('cdn.discordapp.com', 'media.discordapp.net'),
        duration_secs: 1 + moment.random.below(300) / 10,
        waveform: Buffer.from(moment.random.hex(64), 'hex').toString('base64'),
      },
    ],
  };
}

export function link(moment: Moment): Data {
  const message = text(moment);
  return {
    ...message,
    content: `${message.content} https://example.com/${moment.random.hex(5)}`,
    embeds: [embed(moment)],
  };
}

export function sticker(moment: Moment): Data {
  const { world, guild } = moment;
  const item = {
    id: world.stickerId(guild, 1),
    name: 'wave',
    format_type: StickerFormatType.PNG,
  };
  return { ...text(moment), sticker_items: [item] };
}

export function poll(moment: Moment): Data {
  const answer = (answer_id: number, words: string) => ({ answer_id, poll_media: { text: words } });
  return {
    ...text(moment),
    content: '',
    poll: {
      question: { text: moment.words() },
      answers: [answer(1, moment.words()), answer(2, 'Neither')],
      expiry: moment.time(-86_400_000),
      allow_multiselect: false,
      layout_type: PollLayoutType.Default,
    },
  };
}

/** In a public thread of the guild's first channel. */
export function inThread(moment: Moment): Data {
  const { world, guild, random } = moment;
  return {
    ...text(moment),
    channel_id: world.threadId(guild, random.below(4)),
    channel_type: ChannelType.PublicThread,
    position: random.below(500),
  };
}

/** Opens a thread: the thread is named by its first words. */
export function threadStart(moment: Moment): Data {
  const { world, guild } = moment;
  const message = text(moment);
  const name = moment.words().slice(0, 100);
  return {
    ...message,
    type: MessageType.ThreadCreated,
    content: name,
    message_reference: { channel_id: world.threadId(guild, 1), guild_id: guild.id },
    thread: {
      id: world.threadId(guild, 1),
      type: ChannelType.PublicThread,
      name,
      guild_id: guild.id,
      parent_id: message.channel_id,
      owner_id: message.author.id,
      last_message_id: null,
      message_count: 0,
      member_count: 1,
      rate_limit_per_user: 0,
      flags: NO_FLAGS,
      thread_metadata: {
        archived: false,
        archive_timestamp: message.timestamp,
        auto_archive_duration: 1_440,
        locked: false,
        create_timestamp: message.timestamp,
      },
    },
  };
}

/** Discord's own words that a member joined. Its author is the member. */
export function welcome(moment: Moment): Data {
  return {
    ...text(moment),
    channel_id: moment.world.channelId(moment.guild, 0),
    type: MessageType.UserJoin,
    content: '',
  };
}

export function byBot(moment: Moment): Data {
  const { random, world, guild } = moment;
  return {
    ...inGuild(moment, { user: moment.bot(), member: world.member(guild, random.below(50)) }),
    embeds: [embed(moment)],
  };
}

/** This bot's own answer to a command. */
export function byOurselves(moment: Moment): Data {
  const { world, guild } = moment;
  const { user } = moment.person();
  const interaction = moment.id();
  return {
    ...inGuild(moment, { user: world.bot, member: world.member(guild, 0) }),
    type: MessageType.ChatInputCommand,
    application_id: world.applicationId,
    webhook_id: world.applicationId,
    interaction_metadata: {
      id: interaction,
      type: InteractionType.ApplicationCommand,
      user,
      authorizing_integration_owners: { 0: guild.id },
    },
    interaction: { id: interaction, type: InteractionType.ApplicationCommand, name: 'ping', user },
  };
}

export function byWebhook(moment: Moment): Data {
  const { member: _, ...message } = inGuild(moment, moment.person());
  const webhook = moment.id();
  const author: APIUser = {
    id: webhook,
    username: 'Release notes',
    discriminator: '0000',
    global_name: null,
    avatar: null,
    bot: true,
  };
  return { ...message, author, webhook_id: webhook, embeds: [embed(moment)] };
}

/** A person writes to the bot. Discord does not withhold this text. */
export function direct(moment: Moment): Data {
  const { user } = moment.person();
  const { guild_id: _, member: __, ...message } = inGuild(moment, moment.person());
  return { ...message, author: user, channel_id: directChannel(moment, user), channel_type: ChannelType.DM };
}

/** The channel of the direct messages between a user and the bot. */
export function directChannel(moment: Moment, user: APIUser): string {
  return (BigInt(user.id) ^ (BigInt(moment.world.applicationId) & 0x3fffffn)).toString();
}

/** A message that something else quotes or is about. */
export function quoted(moment: Moment, channelId: string): APIMessage {
  const { user } = moment.person();
  return {
    id: moment.id(),
    channel_id: channelId,
    author: user,
    content: moment.words(),
    timestamp: moment.time(60_000),
    edited_timestamp: null,
    tts: false,
    mention_everyone: false,
    mentions: [],
    mention_roles: [],
    attachments: [picture(moment, channelId)],
    embeds: [embed(moment)],
    components: [],
    pinned: false,
    type: MessageType.Default,
    flags: NO_FLAGS,
  };
}

export function picture(moment: Moment, channelId: string): APIAttachment {
  const id = moment.id();
  const filename = moment.fileName('png');
  const path = `attachments/${channelId}/${id}/${filename}?ex=6a1b2c3d&is=6a19dabd&hm=${moment.random.hex(32)}&`;
  return {
    id,
    filename,
    title: filename,
    size: 10_000 + moment.random.below(4_000_000),
    content_type: 'image/png',
    url: `https://cdn.discordapp.com/${path}`,
    proxy_url: `https://media.discordapp.net/${path}`,
    width: 640,
    height: 480,
    placeholder: 'aBcDEwAGiHeHiIeIeIiIeId=',
    placeholder_version: 1,
  };
}

function embed(moment: Moment): APIEmbed {
  return {
    type: EmbedType.Rich,
    title: moment.words(),
    description: moment.words(),
    url: 'https://example.com/',
    color: moment.random.below(0xffffff),
    fields: [{ name: moment.words(), value: moment.words(), inline: true }],
    footer: { text: moment.words() },
  };
}

function inGuild(moment: Moment, { user, member }: Person): Data {
  const { world, guild } = moment;
  return {
    id: moment.id(),
    channel_id: world.channelId(guild, moment.channelNumber()),
    channel_type: ChannelType.GuildText,
    guild_id: guild.id,
    author: user,
    member,
    content: moment.words(),
    timestamp: moment.time(),
    edited_timestamp: null,
    tts: false,
    mention_everyone: false,
    mentions: [],
    mention_roles: [],
    attachments: [],
    embeds: [],
    components: [],
    pinned: false,
    type: MessageType.Default,
    flags: NO_FLAGS,
    nonce: moment.id(),
  };
}
