// What Discord resolves beside an interaction: the users, members, roles, channels and files that its values name, and
// the message that a message command was used on. Of that message only what says nothing about its text.

import type {
  APIAttachment,
  APIChannel,
  APIInteractionDataResolved,
  APIInteractionDataResolvedChannel,
  APIInteractionDataResolvedGuildMember,
  APIMessageApplicationCommandInteractionDataResolved,
  APIRole,
  APIRoleColors,
  APIThreadChannel,
  APIThreadMetadata,
} from 'discord-api-types/v10';
import type {
  Channel,
  InputAttachment,
  ResolvedInput,
  ResolvedMember,
  ResolvedMentions,
  ResolvedTarget,
  Role,
} from './payload.ts';
import { quotedMessage } from './quoted-message.ts';
import {
  integer,
  isSnowflake,
  Malformed,
  nullableInteger,
  nullableSnowflake,
  nullableText,
  object,
  optional,
  optionalBoolean,
  optionalInteger,
  optionalNumber,
  optionalSnowflake,
  optionalText,
  snowflake,
  text,
} from './untrusted.ts';
import { member, user } from './user.ts';

type Resolved = APIInteractionDataResolved | APIMessageApplicationCommandInteractionDataResolved;

/** Of a select, a button, a user command: no file and no message belongs there. */
export function resolvedMentions(value: unknown, path: string): ResolvedMentions {
  const from = object<Resolved>(value, path);
  return {
    users: optional(from.users, `${path}.users`, byId(user)),
    members: optional(from.members, `${path}.members`, byId(resolvedMember)),
    roles: optional(from.roles, `${path}.roles`, byId(role)),
    channels: optional(from.channels, `${path}.channels`, byId(channel)),
  };
}

/** Of a chat command or a modal: the files are what the user handed over. */
export function resolvedInput(value: unknown, path: string): ResolvedInput {
  const from = object<Resolved>(value, path);
  return {
    ...resolvedMentions(value, path),
    attachments: optional(from.attachments, `${path}.attachments`, byId(attachment)),
  };
}

/** Of a message command. */
export function resolvedTarget(value: unknown, path: string): ResolvedTarget {
  const from = object<Resolved>(value, path);
  return {
    ...resolvedMentions(value, path),
    messages: optional(from.messages, `${path}.messages`, byId(quotedMessage)),
  };
}

export function channel(value: unknown, path: string): Channel {
  const from = object<APIChannel | APIThreadChannel | APIInteractionDataResolvedChannel>(value, path);
  return {
    id: snowflake(from.id, `${path}.id`),
    type: integer(from.type, `${path}.type`),
    name: nullableText(from.name),
    guild_id: optionalSnowflake(from.guild_id),
    parent_id: nullableSnowflake(from.parent_id),
    owner_id: optionalSnowflake(from.owner_id),
    last_message_id: nullableSnowflake(from.last_message_id),
    position: optionalInteger(from.position),
    nsfw: optionalBoolean(from.nsfw),
    flags: optionalInteger(from.flags),
    rate_limit_per_user: optionalInteger(from.rate_limit_per_user),
    permissions: optionalText(from.permissions),
    app_permissions: optionalText(from.app_permissions),
    thread_metadata: optional(from.thread_metadata, `${path}.thread_metadata`, threadMetadata),
  };
}

function threadMetadata(value: unknown, path: string): Channel['thread_metadata'] {
  const from = object<APIThreadMetadata>(value, path);
  return {
    archived: optionalBoolean(from.archived),
    auto_archive_duration: optionalInteger(from.auto_archive_duration),
    archive_timestamp: optionalText(from.archive_timestamp),
    locked: optionalBoolean(from.locked),
    invitable: optionalBoolean(from.invitable),
    create_timestamp: nullableText(from.create_timestamp),
  };
}

function resolvedMember(value: unknown, path: string): ResolvedMember {
  const from = object<APIInteractionDataResolvedGuildMember>(value, path);
  return { ...member(value, path), permissions: optionalText(from.permissions) };
}

function role(value: unknown, path: string): Role {
  const from = object<APIRole>(value, path);
  return {
    id: snowflake(from.id, `${path}.id`),
    name: text(from.name, `${path}.name`),
    color: optionalInteger(from.color),
    colors: optional(from.colors, `${path}.colors`, colors),
    hoist: optionalBoolean(from.hoist),
    icon: nullableText(from.icon),
    unicode_emoji: nullableText(from.unicode_emoji),
    position: optionalInteger(from.position),
    permissions: optionalText(from.permissions),
    managed: optionalBoolean(from.managed),
    mentionable: optionalBoolean(from.mentionable),
    flags: optionalInteger(from.flags),
  };
}

function colors(value: unknown, path: string): Role['colors'] {
  const from = object<APIRoleColors>(value, path);
  return {
    primary_color: integer(from.primary_color, `${path}.primary_color`),
    secondary_color: nullableInteger(from.secondary_color),
    tertiary_color: nullableInteger(from.tertiary_color),
  };
}

function attachment(value: unknown, path: string): InputAttachment {
  const from = object<APIAttachment>(value, path);
  return {
    id: snowflake(from.id, `${path}.id`),
    filename: text(from.filename, `${path}.filename`),
    title: optionalText(from.title),
    description: optionalText(from.description),
    content_type: optionalText(from.content_type),
    size: integer(from.size, `${path}.size`),
    url: text(from.url, `${path}.url`),
    proxy_url: optionalText(from.proxy_url),
    height: nullableInteger(from.height),
    width: nullableInteger(from.width),
    ephemeral: optionalBoolean(from.ephemeral),
    duration_secs: optionalNumber(from.duration_secs),
    waveform: optionalText(from.waveform),
    flags: optionalInteger(from.flags),
  };
}

/** A dictionary by id. The ids are private too, so a path has `*` for them. */
function byId<T>(read: (value: unknown, path: string) => T): (value: unknown, path: string) => Record<string, T> {
  return (value, path) => {
    const result: Record<string, T> = {};
    for (const [id, item] of Object.entries(object<Record<string, unknown>>(value, path))) {
      if (!isSnowflake(id)) throw new Malformed(`each key of ${path}`, 'a snowflake', id);
      result[id] = read(item, `${path}.*`);
    }
    return result;
  };
}
