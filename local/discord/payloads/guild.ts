// READY with its short guilds, GUILD_CREATE in full, and GUILD_DELETE in its two senses: removed, and unavailable.

import {
  type APIGuild,
  type APIGuildMember,
  type APIUnavailableGuild,
  type ApplicationFlags,
  type GatewayGuildCreateDispatchData,
  type GatewayGuildDeleteDispatchData,
  type GatewayReadyDispatchData,
  GuildDefaultMessageNotifications,
  GuildExplicitContentFilter,
  GuildFeature,
  GuildMFALevel,
  GuildNSFWLevel,
  GuildPremiumTier,
  GuildVerificationLevel,
} from 'discord-api-types/v10';
import { Random } from '../random.ts';
import { isoTime } from './snowflake.ts';
import { type Guild, NO_FLAGS, type World } from './world.ts';

/** GATEWAY_GUILD_MEMBERS_LIMITED, and the badge of an application with global commands. */
const APPLICATION_FLAGS = 8_421_376 as ApplicationFlags;

/** Also with fields that Discord sends and does not document. */
export function ready(
  world: World,
  { sessionId, resumeUrl, shard }: { sessionId: string; resumeUrl: string; shard: [id: number, count: number] },
  guilds: readonly Guild[],
): GatewayReadyDispatchData & Record<string, unknown> {
  return {
    v: 10,
    user: world.bot,
    guilds: guilds.map(unavailable),
    session_id: sessionId,
    session_type: 'normal',
    resume_gateway_url: resumeUrl,
    shard,
    application: { id: world.bot.id, flags: APPLICATION_FLAGS, flags_new: String(APPLICATION_FLAGS) },
    _trace: ['["gateway-simulated",{"micros":0}]'],
  };
}

/** The guild itself, as GUILD_UPDATE has it. */
export function fields(world: World, guild: Guild): APIGuild {
  return {
    id: guild.id,
    name: guild.name,
    icon: new Random(world.seed, 10, guild.index).hex(32),
    splash: null,
    discovery_splash: null,
    banner: null,
    description: `${guild.name}, since ${isoTime(guild.createdAt).slice(0, 4)}`,
    owner_id: world.person(guild, 0).user.id,
    afk_channel_id: null,
    afk_timeout: 300,
    verification_level: GuildVerificationLevel.Low,
    default_message_notifications: GuildDefaultMessageNotifications.OnlyMentions,
    explicit_content_filter: GuildExplicitContentFilter.AllMembers,
    roles: Array.from({ length: guild.roles }, (_, n) => world.role(guild, n)),
    emojis: [],
    stickers: [],
    features: [GuildFeature.Community, GuildFeature.News],
    mfa_level: GuildMFALevel.None,
    application_id: null,
    system_channel_id: world.idIn(guild, 'channel', 0),
    system_channel_flags: NO_FLAGS,
    rules_channel_id: world.idIn(guild, 'channel', 1),
    public_updates_channel_id: world.idIn(guild, 'channel', 1),
    safety_alerts_channel_id: null,
    vanity_url_code: null,
    premium_tier: GuildPremiumTier.None,
    premium_progress_bar_enabled: false,
    preferred_locale: guild.locale,
    nsfw_level: GuildNSFWLevel.Default,
    hub_type: null,
    incidents_data: null,
  };
}

/** @param joinedAt Unix ms; by it alone a bot without memory distinguishes a join from a return */
export function create(world: World, guild: Guild, joinedAt: number): GatewayGuildCreateDispatchData {
  const botMember: APIGuildMember = { ...world.member(guild, 0), user: world.bot, joined_at: isoTime(joinedAt) };
  const members = Array.from({ length: guild.quotedMembers ?? 0 }, (_, n) => {
    const { user, member } = world.person(guild, n);
    return { ...member, user };
  });
  return {
    ...fields(world, guild),
    joined_at: isoTime(joinedAt),
    large: guild.memberCount > 50,
    unavailable: false,
    member_count: guild.memberCount,
    voice_states: [],
    members: [botMember, ...members],
    channels: Array.from({ length: guild.textChannels }, (_, n) => {
      // Channels within a GUILD_CREATE do not name their guild.
      const { guild_id: _guild, ...channel } = world.textChannel(guild, n);
      return channel as GatewayGuildCreateDispatchData['channels'][number];
    }),
    threads: [],
    presences: [],
    stage_instances: [],
    guild_scheduled_events: [],
    soundboard_sounds: [],
  };
}

/** An entry in READY, and the GUILD_DELETE of an outage. */
export const unavailable = (guild: Guild): APIUnavailableGuild => ({ id: guild.id, unavailable: true });

/** The bot was removed, or the guild was deleted: the field `unavailable` is not there. */
export const remove = (guild: Guild): GatewayGuildDeleteDispatchData => ({ id: guild.id });
