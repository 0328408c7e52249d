// INTERACTION_CREATE of buttons, of each kind of select, and of modals with every field that one may have.
// A component quotes the bot's own message that it stands in, with its text.

import {
  type APIComponentInMessageActionRow,
  type APIMessage,
  type APIMessageButtonInteractionData,
  type APIMessageComponentInteraction,
  type APIMessageSelectMenuInteractionData,
  type APIModalSubmission,
  type APIModalSubmitInteraction,
  ButtonStyle,
  ComponentType,
  InteractionType,
  MessageType,
} from 'discord-api-types/v10';
import { inDirectMessage, inGuild, inThread, resolvedChannel, resolvedMember } from './interaction.ts';
import { picture, quoted } from './message.ts';
import type { Moment } from './moment.ts';

type Component = APIMessageComponentInteraction;

export function button(moment: Moment): Component {
  return inGuildMessage(moment, { ...head(moment, 'confirm'), component_type: ComponentType.Button });
}

export function buttonInThread(moment: Moment): Component {
  const fields = inThread(moment);
  return {
    ...fields,
    type: InteractionType.MessageComponent,
    ...used(moment, fields.channel_id, { ...head(moment, 'close'), component_type: ComponentType.Button }),
  };
}

export function buttonInDirectMessage(moment: Moment): Component {
  const fields = inDirectMessage(moment);
  return {
    ...fields,
    type: InteractionType.MessageComponent,
    ...used(moment, fields.channel_id, { ...head(moment, 'confirm'), component_type: ComponentType.Button }),
  };
}

export function stringSelect(moment: Moment): Component {
  return inGuildMessage(moment, {
    ...head(moment, 'colour'),
    component_type: ComponentType.StringSelect,
    values: ['red', 'green'],
  });
}

export function userSelect(moment: Moment): Component {
  const person = moment.person();
  return inGuildMessage(moment, {
    ...head(moment, 'assignee'),
    component_type: ComponentType.UserSelect,
    values: [person.user.id],
    resolved: { users: { [person.user.id]: person.user }, members: { [person.user.id]: resolvedMember(person) } },
  });
}

export function roleSelect(moment: Moment): Component {
  const role = moment.world.role(moment.guild, 2);
  return inGuildMessage(moment, {
    ...head(moment, 'role'),
    component_type: ComponentType.RoleSelect,
    values: [role.id],
    resolved: { roles: { [role.id]: role } },
  });
}

export function mentionableSelect(moment: Moment): Component {
  const role = moment.world.role(moment.guild, 1);
  const person = moment.person();
  return inGuildMessage(moment, {
    ...head(moment, 'audience'),
    component_type: ComponentType.MentionableSelect,
    values: [role.id, person.user.id],
    resolved: {
      roles: { [role.id]: role },
      users: { [person.user.id]: person.user },
      members: { [person.user.id]: resolvedMember(person) },
    },
  });
}

export function channelSelect(moment: Moment): Component {
  const channel = resolvedChannel(moment);
  return inGuildMessage(moment, {
    ...head(moment, 'target'),
    component_type: ComponentType.ChannelSelect,
    values: [channel.id],
    resolved: { channels: { [channel.id]: channel } },
  });
}

/** Opened by a command, with labels around every kind of field, and a text between them. */
export function modal(moment: Moment): APIModalSubmitInteraction {
  const { world, guild } = moment;
  const fields = inGuild(moment);
  const person = moment.person();
  const role = world.role(guild, 2);
  const channel = resolvedChannel(moment);
  const file = picture(moment, fields.channel_id);
  const label = (id: number) => ({ type: ComponentType.Label as const, id });
  const data: APIModalSubmission = {
    custom_id: `application:${moment.random.hex(6)}`,
    components: [
      { type: ComponentType.TextDisplay, id: 1 },
      { ...label(2), component: { ...field(3, 'reason'), type: ComponentType.TextInput, value: moment.words() } },
      { ...label(4), component: { ...field(5, 'topic'), type: ComponentType.StringSelect, values: ['help'] } },
      { ...label(6), component: { ...field(7, 'who'), type: ComponentType.UserSelect, values: [person.user.id] } },
      { ...label(8), component: { ...field(9, 'crew'), type: ComponentType.RoleSelect, values: [role.id] } },
      { ...label(10), component: { ...field(11, 'any'), type: ComponentType.MentionableSelect, values: [role.id] } },
      { ...label(12), component: { ...field(13, 'where'), type: ComponentType.ChannelSelect, values: [channel.id] } },
      { ...label(14), component: { ...field(15, 'proof'), type: ComponentType.FileUpload, values: [file.id] } },
      { ...label(16), component: { ...field(17, 'size'), type: ComponentType.RadioGroup, value: 'large' } },
      { ...label(18), component: { ...field(19, 'extras'), type: ComponentType.CheckboxGroup, values: ['a', 'c'] } },
      { ...label(20), component: { ...field(21, 'agree'), type: ComponentType.Checkbox, value: true } },
    ],
    resolved: {
      users: { [person.user.id]: person.user },
      members: { [person.user.id]: resolvedMember(person) },
      roles: { [role.id]: role },
      channels: { [channel.id]: channel },
      attachments: { [file.id]: file },
    },
  };
  return { ...fields, type: InteractionType.ModalSubmit, data };
}

/** The older form: text inputs in action rows. Opened by a button, so it quotes that message. */
export function modalOfRows(moment: Moment): APIModalSubmitInteraction {
  const fields = inGuild(moment);
  const openedBy = componentOf(moment, { ...head(moment, 'open'), component_type: ComponentType.Button });
  return {
    ...fields,
    type: InteractionType.ModalSubmit,
    message: ourMessage(moment, fields.channel_id, openedBy),
    data: rows(moment),
  };
}

export function modalInDirectMessage(moment: Moment): APIModalSubmitInteraction {
  return { ...inDirectMessage(moment), type: InteractionType.ModalSubmit, data: rows(moment) };
}

function rows(moment: Moment): APIModalSubmission {
  return {
    custom_id: 'feedback',
    components: [
      {
        type: ComponentType.ActionRow,
        id: 1,
        components: [{ ...field(2, 'title'), type: ComponentType.TextInput, value: moment.words() }],
      },
      {
        type: ComponentType.ActionRow,
        id: 3,
        components: [{ ...field(4, 'details'), type: ComponentType.TextInput, value: '' }],
      },
    ],
  };
}

function inGuildMessage(moment: Moment, data: Used): Component {
  const fields = inGuild(moment);
  return { ...fields, type: InteractionType.MessageComponent, ...used(moment, fields.channel_id, data) };
}

type Used = APIMessageButtonInteractionData | APIMessageSelectMenuInteractionData;

/** The component that was used, and the message that it stands in. */
function used<T extends Used>(moment: Moment, channelId: string, data: T): { data: T; message: APIMessage } {
  return { data, message: ourMessage(moment, channelId, componentOf(moment, data)) };
}

function componentOf(moment: Moment, { component_type: type, custom_id }: Used): APIComponentInMessageActionRow {
  const id = 2;
  switch (type) {
    case ComponentType.Button:
      return { type, id, custom_id, style: ButtonStyle.Primary, label: moment.words() };
    case ComponentType.StringSelect:
      return { type, id, custom_id, options: ['red', 'green', 'blue'].map((value) => ({ value, label: value })) };
    default:
      return { type, id, custom_id, placeholder: moment.words(), min_values: 1, max_values: 3 };
  }
}

/** The bot's message that holds the component, an answer to a command. */
function ourMessage(moment: Moment, channelId: string, component: APIComponentInMessageActionRow): APIMessage {
  const { world, guild } = moment;
  const { user } = moment.person();
  const interaction = moment.id();
  return {
    ...quoted(moment, channelId),
    author: world.bot,
    type: MessageType.ChatInputCommand,
    application_id: world.applicationId,
    webhook_id: world.applicationId,
    components: [{ type: ComponentType.ActionRow, id: 1, components: [component] }],
    interaction_metadata: {
      id: interaction,
      type: InteractionType.ApplicationCommand,
      user,
      authorizing_integration_owners: { 0: guild.id },
    },
    interaction: { id: interaction, type: InteractionType.ApplicationCommand, name: 'ping', user },
  };
}

const head = (moment: Moment, what: string) => ({ custom_id: `${what}:${moment.random.hex(6)}`, id: 2 });

const field = (id: number, custom_id: string) => ({ id, custom_id });
