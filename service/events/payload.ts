// The contract with workers: what a message's body holds, for every event type. `data` has Discord's own field names and
// is an allow-list; interactions are complete enough to answer and to build discord.js's structures from.
// Never here: message content, embeds, attachments, components, polls, and what quotes them.
// The service itself only takes the types: its mappers check by hand, and the tests parse all they make with this.
// `npm run schema` writes docs/discord-event-payload.schema.json from it, for workers in other languages.

import { z } from 'zod';

const Snowflake = z
  .string()
  .regex(/^\d{1,20}$/)
  .meta({ id: 'Snowflake', description: "Discord's id: an unsigned 64-bit number as text." });

const timestamp = z.string().describe('A time as Discord writes it (ISO 8601), unchanged.');
const permissions = z.string().describe('A bit set of permissions, as a decimal number in text.');

export const User = z
  .strictObject({
    id: Snowflake,
    username: z.string(),
    discriminator: z.string().optional(),
    global_name: z.string().nullish(),
    avatar: z.string().nullish(),
    bot: z.boolean().optional(),
    system: z.boolean().optional(),
    banner: z.string().nullish(),
    accent_color: z.int().nullish(),
    public_flags: z.int().optional(),
  })
  .meta({ id: 'User' });
export type User = z.infer<typeof User>;

const memberFields = {
  nick: z.string().nullish(),
  avatar: z.string().nullish(),
  banner: z.string().nullish(),
  roles: z.array(Snowflake),
  joined_at: timestamp.nullish(),
  premium_since: timestamp.nullish(),
  communication_disabled_until: timestamp.nullish(),
  pending: z.boolean().optional(),
  deaf: z.boolean().optional(),
  mute: z.boolean().optional(),
  flags: z.int().optional(),
};

/** A member as Discord quotes it beside a user: without the user. */
export const PartialMember = z.strictObject(memberFields).meta({ id: 'PartialMember' });
export type PartialMember = z.infer<typeof PartialMember>;

export const InteractionMember = z
  .strictObject({ ...memberFields, user: User, permissions })
  .meta({ id: 'InteractionMember', description: 'Who acted, with the permissions they have in the channel.' });
export type InteractionMember = z.infer<typeof InteractionMember>;

export const ResolvedMember = z
  .strictObject({ ...memberFields, permissions: permissions.optional() })
  .meta({ id: 'ResolvedMember' });
export type ResolvedMember = z.infer<typeof ResolvedMember>;

export const Role = z
  .strictObject({
    id: Snowflake,
    name: z.string(),
    color: z.int().optional(),
    colors: z
      .strictObject({
        primary_color: z.int(),
        secondary_color: z.int().nullish(),
        tertiary_color: z.int().nullish(),
      })
      .optional(),
    hoist: z.boolean().optional(),
    icon: z.string().nullish(),
    unicode_emoji: z.string().nullish(),
    position: z.int().optional(),
    permissions: permissions.optional(),
    managed: z.boolean().optional(),
    mentionable: z.boolean().optional(),
    flags: z.int().optional(),
  })
  .meta({ id: 'Role' });
export type Role = z.infer<typeof Role>;

export const Channel = z
  .strictObject({
    id: Snowflake,
    type: z.int(),
    name: z.string().nullish(),
    guild_id: Snowflake.optional(),
    parent_id: Snowflake.nullish(),
    owner_id: Snowflake.optional(),
    last_message_id: Snowflake.nullish(),
    position: z.int().optional(),
    nsfw: z.boolean().optional(),
    flags: z.int().optional(),
    rate_limit_per_user: z.int().optional(),
    permissions: permissions.optional(),
    app_permissions: permissions.optional(),
    thread_metadata: z
      .strictObject({
        archived: z.boolean().optional(),
        auto_archive_duration: z.int().optional(),
        archive_timestamp: timestamp.optional(),
        locked: z.boolean().optional(),
        invitable: z.boolean().optional(),
        create_timestamp: timestamp.nullish(),
      })
      .optional(),
  })
  .meta({ id: 'Channel' });
export type Channel = z.infer<typeof Channel>;

export const InputAttachment = z
  .strictObject({
    id: Snowflake,
    filename: z.string(),
    title: z.string().optional(),
    description: z.string().optional(),
    content_type: z.string().optional(),
    size: z.int(),
    url: z.string(),
    proxy_url: z.string().optional(),
    height: z.int().nullish(),
    width: z.int().nullish(),
    ephemeral: z.boolean().optional(),
    duration_secs: z.number().optional(),
    waveform: z.string().optional(),
    flags: z.int().optional(),
  })
  .meta({ id: 'InputAttachment', description: 'A file that a user handed to a command or a modal.' });
export type InputAttachment = z.infer<typeof InputAttachment>;

const hasContent = z
  .boolean()
  .describe('Whether there was text. Discord blanks it for bots without the MessageContent intent, unless mentioned.');
const hasAttachments = z.boolean().describe('Whether there were files. Blanked by Discord like the text.');

const message_reference = z
  .strictObject({
    type: z.int().optional(),
    message_id: Snowflake.optional(),
    channel_id: Snowflake.optional(),
    guild_id: Snowflake.optional(),
  })
  .optional()
  .describe('What it answers or forwards, by id.');

const owners = z
  .record(z.string().regex(/^\d{1,3}$/), Snowflake)
  .describe('How the app was installed (0: in the guild, 1: by the user), and in which guild or by which user.');

export const InteractionMetadata = z
  .strictObject({
    id: Snowflake,
    type: z.int(),
    user: User,
    authorizing_integration_owners: owners.optional(),
    original_response_message_id: Snowflake.optional(),
    target_user: User.optional(),
    target_message_id: Snowflake.optional(),
    interacted_message_id: Snowflake.optional(),
  })
  .meta({
    id: 'InteractionMetadata',
    description: 'The interaction that a message answers: who started it, above all.',
  });
export type InteractionMetadata = z.infer<typeof InteractionMetadata>;

export const QuotedMessage = z
  .strictObject({
    id: Snowflake,
    channel_id: Snowflake,
    guild_id: Snowflake.optional(),
    author: User,
    type: z.int(),
    timestamp,
    edited_timestamp: timestamp.nullish(),
    flags: z.int().optional(),
    tts: z.boolean().optional(),
    pinned: z.boolean().optional(),
    position: z.int().optional(),
    webhook_id: Snowflake.optional(),
    application_id: Snowflake.optional(),
    message_reference,
    interaction_metadata: InteractionMetadata.optional(),
    hasContent,
    hasAttachments,
  })
  .meta({
    id: 'QuotedMessage',
    description:
      'The message that a component or modal belongs to, or a message command was used on, without what it says. Of a ' +
      'component, a worker that needs it whole reads GET /webhooks/{application_id}/{interactionToken}/messages/@original.',
  });
export type QuotedMessage = z.infer<typeof QuotedMessage>;

const resolvedMentions = {
  users: z.record(Snowflake, User).optional(),
  members: z.record(Snowflake, ResolvedMember).optional(),
  roles: z.record(Snowflake, Role).optional(),
  channels: z.record(Snowflake, Channel).optional(),
};

export const ResolvedMentions = z.strictObject(resolvedMentions).meta({ id: 'ResolvedMentions' });
export type ResolvedMentions = z.infer<typeof ResolvedMentions>;

export const ResolvedInput = z
  .strictObject({ ...resolvedMentions, attachments: z.record(Snowflake, InputAttachment).optional() })
  .meta({ id: 'ResolvedInput' });
export type ResolvedInput = z.infer<typeof ResolvedInput>;

export const ResolvedTarget = z
  .strictObject({ ...resolvedMentions, messages: z.record(Snowflake, QuotedMessage).optional() })
  .meta({ id: 'ResolvedTarget' });
export type ResolvedTarget = z.infer<typeof ResolvedTarget>;

const optionHead = { name: z.string(), type: z.int() };

export const BasicOption = z
  .strictObject({
    ...optionHead,
    value: z.union([z.string(), z.number(), z.boolean()]),
    focused: z.boolean().optional().describe('In autocomplete: the option that the user is typing.'),
  })
  .meta({ id: 'BasicOption' });
export type BasicOption = z.infer<typeof BasicOption>;

export const Subcommand = z
  .strictObject({ ...optionHead, type: z.literal(1), options: z.array(BasicOption).optional() })
  .meta({ id: 'Subcommand' });
export type Subcommand = z.infer<typeof Subcommand>;

export const SubcommandGroup = z
  .strictObject({ ...optionHead, type: z.literal(2), options: z.array(Subcommand).optional() })
  .meta({ id: 'SubcommandGroup' });
export type SubcommandGroup = z.infer<typeof SubcommandGroup>;

export const CommandOption = z.union([SubcommandGroup, Subcommand, BasicOption]).meta({ id: 'CommandOption' });
export type CommandOption = z.infer<typeof CommandOption>;

export const Entitlement = z
  .strictObject({
    id: Snowflake,
    sku_id: Snowflake,
    application_id: Snowflake.optional(),
    user_id: Snowflake.optional(),
    guild_id: Snowflake.optional(),
    type: z.int().optional(),
    deleted: z.boolean().optional(),
    consumed: z.boolean().optional(),
    starts_at: timestamp.nullish(),
    ends_at: timestamp.nullish(),
  })
  .meta({ id: 'Entitlement' });
export type Entitlement = z.infer<typeof Entitlement>;

const interactionFields = {
  id: Snowflake,
  application_id: Snowflake,
  guild_id: Snowflake,
  guild: z
    .strictObject({ id: Snowflake, locale: z.string().optional(), features: z.array(z.string()).optional() })
    .optional(),
  channel_id: Snowflake.optional(),
  channel: Channel.optional(),
  member: InteractionMember,
  version: z.int().optional(),
  app_permissions: permissions.optional().describe('What the app may do in the channel.'),
  locale: z.string().optional().describe("The user's language."),
  guild_locale: z.string().optional(),
  entitlements: z.array(Entitlement).optional(),
  authorizing_integration_owners: owners.optional(),
  context: z.int().nullish(),
  attachment_size_limit: z.int().optional(),
};

const commandHead = { id: Snowflake, name: z.string(), guild_id: Snowflake.optional() };

export const CommandData = z
  .strictObject({
    ...interactionFields,
    type: z.literal(2),
    data: z.union([
      z.strictObject({
        ...commandHead,
        type: z.literal(1),
        options: z.array(CommandOption).optional(),
        resolved: ResolvedInput.optional(),
      }),
      z.strictObject({
        ...commandHead,
        type: z.literal(2),
        target_id: Snowflake,
        resolved: ResolvedMentions.optional(),
      }),
      z.strictObject({ ...commandHead, type: z.literal(3), target_id: Snowflake, resolved: ResolvedTarget.optional() }),
      z.strictObject({ ...commandHead, type: z.literal(4) }),
    ]),
  })
  .meta({ id: 'CommandData' });
export type CommandData = z.infer<typeof CommandData>;

export const AutocompleteData = z
  .strictObject({
    ...interactionFields,
    type: z.literal(4),
    data: z.strictObject({
      ...commandHead,
      type: z.int(),
      options: z.array(CommandOption),
      resolved: ResolvedInput.optional(),
    }),
  })
  .meta({ id: 'AutocompleteData' });
export type AutocompleteData = z.infer<typeof AutocompleteData>;

const componentFields = { custom_id: z.string(), id: z.int().optional().describe("The component's number.") };

export const ButtonData = z
  .strictObject({
    ...interactionFields,
    type: z.literal(3),
    message: QuotedMessage.optional(),
    data: z.strictObject({ ...componentFields, component_type: z.literal(2) }),
  })
  .meta({ id: 'ButtonData' });
export type ButtonData = z.infer<typeof ButtonData>;

export const SelectData = z
  .strictObject({
    ...interactionFields,
    type: z.literal(3),
    message: QuotedMessage.optional(),
    data: z.strictObject({
      ...componentFields,
      component_type: z.literal([3, 5, 6, 7, 8]),
      values: z.array(z.string()),
      resolved: ResolvedMentions.optional(),
    }),
  })
  .meta({ id: 'SelectData' });
export type SelectData = z.infer<typeof SelectData>;

export const ModalField = z
  .strictObject({
    type: z.int(),
    id: z.int().optional(),
    custom_id: z.string(),
    value: z.union([z.string(), z.boolean()]).nullish(),
    values: z.array(z.string()).optional(),
  })
  .meta({ id: 'ModalField', description: 'What the user filled in: text, a choice, or ids of what was picked.' });
export type ModalField = z.infer<typeof ModalField>;

export const ModalRow = z
  .strictObject({
    type: z.int(),
    id: z.int().optional(),
    component: ModalField.optional().describe('Of a label (type 18).'),
    components: z.array(ModalField).optional().describe('Of an action row (type 1).'),
  })
  .meta({ id: 'ModalRow' });
export type ModalRow = z.infer<typeof ModalRow>;

export const ModalData = z
  .strictObject({
    ...interactionFields,
    type: z.literal(5),
    message: QuotedMessage.optional(),
    data: z.strictObject({
      custom_id: z.string(),
      components: z.array(ModalRow),
      resolved: ResolvedInput.optional(),
    }),
  })
  .meta({ id: 'ModalData' });
export type ModalData = z.infer<typeof ModalData>;

/** Of GUILD_MEMBER_ADD and GUILD_MEMBER_UPDATE. An update may lack some fields: Discord sends what it has. */
export const MemberData = z
  .strictObject({ ...memberFields, guild_id: Snowflake, user: User })
  .meta({ id: 'MemberData' });
export type MemberData = z.infer<typeof MemberData>;

export const MemberLeaveData = z.strictObject({ guild_id: Snowflake, user: User }).meta({ id: 'MemberLeaveData' });
export type MemberLeaveData = z.infer<typeof MemberLeaveData>;

export const GuildJoinData = z
  .strictObject({
    id: Snowflake,
    name: z.string(),
    owner_id: Snowflake,
    icon: z.string().nullish(),
    banner: z.string().nullish(),
    description: z.string().nullish(),
    vanity_url_code: z.string().nullish(),
    joined_at: timestamp.optional(),
    member_count: z.int().optional(),
    large: z.boolean().optional(),
    preferred_locale: z.string().optional(),
    features: z.array(z.string()).optional(),
    premium_tier: z.int().optional(),
    premium_subscription_count: z.int().nullish(),
    verification_level: z.int().optional(),
    nsfw_level: z.int().optional(),
    mfa_level: z.int().optional(),
    system_channel_id: Snowflake.nullish(),
    system_channel_flags: z.int().optional(),
    rules_channel_id: Snowflake.nullish(),
    public_updates_channel_id: Snowflake.nullish(),
  })
  .meta({ id: 'GuildJoinData', description: 'A summary: no members, channels, roles, threads, presences or emojis.' });
export type GuildJoinData = z.infer<typeof GuildJoinData>;

export const GuildLeaveData = z.strictObject({ id: Snowflake }).meta({ id: 'GuildLeaveData' });
export type GuildLeaveData = z.infer<typeof GuildLeaveData>;

export const MessageCreateData = z
  .strictObject({
    id: Snowflake,
    channel_id: Snowflake,
    guild_id: Snowflake,
    channel_type: z.int().optional(),
    author: User,
    member: PartialMember.optional(),
    type: z.int(),
    timestamp,
    edited_timestamp: timestamp.nullish(),
    flags: z.int().optional(),
    tts: z.boolean().optional(),
    pinned: z.boolean().optional(),
    position: z.int().optional(),
    mention_everyone: z.boolean().optional(),
    mention_roles: z.array(Snowflake).optional(),
    mentions: z.array(User).optional(),
    message_reference,
    sticker_items: z
      .array(z.strictObject({ id: Snowflake, format_type: z.int().optional() }))
      .optional()
      .describe('Without their names.'),
    hasContent,
    hasAttachments,
  })
  .meta({ id: 'MessageCreateData' });
export type MessageCreateData = z.infer<typeof MessageCreateData>;

export const GatewayGapData = z
  .strictObject({
    sessionId: z.string().describe('The session that was lost.'),
    lastSequence: z.int().describe('Its highest sequence below which everything was delivered.'),
    lostFrom: z.int().nullable().describe('Unix ms: events from here on may be missing; null if not known.'),
    lostUntil: z.int().describe('Unix ms: when the loss was noticed.'),
    reason: z.string(),
  })
  .meta({ id: 'GatewayGapData' });
export type GatewayGapData = z.infer<typeof GatewayGapData>;

const everyEvent = {
  eventId: z
    .uuid({ version: 'v5' })
    .describe('The same Discord event has the same id, however often it is delivered: deduplicate by it.'),
  timestamp: z.int().describe('Unix ms, when the ingestor received it.'),
  shardId: z.int().min(0),
};
const userEvent = { ...everyEvent, guildId: Snowflake, userId: Snowflake };
const interactionEvent = {
  ...userEvent,
  channelId: Snowflake.optional(),
  interactionId: Snowflake,
  interactionToken: z.string().describe('A credential for 15 minutes: never write it to a log.'),
};

/** Every event by its family (see routing.ts). */
export const EVENTS = {
  'interaction.command': z.strictObject({
    eventType: z.templateLiteral(['interaction.command.', z.string().min(1)]),
    ...interactionEvent,
    data: CommandData,
  }),
  'interaction.button': z.strictObject({
    eventType: z.literal('interaction.button'),
    ...interactionEvent,
    data: ButtonData,
  }),
  'interaction.select': z.strictObject({
    eventType: z.literal('interaction.select'),
    ...interactionEvent,
    data: SelectData,
  }),
  'interaction.modal': z.strictObject({
    eventType: z.literal('interaction.modal'),
    ...interactionEvent,
    data: ModalData,
  }),
  'interaction.autocomplete': z.strictObject({
    eventType: z.templateLiteral(['interaction.autocomplete.', z.string().min(1)]),
    ...interactionEvent,
    data: AutocompleteData,
  }),
  'member.join': z.strictObject({ eventType: z.literal('member.join'), ...userEvent, data: MemberData }),
  'member.leave': z.strictObject({ eventType: z.literal('member.leave'), ...userEvent, data: MemberLeaveData }),
  'member.update': z.strictObject({ eventType: z.literal('member.update'), ...userEvent, data: MemberData }),
  'guild.join': z.strictObject({
    eventType: z.literal('guild.join'),
    ...everyEvent,
    guildId: Snowflake,
    data: GuildJoinData,
  }),
  'guild.leave': z.strictObject({
    eventType: z.literal('guild.leave'),
    ...everyEvent,
    guildId: Snowflake,
    data: GuildLeaveData,
  }),
  'message.create': z.strictObject({
    eventType: z.literal('message.create'),
    ...userEvent,
    channelId: Snowflake,
    data: MessageCreateData,
  }),
  'gateway.gap': z.strictObject({ eventType: z.literal('gateway.gap'), ...everyEvent, data: GatewayGapData }),
} as const;

export const DiscordEventPayload = z
  .union([
    EVENTS['interaction.command'],
    EVENTS['interaction.button'],
    EVENTS['interaction.select'],
    EVENTS['interaction.modal'],
    EVENTS['interaction.autocomplete'],
    EVENTS['member.join'],
    EVENTS['member.leave'],
    EVENTS['member.update'],
    EVENTS['guild.join'],
    EVENTS['guild.leave'],
    EVENTS['message.create'],
    EVENTS['gateway.gap'],
  ])
  .meta({
    title: 'DiscordEventPayload',
    description:
      'The body of every message of the discord.events exchange. Fields may be added without a new schema version ' +
      '(header x-schema-version): ignore those you do not know.',
  });
export type DiscordEventPayload = z.infer<typeof DiscordEventPayload>;

/** The same contract as JSON Schema (2020-12), open for fields that a later version adds. */
export function payloadJsonSchema(): object {
  return z.toJSONSchema(DiscordEventPayload, {
    override: ({ jsonSchema }) => {
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
      // JSON's integers as JavaScript holds them: a bound that says nothing to other languages.
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
}
