// What workers are due: by the ingestor's setting EVENTS, read here independently of the ingestor, so that a test can hold
// the one against the other. Direct messages and messages of bots and webhooks are not due.

import { GatewayDispatchEvents } from 'discord-api-types/v10';

const DEFAULT = [
  ...['INTERACTION_CREATE', 'GUILD_MEMBER_ADD', 'GUILD_MEMBER_REMOVE', 'GUILD_MEMBER_UPDATE'],
  ...['GUILD_CREATE', 'GUILD_DELETE', 'MESSAGE_CREATE'],
];

const GROUPS: Readonly<Record<string, RegExp>> = {
  all: /^(?!READY$|RESUMED$)/,
  'guilds.full': /^GUILD_CREATE$/,
  interactions: /^INTERACTION_CREATE$/,
  members: /^GUILD_MEMBERS?_/,
  guilds: /^GUILD_(CREATE|UPDATE|DELETE)$/,
  messages: /^MESSAGE_(CREATE|UPDATE|DELETE|DELETE_BULK)$/,
  reactions: /^MESSAGE_REACTION_/,
  voice: /^(VOICE|STAGE_INSTANCE)_/,
  channels: /^CHANNEL_(?!INFO)/,
  threads: /^THREAD_/,
  roles: /^GUILD_ROLE_/,
  moderation: /^(GUILD_BAN_|GUILD_AUDIT_LOG_|AUTO_MODERATION_)/,
  invites: /^INVITE_/,
  'scheduled-events': /^GUILD_SCHEDULED_EVENT_/,
  polls: /^MESSAGE_POLL_/,
  monetization: /^(ENTITLEMENT|SUBSCRIPTION)_/,
  presence: /^PRESENCE_/,
  typing: /^TYPING_/,
};

const entriesOf = (events?: string): readonly string[] => events?.split(',').map((entry) => entry.trim()) ?? DEFAULT;

/** Whether each whole GUILD_CREATE is due, in addition to the real joins. */
export const wholeGuilds = (events?: string): boolean => entriesOf(events).includes('guilds.full');

/** @param events the value of EVENTS. @default - the seven */
export function chosenDispatches(events?: string): ReadonlySet<string> {
  const names = Object.values<string>(GatewayDispatchEvents);
  const entries = entriesOf(events);
  return new Set(entries.flatMap((entry) => names.filter((name) => GROUPS[entry]?.test(name) ?? name === entry)));
}
