// INTERACTION_CREATE of commands: chat commands with every kind of option, user and message commands, the entry point
// of an activity, and autocomplete. The names are the ones of COMMANDS; `word` is what stands for one in a routing key,
// written down by hand, because what checks the ingestor must not share its arithmetic.

import {
  type APIApplicationCommandAutocompleteInteraction,
  type APIApplicationCommandInteractionDataBasicOption,
  type APIAttachment,
  type APIChatInputApplicationCommandInteraction,
  type APIChatInputApplicationCommandInteractionData,
  type APIMessageApplicationCommandInteraction,
  type APIPrimaryEntryPointCommandInteraction,
  type APIUserApplicationCommandInteraction,
  ApplicationCommandOptionType,
  ApplicationCommandType,
  InteractionType,
} from 'discord-api-types/v10';
import { commandId, inDirectMessage, inGuild, inThread, resolvedChannel, resolvedMember } from './interaction.ts';
import { picture, quoted } from './message.ts';
import type { Moment } from './moment.ts';

export const COMMANDS = {
  ping: { name: 'ping', word: 'ping' },
  everything: { name: 'everything', word: 'everything' },
  settings: { name: 'settings', word: 'settings' },
  /** Letters of any language may stand in a name. */
  unicode: { name: 'übersetzen', word: 'übersetzen' },
  user: { name: 'Show profile', word: 'Show_profile' },
  message: { name: 'Report to moderators', word: 'Report_to_moderators' },
  /** Only user and message commands may be named like this. */
  hostile: { name: 'v2.0 *beta* #1', word: 'v2_0__beta___1' },
  launch: { name: 'launch', word: 'launch' },
  search: { name: 'search', word: 'search' },
} as const;

type Chat = APIChatInputApplicationCommandInteraction;
type ChatData = APIChatInputApplicationCommandInteractionData;
type Option = APIApplicationCommandInteractionDataBasicOption<InteractionType.ApplicationCommand>;

export function plain(moment: Moment): Chat {
  return chat(moment, { ...head(moment, 0, COMMANDS.ping.name), type: ApplicationCommandType.ChatInput });
}

export function unicode(moment: Moment): Chat {
  const { name } = COMMANDS.unicode;
  const data: ChatData = {
    ...head(moment, 1, name),
    type: ApplicationCommandType.ChatInput,
    options: [{ name: 'text', type: ApplicationCommandOptionType.String, value: moment.words() }],
  };
  return { ...inThread(moment), type: InteractionType.ApplicationCommand, data };
}

/** Every kind of option, with all that Discord resolves. */
export function everything(moment: Moment): Chat {
  const { world, guild } = moment;
  const fields = inGuild(moment);
  const person = moment.person();
  const attachment: APIAttachment = { ...picture(moment, fields.channel_id), ephemeral: true };
  const role = world.role(guild, 2);
  const channel = resolvedChannel(moment);
  const options: Option[] = [
    { name: 'text', type: ApplicationCommandOptionType.String, value: moment.words() },
    { name: 'count', type: ApplicationCommandOptionType.Integer, value: moment.random.below(100) },
    { name: 'ratio', type: ApplicationCommandOptionType.Number, value: moment.random.below(1_000) / 8 },
    { name: 'loud', type: ApplicationCommandOptionType.Boolean, value: moment.random.chance(0.5) },
    { name: 'who', type: ApplicationCommandOptionType.User, value: person.user.id },
    { name: 'where', type: ApplicationCommandOptionType.Channel, value: channel.id },
    { name: 'crew', type: ApplicationCommandOptionType.Role, value: role.id },
    { name: 'any', type: ApplicationCommandOptionType.Mentionable, value: role.id },
    { name: 'file', type: ApplicationCommandOptionType.Attachment, value: attachment.id },
  ];
  const data: ChatData = {
    ...head(moment, 2, COMMANDS.everything.name),
    type: ApplicationCommandType.ChatInput,
    options,
    resolved: {
      users: { [person.user.id]: person.user },
      members: { [person.user.id]: resolvedMember(person) },
      roles: { [role.id]: role },
      channels: { [channel.id]: channel },
      attachments: { [attachment.id]: attachment },
    },
  };
  return { ...fields, type: InteractionType.ApplicationCommand, data };
}

/** `/settings reset confirm:true` */
export function subcommand(moment: Moment): Chat {
  return chat(moment, {
    ...head(moment, 3, COMMANDS.settings.name),
    type: ApplicationCommandType.ChatInput,
    options: [
      {
        name: 'reset',
        type: ApplicationCommandOptionType.Subcommand,
        options: [{ name: 'confirm', type: ApplicationCommandOptionType.Boolean, value: true }],
      },
    ],
  });
}

/** `/settings roles add role:@Helper`, a command that only this guild has. */
export function subcommandGroup(moment: Moment): Chat {
  const { world, guild } = moment;
  const role = world.role(guild, 1);
  return chat(moment, {
    ...head(moment, 3, COMMANDS.settings.name),
    guild_id: guild.id,
    type: ApplicationCommandType.ChatInput,
    options: [
      {
        name: 'roles',
        type: ApplicationCommandOptionType.SubcommandGroup,
        options: [
          {
            name: 'add',
            type: ApplicationCommandOptionType.Subcommand,
            options: [{ name: 'role', type: ApplicationCommandOptionType.Role, value: role.id }],
          },
        ],
      },
    ],
    resolved: { roles: { [role.id]: role } },
  });
}

export function onUser(moment: Moment): APIUserApplicationCommandInteraction {
  const person = moment.person();
  return {
    ...inGuild(moment),
    type: InteractionType.ApplicationCommand,
    data: {
      ...head(moment, 4, COMMANDS.user.name),
      type: ApplicationCommandType.User,
      target_id: person.user.id,
      resolved: {
        users: { [person.user.id]: person.user },
        members: { [person.user.id]: resolvedMember(person) },
      },
    },
  };
}

/** The target is quoted whole, whatever the intents. */
export function onMessage(moment: Moment): APIMessageApplicationCommandInteraction {
  return targeting(moment, 5, COMMANDS.message.name);
}

export function hostileName(moment: Moment): APIMessageApplicationCommandInteraction {
  return targeting(moment, 6, COMMANDS.hostile.name);
}

export function entryPoint(moment: Moment): APIPrimaryEntryPointCommandInteraction {
  return {
    ...inGuild(moment),
    type: InteractionType.ApplicationCommand,
    data: { ...head(moment, 7, COMMANDS.launch.name), type: ApplicationCommandType.PrimaryEntryPoint },
  };
}

export function direct(moment: Moment): Chat {
  return {
    ...inDirectMessage(moment),
    type: InteractionType.ApplicationCommand,
    data: {
      ...head(moment, 1, COMMANDS.unicode.name),
      type: ApplicationCommandType.ChatInput,
      options: [{ name: 'text', type: ApplicationCommandOptionType.String, value: moment.words() }],
    },
  };
}

export function autocomplete(moment: Moment): APIApplicationCommandAutocompleteInteraction {
  return {
    ...inGuild(moment),
    type: InteractionType.ApplicationCommandAutocomplete,
    data: {
      ...head(moment, 8, COMMANDS.search.name),
      type: ApplicationCommandType.ChatInput,
      options: [
        { name: 'limit', type: ApplicationCommandOptionType.Integer, value: String(moment.random.below(25)) },
        { name: 'query', type: ApplicationCommandOptionType.String, value: 'app', focused: true },
      ],
    },
  };
}

/** A number in the typing is still text, and it stands in a subcommand. */
export function autocompleteSubcommand(moment: Moment): APIApplicationCommandAutocompleteInteraction {
  return {
    ...inGuild(moment),
    type: InteractionType.ApplicationCommandAutocomplete,
    data: {
      ...head(moment, 3, COMMANDS.settings.name),
      type: ApplicationCommandType.ChatInput,
      options: [
        {
          name: 'volume',
          type: ApplicationCommandOptionType.Subcommand,
          options: [{ name: 'level', type: ApplicationCommandOptionType.Number, value: '1', focused: true }],
        },
      ],
    },
  };
}

function targeting(moment: Moment, n: number, name: string): APIMessageApplicationCommandInteraction {
  const fields = inGuild(moment);
  const message = quoted(moment, fields.channel_id);
  return {
    ...fields,
    type: InteractionType.ApplicationCommand,
    data: {
      ...head(moment, n, name),
      type: ApplicationCommandType.Message,
      target_id: message.id,
      resolved: { messages: { [message.id]: message } },
    },
  };
}

function chat(moment: Moment, data: ChatData): Chat {
  return { ...inGuild(moment), type: InteractionType.ApplicationCommand, data };
}

const head = (moment: Moment, n: number, name: string) => ({ id: commandId(moment, n), name });
