// INTERACTION_CREATE: all a worker needs to answer it, in Discord's own shape, so that `{...data, token}` builds
// discord.js's structures. The token is a credential and stands once, in the envelope. The message that a component
// belongs to is reduced to what says nothing about its text.

import type {
  APIApplicationCommandInteractionDataOption,
  APIEntitlement,
  APIInteraction,
  APIInteractionGuildMember,
  APIModalSubmission,
  APIModalSubmissionComponent,
  APIPartialInteractionGuild,
  ModalSubmitComponent,
} from 'discord-api-types/v10';
import {
  ApplicationCommandOptionType,
  ApplicationCommandType,
  ComponentType,
  InteractionType,
} from 'discord-api-types/v10';
import { eventId } from './event-id.ts';
import { type DispatchContext, FILTERED, type Outcome, unknown } from './outcome.ts';
import type {
  AutocompleteData,
  BasicOption,
  ButtonData,
  CommandData,
  CommandOption,
  Entitlement,
  InteractionMember,
  ModalData,
  ModalField,
  ModalRow,
  SelectData,
  Subcommand,
} from './payload.ts';
import { owners, quotedMessage } from './quoted-message.ts';
import { channel, resolvedInput, resolvedMentions, resolvedTarget } from './resolved.ts';
import { namedKey, ROUTES } from './routing.ts';
import {
  integer,
  isNumber,
  list,
  Malformed,
  nullableInteger,
  nullableText,
  object,
  optional,
  optionalBoolean,
  optionalInteger,
  optionalSnowflake,
  optionalText,
  optionalTexts,
  snowflake,
  text,
  type Untrusted,
} from './untrusted.ts';
import { member, user } from './user.ts';

type From = Untrusted<APIInteraction>;
type Shared = Omit<CommandData, 'type' | 'data'>;
type FromData = Untrusted<NonNullable<APIInteraction['data']>>;

export function interactionCreate(d: unknown, context: DispatchContext): Outcome {
  const from = object<APIInteraction>(d, 'd');
  if (from.guild_id === undefined || from.guild_id === null) return FILTERED.outsideGuild;
  switch (from.type) {
    case InteractionType.ApplicationCommand:
      return command(from, context);
    case InteractionType.ApplicationCommandAutocomplete:
      return autocomplete(from, context);
    case InteractionType.MessageComponent:
      return component(from, context);
    case InteractionType.ModalSubmit:
      return modal(from, context);
    default:
      return unknown('expected d.type to be a kind of interaction that this version knows');
  }
}

function command(from: From, context: DispatchContext): Outcome {
  const { priority } = ROUTES.command;
  const data: CommandData = { ...shared(from), type: InteractionType.ApplicationCommand, data: commandData(from.data) };
  const routingKey = namedKey(ROUTES.command, data.data.name);
  const payload = { ...envelope(from, data, context), eventType: routingKey, data };
  return { kind: 'event', routingKey, priority, payload };
}

function autocomplete(from: From, context: DispatchContext): Outcome {
  const { priority } = ROUTES.autocomplete;
  const typed: FromData = object(from.data, 'd.data');
  const data: AutocompleteData = {
    ...shared(from),
    type: InteractionType.ApplicationCommandAutocomplete,
    data: {
      ...commandHead(typed),
      type: integer(typed.type, 'd.data.type'),
      options: options(typed.options, 'd.data.options'),
      resolved: optional(typed.resolved, 'd.data.resolved', resolvedInput),
    },
  };
  const routingKey = namedKey(ROUTES.autocomplete, data.data.name);
  const payload = { ...envelope(from, data, context), eventType: routingKey, data };
  return { kind: 'event', routingKey, priority, payload };
}

function component(from: From, context: DispatchContext): Outcome {
  const used: FromData = object(from.data, 'd.data');
  const head = { custom_id: text(used.custom_id, 'd.data.custom_id'), id: optionalInteger(used.id) };
  const base = {
    ...shared(from),
    type: InteractionType.MessageComponent,
    message: optional(from.message, 'd.message', quotedMessage),
  } as const;
  switch (used.component_type) {
    case ComponentType.Button: {
      const { family, priority } = ROUTES.button;
      const data: ButtonData = { ...base, data: { ...head, component_type: used.component_type } };
      const payload = { ...envelope(from, data, context), eventType: family, data };
      return { kind: 'event', routingKey: family, priority, payload };
    }
    case ComponentType.StringSelect:
    case ComponentType.UserSelect:
    case ComponentType.RoleSelect:
    case ComponentType.MentionableSelect:
    case ComponentType.ChannelSelect: {
      const { family, priority } = ROUTES.select;
      const values = optionalTexts(used.values);
      if (values === undefined) throw new Malformed('d.data.values', 'a list of texts', used.values);
      const data: SelectData = {
        ...base,
        data: {
          ...head,
          component_type: used.component_type,
          values,
          resolved: optional(used.resolved, 'd.data.resolved', resolvedMentions),
        },
      };
      const payload = { ...envelope(from, data, context), eventType: family, data };
      return { kind: 'event', routingKey: family, priority, payload };
    }
    default:
      return unknown('expected d.data.component_type to be a button or a select that this version knows');
  }
}

function modal(from: From, context: DispatchContext): Outcome {
  const { family, priority } = ROUTES.modal;
  const filled = object<APIModalSubmission>(from.data, 'd.data');
  const data: ModalData = {
    ...shared(from),
    type: InteractionType.ModalSubmit,
    message: optional(from.message, 'd.message', quotedMessage),
    data: {
      custom_id: text(filled.custom_id, 'd.data.custom_id'),
      components: list(filled.components, 'd.data.components').map(modalRow),
      resolved: optional(filled.resolved, 'd.data.resolved', resolvedInput),
    },
  };
  const payload = { ...envelope(from, data, context), eventType: family, data };
  return { kind: 'event', routingKey: family, priority, payload };
}

/** The fields beside `eventType` and `data`. */
function envelope(from: From, data: Shared, context: DispatchContext) {
  return {
    eventId: eventId(context.sessionId, context.sequence),
    timestamp: context.receivedAt,
    shardId: context.shardId,
    guildId: data.guild_id,
    channelId: data.channel_id ?? data.channel?.id,
    userId: data.member.user.id,
    interactionId: data.id,
    interactionToken: text(from.token, 'd.token'),
  };
}

/** What every interaction has. */
function shared(from: From): Shared {
  return {
    id: snowflake(from.id, 'd.id'),
    application_id: snowflake(from.application_id, 'd.application_id'),
    guild_id: snowflake(from.guild_id, 'd.guild_id'),
    guild: optional(from.guild, 'd.guild', guild),
    channel_id: optionalSnowflake(from.channel_id),
    channel: optional(from.channel, 'd.channel', channel),
    member: interactionMember(from.member),
    version: optionalInteger(from.version),
    app_permissions: optionalText(from.app_permissions),
    locale: optionalText(from.locale),
    guild_locale: optionalText(from.guild_locale),
    entitlements: optional(from.entitlements, 'd.entitlements', entitlements),
    authorizing_integration_owners: optional(
      from.authorizing_integration_owners,
      'd.authorizing_integration_owners',
      owners,
    ),
    context: nullableInteger(from.context),
    attachment_size_limit: optionalInteger(from.attachment_size_limit),
  };
}

function interactionMember(value: unknown): InteractionMember {
  const from = object<APIInteractionGuildMember>(value, 'd.member');
  return {
    ...member(value, 'd.member'),
    user: user(from.user, 'd.member.user'),
    permissions: text(from.permissions, 'd.member.permissions'),
  };
}

function guild(value: unknown, path: string): CommandData['guild'] {
  const from = object<APIPartialInteractionGuild>(value, path);
  return {
    id: snowflake(from.id, `${path}.id`),
    locale: optionalText(from.locale),
    features: optionalTexts(from.features),
  };
}

function entitlements(value: unknown, path: string): Entitlement[] {
  return list(value, path).map((each) => {
    const from = object<APIEntitlement>(each, `${path}[]`);
    return {
      id: snowflake(from.id, `${path}[].id`),
      sku_id: snowflake(from.sku_id, `${path}[].sku_id`),
      application_id: optionalSnowflake(from.application_id),
      user_id: optionalSnowflake(from.user_id),
      guild_id: optionalSnowflake(from.guild_id),
      type: optionalInteger(from.type),
      deleted: optionalBoolean(from.deleted),
      consumed: optionalBoolean(from.consumed),
      starts_at: nullableText(from.starts_at),
      ends_at: nullableText(from.ends_at),
    };
  });
}

function commandData(value: unknown): CommandData['data'] {
  const from: FromData = object(value, 'd.data');
  const head = commandHead(from);
  switch (from.type) {
    case ApplicationCommandType.ChatInput:
      return {
        ...head,
        type: from.type,
        options: optional(from.options, 'd.data.options', options),
        resolved: optional(from.resolved, 'd.data.resolved', resolvedInput),
      };
    case ApplicationCommandType.User:
      return {
        ...head,
        type: from.type,
        target_id: snowflake(from.target_id, 'd.data.target_id'),
        resolved: optional(from.resolved, 'd.data.resolved', resolvedMentions),
      };
    case ApplicationCommandType.Message:
      return {
        ...head,
        type: from.type,
        target_id: snowflake(from.target_id, 'd.data.target_id'),
        resolved: optional(from.resolved, 'd.data.resolved', resolvedTarget),
      };
    case ApplicationCommandType.PrimaryEntryPoint:
      return { ...head, type: from.type };
    default:
      throw new Malformed('d.data.type', 'a kind of command that this version knows', from.type);
  }
}

function commandHead(from: FromData) {
  const name = text(from.name, 'd.data.name');
  if (name === '') throw new Malformed('d.data.name', 'a name', undefined);
  return { id: snowflake(from.id, 'd.data.id'), name, guild_id: optionalSnowflake(from.guild_id) };
}

/** Options nest twice at most: group, subcommand, option. https://discord.com/developers/docs/interactions/application-commands */
function options(value: unknown, path: string): CommandOption[] {
  return list(value, path).map((each): CommandOption => {
    const from = option(each, `${path}[]`);
    if (from.type === ApplicationCommandOptionType.Subcommand) return subcommand(from, `${path}[]`);
    if (from.type !== ApplicationCommandOptionType.SubcommandGroup) return basicOption(from, `${path}[]`);
    return {
      name: text(from.name, `${path}[].name`),
      type: from.type,
      options: optional(from.options, `${path}[].options`, subcommands),
    };
  });
}

type FromOption = Untrusted<APIApplicationCommandInteractionDataOption>;

const option = (value: unknown, path: string): FromOption => object(value, path);

function subcommands(value: unknown, path: string): Subcommand[] {
  return list(value, path).map((each) => {
    const from = option(each, `${path}[]`);
    if (from.type === ApplicationCommandOptionType.Subcommand) return subcommand(from, `${path}[]`);
    throw new Malformed(`${path}[].type`, 'that of a subcommand', from.type);
  });
}

function subcommand(from: FromOption, path: string): Subcommand {
  return {
    name: text(from.name, `${path}.name`),
    type: ApplicationCommandOptionType.Subcommand,
    options: optional(from.options, `${path}.options`, basicOptions),
  };
}

const basicOptions = (value: unknown, path: string): BasicOption[] =>
  list(value, path).map((each) => basicOption(option(each, `${path}[]`), `${path}[]`));

function basicOption(from: FromOption, path: string): BasicOption {
  const { value } = from;
  if (typeof value !== 'string' && typeof value !== 'boolean' && !isNumber(value)) {
    throw new Malformed(`${path}.value`, 'text, a number or a boolean', value);
  }
  return {
    name: text(from.name, `${path}.name`),
    type: integer(from.type, `${path}.type`),
    value,
    focused: optionalBoolean(from.focused),
  };
}

/** Of a kind of row that this version does not know, only the kind. */
function modalRow(value: unknown): ModalRow {
  const path = 'd.data.components[]';
  const from = object<APIModalSubmissionComponent>(value, path);
  return {
    type: integer(from.type, `${path}.type`),
    id: optionalInteger(from.id),
    component: optional(from.component, `${path}.component`, modalField),
    components: optional(from.components, `${path}.components`, modalFields),
  };
}

const modalFields = (value: unknown, path: string): ModalField[] =>
  list(value, path).map((each) => modalField(each, `${path}[]`));

function modalField(value: unknown, path: string): ModalField {
  const from = object<ModalSubmitComponent>(value, path);
  return {
    type: integer(from.type, `${path}.type`),
    id: optionalInteger(from.id),
    custom_id: text(from.custom_id, `${path}.custom_id`),
    value: typeof from.value === 'boolean' ? from.value : nullableText(from.value),
    values: optionalTexts(from.values),
  };
}
