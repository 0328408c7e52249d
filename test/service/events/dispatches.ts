// Dispatches as Discord's documentation shows them, complete, one or more for each row of the table. Every text that a
// worker must not see holds PRIVATE, in every place where Discord quotes a message.

import type {
  APIAttachment,
  APIEmbed,
  APIGuildMember,
  APIMessage,
  APIMessageTopLevelComponent,
  APIPoll,
  APIUser,
} from 'discord-api-types/v10';
import { UserFlags } from 'discord-api-types/v10';
import type { Dispatch } from '../../../service/events/to-payload.ts';

export const PRIVATE = 'PRIVATE-WORDS-d41d8cd9';
export const TOKEN = 'aW50ZXJhY3Rpb246MTIzNDU2Nzg5MA.interaction-token';
export const GUILD = '197038439483310086';
export const CHANNEL = '278325129692446722';
export const APPLICATION = '775799577604522054';
export const USER = '53908232506183680';
export const OTHER_USER = '234067890123456789';
export const ROLE = '298027345678901234';
export const MESSAGE = '1034567890123456789';

export const user: APIUser = {
  id: USER,
  username: 'mason',
  discriminator: '0',
  global_name: 'Mason',
  avatar: 'a_bab14f271d565501444b2ca3be944b25',
  public_flags: UserFlags.ActiveDeveloper,
  avatar_decoration_data: null,
  collectibles: null,
  primary_guild: null,
};

export const otherUser: APIUser = { ...user, id: OTHER_USER, username: 'nelly', global_name: null, avatar: null };

const bot: APIUser = { ...user, id: APPLICATION, username: 'helper', bot: true };

export const memberWithoutUser = {
  roles: [ROLE, '539082325061836999'],
  premium_since: null,
  pending: false,
  nick: 'Mase',
  mute: false,
  joined_at: '2017-03-13T19:19:14.040000+00:00',
  flags: 8,
  deaf: false,
  communication_disabled_until: null,
  banner: null,
  avatar: null,
  avatar_decoration_data: null,
};

export const member: APIGuildMember = { ...memberWithoutUser, user };

const attachment: APIAttachment = {
  id: '844382161657856020',
  filename: `${PRIVATE}.png`,
  title: PRIVATE,
  description: PRIVATE,
  size: 1024,
  url: `https://cdn.discordapp.com/attachments/1/2/${PRIVATE}.png`,
  proxy_url: `https://media.discordapp.net/attachments/1/2/${PRIVATE}.png`,
  content_type: 'image/png',
};

const embed: APIEmbed = {
  title: PRIVATE,
  description: PRIVATE,
  url: `https://example.org/${PRIVATE}`,
  author: { name: PRIVATE },
  footer: { text: PRIVATE },
  image: { url: `https://example.org/${PRIVATE}` },
  provider: { name: PRIVATE },
  fields: [{ name: PRIVATE, value: PRIVATE, inline: true }],
};

const poll: APIPoll = {
  question: { text: PRIVATE },
  answers: [{ answer_id: 1, poll_media: { text: PRIVATE } }],
  expiry: '2026-11-30T00:00:00+00:00',
  allow_multiselect: false,
  layout_type: 1,
  results: { is_finalized: false, answer_counts: [] },
};

const components: APIMessageTopLevelComponent[] = [
  { type: 10, content: PRIVATE },
  {
    type: 17,
    components: [
      {
        type: 9,
        components: [{ type: 10, content: PRIVATE }],
        accessory: { type: 11, media: { url: `https://example.org/${PRIVATE}` }, description: PRIVATE },
      },
    ],
  },
  {
    type: 1,
    components: [
      { type: 2, style: 1, label: PRIVATE, custom_id: 'confirm' },
      { type: 2, style: 5, label: PRIVATE, url: `https://example.org/${PRIVATE}` },
    ],
  },
  {
    type: 1,
    components: [
      {
        type: 3,
        custom_id: 'choice',
        placeholder: PRIVATE,
        options: [{ label: PRIVATE, value: 'one', description: PRIVATE }],
      },
    ],
  },
];

function quoting(depth: number): APIMessage {
  return {
    id: MESSAGE,
    channel_id: CHANNEL,
    author: otherUser,
    content: PRIVATE,
    timestamp: '2026-11-20T10:00:00.000000+00:00',
    edited_timestamp: null,
    tts: false,
    mention_everyone: false,
    mentions: [otherUser],
    mention_roles: [ROLE],
    mention_channels: [{ id: CHANNEL, guild_id: GUILD, type: 0, name: PRIVATE }],
    attachments: [attachment],
    embeds: [embed],
    components,
    poll,
    nonce: PRIVATE,
    pinned: false,
    type: 19,
    flags: 16384,
    position: 3,
    activity: { type: 3, party_id: PRIVATE },
    application: { id: APPLICATION, name: PRIVATE, description: PRIVATE },
    reactions: [
      {
        count: 1,
        count_details: { burst: 0, normal: 1 },
        me: false,
        me_burst: false,
        emoji: { id: null, name: PRIVATE },
        burst_colors: [],
      },
    ],
    sticker_items: [{ id: '749054660769218631', name: PRIVATE, format_type: 3 }],
    stickers: [
      { id: '749054660769218631', name: PRIVATE, description: PRIVATE, tags: PRIVATE, type: 1, format_type: 3 },
    ],
    thread: { id: MESSAGE, type: 11, name: PRIVATE, guild_id: GUILD, applied_tags: [] },
    message_reference: { type: 0, message_id: '1034567890123456700', channel_id: CHANNEL, guild_id: GUILD },
    message_snapshots: [
      {
        message: {
          content: PRIVATE,
          embeds: [embed],
          attachments: [attachment],
          components,
          mentions: [],
          mention_roles: [],
          timestamp: '2026-11-20T10:00:00.000000+00:00',
          edited_timestamp: null,
          type: 0,
          sticker_items: [{ id: '749054660769218631', name: PRIVATE, format_type: 1 }],
        },
      },
    ],
    resolved: {
      attachments: { [attachment.id]: attachment },
      channels: {
        [CHANNEL]: { id: CHANNEL, type: 0, name: PRIVATE, permissions: '0' },
      },
    },
    ...(depth > 0 && { referenced_message: quoting(depth - 1) }),
  };
}

/** A message that says something everywhere a message can. */
export const quotedMessage = quoting(2);

/** The bot's own message, as the interaction with its button quotes it. */
const sourceMessage = {
  ...quotedMessage,
  author: bot,
  type: 20,
  application_id: APPLICATION,
  webhook_id: APPLICATION,
  interaction: { id: '1034567890123456701', type: 2, name: PRIVATE, user: otherUser },
  interaction_metadata: {
    id: '1034567890123456701',
    type: 2,
    user: otherUser,
    authorizing_integration_owners: { 0: GUILD },
    target_message_id: MESSAGE,
  },
};

const interaction = {
  id: '846462639134605312',
  application_id: APPLICATION,
  token: TOKEN,
  version: 1,
  guild_id: GUILD,
  guild: { id: GUILD, locale: 'en-US', features: ['COMMUNITY', 'NEWS'] },
  channel_id: CHANNEL,
  channel: {
    id: CHANNEL,
    type: 0,
    name: 'general',
    guild_id: GUILD,
    parent_id: '278325129692446720',
    last_message_id: MESSAGE,
    topic: 'Be kind',
    nsfw: false,
    flags: 0,
    position: 2,
    rate_limit_per_user: 5,
    permissions: '2248473465835073',
  },
  member: { ...member, permissions: '2248473465835073' },
  app_permissions: '442368',
  locale: 'de',
  guild_locale: 'en-US',
  entitlements: [
    {
      id: '1019653849998299136',
      sku_id: '1019475255913222144',
      application_id: APPLICATION,
      guild_id: GUILD,
      type: 8,
      deleted: false,
      consumed: false,
      starts_at: '2026-09-14T17:00:18.704163+00:00',
      ends_at: null,
    },
  ],
  authorizing_integration_owners: { 0: GUILD, 1: USER },
  context: 0,
  attachment_size_limit: 10485760,
};

const resolvedMember = {
  ...memberWithoutUser,
  deaf: undefined,
  mute: undefined,
  permissions: '1071698660929',
};

const role = {
  id: ROLE,
  name: 'Moderators',
  color: 3447003,
  colors: { primary_color: 3447003, secondary_color: null, tertiary_color: null },
  hoist: true,
  icon: null,
  unicode_emoji: null,
  position: 4,
  permissions: '66321471',
  managed: false,
  mentionable: false,
  flags: 0,
};

const handedOver = {
  id: '1145678901234567890',
  filename: 'log.txt',
  size: 4096,
  url: 'https://cdn.discordapp.com/ephemeral-attachments/1/2/log.txt',
  proxy_url: 'https://media.discordapp.net/ephemeral-attachments/1/2/log.txt',
  content_type: 'text/plain; charset=utf-8',
  ephemeral: true,
};

const pickedChannel = {
  id: '278325129692446799',
  type: 11,
  name: 'help with a thing',
  parent_id: CHANNEL,
  permissions: '2248473465835073',
  app_permissions: '442368',
  thread_metadata: {
    archived: false,
    auto_archive_duration: 1440,
    archive_timestamp: '2026-11-20T10:00:00.000000+00:00',
    locked: false,
    create_timestamp: '2026-11-20T10:00:00.000000+00:00',
  },
};

const resolvedAll = {
  users: { [OTHER_USER]: otherUser },
  members: { [OTHER_USER]: resolvedMember },
  roles: { [ROLE]: role },
  channels: { [pickedChannel.id]: pickedChannel },
};

const interactionCreate = (fields: object): Dispatch => ({
  t: 'INTERACTION_CREATE',
  d: JSON.parse(JSON.stringify({ ...interaction, ...fields })),
});

export const chatCommand = interactionCreate({
  type: 2,
  data: {
    id: '771825006014889984',
    name: 'report',
    type: 1,
    guild_id: GUILD,
    options: [
      { name: 'who', type: 6, value: OTHER_USER },
      { name: 'where', type: 7, value: pickedChannel.id },
      { name: 'role', type: 8, value: ROLE },
      { name: 'why', type: 3, value: 'typed by the user' },
      { name: 'times', type: 4, value: 3 },
      { name: 'weight', type: 10, value: 0.5 },
      { name: 'silent', type: 5, value: true },
      { name: 'file', type: 11, value: handedOver.id },
    ],
    resolved: { ...resolvedAll, attachments: { [handedOver.id]: handedOver } },
  },
});

export const subcommand = interactionCreate({
  type: 2,
  data: {
    id: '771825006014889985',
    name: 'role',
    type: 1,
    options: [
      { name: 'member', type: 2, options: [{ name: 'add', type: 1, options: [{ name: 'days', type: 4, value: 7 }] }] },
    ],
  },
});

export const userCommand = interactionCreate({
  type: 2,
  data: {
    id: '771825006014889986',
    name: 'Show Profile',
    type: 2,
    target_id: OTHER_USER,
    resolved: { users: { [OTHER_USER]: otherUser }, members: { [OTHER_USER]: resolvedMember } },
  },
});

export const messageCommand = interactionCreate({
  type: 2,
  data: {
    id: '771825006014889987',
    name: 'Report to Mods #1',
    type: 3,
    target_id: MESSAGE,
    resolved: { messages: { [MESSAGE]: quotedMessage }, attachments: { [attachment.id]: attachment } },
  },
});

export const entryPointCommand = interactionCreate({
  type: 2,
  data: { id: '771825006014889988', name: 'launch', type: 4 },
});

export const autocomplete = interactionCreate({
  type: 4,
  data: {
    id: '771825006014889989',
    name: 'play',
    type: 1,
    options: [
      {
        name: 'song',
        type: 1,
        options: [
          { name: 'artist', type: 3, value: 'Bach' },
          { name: 'number', type: 4, value: '9', focused: true },
        ],
      },
    ],
  },
});

export const button = interactionCreate({
  type: 3,
  message: sourceMessage,
  data: { id: 4, custom_id: 'confirm', component_type: 2 },
});

export const stringSelect = interactionCreate({
  type: 3,
  message: sourceMessage,
  data: { id: 6, custom_id: 'choice', component_type: 3, values: ['one', 'two'] },
});

export const mentionableSelect = interactionCreate({
  type: 3,
  message: sourceMessage,
  data: {
    id: 7,
    custom_id: 'people',
    component_type: 7,
    values: [OTHER_USER, ROLE],
    resolved: { ...resolvedAll, channels: undefined },
  },
});

export const channelSelect = interactionCreate({
  type: 3,
  message: sourceMessage,
  data: {
    id: 8,
    custom_id: 'places',
    component_type: 8,
    values: [pickedChannel.id],
    resolved: { channels: resolvedAll.channels },
  },
});

export const modal = interactionCreate({
  type: 5,
  message: sourceMessage,
  data: {
    custom_id: 'feedback',
    components: [
      { type: 1, id: 1, components: [{ type: 4, id: 2, custom_id: 'title', value: 'typed by the user' }] },
      { type: 10, id: 3 },
      { type: 18, id: 4, component: { type: 4, id: 5, custom_id: 'body', value: 'two\nlines' } },
      { type: 18, id: 6, component: { type: 3, id: 7, custom_id: 'kind', values: ['bug', 'idea'] } },
      { type: 18, id: 8, component: { type: 7, id: 9, custom_id: 'who', values: [OTHER_USER, ROLE] } },
      { type: 18, id: 10, component: { type: 8, id: 11, custom_id: 'place', values: [pickedChannel.id] } },
      { type: 18, id: 12, component: { type: 19, id: 13, custom_id: 'proof', values: [handedOver.id] } },
      { type: 18, id: 14, component: { type: 21, id: 15, custom_id: 'mood', value: null } },
      { type: 18, id: 16, component: { type: 22, id: 17, custom_id: 'days', values: ['mon'] } },
      { type: 18, id: 18, component: { type: 23, id: 19, custom_id: 'agree', value: true } },
    ],
    resolved: { ...resolvedAll, attachments: { [handedOver.id]: handedOver } },
  },
});

export const memberJoin: Dispatch = { t: 'GUILD_MEMBER_ADD', d: { ...member, guild_id: GUILD } };

export const memberLeave: Dispatch = { t: 'GUILD_MEMBER_REMOVE', d: { guild_id: GUILD, user } };

/** Discord leaves out `deaf`, `mute` and `flags` of a member it has not loaded, and cannot say when a guest joined. */
export const memberUpdate: Dispatch = {
  t: 'GUILD_MEMBER_UPDATE',
  d: { guild_id: GUILD, user, roles: [ROLE], nick: null, joined_at: null, avatar: null, banner: null },
};

export const guildCreate = (fields: object = {}): Dispatch => ({
  t: 'GUILD_CREATE',
  d: {
    id: GUILD,
    name: "Mason's Test Server",
    icon: '86e39f7ae3307e811784e2ffd11a7310',
    splash: null,
    discovery_splash: null,
    banner: null,
    description: null,
    owner_id: USER,
    region: 'deprecated',
    afk_channel_id: null,
    afk_timeout: 300,
    verification_level: 3,
    default_message_notifications: 1,
    explicit_content_filter: 2,
    features: ['COMMUNITY', 'NEWS'],
    mfa_level: 1,
    application_id: null,
    system_channel_id: CHANNEL,
    system_channel_flags: 4,
    rules_channel_id: '441688182833020939',
    max_presences: null,
    max_members: 500000,
    vanity_url_code: null,
    premium_tier: 2,
    premium_subscription_count: 33,
    preferred_locale: 'en-US',
    public_updates_channel_id: '281283303326089216',
    nsfw_level: 0,
    premium_progress_bar_enabled: true,
    hub_type: null,
    safety_alerts_channel_id: null,
    incidents_data: null,
    joined_at: '2026-11-20T12:00:00.000000+00:00',
    large: false,
    member_count: 2,
    roles: [role],
    emojis: [],
    stickers: [],
    voice_states: [],
    members: [member],
    channels: [{ id: CHANNEL, type: 0, name: 'general', position: 0 }],
    threads: [],
    presences: [],
    stage_instances: [],
    guild_scheduled_events: [],
    soundboard_sounds: [],
    ...fields,
  },
});

export const guildDelete = (fields: object = {}): Dispatch => ({ t: 'GUILD_DELETE', d: { id: GUILD, ...fields } });

export const ready = (...guildIds: string[]): Dispatch => ({
  t: 'READY',
  d: {
    v: 10,
    user: bot,
    session_id: 'fd4f4f6e8d9e4a0c8a3f3d1b2c5e7a90',
    resume_gateway_url: 'wss://gateway-us-east1-b.discord.gg',
    shard: [0, 1],
    application: { id: APPLICATION, flags: 0 },
    guilds: guildIds.map((id) => ({ id, unavailable: true })),
  },
});

export const messageCreate = (fields: object = {}): Dispatch => ({
  t: 'MESSAGE_CREATE',
  d: { ...quotedMessage, author: user, member: memberWithoutUser, guild_id: GUILD, channel_type: 0, ...fields },
});

/** What becomes an event when a session has just started and nothing is awaited. */
export const forwarded: Readonly<Record<string, Dispatch>> = {
  chatCommand,
  subcommand,
  userCommand,
  messageCommand,
  entryPointCommand,
  autocomplete,
  button,
  stringSelect,
  mentionableSelect,
  channelSelect,
  modal,
  memberJoin,
  memberLeave,
  memberUpdate,
  guildJoin: guildCreate(),
  guildLeave: guildDelete(),
  messageCreate: messageCreate(),
};
