// INTERACTION_CREATE of commands, autocomplete, components and modals: one of each kind that a routing key distinguishes,
// and what Discord resolves. What users wrote stands in options, fields and quoted messages.

import {
  type APIApplicationCommandAutocompleteInteraction,
  type APIBaseInteraction,
  type APIChatInputApplicationCommandInteraction,
  type APIInteractionDataResolved,
  type APIInteractionDataResolvedChannel,
  type APIMessageApplicationCommandInteraction,
  type APIMessageComponentInteraction,
  type APIMessageSelectMenuInteractionData,
  type APIModalSubmitInteraction,
  ApplicationCommandOptionType,
  ApplicationCommandType,
  ApplicationIntegrationType,
  ChannelType,
  ComponentType,
  InteractionContextType,
  InteractionType,
  Locale,
} from 'discord-api-types/v10';
import type { EventContext } from './event-context.ts';
import { asQuoted, byOurselves, picture, quoted } from './message.ts';
import { NO_FLAGS } from './world.ts';

/** Permissions of a member who may do nearly everything, as a decimal bit set. */
const PERMISSIONS = '2251799813685247';
const UPLOAD_LIMIT_BYTES = 10_485_760;

type Fields = Omit<APIBaseInteraction<InteractionType, unknown>, 'type' | 'data' | 'message'>;
type GuildFields = Omit<Fields, 'user'> & Required<Pick<Fields, 'guild_id' | 'member' | 'channel' | 'channel_id'>>;
type Chat = APIChatInputApplicationCommandInteraction;

/** A chat command. Letters of any language may stand in its name. */
export const command =
  (name: string) =>
  (context: EventContext): Chat => ({
    ...inGuild(context),
    type: InteractionType.ApplicationCommand,
    data: { ...chat(context, name), options: [textOption(context)] },
  });

/** As large as a command's input may be: 25 options of 6,000 characters. */
export function large(context: EventContext): Chat {
  const options = Array.from({ length: 25 }, (_, n) => ({ ...textOption(context), name: `text-${n}` }));
  const filled = options.map((each) => ({
    ...each,
    value: each.value.padEnd(6_000, ` ${each.value}`).slice(0, 6_000),
  }));
  const fields = command('large')(context);
  return { ...fields, data: { ...fields.data, options: filled } };
}

/** In direct messages there is a user instead of a member. */
export function directCommand(context: EventContext): Chat {
  const { guild: _, guild_id: __, guild_locale: ___, member, ...rest } = command('translate')(context);
  const { user } = member ?? context.person();
  const id = context.id();
  const channel = { id, type: ChannelType.DM as const, last_message_id: null, recipients: [user], flags: NO_FLAGS };
  return { ...rest, user, channel, channel_id: id, context: InteractionContextType.BotDM };
}

/** With everything that Discord resolves. */
export function everything(context: EventContext): Chat {
  const fields = inGuild(context);
  const { ids, ...resolved } = resolve(context, fields.channel_id);
  return {
    ...fields,
    type: InteractionType.ApplicationCommand,
    data: {
      ...chat(context, 'everything'),
      options: [
        textOption(context),
        { name: 'who', type: ApplicationCommandOptionType.User, value: ids.user },
        { name: 'where', type: ApplicationCommandOptionType.Channel, value: ids.channel },
        { name: 'crew', type: ApplicationCommandOptionType.Role, value: ids.role },
        { name: 'file', type: ApplicationCommandOptionType.Attachment, value: ids.file },
      ],
      resolved,
    },
  };
}

/** A message command, with a name that chat commands may not have. Its target is quoted whole, whatever the intents. */
export function messageCommand(context: EventContext): APIMessageApplicationCommandInteraction {
  const fields = inGuild(context);
  const target = quoted(context, fields.channel_id);
  return {
    ...fields,
    type: InteractionType.ApplicationCommand,
    data: {
      id: context.id(),
      name: 'v2.0 *beta* #1',
      type: ApplicationCommandType.Message,
      target_id: target.id,
      resolved: { messages: { [target.id]: target } },
    },
  };
}

export function autocomplete(context: EventContext): APIApplicationCommandAutocompleteInteraction {
  return {
    ...inGuild(context),
    type: InteractionType.ApplicationCommandAutocomplete,
    data: {
      ...chat(context, 'search'),
      options: [{ ...textOption(context), focused: true }],
    },
  };
}

export function button(context: EventContext): APIMessageComponentInteraction {
  const data = { component_type: ComponentType.Button as const, custom_id: 'confirm' };
  return { ...inMessage(context), type: InteractionType.MessageComponent, data };
}

/** What is selected, by the kind of the select menu. */
const SELECTED = {
  string: () => ({ component_type: ComponentType.StringSelect, values: ['red', 'green'] }),
  user: ({ ids, users, members }) => ({
    component_type: ComponentType.UserSelect,
    values: [ids.user],
    resolved: { users, members },
  }),
  role: ({ ids, roles }) => ({ component_type: ComponentType.RoleSelect, values: [ids.role], resolved: { roles } }),
  mentionable: ({ ids, users, members, roles }) => ({
    component_type: ComponentType.MentionableSelect,
    values: [ids.role, ids.user],
    resolved: { users, members, roles },
  }),
  channel: ({ ids, channels }) => ({
    component_type: ComponentType.ChannelSelect,
    values: [ids.channel],
    resolved: { channels },
  }),
} as const satisfies Record<string, (resolved: Resolved) => object>;

export const select =
  (kind: keyof typeof SELECTED) =>
  (context: EventContext): APIMessageComponentInteraction => {
    const fields = inMessage(context);
    const selected = SELECTED[kind](resolve(context, fields.channel_id));
    const data = { ...selected, custom_id: 'choose' } as APIMessageSelectMenuInteractionData;
    return { ...fields, type: InteractionType.MessageComponent, data };
  };

/** Opened by a command: labels around fields, and a text between them. */
export function modal(context: EventContext): APIModalSubmitInteraction {
  const fields = inGuild(context);
  const { ids, attachments } = resolve(context, fields.channel_id);
  const label = (id: number) => ({ type: ComponentType.Label as const, id });
  const reason = { type: ComponentType.TextInput as const, id: 3, custom_id: 'reason', value: context.words() };
  const topic = { type: ComponentType.StringSelect as const, id: 5, custom_id: 'topic', values: ['help'] };
  const proof = { type: ComponentType.FileUpload as const, id: 7, custom_id: 'proof', values: [ids.file] };
  return {
    ...fields,
    type: InteractionType.ModalSubmit,
    data: {
      custom_id: 'application',
      components: [
        { type: ComponentType.TextDisplay, id: 1 },
        { ...label(2), component: reason },
        { ...label(4), component: topic },
        { ...label(6), component: proof },
      ],
      resolved: { attachments },
    },
  };
}

/** The older form: text inputs in action rows. */
export function modalOfRows(context: EventContext): APIModalSubmitInteraction {
  const input = { type: ComponentType.TextInput as const, id: 2, custom_id: 'title', value: context.words() };
  return {
    ...inGuild(context),
    type: InteractionType.ModalSubmit,
    data: { custom_id: 'feedback', components: [{ type: ComponentType.ActionRow, id: 1, components: [input] }] },
  };
}

function inGuild(context: EventContext): GuildFields {
  const { world, guild, random } = context;
  const { user, member } = context.person();
  const channel = { ...world.textChannel(guild, random.below(guild.textChannels)), permissions: PERMISSIONS };
  return {
    id: context.id(),
    application_id: world.bot.id,
    // Looks like Discord's.
    token: Buffer.from(`interaction:${context.at}:${random.hex(128)}`).toString('base64url'),
    version: 1,
    locale: random.pick(USER_LOCALES),
    app_permissions: PERMISSIONS,
    entitlements: [],
    attachment_size_limit: UPLOAD_LIMIT_BYTES,
    guild_id: guild.id,
    guild: { id: guild.id, locale: guild.locale, features: [] },
    guild_locale: guild.locale,
    channel_id: channel.id,
    channel: channel as GuildFields['channel'],
    member: { ...member, user, permissions: PERMISSIONS },
    authorizing_integration_owners: { [ApplicationIntegrationType.GuildInstall]: guild.id },
    context: InteractionContextType.Guild,
  };
}

/** Of a component: it quotes the bot's own message that it stands in, with its text. */
function inMessage(context: EventContext) {
  const fields = inGuild(context);
  return { ...fields, message: asQuoted(byOurselves(context), fields.channel_id) };
}

const chat = (context: EventContext, name: string) => ({
  id: context.id(),
  name,
  type: ApplicationCommandType.ChatInput as const,
});

const textOption = (context: EventContext) => ({
  name: 'text',
  type: ApplicationCommandOptionType.String as const,
  value: context.words(),
});

type Resolved = ReturnType<typeof resolve>;

/** One of each kind that an id in an option, a selection or a field may refer to. */
function resolve(context: EventContext, channelId: string) {
  const { user, member } = context.person();
  const { deaf: _, mute: __, ...rest } = member;
  const role = context.world.role(context.guild, 2);
  const file = picture(context, channelId);
  const channel: APIInteractionDataResolvedChannel = {
    id: channelId,
    type: ChannelType.GuildText,
    name: 'A channel',
    permissions: PERMISSIONS,
    app_permissions: PERMISSIONS,
  };
  return {
    ids: { user: user.id, role: role.id, channel: channelId, file: file.id },
    users: { [user.id]: user },
    members: { [user.id]: { ...rest, permissions: PERMISSIONS } },
    roles: { [role.id]: role },
    channels: { [channelId]: channel },
    attachments: { [file.id]: file },
  } satisfies APIInteractionDataResolved & { ids: object };
}

const USER_LOCALES = [Locale.EnglishUS, Locale.German, Locale.PortugueseBR, Locale.Japanese, Locale.Ukrainian] as const;
