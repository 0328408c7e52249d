// One maker for each dispatch that Discord documents for bots, except those that curated event types are made of
// (interactions, members, guilds, messages). The compiler holds each against discord-api-types, and the table against
// its list: a dispatch that is new there does not compile until it has a maker.

import {
  type APIAutoModerationRule,
  type APIEmoji,
  type APIEntitlement,
  type APIGuildIntegration,
  type APIGuildMember,
  type APIGuildScheduledEvent,
  type APIRole,
  type APISoundboardSound,
  type APIStageInstance,
  type APISticker,
  type APISubscription,
  type APIThreadMember,
  ApplicationCommandPermissionType,
  AuditLogEvent,
  AutoModerationActionType,
  AutoModerationRuleEventType,
  AutoModerationRuleTriggerType,
  EntitlementType,
  type GatewayChannelUpdateDispatchData,
  type GatewayDispatchEvents,
  type GatewayDispatchPayload,
  GatewayOpcodes,
  GuildScheduledEventEntityType,
  GuildScheduledEventPrivacyLevel,
  GuildScheduledEventStatus,
  PresenceUpdateStatus,
  ReactionType,
  StageInstancePrivacyLevel,
  StickerFormatType,
  StickerType,
  SubscriptionStatus,
  VoiceChannelEffectSendAnimationType,
} from 'discord-api-types/v10';
import type { EventContext } from './event-context.ts';
import * as guild from './guild.ts';
import * as message from './message.ts';
import { NO_FLAGS } from './world.ts';

/** Each has several kinds of its own (variants.ts). */
type Curated =
  | `INTERACTION_${string}`
  | 'GUILD_MEMBER_ADD'
  | 'GUILD_MEMBER_REMOVE'
  | 'GUILD_MEMBER_UPDATE'
  | 'GUILD_CREATE'
  | 'GUILD_DELETE'
  | 'MESSAGE_CREATE';
export type Further = Exclude<`${GatewayDispatchEvents}`, Curated | 'READY' | 'RESUMED'>;
type Makers = { readonly [T in Further]: (context: EventContext) => Extract<GatewayDispatchPayload, { t: T }>['d'] };

export const DISPATCHES = {
  APPLICATION_COMMAND_PERMISSIONS_UPDATE: (c) => ({
    id: c.id(),
    application_id: c.world.bot.id,
    guild_id: c.guild.id,
    permissions: [{ id: c.guild.id, type: ApplicationCommandPermissionType.Role, permission: true }],
  }),
  AUTO_MODERATION_ACTION_EXECUTION: (c) => ({
    ...inChannel(c),
    action: { type: AutoModerationActionType.BlockMessage, metadata: {} },
    rule_id: c.id(),
    rule_trigger_type: AutoModerationRuleTriggerType.Keyword,
    user_id: user(c).id,
    content: c.words(),
    matched_keyword: 'build',
    matched_content: c.words(),
  }),
  AUTO_MODERATION_RULE_CREATE: rule,
  AUTO_MODERATION_RULE_DELETE: rule,
  AUTO_MODERATION_RULE_UPDATE: rule,
  CHANNEL_CREATE: channel,
  CHANNEL_DELETE: channel,
  CHANNEL_INFO: (c) => ({
    guild_id: c.guild.id,
    channels: [{ id: c.channelId(), status: c.words(), voice_start_time: seconds(c) }],
  }),
  CHANNEL_PINS_UPDATE: (c) => ({ ...inChannel(c), last_pin_timestamp: c.time(60_000) }),
  CHANNEL_UPDATE: channel,
  ENTITLEMENT_CREATE: entitlement,
  ENTITLEMENT_DELETE: (c) => ({ ...entitlement(c), deleted: true }),
  ENTITLEMENT_UPDATE: (c) => ({ ...entitlement(c), ends_at: c.time() }),
  GUILD_AUDIT_LOG_ENTRY_CREATE: (c) => ({
    guild_id: c.guild.id,
    id: c.id(),
    action_type: AuditLogEvent.MemberKick,
    target_id: user(c).id,
    user_id: user(c).id,
    reason: c.words(),
  }),
  GUILD_BAN_ADD: userInGuild,
  GUILD_BAN_REMOVE: userInGuild,
  GUILD_EMOJIS_UPDATE: (c) => ({ guild_id: c.guild.id, emojis: [{ ...emoji(c), roles: [], user: user(c) }] }),
  GUILD_INTEGRATIONS_UPDATE: (c) => ({ guild_id: c.guild.id }),
  /** An answer to REQUEST_GUILD_MEMBERS. */
  GUILD_MEMBERS_CHUNK: (c) => {
    const members = [member(c), member(c)];
    return { guild_id: c.guild.id, members, chunk_index: 0, chunk_count: 1 };
  },
  GUILD_ROLE_CREATE: role,
  GUILD_ROLE_DELETE: (c) => ({ guild_id: c.guild.id, role_id: role(c).role.id }),
  GUILD_ROLE_UPDATE: role,
  GUILD_SCHEDULED_EVENT_CREATE: scheduledEvent,
  GUILD_SCHEDULED_EVENT_DELETE: scheduledEvent,
  GUILD_SCHEDULED_EVENT_UPDATE: scheduledEvent,
  GUILD_SCHEDULED_EVENT_USER_ADD: userOfScheduledEvent,
  GUILD_SCHEDULED_EVENT_USER_REMOVE: userOfScheduledEvent,
  GUILD_SOUNDBOARD_SOUND_CREATE: sound,
  GUILD_SOUNDBOARD_SOUND_DELETE: (c) => ({ sound_id: c.id(), guild_id: c.guild.id }),
  GUILD_SOUNDBOARD_SOUND_UPDATE: sound,
  GUILD_SOUNDBOARD_SOUNDS_UPDATE: (c) => ({ soundboard_sounds: [sound(c)], guild_id: c.guild.id }),
  GUILD_STICKERS_UPDATE: (c) => ({ guild_id: c.guild.id, stickers: [sticker(c)] }),
  GUILD_UPDATE: (c) => guild.fields(c.world, c.guild),
  INTEGRATION_CREATE: integration,
  INTEGRATION_DELETE: (c) => ({ id: c.id(), guild_id: c.guild.id, application_id: c.world.bot.id }),
  INTEGRATION_UPDATE: integration,
  INVITE_CREATE: (c) => ({
    ...inChannel(c),
    code: c.random.hex(8),
    created_at: c.time(),
    inviter: user(c),
    max_age: 86_400,
    max_uses: 0,
    temporary: false,
    uses: 0,
    expires_at: c.time(-86_400_000),
  }),
  INVITE_DELETE: (c) => ({ ...inChannel(c), code: c.random.hex(8) }),
  MESSAGE_DELETE: (c) => ({ id: c.id(), ...inChannel(c) }),
  MESSAGE_DELETE_BULK: (c) => ({ ids: [c.id(), c.id()], ...inChannel(c) }),
  MESSAGE_POLL_VOTE_ADD: pollVote,
  MESSAGE_POLL_VOTE_REMOVE: pollVote,
  MESSAGE_REACTION_ADD: (c) => {
    const author = member(c);
    return { ...reaction(c), user_id: author.user.id, member: author, message_author_id: user(c).id };
  },
  MESSAGE_REACTION_REMOVE: reaction,
  MESSAGE_REACTION_REMOVE_ALL: ofMessage,
  MESSAGE_REACTION_REMOVE_EMOJI: (c) => ({ ...ofMessage(c), emoji: CONFETTI }),
  MESSAGE_UPDATE: (c) => {
    const { nonce: _, ...edited } = message.text(c);
    return { ...edited, edited_timestamp: c.time() };
  },
  PRESENCE_UPDATE: (c) => ({
    guild_id: c.guild.id,
    user: { id: user(c).id },
    status: c.random.pick([PresenceUpdateStatus.Online, PresenceUpdateStatus.Idle, PresenceUpdateStatus.Offline]),
    activities: [],
    client_status: { desktop: PresenceUpdateStatus.Online },
  }),
  RATE_LIMITED: (c) => ({
    opcode: GatewayOpcodes.RequestGuildMembers,
    retry_after: 30.5,
    meta: { guild_id: c.guild.id, nonce: c.random.hex(8) },
  }),
  /** An answer to REQUEST_SOUNDBOARD_SOUNDS. */
  SOUNDBOARD_SOUNDS: (c) => ({ soundboard_sounds: [sound(c)], guild_id: c.guild.id }),
  STAGE_INSTANCE_CREATE: stage,
  STAGE_INSTANCE_DELETE: stage,
  STAGE_INSTANCE_UPDATE: stage,
  SUBSCRIPTION_CREATE: subscription,
  SUBSCRIPTION_DELETE: (c) => ({ ...subscription(c), status: SubscriptionStatus.Inactive }),
  SUBSCRIPTION_UPDATE: (c) => ({ ...subscription(c), status: SubscriptionStatus.Ending, canceled_at: c.time() }),
  THREAD_CREATE: (c) => ({ ...message.thread(c), newly_created: true }),
  THREAD_DELETE: (c) => {
    const { id, type, parent_id = c.channelId() } = message.thread(c);
    return { id, guild_id: c.guild.id, parent_id, type };
  },
  THREAD_LIST_SYNC: (c) => ({
    guild_id: c.guild.id,
    threads: [message.thread(c)],
    members: [threadMember(c, c.world.bot.id)],
  }),
  THREAD_MEMBER_UPDATE: (c) => ({ ...threadMember(c, c.world.bot.id), guild_id: c.guild.id }),
  THREAD_MEMBERS_UPDATE: (c) => {
    const added = member(c);
    return {
      id: message.thread(c).id,
      guild_id: c.guild.id,
      member_count: 2,
      added_members: [{ ...threadMember(c, added.user.id), member: added }],
      removed_member_ids: [user(c).id],
    };
  },
  THREAD_UPDATE: message.thread,
  TYPING_START: (c) => {
    const who = member(c);
    return { ...inChannel(c), user_id: who.user.id, timestamp: seconds(c), member: who };
  },
  USER_UPDATE: (c) => c.world.bot,
  VOICE_CHANNEL_EFFECT_SEND: (c) => ({
    ...inChannel(c),
    user_id: user(c).id,
    emoji: CONFETTI,
    animation_type: VoiceChannelEffectSendAnimationType.Basic,
    animation_id: 4,
  }),
  VOICE_CHANNEL_START_TIME_UPDATE: (c) => ({ id: c.channelId(), guild_id: c.guild.id, voice_start_time: seconds(c) }),
  VOICE_CHANNEL_STATUS_UPDATE: (c) => ({ id: c.channelId(), guild_id: c.guild.id, status: c.words() }),
  VOICE_SERVER_UPDATE: (c) => ({
    token: c.random.hex(16),
    guild_id: c.guild.id,
    endpoint: `rotterdam${c.random.below(9_999)}.discord.media:443`,
  }),
  VOICE_STATE_UPDATE: (c) => {
    const who = member(c);
    return {
      ...inChannel(c),
      user_id: who.user.id,
      member: who,
      session_id: c.random.hex(32),
      ...{ deaf: false, mute: false, self_deaf: false, self_mute: true, self_video: false, suppress: false },
      request_to_speak_timestamp: null,
    };
  },
  WEBHOOKS_UPDATE: inChannel,
} satisfies Makers;

/** What happens outside guilds: to the bot, to a customer. */
export const WITHOUT_GUILD: readonly string[] = [
  'USER_UPDATE',
  ...(['ENTITLEMENT_CREATE', 'ENTITLEMENT_DELETE', 'ENTITLEMENT_UPDATE'] as const),
  ...(['SUBSCRIPTION_CREATE', 'SUBSCRIPTION_DELETE', 'SUBSCRIPTION_UPDATE'] as const),
] satisfies Further[];

/** Discord sends bots dispatches that it has not documented. */
export const undocumented = (context: EventContext): object => ({
  guild_id: context.guild.id,
  application_id: context.world.bot.id,
  version: context.id(),
});

const user = (c: EventContext) => c.person().user;

function member(c: EventContext) {
  const person = c.person();
  return { ...person.member, user: person.user } satisfies APIGuildMember;
}

const seconds = ({ at }: EventContext): number => Math.floor(at / 1_000);

const CONFETTI = { id: null, name: '🎉' };

function inChannel(c: EventContext) {
  return { channel_id: c.channelId(), guild_id: c.guild.id };
}

function pollVote(c: EventContext) {
  return { ...ofMessage(c), user_id: user(c).id, answer_id: 1 };
}

function userOfScheduledEvent(c: EventContext) {
  return { guild_scheduled_event_id: c.id(), user_id: user(c).id, guild_id: c.guild.id };
}

function userInGuild(c: EventContext) {
  return { guild_id: c.guild.id, user: user(c) };
}

function channel({
  world,
  guild: { textChannels },
  guild: where,
  random,
}: EventContext): GatewayChannelUpdateDispatchData {
  return { ...world.textChannel(where, random.below(textChannels)), nsfw: random.chance(0.5), guild_id: where.id };
}

function threadMember(c: EventContext, userId: string): APIThreadMember {
  return { id: message.thread(c).id, user_id: userId, join_timestamp: c.time(), flags: NO_FLAGS };
}

function role({ world, guild: where, random }: EventContext): { guild_id: string; role: APIRole } {
  return { guild_id: where.id, role: world.role(where, 1 + random.below(where.roles - 1)) };
}

function emoji(c: EventContext): APIEmoji {
  return { id: c.id(), name: 'harbour', require_colons: true, managed: false, animated: false, available: true };
}

function sticker(c: EventContext): APISticker {
  const [type, format_type] = [StickerType.Guild, StickerFormatType.PNG];
  return { id: c.id(), name: 'Wave', description: c.words(), tags: '👋', type, format_type, guild_id: c.guild.id };
}

function sound(c: EventContext): APISoundboardSound & { guild_id: string } {
  const [id, who] = [c.id(), user(c)];
  const fields = { sound_id: id, name: 'Horn', volume: 0.8, emoji_id: null, emoji_name: '📯', available: true };
  return { ...fields, guild_id: c.guild.id, user: who };
}

function scheduledEvent(c: EventContext): APIGuildScheduledEvent {
  const creator = user(c);
  return {
    id: c.id(),
    guild_id: c.guild.id,
    channel_id: null,
    creator_id: creator.id,
    creator,
    name: c.words(),
    description: c.words(),
    scheduled_start_time: c.time(-3_600_000),
    scheduled_end_time: c.time(-7_200_000),
    privacy_level: GuildScheduledEventPrivacyLevel.GuildOnly,
    status: GuildScheduledEventStatus.Scheduled,
    entity_type: GuildScheduledEventEntityType.External,
    entity_id: null,
    entity_metadata: { location: c.words() },
    recurrence_rule: null,
    image: null,
  };
}

function stage(c: EventContext): APIStageInstance {
  const [channel_id, topic] = [c.channelId(), c.words()];
  const privacy_level = StageInstancePrivacyLevel.GuildOnly;
  return { id: c.id(), guild_id: c.guild.id, channel_id, topic, privacy_level, discoverable_disabled: true };
}

function integration(c: EventContext): APIGuildIntegration & { guild_id: string } {
  const account = { id: c.id(), name: 'harbour-news' };
  return { id: c.id(), name: 'Harbour News', type: 'discord', enabled: true, account, guild_id: c.guild.id };
}

function rule(c: EventContext): APIAutoModerationRule {
  return {
    id: c.id(),
    guild_id: c.guild.id,
    name: c.words(),
    creator_id: user(c).id,
    event_type: AutoModerationRuleEventType.MessageSend,
    trigger_type: AutoModerationRuleTriggerType.Keyword,
    trigger_metadata: { keyword_filter: ['build'] },
    actions: [{ type: AutoModerationActionType.BlockMessage, metadata: {} }],
    enabled: true,
    exempt_roles: [],
    exempt_channels: [],
  };
}

function entitlement(c: EventContext): APIEntitlement {
  const fields = { type: EntitlementType.ApplicationSubscription, deleted: false, starts_at: c.time(), ends_at: null };
  return { id: c.id(), sku_id: c.id(), application_id: c.world.bot.id, user_id: user(c).id, ...fields };
}

function subscription(c: EventContext): APISubscription {
  const period = { current_period_start: c.time(), current_period_end: c.time(-2_592_000_000) };
  const status = { status: SubscriptionStatus.Active, canceled_at: null };
  const ids = { sku_ids: [c.id()], entitlement_ids: [c.id()], renewal_sku_ids: null };
  return { id: c.id(), user_id: user(c).id, ...ids, ...period, ...status };
}

function ofMessage(c: EventContext) {
  return { channel_id: c.channelId(), message_id: c.id(), guild_id: c.guild.id };
}

function reaction(c: EventContext) {
  const kind = { emoji: CONFETTI, burst: false, type: ReactionType.Normal };
  return { ...ofMessage(c), user_id: user(c).id, ...kind };
}
