// INTERACTION_CREATE of commands, autocomplete, components and modals: one of each kind that a routing key distinguishes,
// and what Discord resolves. Options, fields and quoted messages contain what users wrote.

import {
  type APIApplicationCommandAutocompleteInteraction,
  type APIApplicationCommandInteractionDataBasicOption,
  type APIBaseInteraction,
  type APIButtonComponent,
  type APIChatInputApplicationCommandInteraction,
  type APIComponentInContainer,
  type APIInteractionDataResolved,
  type APIInteractionDataResolvedChannel,
  type APIMessage,
  type APIMessageApplicationCommandInteraction,
  type APIMessageComponentInteraction,
  type APIMessageSelectMenuInteractionData,
  type APIMessageTopLevelComponent,
  type APIModalSubmitInteraction,
  type APIPrimaryEntryPointCommandInteraction,
  type APISelectMenuComponent,
  type APIUserApplicationCommandInteraction,
  ApplicationCommandOptionType,
  ApplicationCommandType,
  ApplicationIntegrationType,
  ButtonStyle,
  ChannelType,
  ComponentType,
  InteractionContextType,
  InteractionType,
  Locale,
  MessageFlags,
  type ModalSubmitComponent,
} from 'discord-api-types/v10';
import { DISPATCHES } from './dispatches.ts';
import type { EventContext } from './event-context.ts';
import { asQuoted, byOurselves, embed, picture, quoted } from './message.ts';
import { NO_FLAGS } from './world.ts';

/** Nearly all permissions, as a decimal bit set. */
const PERMISSIONS = '2251799813685247';
const UPLOAD_LIMIT_BYTES = 10_485_760;

type Fields = Omit<APIBaseInteraction<InteractionType, unknown>, 'type' | 'data' | 'message'>;
type GuildFields = Omit<Fields, 'user'> & Required<Pick<Fields, 'guild_id' | 'member' | 'channel' | 'channel_id'>>;
type Chat = APIChatInputApplicationCommandInteraction;

/** A chat command. Its name may have letters of any language. */
export const command =
  (name: string) =>
  (context: EventContext): Chat => ({
    ...inGuild(context),
    type: InteractionType.ApplicationCommand,
    data: { ...chat(context, name), options: [textOption(context)] },
  });

/** As large as a command's input may be: 25 options of 6,000 characters. */
export function large(context: EventContext): Chat {
  const options = Array.from({ length: 25 }, (_, n) => {
    const option = textOption(context);
    return { ...option, name: `text-${n}`, value: option.value.padEnd(6_000, '語') };
  });
  const { data, ...fields } = command('large')(context);
  return { ...fields, data: { ...data, options } };
}

/** A subcommand in a group, with an option of each type, and everything that Discord resolves. */
export function everything(context: EventContext): Chat {
  const fields = inGuild(context);
  const { ids, ...resolved } = resolve(context, fields.channel_id);
  const options: APIApplicationCommandInteractionDataBasicOption[] = [
    { name: 'text', type: ApplicationCommandOptionType.String, value: context.words() },
    { name: 'count', type: ApplicationCommandOptionType.Integer, value: 9_007_199_254_740_991 },
    { name: 'ratio', type: ApplicationCommandOptionType.Number, value: 0.1 },
    { name: 'flag', type: ApplicationCommandOptionType.Boolean, value: false },
    { name: 'who', type: ApplicationCommandOptionType.User, value: ids.user },
    { name: 'where', type: ApplicationCommandOptionType.Channel, value: ids.channel },
    { name: 'crew', type: ApplicationCommandOptionType.Role, value: ids.role },
    { name: 'any', type: ApplicationCommandOptionType.Mentionable, value: ids.role },
    { name: 'file', type: ApplicationCommandOptionType.Attachment, value: ids.file },
  ];
  const group = {
    name: 'set',
    type: ApplicationCommandOptionType.SubcommandGroup as const,
    options: [{ name: 'all', type: ApplicationCommandOptionType.Subcommand as const, options }],
  };
  const data = { ...chat(context, 'everything'), guild_id: context.guild.id, options: [group], resolved };
  return { ...fields, type: InteractionType.ApplicationCommand, data };
}

/** Installed by a user, who brings it to a guild that the bot may not be in, and has bought something. */
export function userInstalled(context: EventContext): Chat {
  const { guild_locale: _, ...fields } = command('translate')(context);
  const { id } = fields.member?.user ?? context.person().user;
  return {
    ...fields,
    entitlements: [DISPATCHES.ENTITLEMENT_CREATE(context)],
    authorizing_integration_owners: { [ApplicationIntegrationType.UserInstall]: id },
  };
}

/** Installed by a user, in a conversation of several that the bot is not in. */
export function inPrivateChannel(context: EventContext): Chat {
  const { user = context.person().user, channel: _, ...rest } = directCommand(context);
  const { id } = user;
  return {
    ...rest,
    user,
    channel: { id: rest.channel_id ?? id, type: ChannelType.GroupDM, name: null, recipients: [user], flags: NO_FLAGS },
    authorizing_integration_owners: { [ApplicationIntegrationType.UserInstall]: id },
    context: InteractionContextType.PrivateChannel,
  };
}

export function userCommand(context: EventContext): APIUserApplicationCommandInteraction {
  const fields = inGuild(context);
  const { ids, users, members } = resolve(context, fields.channel_id);
  const data = { id: context.id(), name: 'Report', type: ApplicationCommandType.User as const };
  const type = InteractionType.ApplicationCommand as const;
  return { ...fields, type, data: { ...data, target_id: ids.user, resolved: { users, members } } };
}

/** Opens the application's activity. */
export function entryPoint(context: EventContext): APIPrimaryEntryPointCommandInteraction {
  const data = { id: context.id(), name: 'launch', type: ApplicationCommandType.PrimaryEntryPoint as const };
  return { ...inGuild(context), type: InteractionType.ApplicationCommand, data };
}

/** In direct messages there is a user instead of a member. */
export function directCommand(context: EventContext): Chat {
  const { guild: _, guild_id: __, guild_locale: ___, member, ...rest } = command('translate')(context);
  const { user } = member ?? context.person();
  const id = context.id();
  const channel = { id, type: ChannelType.DM as const, last_message_id: null, recipients: [user], flags: NO_FLAGS };
  return { ...rest, user, channel, channel_id: id, context: InteractionContextType.BotDM };
}

/** A message command, with a name that chat commands may not have. It has its complete target, whatever the intents. */
export function messageCommand(context: EventContext): APIMessageApplicationCommandInteraction {
  const fields = inGuild(context);
  const target = quoted(context, fields.channel_id);
  const data = { id: context.id(), name: 'v2.0 *beta* #1', type: ApplicationCommandType.Message as const };
  const resolved = { messages: { [target.id]: target } };
  return { ...fields, type: InteractionType.ApplicationCommand, data: { ...data, target_id: target.id, resolved } };
}

export function autocomplete(context: EventContext): APIApplicationCommandAutocompleteInteraction {
  const fields = inGuild(context);
  const data = { ...chat(context, 'search'), options: [{ ...textOption(context), focused: true }] };
  return { ...fields, type: InteractionType.ApplicationCommandAutocomplete, data };
}

/** In a subcommand; the integer option is half typed, so its value is no number. */
export function autocompleteNested(context: EventContext): APIApplicationCommandAutocompleteInteraction {
  const count = { name: 'count', type: ApplicationCommandOptionType.Integer as const, value: '1x', focused: true };
  const options = [textOption(context), count] as APIApplicationCommandInteractionDataBasicOption[];
  const subcommand = { name: 'orders', type: ApplicationCommandOptionType.Subcommand as const, options };
  const data = { ...chat(context, 'search'), options: [subcommand] };
  return { ...inGuild(context), type: InteractionType.ApplicationCommandAutocomplete, data };
}

const CONFIRM = { component_type: ComponentType.Button as const, custom_id: 'confirm' };

export function button(context: EventContext): APIMessageComponentInteraction {
  return { ...inMessage(context), type: InteractionType.MessageComponent, data: CONFIRM };
}

/** In a message that has components only: text, pictures and buttons in a container. */
export function buttonOfContainer(context: EventContext): APIMessageComponentInteraction {
  const { message: row, ...fields } = inMessage(context);
  const url = 'https://cdn.discordapp.com/attachments/1/2/chart.png';
  const section = {
    type: ComponentType.Section as const,
    components: [{ type: ComponentType.TextDisplay as const, content: context.words() }],
    accessory: { type: ComponentType.Thumbnail as const, media: { url } },
  };
  const parts: APIComponentInContainer[] = [
    section,
    { type: ComponentType.MediaGallery, items: [{ media: { url } }] },
    { type: ComponentType.Separator, divider: true },
    ...(row.components as APIComponentInContainer[]),
  ];
  const message: APIMessage = {
    ...row,
    content: '',
    embeds: [],
    flags: MessageFlags.IsComponentsV2 | MessageFlags.Ephemeral,
    components: [{ type: ComponentType.Container, id: 1, accent_color: 0x5865f2, components: parts }],
  };
  return { ...fields, message, type: InteractionType.MessageComponent, data: CONFIRM };
}

/** A type that Discord may add: it has only the fields that every interaction has. */
export const ofUnknownType = (context: EventContext): object => ({
  ...command('ping')(context),
  type: 6,
  data: { new: true },
});

export const ofUnknownComponent = (context: EventContext): object => ({
  ...button(context),
  data: { component_type: 99, custom_id: 'confirm' },
});

/** The type of each select menu, and what is selected in it. */
const MENUS = {
  string: [ComponentType.StringSelect],
  user: [ComponentType.UserSelect, 'user'],
  role: [ComponentType.RoleSelect, 'role'],
  mentionable: [ComponentType.MentionableSelect, 'role', 'user'],
  channel: [ComponentType.ChannelSelect, 'channel'],
} as const;
/** What Discord resolves for each. */
const RESOLVED = { user: ['users', 'members'], role: ['roles'], channel: ['channels'] } as const;

export const select =
  (kind: keyof typeof MENUS) =>
  (context: EventContext): APIMessageComponentInteraction => {
    const [component_type, ...selected] = MENUS[kind];
    const { ids, ...all } = resolve(context, context.channelId());
    const resolved = selected.flatMap((each) => RESOLVED[each].map((name) => [name, all[name]]));
    const fields = inMessage(context, component_type);
    const values =
      selected.length === 0
        ? { values: ['red', 'green'] }
        : { values: selected.map((each) => ids[each]), resolved: Object.fromEntries(resolved) };
    const data = { component_type, ...values, custom_id: 'choose' } as APIMessageSelectMenuInteractionData;
    return { ...fields, type: InteractionType.MessageComponent, data };
  };

/** Opened by a command: a label around each kind of field, and a text between them. */
export function modal(context: EventContext): APIModalSubmitInteraction {
  const fields = inGuild(context);
  const { ids, ...resolved } = resolve(context, fields.channel_id);
  const field: readonly ModalSubmitComponent[] = [
    { type: ComponentType.TextInput, id: 3, custom_id: 'reason', value: context.words() },
    { type: ComponentType.StringSelect, id: 5, custom_id: 'topic', values: ['help'] },
    { type: ComponentType.UserSelect, id: 7, custom_id: 'who', values: [ids.user] },
    { type: ComponentType.RoleSelect, id: 9, custom_id: 'crew', values: [ids.role] },
    { type: ComponentType.MentionableSelect, id: 11, custom_id: 'any', values: [ids.role, ids.user] },
    { type: ComponentType.ChannelSelect, id: 13, custom_id: 'where', values: [ids.channel] },
    { type: ComponentType.FileUpload, id: 15, custom_id: 'proof', values: [ids.file] },
    { type: ComponentType.RadioGroup, id: 17, custom_id: 'size', value: 'large' },
    { type: ComponentType.CheckboxGroup, id: 19, custom_id: 'extras', values: ['map', 'guide'] },
    { type: ComponentType.Checkbox, id: 21, custom_id: 'agreed', value: true },
  ];
  const labels = field.map((component, n) => ({ type: ComponentType.Label as const, id: 2 + 2 * n, component }));
  const components = [{ type: ComponentType.TextDisplay as const, id: 1 }, ...labels];
  return { ...fields, type: InteractionType.ModalSubmit, data: { custom_id: 'application', components, resolved } };
}

/** Opened by a button, in whose message it stands. */
export function modalOfMessage(context: EventContext): APIModalSubmitInteraction {
  return { ...modalOfRows(context), message: inMessage(context).message };
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

/** An interaction of a component has the bot's message that contains it, with text, embeds and components. */
function inMessage(context: EventContext, menu: ComponentType = ComponentType.StringSelect) {
  const fields = inGuild(context);
  const buttons: APIButtonComponent[] = [
    { type: ComponentType.Button, id: 2, custom_id: 'confirm', style: ButtonStyle.Success, label: 'Confirm' },
    { type: ComponentType.Button, id: 3, style: ButtonStyle.Link, label: 'Read', url: 'https://example.com/' },
    { type: ComponentType.Button, id: 4, style: ButtonStyle.Premium, sku_id: context.id() },
  ];
  const options = ['red', 'green', 'blue'].map((value) => ({ label: value, value, emoji: { name: '🎨' } }));
  const select = { type: menu, id: 6, custom_id: 'choose', max_values: 2 };
  const withOptions = { ...select, ...(menu === ComponentType.StringSelect && { options }) };
  const components: APIMessageTopLevelComponent[] = [
    { type: ComponentType.ActionRow, id: 1, components: buttons },
    { type: ComponentType.ActionRow, id: 5, components: [withOptions as APISelectMenuComponent] },
  ];
  const message = { ...asQuoted(byOurselves(context), fields.channel_id), embeds: [embed(context)], components };
  return { ...fields, message };
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
