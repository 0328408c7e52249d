// Which intents let a dispatch through, as Discord's documentation lists them. The ingestor has a table of its own, so that
// a wrong reading of one of them shows. https://discord.com/developers/docs/events/gateway#list-of-intents

import { type GatewayDispatchEvents, GatewayIntentBits } from 'discord-api-types/v10';

type Dispatch = `${GatewayDispatchEvents}`;

const REACTIONS = [
  'MESSAGE_REACTION_ADD',
  'MESSAGE_REACTION_REMOVE',
  'MESSAGE_REACTION_REMOVE_ALL',
  'MESSAGE_REACTION_REMOVE_EMOJI',
] as const;
const POLL_VOTES = ['MESSAGE_POLL_VOTE_ADD', 'MESSAGE_POLL_VOTE_REMOVE'] as const;

const IN_GUILDS = {
  Guilds: [
    ...(['GUILD_CREATE', 'GUILD_UPDATE', 'GUILD_DELETE'] as const),
    ...(['GUILD_ROLE_CREATE', 'GUILD_ROLE_UPDATE', 'GUILD_ROLE_DELETE'] as const),
    ...(['CHANNEL_CREATE', 'CHANNEL_UPDATE', 'CHANNEL_DELETE', 'CHANNEL_PINS_UPDATE'] as const),
    ...(['THREAD_CREATE', 'THREAD_UPDATE', 'THREAD_DELETE', 'THREAD_LIST_SYNC'] as const),
    ...(['THREAD_MEMBER_UPDATE', 'THREAD_MEMBERS_UPDATE'] as const),
    ...(['STAGE_INSTANCE_CREATE', 'STAGE_INSTANCE_UPDATE', 'STAGE_INSTANCE_DELETE'] as const),
    ...(['VOICE_CHANNEL_STATUS_UPDATE', 'VOICE_CHANNEL_START_TIME_UPDATE'] as const),
  ],
  GuildMembers: ['GUILD_MEMBER_ADD', 'GUILD_MEMBER_UPDATE', 'GUILD_MEMBER_REMOVE', 'THREAD_MEMBERS_UPDATE'],
  GuildModeration: ['GUILD_AUDIT_LOG_ENTRY_CREATE', 'GUILD_BAN_ADD', 'GUILD_BAN_REMOVE'],
  GuildExpressions: [
    ...(['GUILD_EMOJIS_UPDATE', 'GUILD_STICKERS_UPDATE', 'GUILD_SOUNDBOARD_SOUND_CREATE'] as const),
    ...(['GUILD_SOUNDBOARD_SOUND_UPDATE', 'GUILD_SOUNDBOARD_SOUND_DELETE', 'GUILD_SOUNDBOARD_SOUNDS_UPDATE'] as const),
  ],
  GuildIntegrations: ['GUILD_INTEGRATIONS_UPDATE', 'INTEGRATION_CREATE', 'INTEGRATION_UPDATE', 'INTEGRATION_DELETE'],
  GuildWebhooks: ['WEBHOOKS_UPDATE'],
  GuildInvites: ['INVITE_CREATE', 'INVITE_DELETE'],
  GuildVoiceStates: ['VOICE_CHANNEL_EFFECT_SEND', 'VOICE_STATE_UPDATE'],
  GuildPresences: ['PRESENCE_UPDATE'],
  GuildMessages: ['MESSAGE_CREATE', 'MESSAGE_UPDATE', 'MESSAGE_DELETE', 'MESSAGE_DELETE_BULK'],
  GuildMessageReactions: REACTIONS,
  GuildMessageTyping: ['TYPING_START'],
  GuildScheduledEvents: [
    ...(['GUILD_SCHEDULED_EVENT_CREATE', 'GUILD_SCHEDULED_EVENT_UPDATE', 'GUILD_SCHEDULED_EVENT_DELETE'] as const),
    ...(['GUILD_SCHEDULED_EVENT_USER_ADD', 'GUILD_SCHEDULED_EVENT_USER_REMOVE'] as const),
  ],
  AutoModerationConfiguration: [
    ...(['AUTO_MODERATION_RULE_CREATE', 'AUTO_MODERATION_RULE_UPDATE', 'AUTO_MODERATION_RULE_DELETE'] as const),
  ],
  AutoModerationExecution: ['AUTO_MODERATION_ACTION_EXECUTION'],
  GuildMessagePolls: POLL_VOTES,
} as const satisfies Partial<Record<keyof typeof GatewayIntentBits, readonly Dispatch[]>>;

const IN_DIRECT_MESSAGES = {
  DirectMessages: ['MESSAGE_CREATE', 'MESSAGE_UPDATE', 'MESSAGE_DELETE', 'CHANNEL_PINS_UPDATE'],
  DirectMessageReactions: REACTIONS,
  DirectMessageTyping: ['TYPING_START'],
  DirectMessagePolls: POLL_VOTES,
} as const satisfies Partial<Record<keyof typeof GatewayIntentBits, readonly Dispatch[]>>;

/** Those that Discord sends for direct messages too. */
export const IN_DIRECT: readonly Dispatch[] = Object.values(IN_DIRECT_MESSAGES).flat();

/** Any of these lets it through; 0: it needs none, so every bot gets it. */
export function intentsFor(dispatch: string, scope: 'guild' | 'direct'): number {
  const table: Partial<Record<keyof typeof GatewayIntentBits, readonly string[]>> =
    scope === 'guild' ? IN_GUILDS : IN_DIRECT_MESSAGES;
  let bits = 0;
  for (const [intent, dispatches] of Object.entries(table))
    if (dispatches.includes(dispatch)) bits |= GatewayIntentBits[intent as keyof typeof GatewayIntentBits];
  return bits;
}
