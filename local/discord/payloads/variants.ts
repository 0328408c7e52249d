// Every kind of dispatch that the simulator's traffic is made of: how it is made, which intents let it through, how
// often it comes, and what a worker is due for it. The last is this table's own knowledge, taken from the design and
// not from the ingestor, so that a test can hold the one against the other. Joins, leaves and outages of guilds are not
// here: they change the world, so the simulator makes them.

import { GatewayDispatchEvents, GatewayIntentBits } from 'discord-api-types/v10';
import * as command from './command.ts';
import * as component from './component.ts';
import * as member from './member.ts';
import * as message from './message.ts';
import type { Moment } from './moment.ts';
import * as unwanted from './unwanted.ts';

export interface Variant {
  readonly name: string;
  /** The dispatch's `t`. */
  readonly dispatch: string;
  /** Without a guild a dispatch goes to shard 0. */
  readonly scope: 'guild' | 'direct';
  /** One of these intents lets it through; 0: it needs none. */
  readonly intents: number;
  /** What a worker is due for it; `null`: nothing. */
  readonly routingKey: string | null;
  /** Share in the default traffic, which needs no more than Guilds, GuildMembers and GuildMessages. */
  readonly weight: number;
  /** The dispatch's `d`. */
  make(moment: Moment): object;
}

const { COMMANDS } = command;

const guildMessage = {
  dispatch: GatewayDispatchEvents.MessageCreate,
  scope: 'guild',
  intents: GatewayIntentBits.GuildMessages,
  routingKey: 'message.create',
} as const;
const silentMessage = { ...guildMessage, routingKey: null } as const;
const interaction = { dispatch: GatewayDispatchEvents.InteractionCreate, scope: 'guild', intents: 0 } as const;
const directInteraction = { ...interaction, scope: 'direct', routingKey: null } as const;
const memberOf = { scope: 'guild', intents: GatewayIntentBits.GuildMembers } as const;
const notDue = { scope: 'guild', routingKey: null } as const;

const button = { ...interaction, routingKey: 'interaction.button' } as const;
const select = { ...interaction, routingKey: 'interaction.select' } as const;
const modal = { ...interaction, routingKey: 'interaction.modal' } as const;
const onCommand = (word: string) => ({ ...interaction, routingKey: `interaction.command.${word}` });
const onTyping = (word: string) => ({ ...interaction, routingKey: `interaction.autocomplete.${word}` });

export const VARIANTS: readonly Variant[] = [
  { name: 'message.text', ...guildMessage, weight: 360, make: message.text },
  { name: 'message.mention', ...guildMessage, weight: 10, make: message.mention },
  { name: 'message.reply', ...guildMessage, weight: 80, make: message.reply },
  { name: 'message.forward', ...guildMessage, weight: 5, make: message.forward },
  { name: 'message.files', ...guildMessage, weight: 40, make: message.files },
  { name: 'message.voice', ...guildMessage, weight: 3, make: message.voice },
  { name: 'message.link', ...guildMessage, weight: 20, make: message.link },
  { name: 'message.sticker', ...guildMessage, weight: 10, make: message.sticker },
  { name: 'message.poll', ...guildMessage, weight: 2, make: message.poll },
  { name: 'message.in-thread', ...guildMessage, weight: 30, make: message.inThread },
  { name: 'message.thread-start', ...guildMessage, weight: 3, make: message.threadStart },
  { name: 'message.welcome', ...guildMessage, weight: 7, make: message.welcome },
  { name: 'message.by-bot', ...silentMessage, weight: 60, make: message.byBot },
  { name: 'message.by-ourselves', ...silentMessage, weight: 30, make: message.byOurselves },
  { name: 'message.by-webhook', ...silentMessage, weight: 20, make: message.byWebhook },
  {
    name: 'message.direct',
    dispatch: GatewayDispatchEvents.MessageCreate,
    scope: 'direct',
    intents: GatewayIntentBits.DirectMessages,
    routingKey: null,
    weight: 0,
    make: message.direct,
  },

  { name: 'command.plain', ...onCommand(COMMANDS.ping.word), weight: 40, make: command.plain },
  { name: 'command.unicode', ...onCommand(COMMANDS.unicode.word), weight: 10, make: command.unicode },
  { name: 'command.everything', ...onCommand(COMMANDS.everything.word), weight: 10, make: command.everything },
  { name: 'command.subcommand', ...onCommand(COMMANDS.settings.word), weight: 10, make: command.subcommand },
  { name: 'command.subcommand-group', ...onCommand(COMMANDS.settings.word), weight: 5, make: command.subcommandGroup },
  { name: 'command.user', ...onCommand(COMMANDS.user.word), weight: 5, make: command.onUser },
  { name: 'command.message', ...onCommand(COMMANDS.message.word), weight: 5, make: command.onMessage },
  { name: 'command.hostile-name', ...onCommand(COMMANDS.hostile.word), weight: 1, make: command.hostileName },
  { name: 'command.entry-point', ...onCommand(COMMANDS.launch.word), weight: 1, make: command.entryPoint },
  { name: 'command.direct', ...directInteraction, weight: 4, make: command.direct },
  { name: 'autocomplete.plain', ...onTyping(COMMANDS.search.word), weight: 15, make: command.autocomplete },
  {
    name: 'autocomplete.subcommand',
    ...onTyping(COMMANDS.settings.word),
    weight: 5,
    make: command.autocompleteSubcommand,
  },

  { name: 'button.plain', ...button, weight: 25, make: component.button },
  { name: 'button.in-thread', ...button, weight: 5, make: component.buttonInThread },
  { name: 'button.direct', ...directInteraction, weight: 2, make: component.buttonInDirectMessage },
  { name: 'select.string', ...select, weight: 6, make: component.stringSelect },
  { name: 'select.user', ...select, weight: 2, make: component.userSelect },
  { name: 'select.role', ...select, weight: 2, make: component.roleSelect },
  { name: 'select.mentionable', ...select, weight: 2, make: component.mentionableSelect },
  { name: 'select.channel', ...select, weight: 2, make: component.channelSelect },
  { name: 'modal.labels', ...modal, weight: 5, make: component.modal },
  { name: 'modal.rows', ...modal, weight: 3, make: component.modalOfRows },
  { name: 'modal.direct', ...directInteraction, weight: 1, make: component.modalInDirectMessage },

  {
    name: 'member.join',
    ...memberOf,
    dispatch: GatewayDispatchEvents.GuildMemberAdd,
    routingKey: 'member.join',
    weight: 20,
    make: member.join,
  },
  {
    name: 'member.bot-join',
    ...memberOf,
    dispatch: GatewayDispatchEvents.GuildMemberAdd,
    routingKey: 'member.join',
    weight: 1,
    make: member.botJoin,
  },
  {
    name: 'member.update',
    ...memberOf,
    dispatch: GatewayDispatchEvents.GuildMemberUpdate,
    routingKey: 'member.update',
    weight: 30,
    make: member.update,
  },
  {
    name: 'member.partial-update',
    ...memberOf,
    dispatch: GatewayDispatchEvents.GuildMemberUpdate,
    routingKey: 'member.update',
    weight: 5,
    make: member.partialUpdate,
  },
  {
    name: 'member.timeout',
    ...memberOf,
    dispatch: GatewayDispatchEvents.GuildMemberUpdate,
    routingKey: 'member.update',
    weight: 3,
    make: member.timeout,
  },
  {
    name: 'member.leave',
    ...memberOf,
    dispatch: GatewayDispatchEvents.GuildMemberRemove,
    routingKey: 'member.leave',
    weight: 15,
    make: member.leave,
  },

  {
    name: 'channel.update',
    ...notDue,
    dispatch: GatewayDispatchEvents.ChannelUpdate,
    intents: GatewayIntentBits.Guilds,
    weight: 10,
    make: unwanted.channelUpdate,
  },
  {
    name: 'role.update',
    ...notDue,
    dispatch: GatewayDispatchEvents.GuildRoleUpdate,
    intents: GatewayIntentBits.Guilds,
    weight: 5,
    make: unwanted.roleUpdate,
  },
  {
    name: 'thread.create',
    ...notDue,
    dispatch: GatewayDispatchEvents.ThreadCreate,
    intents: GatewayIntentBits.Guilds,
    weight: 5,
    make: unwanted.threadCreate,
  },
  {
    name: 'message.update',
    ...notDue,
    dispatch: GatewayDispatchEvents.MessageUpdate,
    intents: GatewayIntentBits.GuildMessages,
    weight: 40,
    make: unwanted.messageUpdate,
  },
  {
    name: 'message.delete',
    ...notDue,
    dispatch: GatewayDispatchEvents.MessageDelete,
    intents: GatewayIntentBits.GuildMessages,
    weight: 15,
    make: unwanted.messageDelete,
  },
  {
    name: 'typing',
    ...notDue,
    dispatch: GatewayDispatchEvents.TypingStart,
    intents: GatewayIntentBits.GuildMessageTyping,
    weight: 0,
    make: unwanted.typing,
  },
  {
    name: 'presence',
    ...notDue,
    dispatch: GatewayDispatchEvents.PresenceUpdate,
    intents: GatewayIntentBits.GuildPresences,
    weight: 0,
    make: unwanted.presence,
  },
  {
    name: 'reaction',
    ...notDue,
    dispatch: GatewayDispatchEvents.MessageReactionAdd,
    intents: GatewayIntentBits.GuildMessageReactions,
    weight: 0,
    make: unwanted.reaction,
  },
  {
    name: 'voice-state',
    ...notDue,
    dispatch: GatewayDispatchEvents.VoiceStateUpdate,
    intents: GatewayIntentBits.GuildVoiceStates,
    weight: 0,
    make: unwanted.voiceState,
  },
  {
    name: 'ban',
    ...notDue,
    dispatch: GatewayDispatchEvents.GuildBanAdd,
    intents: GatewayIntentBits.GuildModeration,
    weight: 0,
    make: unwanted.ban,
  },
  {
    name: 'audit-log-entry',
    ...notDue,
    dispatch: GatewayDispatchEvents.GuildAuditLogEntryCreate,
    intents: GatewayIntentBits.GuildModeration,
    weight: 0,
    make: unwanted.auditLogEntry,
  },
  {
    name: 'invite',
    ...notDue,
    dispatch: GatewayDispatchEvents.InviteCreate,
    intents: GatewayIntentBits.GuildInvites,
    weight: 0,
    make: unwanted.invite,
  },
  {
    name: 'entitlement',
    dispatch: GatewayDispatchEvents.EntitlementCreate,
    scope: 'direct',
    intents: 0,
    routingKey: null,
    weight: 2,
    make: unwanted.entitlement,
  },
  {
    name: 'user.update',
    dispatch: GatewayDispatchEvents.UserUpdate,
    scope: 'direct',
    intents: 0,
    routingKey: null,
    weight: 1,
    make: unwanted.userUpdate,
  },
  {
    name: 'undocumented',
    ...notDue,
    dispatch: 'GUILD_APPLICATION_COMMAND_INDEX_UPDATE',
    intents: 0,
    weight: 0,
    make: unwanted.undocumented,
  },
];

const BY_NAME = new Map(VARIANTS.map((variant) => [variant.name, variant]));

/** By its own name, or the first of a dispatch. @throws for neither */
export function variantOf(name: string): Variant {
  const found = BY_NAME.get(name) ?? VARIANTS.find(({ dispatch }) => dispatch === name);
  if (found) return found;
  throw new Error(
    `expected the name of a kind of event or of a dispatch, got '${name}': use one of ${[...BY_NAME.keys()].join(', ')}`,
  );
}
