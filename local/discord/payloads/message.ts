// MESSAGE_CREATE by people, bots and webhooks, in guilds and in direct messages, with text in every place where people's
// words can be. As a bot with the MessageContent intent gets them; `content-intent.ts` blanks them.

import {
  type APIAttachment,
  type APIEmbed,
  type APIMessage,
  type APIThreadChannel,
  ChannelType,
  EmbedType,
  type GatewayMessageCreateDispatchData,
  InteractionType,
  MessageFlags,
  MessageReferenceType,
  MessageType,
  PollLayoutType,
} from 'discord-api-types/v10';
import type { EventContext } from './event-context.ts';
import { NO_FLAGS, type Person } from './world.ts';

type Data = GatewayMessageCreateDispatchData;

/** A person writes in a text channel of the guild. */
export function text(context: EventContext): Data {
  return inGuild(context, context.person());
}

/** Names the bot, so that Discord lets it read the text without an intent. */
export function mention(context: EventContext): Data {
  const { bot } = context.world;
  const message = text(context);
  return { ...message, content: `<@${bot.id}> ${message.content}`, mentions: [bot] };
}

export function reply(context: EventContext): Data {
  const message = text(context);
  const referenced = quoted(context, message.channel_id);
  return {
    ...message,
    type: MessageType.Reply,
    mentions: [referenced.author],
    message_reference: referenceTo(context, referenced, MessageReferenceType.Default),
    referenced_message: referenced,
  };
}

export function forward(context: EventContext): Data {
  const source = quoted(context, context.channelId());
  const { type, content, embeds, attachments, timestamp, edited_timestamp } = source;
  const snapshot = { type, content, embeds, attachments, timestamp, edited_timestamp };
  return {
    ...text(context),
    content: '',
    flags: MessageFlags.HasSnapshot,
    message_reference: referenceTo(context, source, MessageReferenceType.Forward),
    message_snapshots: [{ message: { ...snapshot, flags: NO_FLAGS, mentions: [], mention_roles: [] } }],
  };
}

/** With a file and a link's preview. */
export function files(context: EventContext): Data {
  const message = text(context);
  return { ...message, attachments: [picture(context, message.channel_id)], embeds: [embed(context)] };
}

export function poll(context: EventContext): Data {
  return {
    ...text(context),
    content: '',
    poll: {
      question: { text: context.words() },
      answers: [{ answer_id: 1, poll_media: { text: context.words() } }],
      expiry: context.time(-86_400_000),
      allow_multiselect: false,
      layout_type: PollLayoutType.Default,
    },
  };
}

/** Opens a thread, which has the text as its name. */
export function threadStart(context: EventContext): Data {
  const message = text(context);
  const opened = thread(context);
  return {
    ...message,
    type: MessageType.ThreadCreated,
    content: opened.name,
    message_reference: { channel_id: opened.id, guild_id: context.guild.id },
    thread: { ...opened, parent_id: message.channel_id, owner_id: message.author.id },
  };
}

export function thread(c: EventContext): APIThreadChannel & { readonly name: string } {
  const { world, guild } = c;
  return {
    id: world.idIn(guild, 'thread', c.random.below(1_000)),
    type: ChannelType.PublicThread,
    name: c.words(),
    guild_id: guild.id,
    parent_id: c.channelId(),
    owner_id: c.person().user.id,
    last_message_id: null,
    rate_limit_per_user: 0,
    message_count: 1,
    member_count: 1,
    total_message_sent: 1,
    flags: NO_FLAGS,
    thread_metadata: { archived: false, archive_timestamp: c.time(), auto_archive_duration: 1_440, locked: false },
  };
}

export function byBot(context: EventContext): Data {
  const { random, world, guild } = context;
  const user = world.user(random.below(50), true);
  return { ...inGuild(context, { user, member: world.member(guild, 1) }), embeds: [embed(context)] };
}

/** This bot's own answer to a command. */
export function byOurselves(context: EventContext): Data {
  const { world, guild } = context;
  return {
    ...inGuild(context, { user: world.bot, member: world.member(guild, 0) }),
    type: MessageType.ChatInputCommand,
    application_id: world.bot.id,
    webhook_id: world.bot.id,
    interaction_metadata: {
      id: context.id(),
      type: InteractionType.ApplicationCommand,
      user: context.person().user,
      authorizing_integration_owners: { 0: guild.id },
    },
  };
}

export function byWebhook(context: EventContext): Data {
  const { member: _, ...message } = text(context);
  const id = context.id();
  const author = { id, username: 'Release notes', discriminator: '0000', global_name: null, avatar: null, bot: true };
  return { ...message, author, webhook_id: id };
}

/** A person writes to the bot. Discord does not withhold this text. */
export function direct(context: EventContext): Data {
  const { guild_id: _, member: __, ...message } = text(context);
  return { ...message, channel_id: context.id(), channel_type: ChannelType.DM };
}

/** A message that something else quotes or is about. */
export function quoted(context: EventContext, channelId: string): APIMessage {
  const [attachments, embeds] = [[picture(context, channelId)], [embed(context)]];
  return asQuoted({ ...text(context), timestamp: context.time(60_000), attachments, embeds }, channelId);
}

/** Without the fields that only a MESSAGE_CREATE has. */
export function asQuoted(message: Data, channelId: string): APIMessage {
  const { channel_type: _, guild_id: __, member: ___, nonce: ____, ...rest } = message;
  return { ...rest, channel_id: channelId };
}

export function picture(context: EventContext, channelId: string): APIAttachment {
  const { random, world } = context;
  const id = context.id();
  const filename = `${world.marker ?? 'photo'}_${random.hex(6)}.png`;
  const path = `attachments/${channelId}/${id}/${filename}?ex=6a1b2c3d&is=6a19dabd&hm=${random.hex(32)}&`;
  return {
    id,
    filename,
    size: 10_000 + random.below(4_000_000),
    content_type: 'image/png',
    url: `https://cdn.discordapp.com/${path}`,
    proxy_url: `https://media.discordapp.net/${path}`,
    width: 640,
    height: 480,
  };
}

export function embed(context: EventContext): APIEmbed {
  return {
    type: EmbedType.Rich,
    title: context.words(),
    description: context.words(),
    url: 'https://example.com/',
    color: context.random.below(0xffffff),
    fields: [{ name: context.words(), value: context.words(), inline: true }],
    footer: { text: context.words() },
  };
}

function referenceTo({ guild }: EventContext, { id, channel_id }: APIMessage, type: MessageReferenceType) {
  return { type, channel_id, message_id: id, guild_id: guild.id };
}

function inGuild(context: EventContext, { user, member }: Person): Data {
  return {
    id: context.id(),
    channel_id: context.channelId(),
    channel_type: ChannelType.GuildText,
    guild_id: context.guild.id,
    author: user,
    member,
    content: context.words(),
    timestamp: context.time(),
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
    nonce: context.id(),
  };
}
