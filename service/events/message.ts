// MESSAGE_CREATE, by far the most frequent dispatch: that someone wrote, where and when, never what. Left out is all that
// Discord's MessageContent intent governs (content, embeds, attachments, components, poll), and what quotes it: the
// message referred to, forwarded snapshots, the thread (its name is the message's first words), stickers' names.

import type {
  APIMessageReference,
  APIStickerItem,
  APIUser,
  GatewayMessageCreateDispatchData,
} from 'discord-api-types/v10';
import { eventId } from './event-id.ts';
import { type DispatchContext, FILTERED, type Outcome } from './outcome.ts';
import type { MessageCreateData, User } from './payload.ts';
import { ROUTES } from './routing.ts';
import {
  integer,
  list,
  nullableText,
  object,
  optional,
  optionalBoolean,
  optionalInteger,
  optionalSnowflake,
  optionalSnowflakes,
  snowflake,
  text,
} from './untrusted.ts';
import { member, user } from './user.ts';

export function messageCreate(d: unknown, context: DispatchContext): Outcome {
  const from = object<GatewayMessageCreateDispatchData>(d, 'd');
  if (from.guild_id === undefined || from.guild_id === null) return FILTERED.directMessage;
  if (from.webhook_id !== undefined && from.webhook_id !== null) return FILTERED.webhook;
  if (object<APIUser>(from.author, 'd.author').bot === true) return FILTERED.bot;
  const author = user(from.author, 'd.author');
  const data: MessageCreateData = {
    id: snowflake(from.id, 'd.id'),
    channel_id: snowflake(from.channel_id, 'd.channel_id'),
    guild_id: snowflake(from.guild_id, 'd.guild_id'),
    channel_type: optionalInteger(from.channel_type),
    author,
    member: optional(from.member, 'd.member', member),
    type: integer(from.type, 'd.type'),
    timestamp: text(from.timestamp, 'd.timestamp'),
    edited_timestamp: nullableText(from.edited_timestamp),
    flags: optionalInteger(from.flags),
    tts: optionalBoolean(from.tts),
    pinned: optionalBoolean(from.pinned),
    position: optionalInteger(from.position),
    mention_everyone: optionalBoolean(from.mention_everyone),
    mention_roles: optionalSnowflakes(from.mention_roles),
    mentions: optional(from.mentions, 'd.mentions', mentions),
    message_reference: optional(from.message_reference, 'd.message_reference', reference),
    sticker_items: optional(from.sticker_items, 'd.sticker_items', stickers),
    hasContent: hasContent(from.content),
    hasAttachments: hasAttachments(from.attachments),
  };
  const { family, priority } = ROUTES.messageCreate;
  return {
    kind: 'event',
    routingKey: family,
    priority,
    payload: {
      eventId: eventId(context.sessionId, context.sequence),
      eventType: family,
      timestamp: context.receivedAt,
      shardId: context.shardId,
      guildId: data.guild_id,
      channelId: data.channel_id,
      userId: author.id,
      data,
    },
  };
}

export const hasContent = (content: unknown): boolean => typeof content === 'string' && content !== '';

export const hasAttachments = (attachments: unknown): boolean => Array.isArray(attachments) && attachments.length > 0;

function mentions(value: unknown, path: string): User[] {
  return list(value, path).map((each) => user(each, 'd.mentions[]'));
}

export function reference(value: unknown, path: string): MessageCreateData['message_reference'] {
  const from = object<APIMessageReference>(value, path);
  return {
    type: optionalInteger(from.type),
    message_id: optionalSnowflake(from.message_id),
    channel_id: optionalSnowflake(from.channel_id),
    guild_id: optionalSnowflake(from.guild_id),
  };
}

function stickers(value: unknown, path: string): MessageCreateData['sticker_items'] {
  return list(value, path).map((each) => {
    const from = object<APIStickerItem>(each, `${path}[]`);
    return { id: snowflake(from.id, `${path}[].id`), format_type: optionalInteger(from.format_type) };
  });
}
