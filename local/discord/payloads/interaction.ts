// What every INTERACTION_CREATE has: who, where, in which language, with which rights, and the token to answer with.
// In a guild there is a member with permissions; in direct messages a user instead.

import {
  type APIBaseInteraction,
  type APIInteractionDataResolvedChannel,
  type APIInteractionDataResolvedGuildMember,
  ApplicationIntegrationType,
  ChannelType,
  EntitlementType,
  InteractionContextType,
  type InteractionType,
  Locale,
} from 'discord-api-types/v10';
import { directChannel } from './message.ts';
import type { Moment } from './moment.ts';
import { NO_FLAGS } from './no-flags.ts';
import type { Person } from './world.ts';

/** Rights of a member who may nearly everything, as a decimal bit set. */
const PERMISSIONS = '2251799813685247';
const UPLOAD_LIMIT_BYTES = 10_485_760;

type Fields = Omit<APIBaseInteraction<InteractionType, unknown>, 'type' | 'data' | 'message'>;
export type GuildFields = Omit<Fields, 'user'> &
  Required<Pick<Fields, 'guild_id' | 'member' | 'channel' | 'channel_id'>>;
export type DirectFields = Omit<Fields, 'guild_id' | 'member' | 'guild' | 'guild_locale'> &
  Required<Pick<Fields, 'user' | 'channel' | 'channel_id'>>;

export function inGuild(moment: Moment): GuildFields {
  const { world, guild, random } = moment;
  const { user, member } = moment.person();
  const channel = world.textChannel(guild, moment.channelNumber());
  return {
    ...everywhere(moment),
    guild_id: guild.id,
    guild: { id: guild.id, locale: guild.locale, features: [] },
    guild_locale: guild.locale,
    channel_id: channel.id,
    channel: { ...channel, permissions: PERMISSIONS } as typeof channel,
    member: { ...member, user, permissions: PERMISSIONS },
    authorizing_integration_owners: { [ApplicationIntegrationType.GuildInstall]: guild.id },
    context: InteractionContextType.Guild,
    entitlements: random.chance(0.1) ? [entitlement(moment, user.id)] : [],
  };
}

export function inDirectMessage(moment: Moment): DirectFields {
  const { user } = moment.person();
  const channelId = directChannel(moment, user);
  return {
    ...everywhere(moment),
    user,
    channel_id: channelId,
    channel: { id: channelId, type: ChannelType.DM, last_message_id: null, recipients: [user], flags: NO_FLAGS },
    authorizing_integration_owners: { [ApplicationIntegrationType.GuildInstall]: '0' },
    context: InteractionContextType.BotDM,
  };
}

/** In a public thread: the channel has a parent and thread data. */
export function inThread(moment: Moment): GuildFields {
  const { world, guild } = moment;
  const fields = inGuild(moment);
  const id = world.threadId(guild, 1);
  const channel = {
    id,
    type: ChannelType.PublicThread as const,
    name: 'A thread',
    guild_id: guild.id,
    parent_id: world.channelId(guild, 0),
    owner_id: fields.member.user.id,
    last_message_id: null,
    rate_limit_per_user: 0,
    message_count: 12,
    member_count: 3,
    total_message_sent: 12,
    flags: NO_FLAGS,
    thread_metadata: {
      archived: false,
      archive_timestamp: moment.time(3_600_000),
      auto_archive_duration: 1_440 as const,
      locked: false,
      create_timestamp: moment.time(7_200_000),
    },
  };
  return { ...fields, channel, channel_id: id };
}

export function resolvedMember(person: Person): APIInteractionDataResolvedGuildMember {
  const { deaf: _, mute: __, ...member } = person.member;
  return { ...member, permissions: PERMISSIONS };
}

export function resolvedChannel(moment: Moment): APIInteractionDataResolvedChannel {
  const { world, guild } = moment;
  return {
    id: world.voiceChannelId(guild),
    type: ChannelType.GuildVoice,
    name: 'Lounge',
    permissions: PERMISSIONS,
    app_permissions: PERMISSIONS,
  };
}

/** The id of one of the bot's commands; the same for every use of it. */
export const commandId = (moment: Moment, n: number): string =>
  (BigInt(moment.world.applicationId) + (BigInt(n + 1) << 22n)).toString();

function everywhere(moment: Moment) {
  const { world, random } = moment;
  return {
    id: moment.id(),
    application_id: world.applicationId,
    token: token(moment),
    version: 1 as const,
    locale: random.pick(USER_LOCALES),
    app_permissions: PERMISSIONS,
    entitlements: [],
    attachment_size_limit: UPLOAD_LIMIT_BYTES,
  };
}

/** Looks like Discord's, and begins the same for every one, so that a test can search for any of them. */
function token(moment: Moment): string {
  const secret = moment.random.hex(128);
  return Buffer.from(`interaction:${moment.at}:${secret}`).toString('base64url');
}

/** What every interaction token of the simulator begins with. */
export const INTERACTION_TOKEN_PREFIX = Buffer.from('interaction:').toString('base64url');

function entitlement(moment: Moment, userId: string) {
  return {
    id: moment.id(),
    sku_id: commandId(moment, 500),
    application_id: moment.world.applicationId,
    user_id: userId,
    guild_id: moment.guild.id,
    type: EntitlementType.ApplicationSubscription,
    deleted: false,
    consumed: false,
    starts_at: moment.time(86_400_000),
    ends_at: moment.time(-86_400_000),
  };
}

const USER_LOCALES = [Locale.EnglishUS, Locale.German, Locale.PortugueseBR, Locale.Japanese, Locale.Ukrainian] as const;
