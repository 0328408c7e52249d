// READY, GUILD_CREATE and GUILD_DELETE: who the bot is with. Discord uses the two guild dispatches for outages too; the
// session's GuildPresence tells them apart. A joined guild is summed up: a large one whole would not fit a message.

import type {
  APIUnavailableGuild,
  GatewayGuildCreateDispatchData,
  GatewayGuildDeleteDispatchData,
  GatewayReadyDispatchData,
} from 'discord-api-types/v10';
import { eventId } from './event-id.ts';
import { type DispatchContext, FILTERED, type Outcome } from './outcome.ts';
import type { GuildJoinData } from './payload.ts';
import { ROUTES } from './routing.ts';
import {
  list,
  nullableInteger,
  nullableSnowflake,
  nullableText,
  object,
  optionalBoolean,
  optionalInteger,
  optionalText,
  optionalTexts,
  snowflake,
  text,
} from './untrusted.ts';

export function ready(d: unknown, context: DispatchContext): Outcome {
  const from = object<GatewayReadyDispatchData>(d, 'd');
  const guildIds = list(from.guilds, 'd.guilds').map((guild) =>
    snowflake(object<APIUnavailableGuild>(guild, 'd.guilds[]').id, 'd.guilds[].id'),
  );
  context.guilds.ready(guildIds);
  return FILTERED.session;
}

export function guildCreate(d: unknown, context: DispatchContext): Outcome {
  const from = object<GatewayGuildCreateDispatchData>(d, 'd');
  const id = snowflake(from.id, 'd.id');
  if (from.unavailable === true) return FILTERED.unavailableGuild;
  if (!context.guilds.isJoin(id, context.sequence, optionalText(from.joined_at))) return FILTERED.knownGuild;
  const data: GuildJoinData = {
    id,
    name: text(from.name, 'd.name'),
    owner_id: snowflake(from.owner_id, 'd.owner_id'),
    icon: nullableText(from.icon),
    banner: nullableText(from.banner),
    description: nullableText(from.description),
    vanity_url_code: nullableText(from.vanity_url_code),
    joined_at: optionalText(from.joined_at),
    member_count: optionalInteger(from.member_count),
    large: optionalBoolean(from.large),
    preferred_locale: optionalText(from.preferred_locale),
    features: optionalTexts(from.features),
    premium_tier: optionalInteger(from.premium_tier),
    premium_subscription_count: nullableInteger(from.premium_subscription_count),
    verification_level: optionalInteger(from.verification_level),
    nsfw_level: optionalInteger(from.nsfw_level),
    mfa_level: optionalInteger(from.mfa_level),
    system_channel_id: nullableSnowflake(from.system_channel_id),
    system_channel_flags: optionalInteger(from.system_channel_flags),
    rules_channel_id: nullableSnowflake(from.rules_channel_id),
    public_updates_channel_id: nullableSnowflake(from.public_updates_channel_id),
  };
  const { family, priority } = ROUTES.guildJoin;
  return {
    kind: 'event',
    routingKey: family,
    priority,
    payload: {
      eventId: eventId(context.sessionId, context.sequence),
      eventType: family,
      timestamp: context.receivedAt,
      shardId: context.shardId,
      guildId: id,
      data,
    },
  };
}

export function guildDelete(d: unknown, context: DispatchContext): Outcome {
  const from = object<GatewayGuildDeleteDispatchData>(d, 'd');
  const id = snowflake(from.id, 'd.id');
  if (from.unavailable === true) {
    context.guilds.outage(id, context.sequence);
    return FILTERED.outage;
  }
  context.guilds.leave(id, context.sequence);
  const { family, priority } = ROUTES.guildLeave;
  return {
    kind: 'event',
    routingKey: family,
    priority,
    payload: {
      eventId: eventId(context.sessionId, context.sequence),
      eventType: family,
      timestamp: context.receivedAt,
      shardId: context.shardId,
      guildId: id,
      data: { id },
    },
  };
}
