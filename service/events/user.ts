// Users and members, as every family of events quotes them.

import type { APIGuildMember, APIUser } from 'discord-api-types/v10';
import type { PartialMember, User } from './payload.ts';
import {
  nullableInteger,
  nullableText,
  object,
  optionalBoolean,
  optionalInteger,
  optionalText,
  snowflake,
  snowflakes,
  text,
} from './untrusted.ts';

export function user(value: unknown, path: string): User {
  const from = object<APIUser>(value, path);
  return {
    id: snowflake(from.id, `${path}.id`),
    username: text(from.username, `${path}.username`),
    discriminator: optionalText(from.discriminator),
    global_name: nullableText(from.global_name),
    avatar: nullableText(from.avatar),
    bot: optionalBoolean(from.bot),
    system: optionalBoolean(from.system),
    banner: nullableText(from.banner),
    accent_color: nullableInteger(from.accent_color),
    public_flags: optionalInteger(from.public_flags),
  };
}

export function member(value: unknown, path: string): PartialMember {
  const from = object<APIGuildMember>(value, path);
  return {
    nick: nullableText(from.nick),
    avatar: nullableText(from.avatar),
    banner: nullableText(from.banner),
    roles: snowflakes(from.roles, `${path}.roles`),
    joined_at: nullableText(from.joined_at),
    premium_since: nullableText(from.premium_since),
    communication_disabled_until: nullableText(from.communication_disabled_until),
    pending: optionalBoolean(from.pending),
    deaf: optionalBoolean(from.deaf),
    mute: optionalBoolean(from.mute),
    flags: optionalInteger(from.flags),
  };
}
