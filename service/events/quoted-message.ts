// A message as an interaction quotes it: the bot's own, that the pressed button belongs to, or anybody's, that a message
// command was used on. Who wrote it, where and when, and whose interaction it answers; never what it says.

import type { APIMessage, APIMessageInteractionMetadata } from 'discord-api-types/v10';
import { hasAttachments, hasContent, reference } from './message.ts';
import type { InteractionMetadata, QuotedMessage } from './payload.ts';
import {
  integer,
  isSnowflake,
  nullableText,
  object,
  optional,
  optionalBoolean,
  optionalInteger,
  optionalSnowflake,
  snowflake,
  text,
} from './untrusted.ts';
import { user } from './user.ts';

export function quotedMessage(value: unknown, path: string): QuotedMessage {
  const from = object<APIMessage & { guild_id?: string }>(value, path);
  return {
    id: snowflake(from.id, `${path}.id`),
    channel_id: snowflake(from.channel_id, `${path}.channel_id`),
    guild_id: optionalSnowflake(from.guild_id),
    author: user(from.author, `${path}.author`),
    type: integer(from.type, `${path}.type`),
    timestamp: text(from.timestamp, `${path}.timestamp`),
    edited_timestamp: nullableText(from.edited_timestamp),
    flags: optionalInteger(from.flags),
    tts: optionalBoolean(from.tts),
    pinned: optionalBoolean(from.pinned),
    position: optionalInteger(from.position),
    webhook_id: optionalSnowflake(from.webhook_id),
    application_id: optionalSnowflake(from.application_id),
    message_reference: optional(from.message_reference, `${path}.message_reference`, reference),
    interaction_metadata: optional(from.interaction_metadata, `${path}.interaction_metadata`, interactionMetadata),
    hasContent: hasContent(from.content),
    hasAttachments: hasAttachments(from.attachments),
  };
}

/** How the app was installed (a small number), and where or by whom. */
export function owners(value: unknown, path: string): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [kind, owner] of Object.entries(object<Record<string, unknown>>(value, path))) {
    if (/^\d{1,3}$/.test(kind) && isSnowflake(owner)) result[kind] = owner;
  }
  return result;
}

function interactionMetadata(value: unknown, path: string): InteractionMetadata {
  const from = object<APIMessageInteractionMetadata>(value, path);
  return {
    id: snowflake(from.id, `${path}.id`),
    type: integer(from.type, `${path}.type`),
    user: user(from.user, `${path}.user`),
    authorizing_integration_owners: optional(
      from.authorizing_integration_owners,
      `${path}.authorizing_integration_owners`,
      owners,
    ),
    original_response_message_id: optionalSnowflake(from.original_response_message_id),
    target_user: optional(from.target_user, `${path}.target_user`, user),
    target_message_id: optionalSnowflake(from.target_message_id),
    interacted_message_id: optionalSnowflake(from.interacted_message_id),
  };
}
