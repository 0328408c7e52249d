// Every dispatch of Discord that can be chosen: its group, the intents with which Discord sends it, and where the envelope's
// ids are. One that discord-api-types adds does not compile until it has a row. Which have a routing key of their own: routing.ts.
// Intents: https://docs.discord.com/developers/events/gateway#list-of-intents

import type { GatewayDispatchEvents, GatewayIntentBits } from 'discord-api-types/v10';

/** About the session itself: they are not published. */
type OfSession = `${GatewayDispatchEvents.Ready | GatewayDispatchEvents.Resumed}`;
export type DispatchName = Exclude<`${GatewayDispatchEvents}`, OfSession>;
export type Intent = Exclude<keyof typeof GatewayIntentBits, 'GuildBans' | 'GuildEmojisAndStickers'>;

/** Where a value is in the dispatch's `d`. */
export type Path = readonly string[];
/** Where the envelope's ids are, unless a row has other places: the first place that has one. */
const USUAL_PLACES = {
  guildId: [['guild_id']],
  channelId: [['channel_id']],
  userId: [['user_id'], ['user', 'id']],
  interactionId: [['id']],
  interactionToken: [['token']],
} as const satisfies Record<string, readonly Path[]>;

export type IdName = keyof typeof USUAL_PLACES;
export const ID_NAMES = Object.keys(USUAL_PLACES) as readonly IdName[];
type Places = { readonly [name in IdName]: readonly Path[] };

export interface DispatchRow extends Partial<Places> {
  /** The entry of EVENTS that chooses it with others. Without one it is chosen by its name, or by `all`. */
  readonly group?: string;
  /** Without an intent Discord sends it always. */
  readonly intent?: Intent;
  /**
   * It may be outside guilds, in a private conversation: then it is published only if `directMessages` is set, and needs
   * this intent; `null`: none.
   */
  readonly direct?: Intent | null;
}

/** `d` is a guild, or a channel. */
const isGuild = { guildId: [['id']] } as const;
const isChannel = { channelId: [['id']] } as const;
/** The user who made it. */
const isMade = { userId: [['creator_id'], ['creator', 'id']] } as const;

const autoModeration = { group: 'moderation', intent: 'AutoModerationConfiguration', ...isMade } as const;
const ban = { group: 'moderation', intent: 'GuildModeration' } as const;
/** Discord sends only those of guilds. */
const channel = { group: 'channels', intent: 'Guilds', direct: null, ...isChannel } as const;
const entitlement = { group: 'monetization' } as const;
const expressions = { intent: 'GuildExpressions' } as const;
const guild = { group: 'guilds', intent: 'Guilds', ...isGuild } as const;
const integration = { intent: 'GuildIntegrations' } as const;
const invite = { group: 'invites', intent: 'GuildInvites', direct: null, userId: [['inviter', 'id']] } as const;
const member = { group: 'members', intent: 'GuildMembers', userId: [['user', 'id']] } as const;
const message = { group: 'messages', intent: 'GuildMessages', direct: 'DirectMessages' } as const;
const written = { ...message, userId: [['author', 'id']] } as const;
const poll = { group: 'polls', intent: 'GuildMessagePolls', direct: 'DirectMessagePolls' } as const;
const reaction = { group: 'reactions', intent: 'GuildMessageReactions', direct: 'DirectMessageReactions' } as const;
const role = { group: 'roles', intent: 'Guilds' } as const;
const scheduledEvent = { group: 'scheduled-events', intent: 'GuildScheduledEvents' } as const;
const stage = { group: 'voice', intent: 'Guilds' } as const;
const thread = { group: 'threads', intent: 'Guilds', ...isChannel, userId: [['user_id'], ['owner_id']] } as const;

export const DISPATCHES: Readonly<Record<DispatchName, DispatchRow>> = {
  APPLICATION_COMMAND_PERMISSIONS_UPDATE: {},
  AUTO_MODERATION_ACTION_EXECUTION: { group: 'moderation', intent: 'AutoModerationExecution' },
  AUTO_MODERATION_RULE_CREATE: autoModeration,
  AUTO_MODERATION_RULE_DELETE: autoModeration,
  AUTO_MODERATION_RULE_UPDATE: autoModeration,
  CHANNEL_CREATE: channel,
  CHANNEL_DELETE: channel,
  CHANNEL_UPDATE: channel,
  CHANNEL_INFO: {},
  CHANNEL_PINS_UPDATE: { group: 'channels', intent: 'Guilds', direct: 'DirectMessages' },
  ENTITLEMENT_CREATE: entitlement,
  ENTITLEMENT_DELETE: entitlement,
  ENTITLEMENT_UPDATE: entitlement,
  GUILD_AUDIT_LOG_ENTRY_CREATE: {
    ...{ group: 'moderation', intent: 'GuildModeration' },
    channelId: [['options', 'channel_id']],
  },
  GUILD_BAN_ADD: ban,
  GUILD_BAN_REMOVE: ban,
  GUILD_CREATE: guild,
  GUILD_DELETE: guild,
  GUILD_UPDATE: guild,
  GUILD_EMOJIS_UPDATE: expressions,
  GUILD_STICKERS_UPDATE: expressions,
  GUILD_SOUNDBOARD_SOUND_CREATE: expressions,
  GUILD_SOUNDBOARD_SOUND_DELETE: expressions,
  GUILD_SOUNDBOARD_SOUND_UPDATE: expressions,
  GUILD_SOUNDBOARD_SOUNDS_UPDATE: expressions,
  GUILD_INTEGRATIONS_UPDATE: integration,
  GUILD_MEMBER_ADD: member,
  GUILD_MEMBER_REMOVE: member,
  GUILD_MEMBER_UPDATE: member,
  // The answer to a command of the bot's.
  GUILD_MEMBERS_CHUNK: { group: 'members' },
  GUILD_ROLE_CREATE: role,
  GUILD_ROLE_DELETE: role,
  GUILD_ROLE_UPDATE: role,
  GUILD_SCHEDULED_EVENT_CREATE: { ...scheduledEvent, ...isMade },
  GUILD_SCHEDULED_EVENT_DELETE: { ...scheduledEvent, ...isMade },
  GUILD_SCHEDULED_EVENT_UPDATE: { ...scheduledEvent, ...isMade },
  GUILD_SCHEDULED_EVENT_USER_ADD: scheduledEvent,
  GUILD_SCHEDULED_EVENT_USER_REMOVE: scheduledEvent,
  INTEGRATION_CREATE: integration,
  INTEGRATION_DELETE: integration,
  INTEGRATION_UPDATE: integration,
  INTERACTION_CREATE: {
    ...{ group: 'interactions', direct: null },
    // `channel_id` is deprecated.
    channelId: [['channel_id'], ['channel', 'id']],
    userId: [
      ['member', 'user', 'id'],
      ['user', 'id'],
    ],
  },
  INVITE_CREATE: invite,
  INVITE_DELETE: invite,
  MESSAGE_CREATE: written,
  MESSAGE_UPDATE: written,
  MESSAGE_DELETE: message,
  MESSAGE_DELETE_BULK: { ...message, direct: null },
  MESSAGE_POLL_VOTE_ADD: poll,
  MESSAGE_POLL_VOTE_REMOVE: poll,
  MESSAGE_REACTION_ADD: reaction,
  MESSAGE_REACTION_REMOVE: reaction,
  MESSAGE_REACTION_REMOVE_ALL: reaction,
  MESSAGE_REACTION_REMOVE_EMOJI: reaction,
  PRESENCE_UPDATE: { group: 'presence', intent: 'GuildPresences' },
  RATE_LIMITED: { guildId: [['meta', 'guild_id']] },
  SOUNDBOARD_SOUNDS: {},
  STAGE_INSTANCE_CREATE: stage,
  STAGE_INSTANCE_DELETE: stage,
  STAGE_INSTANCE_UPDATE: stage,
  SUBSCRIPTION_CREATE: entitlement,
  SUBSCRIPTION_DELETE: entitlement,
  SUBSCRIPTION_UPDATE: entitlement,
  THREAD_CREATE: thread,
  THREAD_DELETE: thread,
  THREAD_UPDATE: thread,
  THREAD_LIST_SYNC: { group: 'threads', intent: 'Guilds' },
  THREAD_MEMBER_UPDATE: thread,
  // With GuildMembers also of others than the bot.
  THREAD_MEMBERS_UPDATE: thread,
  TYPING_START: { group: 'typing', intent: 'GuildMessageTyping', direct: 'DirectMessageTyping' },
  USER_UPDATE: { userId: [['id']] },
  VOICE_CHANNEL_EFFECT_SEND: { group: 'voice', intent: 'GuildVoiceStates' },
  VOICE_CHANNEL_START_TIME_UPDATE: { ...stage, ...isChannel },
  VOICE_CHANNEL_STATUS_UPDATE: { ...stage, ...isChannel },
  // It has a credential: `token`.
  VOICE_SERVER_UPDATE: { group: 'voice', direct: null },
  VOICE_STATE_UPDATE: { group: 'voice', intent: 'GuildVoiceStates', direct: null },
  WEBHOOKS_UPDATE: { intent: 'GuildWebhooks' },
};

export type PlacedRow = DispatchRow & Places;

const ROWS = new Map<string, PlacedRow>(
  Object.entries(DISPATCHES).map(([dispatch, row]) => [dispatch, { ...USUAL_PLACES, ...row }]),
);

/** Also where they are not chosen: the session remembers its guilds. */
export const ALWAYS_READ: ReadonlySet<string> = new Set<DispatchName>(['GUILD_CREATE', 'GUILD_DELETE']);

/** None for a dispatch of the session, and for one that is newer than this version. */
export const rowOf = (dispatch: string): PlacedRow | undefined => ROWS.get(dispatch);
