// A worker built on discord.js, over the whole path: the simulated Discord sends an interaction, the ingestor publishes it,
// the worker builds discord.js's own structure of `{...data, token}` and uses it as discord.js's guide shows. Discord's REST
// takes the answers, or refuses them as Discord would. The worker has no cache, so all that it knows is in the message.
// The table in docs/workers.md of what works from the message alone is made of these.

import {
  ActionRowBuilder,
  type AutocompleteInteraction,
  type ButtonBuilder,
  type ButtonInteraction,
  type ChannelSelectMenuInteraction,
  type ChatInputCommandInteraction,
  Events,
  LabelBuilder,
  type MentionableSelectMenuInteraction,
  type MessageContextMenuCommandInteraction,
  MessageFlags,
  ModalBuilder,
  type ModalSubmitInteraction,
  type PrimaryEntryPointCommandInteraction,
  type RoleSelectMenuInteraction,
  type StringSelectMenuInteraction,
  TextInputBuilder,
  TextInputStyle,
  type UserContextMenuCommandInteraction,
  type UserSelectMenuInteraction,
} from 'discord.js';
import {
  InteractionResponseType as Answer,
  type APIInteraction,
  type APIMessageApplicationCommandInteraction,
  type APIPingInteraction,
} from 'discord-api-types/v10';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ENV } from '../../service/contract/names.ts';
import { Bot } from '../support/discord-js-bot.ts';
import { Inbox } from '../support/inbox.ts';
import { type SharedStage, startSharedStage } from '../support/shared-stage.ts';

let stage: SharedStage;
let inbox: Inbox;

beforeAll(async () => {
  stage = await startSharedStage({ env: { [ENV.forwardDirectMessages]: 'true' } });
  inbox = new Inbox(stage);
});
afterAll(() => stage?.stop());

const modal = () =>
  new ModalBuilder()
    .setCustomId('feedback')
    .setTitle('Feedback')
    .addLabelComponents(
      new LabelBuilder()
        .setLabel('What do you think?')
        .setTextInputComponent(new TextInputBuilder().setCustomId('text').setStyle(TextInputStyle.Paragraph)),
    );

const { ChannelMessageWithSource, DeferredChannelMessageWithSource, DeferredMessageUpdate, UpdateMessage } = Answer;
const { ApplicationCommandAutocompleteResult, Modal, LaunchActivity } = Answer;

type Use = (interaction: never, sent: never) => Promise<unknown>;

/** The kind, what a worker does with it, and what Discord gets. */
const USES: readonly (readonly [kind: string, use: Use, answers: readonly (number | string)[]])[] = [
  [
    'command.plain',
    async (interaction: ChatInputCommandInteraction) => {
      const { resource } = await interaction.reply({ content: 'Pong!', withResponse: true });
      expect(resource?.message?.content).toBe('Pong!');
      await interaction.editReply('Pong again!');
      const { id } = await interaction.followUp({ content: 'Only you see this', flags: MessageFlags.Ephemeral });
      await interaction.deleteReply(id);
      expect((await interaction.fetchReply()).content).toBe('Pong again!');
    },
    [ChannelMessageWithSource, 'PATCH @original', 'POST', expect.stringMatching(/^DELETE \d+$/), 'GET @original'],
  ],
  [
    'command.unicode',
    async (interaction: ChatInputCommandInteraction) => {
      await interaction.deferReply({ flags: MessageFlags.Ephemeral });
      await interaction.editReply('Done');
    },
    [DeferredChannelMessageWithSource, 'PATCH @original'],
  ],
  [
    'command.everything',
    async (interaction: ChatInputCommandInteraction) => {
      const { options } = interaction;
      expect([options.getSubcommandGroup(), options.getSubcommand()]).toEqual(['set', 'all']);
      expect(options.getString('text', true)).toMatch(/../);
      expect(options.getInteger('count', true)).toBe(Number.MAX_SAFE_INTEGER);
      expect(options.getNumber('ratio', true)).toBe(0.1);
      expect(options.getBoolean('flag', true)).toBe(false);
      expect(options.getUser('who', true).username).toBeTruthy();
      expect(options.getMember('who')).toHaveProperty('permissions');
      expect(options.getChannel('where', true).name).toBe('A channel');
      expect(options.getRole('crew', true).name).toMatch(/^role-/);
      expect(options.getMentionable('any', true)).toHaveProperty('mentionable', true);
      expect(options.getAttachment('file', true).url).toMatch(/^https:/);
      expect(interaction.commandGuildId).toBe(interaction.guildId);
    },
    [],
  ],
  [
    'command.large',
    async (interaction: ChatInputCommandInteraction) => {
      expect(interaction.options.data.map(({ value }) => String(value).length)).toEqual(Array(25).fill(6_000));
      await interaction.showModal(modal());
    },
    [Modal],
  ],
  [
    'command.user-installed',
    async (interaction: ChatInputCommandInteraction) => {
      expect(interaction.authorizingIntegrationOwners[1]).toBe(interaction.user.id);
      expect(interaction.entitlements.first()?.isActive()).toBe(true);
      expect([interaction.guildLocale, interaction.context]).toEqual([null, 0]);
      await interaction.reply('Hallo');
    },
    [ChannelMessageWithSource],
  ],
  ['command.direct', outsideGuilds, [DeferredChannelMessageWithSource, 'PATCH @original']],
  ['command.private', outsideGuilds, [DeferredChannelMessageWithSource, 'PATCH @original']],
  [
    'command.user',
    async (interaction: UserContextMenuCommandInteraction) => {
      expect(interaction.targetUser.id).toBe(interaction.targetId);
      expect(interaction.targetMember).toHaveProperty('joined_at');
      await interaction.reply({ content: `${interaction.targetUser}`, allowedMentions: { parse: [] } });
    },
    [ChannelMessageWithSource],
  ],
  [
    'command.message',
    async (interaction: MessageContextMenuCommandInteraction, { data }: APIMessageApplicationCommandInteraction) => {
      const { content, embeds, attachments } = interaction.targetMessage;
      const [quoted] = Object.values(data.resolved.messages);
      expect(content).toBe(quoted?.content);
      expect([content === '', embeds[0]?.title === undefined, attachments.first()?.contentType]).toEqual([
        false,
        false,
        'image/png',
      ]);
      await interaction.reply(content);
    },
    [ChannelMessageWithSource],
  ],
  [
    'command.entry-point',
    (interaction: PrimaryEntryPointCommandInteraction) => interaction.launchActivity(),
    [LaunchActivity],
  ],
  [
    'autocomplete.plain',
    async (interaction: AutocompleteInteraction) => {
      const focused = interaction.options.getFocused();
      expect(focused).toBeTruthy();
      await interaction.respond([{ name: focused.slice(0, 100), value: 'first' }]);
    },
    [ApplicationCommandAutocompleteResult],
  ],
  [
    'autocomplete.nested',
    async (interaction: AutocompleteInteraction) => {
      expect(interaction.options.getSubcommand()).toBe('orders');
      expect(interaction.options.getFocused(true)).toMatchObject({ name: 'count', value: '1x' });
      await interaction.respond([]);
    },
    [ApplicationCommandAutocompleteResult],
  ],
  ['button.plain', disabled, [UpdateMessage, 'PATCH @original']],
  [
    'button.of-container',
    async (interaction: ButtonInteraction) => {
      expect(interaction.message.flags.has(MessageFlags.IsComponentsV2)).toBe(true);
      expect(interaction.component).toHaveProperty('customId', 'confirm');
      await interaction.deferUpdate();
      const [container] = interaction.message.components;
      await interaction.editReply({ components: [container?.toJSON() ?? {}] as never });
    },
    [DeferredMessageUpdate, 'PATCH @original'],
  ],
  [
    'select.string',
    async (interaction: StringSelectMenuInteraction) => {
      expect(interaction.values).toEqual(['red', 'green']);
      expect(interaction.component.options.map(({ value }) => value)).toEqual(['red', 'green', 'blue']);
      await interaction.update({ content: 'Thank you', components: [] });
    },
    [UpdateMessage],
  ],
  [
    'select.user',
    async (interaction: UserSelectMenuInteraction) => {
      expect(interaction.users.map(({ id }) => id)).toEqual(interaction.values);
      expect(interaction.members.size).toBe(1);
      await interaction.deferReply();
    },
    [DeferredChannelMessageWithSource],
  ],
  [
    'select.role',
    async (interaction: RoleSelectMenuInteraction) => {
      expect(interaction.roles.map(({ id }) => id)).toEqual(interaction.values);
      await interaction.deferUpdate();
    },
    [DeferredMessageUpdate],
  ],
  [
    'select.mentionable',
    async (interaction: MentionableSelectMenuInteraction) => {
      expect([interaction.users.size, interaction.members.size, interaction.roles.size]).toEqual([1, 1, 1]);
      await interaction.showModal(modal());
    },
    [Modal],
  ],
  [
    'select.channel',
    async (interaction: ChannelSelectMenuInteraction) => {
      expect(interaction.channels.map(({ id }) => id)).toEqual(interaction.values);
      await interaction.reply({ content: 'Here', flags: MessageFlags.Ephemeral });
    },
    [ChannelMessageWithSource],
  ],
  [
    'modal.labels',
    async (interaction: ModalSubmitInteraction) => {
      const { fields } = interaction;
      expect(fields.getTextInputValue('reason')).toBeTruthy();
      expect(fields.getStringSelectValues('topic')).toEqual(['help']);
      expect(fields.getSelectedUsers('who', true).size).toBe(1);
      expect(fields.getSelectedMembers('who')?.size).toBe(1);
      expect(fields.getSelectedRoles('crew', true).size).toBe(1);
      expect(fields.getSelectedMentionables('any', true).roles.size).toBe(1);
      expect(fields.getSelectedChannels('where', true).size).toBe(1);
      expect(fields.getUploadedFiles('proof', true).first()?.url).toMatch(/^https:/);
      expect(fields.getRadioGroup('size', true)).toBe('large');
      expect(fields.getCheckboxGroup('extras')).toEqual(['map', 'guide']);
      expect(fields.getCheckbox('agreed')).toBe(true);
      await interaction.reply('Received');
    },
    [ChannelMessageWithSource],
  ],
  [
    'modal.rows',
    async (interaction: ModalSubmitInteraction) => {
      expect(interaction.fields.getTextInputValue('title')).toBeTruthy();
      expect(interaction.isFromMessage()).toBe(false);
      await interaction.deferReply();
      await interaction.followUp('Received');
    },
    [DeferredChannelMessageWithSource, 'POST'],
  ],
  [
    'modal.of-message',
    async (interaction: ModalSubmitInteraction) => {
      if (!interaction.isFromMessage()) expect.fail('it has no message');
      expect(interaction.message.components).toHaveLength(2);
      await interaction.update('Received');
    },
    [UpdateMessage],
  ],
];

/** With FORWARD_DIRECT_MESSAGES. */
async function outsideGuilds(interaction: ChatInputCommandInteraction, sent: APIInteraction): Promise<void> {
  expect([interaction.inGuild(), interaction.guildId, interaction.member]).toEqual([false, null, null]);
  expect(interaction.channelId).toBe(sent.channel?.id);
  expect(interaction.context).toBe('context' in sent ? sent.context : undefined);
  await interaction.deferReply();
  await interaction.editReply(interaction.options.getString('text', true));
}

/** The guide's way to disable a button without asking Discord for its message. */
async function disabled(interaction: ButtonInteraction): Promise<void> {
  const { message, customId } = interaction;
  expect([message.content === '', message.embeds[0]?.title === undefined]).toEqual([false, false]);
  expect(interaction.component).toHaveProperty('customId', customId);
  const [row] = message.components;
  const buttons = ActionRowBuilder.from<ButtonBuilder>(row?.toJSON() as never);
  for (const button of buttons.components) button.setDisabled(true);
  await interaction.update({ content: 'Confirmed', components: [buttons] });
  await interaction.editReply({ content: 'Confirmed again' });
  const [updated] = stage.simulator.callbacks.sent(interaction.token);
  expect(updated?.data.components).toMatchObject([{ components: Array(3).fill({ disabled: true }) }]);
}

test.each(USES)('%s works from the payload alone', async (kind, use, expected) => {
  const emitted = stage.simulator.emit(kind);
  const sent = emitted.dispatch.d as Exclude<APIInteraction, APIPingInteraction>;
  const { body } = await inbox.of(emitted);
  const d = { ...Object(body.data), token: body.interactionToken };
  const bot = new Bot({ api: stage.simulator.apiUrl });
  const [interaction] =
    bot.see(Events.InteractionCreate, { t: 'INTERACTION_CREATE', d }) ??
    expect.fail(`discord.js makes none of ${kind}`);
  expect(interaction.isRepliable() || interaction.isAutocomplete()).toBe(true);
  const user = sent.member?.user ?? sent.user;
  expect([body.userId, body.guildId]).toEqual([user?.id, sent.guild_id]);
  expect([interaction.id, interaction.token, interaction.user.id]).toEqual([sent.id, sent.token, user?.id]);
  expect([interaction.locale, interaction.attachmentSizeLimit]).toEqual([sent.locale, sent.attachment_size_limit]);
  expect(interaction.memberPermissions?.bitfield.toString()).toBe(sent.member?.permissions);
  expect(interaction.appPermissions.bitfield).toBe(BigInt(sent.app_permissions));
  await use(interaction as never, sent as never);
  expect(stage.simulator.callbacks.sent(d.token).map(({ what }) => what)).toEqual(expected);
});
