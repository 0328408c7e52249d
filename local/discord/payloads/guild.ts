// READY's short guilds, GUILD_CREATE in full, and GUILD_DELETE in its two senses: gone, and out of order.

import {
  type APIGuildMember,
  type APIUnavailableGuild,
  type GatewayGuildCreateDispatchData,
  type GatewayGuildDeleteDispatchData,
  GuildDefaultMessageNotifications,
  GuildExplicitContentFilter,
  GuildFeature,
  GuildMFALevel,
  GuildNSFWLevel,
  GuildPremiumTier,
  GuildVerificationLevel,
} from 'discord-api-types/v10';
import { hash32 } from '../random.ts';
import { NO_FLAGS } from './no-flags.ts';
import { isoTime } from './snowflake.ts';
import type { Guild, World } from './world.ts';

/** When the bot joined a guild that it has been in for long, Unix ms. */
export const joinedLongAgo = (world: World, guild: Guild): number => world.guildBornAt(guild) + 3_600_000;

/**
 * @param joinedAt Unix ms; by it alone a bot without memory tells a join from a return
 * @param quotedMembers members that the payload quotes, beside the bot
 */
export function create(
  world: World,
  guild: Guild,
  joinedAt: number,
  quotedMembers: number,
): GatewayGuildCreateDispatchData {
  const botMember: APIGuildMember = {
    ...world.member(guild, 0),
    user: world.bot,
    nick: null,
    roles: [world.roleId(guild, 1)],
    joined_at: isoTime(joinedAt),
  };
  const members = [botMember];
  for (let n = 0; n < quotedMembers; n += 1) {
    const { user, member } = world.person(guild, n);
    members.push({ ...member, user });
  }
  const memberCount = Math.max(guild.memberCount, members.length);
  return {
    id: guild.id,
    name: guild.name,
    icon: hash32(world.seed, 10, guild.index).toString(16).padStart(8, '0').repeat(4),
    splash: null,
    discovery_splash: null,
    banner: null,
    description: guild.index % 3 === 0 ? `${guild.name}, since ${isoTime(world.guildBornAt(guild)).slice(0, 4)}` : null,
    owner_id: world.person(guild, 0).user.id,
    region: 'deprecated',
    afk_channel_id: null,
    afk_timeout: 300,
    verification_level: GuildVerificationLevel.Low,
    default_message_notifications: GuildDefaultMessageNotifications.OnlyMentions,
    explicit_content_filter: GuildExplicitContentFilter.AllMembers,
    roles: Array.from({ length: guild.roles }, (_, n) => world.role(guild, n)),
    emojis: Array.from({ length: guild.index % 5 }, (_, n) => ({
      id: world.emojiId(guild, n),
      name: `emoji_${n}`,
      roles: [],
      require_colons: true,
      managed: false,
      animated: false,
      available: true,
    })),
    stickers: [],
    features: [GuildFeature.Community, GuildFeature.News],
    mfa_level: GuildMFALevel.None,
    application_id: null,
    system_channel_id: world.channelId(guild, 0),
    system_channel_flags: NO_FLAGS,
    rules_channel_id: world.channelId(guild, 1),
    public_updates_channel_id: world.channelId(guild, 1),
    safety_alerts_channel_id: null,
    max_presences: null,
    max_members: 500_000,
    max_video_channel_users: 25,
    max_stage_video_channel_users: 50,
    vanity_url_code: null,
    premium_tier: GuildPremiumTier.None,
    premium_subscription_count: guild.index % 7,
    premium_progress_bar_enabled: false,
    preferred_locale: guild.locale,
    nsfw_level: GuildNSFWLevel.Default,
    hub_type: null,
    incidents_data: null,
    joined_at: isoTime(joinedAt),
    large: memberCount > 50,
    unavailable: false,
    member_count: memberCount,
    voice_states: [],
    members,
    channels: [
      ...Array.from({ length: guild.textChannels }, (_, n) => withoutGuild(world.textChannel(guild, n))),
      withoutGuild(world.voiceChannel(guild)),
    ],
    threads: [],
    presences: [],
    stage_instances: [],
    guild_scheduled_events: [],
    soundboard_sounds: [],
  };
}

export const unavailable = (guild: Guild): APIUnavailableGuild => ({ id: guild.id, unavailable: true });

/** The bot was removed, or the guild was deleted: the field `unavailable` is not there. */
export const remove = (guild: Guild): GatewayGuildDeleteDispatchData => ({ id: guild.id });

export const outage = (guild: Guild): GatewayGuildDeleteDispatchData => ({ id: guild.id, unavailable: true });

/** Channels within a GUILD_CREATE do not name their guild. */
function withoutGuild<T extends { guild_id?: string }>(channel: T): T {
  const { guild_id: _, ...rest } = channel;
  return rest as T;
}
