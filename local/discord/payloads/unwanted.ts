// Dispatches that no worker is due, of the kinds that a bot gets all day beside the ones it wants.

import {
  AuditLogEvent,
  ChannelType,
  EntitlementType,
  type GatewayChannelUpdateDispatchData,
  type GatewayEntitlementModifyDispatchData,
  type GatewayGuildAuditLogEntryCreateDispatchData,
  type GatewayGuildBanAddDispatchData,
  type GatewayGuildRoleUpdateDispatchData,
  type GatewayInviteCreateDispatchData,
  type GatewayMessageDeleteDispatchData,
  type GatewayMessageReactionAddDispatchData,
  type GatewayMessageUpdateDispatchData,
  type GatewayPresenceUpdateDispatchData,
  type GatewayThreadCreateDispatchData,
  type GatewayTypingStartDispatchData,
  type GatewayUserUpdateDispatchData,
  type GatewayVoiceStateUpdateDispatchData,
  PresenceUpdateStatus,
  ReactionType,
} from 'discord-api-types/v10';
import { commandId } from './interaction.ts';
import { text } from './message.ts';
import type { Moment } from './moment.ts';
import { NO_FLAGS } from './no-flags.ts';

export function typing(moment: Moment): GatewayTypingStartDispatchData {
  const { world, guild } = moment;
  const { user, member } = moment.person();
  return {
    channel_id: world.channelId(guild, moment.channelNumber()),
    guild_id: guild.id,
    user_id: user.id,
    member: { ...member, user },
    timestamp: Math.floor(moment.at / 1_000),
  };
}

export function presence(moment: Moment): GatewayPresenceUpdateDispatchData {
  const { user } = moment.person();
  return {
    user: { id: user.id },
    guild_id: moment.guild.id,
    status: moment.random.pick([PresenceUpdateStatus.Online, PresenceUpdateStatus.Idle, PresenceUpdateStatus.Offline]),
    activities: [],
    client_status: { desktop: PresenceUpdateStatus.Online },
  };
}

export function channelUpdate(moment: Moment): GatewayChannelUpdateDispatchData {
  const channel = moment.world.textChannel(moment.guild, moment.channelNumber());
  return { ...channel, guild_id: moment.guild.id, topic: moment.words() };
}

export function roleUpdate(moment: Moment): GatewayGuildRoleUpdateDispatchData {
  const { world, guild } = moment;
  return { guild_id: guild.id, role: world.role(guild, 1 + moment.random.below(guild.roles - 1)) };
}

export function messageUpdate(moment: Moment): GatewayMessageUpdateDispatchData {
  const { nonce: _, ...message } = text(moment);
  return { ...message, edited_timestamp: moment.time() };
}

export function messageDelete(moment: Moment): GatewayMessageDeleteDispatchData {
  const { world, guild } = moment;
  return { id: moment.id(), channel_id: world.channelId(guild, moment.channelNumber()), guild_id: guild.id };
}

export function reaction(moment: Moment): GatewayMessageReactionAddDispatchData {
  const { world, guild } = moment;
  const { user, member } = moment.person();
  return {
    user_id: user.id,
    channel_id: world.channelId(guild, moment.channelNumber()),
    message_id: moment.id(),
    guild_id: guild.id,
    member: { ...member, user },
    message_author_id: moment.person().user.id,
    emoji: { id: null, name: '🎉' },
    burst: false,
    type: ReactionType.Normal,
  };
}

export function voiceState(moment: Moment): GatewayVoiceStateUpdateDispatchData {
  const { world, guild } = moment;
  const { user, member } = moment.person();
  return {
    guild_id: guild.id,
    channel_id: world.voiceChannelId(guild),
    user_id: user.id,
    member: { ...member, user },
    session_id: moment.random.hex(32),
    deaf: false,
    mute: false,
    self_deaf: false,
    self_mute: true,
    self_video: false,
    suppress: false,
    request_to_speak_timestamp: null,
  };
}

export function threadCreate(moment: Moment): GatewayThreadCreateDispatchData {
  const { world, guild } = moment;
  const id = world.threadId(guild, moment.random.below(4));
  return {
    id,
    type: ChannelType.PublicThread,
    name: moment.words().slice(0, 100),
    guild_id: guild.id,
    parent_id: world.channelId(guild, 0),
    owner_id: moment.person().user.id,
    last_message_id: null,
    message_count: 0,
    member_count: 1,
    rate_limit_per_user: 0,
    flags: NO_FLAGS,
    newly_created: true,
    thread_metadata: {
      archived: false,
      archive_timestamp: moment.time(),
      auto_archive_duration: 1_440,
      locked: false,
      create_timestamp: moment.time(),
    },
  };
}

export function ban(moment: Moment): GatewayGuildBanAddDispatchData {
  return { guild_id: moment.guild.id, user: moment.person().user };
}

export function auditLogEntry(moment: Moment): GatewayGuildAuditLogEntryCreateDispatchData {
  return {
    id: moment.id(),
    guild_id: moment.guild.id,
    user_id: moment.person().user.id,
    target_id: moment.person().user.id,
    action_type: AuditLogEvent.MemberBanAdd,
    reason: moment.words(),
  };
}

export function invite(moment: Moment): GatewayInviteCreateDispatchData {
  const { world, guild } = moment;
  return {
    channel_id: world.channelId(guild, 0),
    guild_id: guild.id,
    code: moment.random.hex(8),
    created_at: moment.time(),
    inviter: moment.person().user,
    max_age: 86_400,
    max_uses: 0,
    temporary: false,
    uses: 0,
    expires_at: moment.time(-86_400_000),
  };
}

export function entitlement(moment: Moment): GatewayEntitlementModifyDispatchData {
  return {
    id: moment.id(),
    sku_id: commandId(moment, 500),
    application_id: moment.world.applicationId,
    user_id: moment.person().user.id,
    type: EntitlementType.ApplicationSubscription,
    deleted: false,
    consumed: false,
    starts_at: null,
    ends_at: null,
  };
}

export function userUpdate(moment: Moment): GatewayUserUpdateDispatchData {
  return moment.world.bot;
}

/** Discord sends bots dispatches that it has not documented. */
export function undocumented(moment: Moment): object {
  return { guild_id: moment.guild.id, application_id: moment.world.applicationId, version: moment.id() };
}
