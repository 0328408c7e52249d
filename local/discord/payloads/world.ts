// Who and what there is: the bot, its guilds, their channels, roles and members, and the users. Everything is a function
// of the seed and of its number, so that a thousand guilds cost nothing until they are asked for; some thousand people are
// remembered, because the same ones write again and again. Who is remembered is frozen: payloads share them.
// Guild n belongs to shard n modulo the shard count, for every count up to 16 and every power of two up to 256.

import {
  type APIGuildMember,
  type APIGuildTextChannel,
  type APIGuildVoiceChannel,
  type APIRole,
  type APIUser,
  ChannelType,
  Locale,
  NameplatePalette,
  UserFlags,
} from 'discord-api-types/v10';
import { hash32, Random } from '../random.ts';
import { NO_FLAGS } from './no-flags.ts';
import { isoTime, shardingKey, snowflake } from './snowflake.ts';

export interface WorldOptions {
  readonly seed: number;
  /** Stands in everything that people write: content, embeds, names of files, whatever quotes them. */
  readonly marker?: string;
  /** Unix ms that the ids and times of events count from. */
  readonly epoch?: number;
}

export interface Guild {
  readonly index: number;
  readonly id: string;
  /** `id >> 22`: modulo the shard count it is the shard. */
  readonly shardingKey: number;
  readonly name: string;
  readonly locale: Locale;
  readonly memberCount: number;
  readonly textChannels: number;
  readonly roles: number;
}

export interface Person {
  readonly user: APIUser;
  /** Without the user, as dispatches quote it beside one. */
  readonly member: Omit<APIGuildMember, 'user'>;
}

/** A multiple of every count up to 16 and of 256. */
const STRIDE_MS = 11_531_520;
const USERS_FROM = Date.UTC(2016, 0, 1);
const GUILDS_FROM = 1_420_070_400_000 + 20_000 * STRIDE_MS;
const EVENTS_FROM = Date.UTC(2026, 5, 1);
const POPULATION = 200_000;
const REMEMBERED = 20_000;

/** Low bits of the ids of one guild. */
const LOW = { channel: 1, voice: 900, role: 1_000, emoji: 2_000, sticker: 3_000, thread: 4_000 } as const;

export class World {
  readonly seed: number;
  readonly marker: string | undefined;
  readonly epoch: number;
  readonly applicationId: string;
  readonly bot: APIUser;
  readonly #guildsFrom: number;
  readonly #people = new Map<number, Person>();

  constructor({ seed, marker, epoch = EVENTS_FROM }: WorldOptions) {
    this.seed = seed;
    this.marker = marker;
    this.epoch = epoch;
    this.#guildsFrom = GUILDS_FROM + (hash32(seed) % 5_000) * STRIDE_MS;
    const born = USERS_FROM + (hash32(seed, 1) % 1_000_000_000);
    this.applicationId = snowflake(born, 1);
    this.bot = {
      id: this.applicationId,
      username: 'harbour-bot',
      discriminator: '4821',
      global_name: null,
      avatar: new Random(seed, 2).hex(32),
      bot: true,
      mfa_enabled: true,
      verified: true,
      email: null,
      flags: NO_FLAGS,
    };
  }

  guild(index: number): Guild {
    const at = this.#guildsFrom + index;
    const id = snowflake(at, 0);
    const random = new Random(this.seed, 3, index);
    return {
      index,
      id,
      shardingKey: shardingKey(id),
      name: `${random.pick(PLACES)} ${random.pick(SOCIETIES)}`,
      locale: random.pick(LOCALES),
      memberCount: 20 + Math.floor(2_000 * random.next() ** 3),
      textChannels: 3 + random.below(6),
      roles: 3 + random.below(5),
    };
  }

  guildBornAt(guild: Guild): number {
    return this.#guildsFrom + guild.index;
  }

  /** The ids that belong to a guild. */
  channelId(guild: Guild, n: number): string {
    return snowflake(this.guildBornAt(guild), LOW.channel + n);
  }
  voiceChannelId(guild: Guild): string {
    return snowflake(this.guildBornAt(guild), LOW.voice);
  }
  threadId(guild: Guild, n: number): string {
    return snowflake(this.guildBornAt(guild), LOW.thread + n);
  }
  roleId(guild: Guild, n: number): string {
    return n === 0 ? guild.id : snowflake(this.guildBornAt(guild), LOW.role + n);
  }
  emojiId(guild: Guild, n: number): string {
    return snowflake(this.guildBornAt(guild), LOW.emoji + n);
  }
  stickerId(guild: Guild, n: number): string {
    return snowflake(this.guildBornAt(guild), LOW.sticker + n);
  }

  textChannel(guild: Guild, n: number): APIGuildTextChannel<ChannelType.GuildText> {
    return {
      id: this.channelId(guild, n),
      type: ChannelType.GuildText,
      name: CHANNELS[n % CHANNELS.length] ?? 'general',
      guild_id: guild.id,
      position: n,
      permission_overwrites: [],
      parent_id: null,
      nsfw: false,
      topic: n === 0 ? 'Say hello' : null,
      rate_limit_per_user: 0,
      last_message_id: null,
      last_pin_timestamp: null,
      flags: NO_FLAGS,
    };
  }

  voiceChannel(guild: Guild): APIGuildVoiceChannel {
    return {
      id: this.voiceChannelId(guild),
      type: ChannelType.GuildVoice,
      name: 'Lounge',
      guild_id: guild.id,
      position: 50,
      permission_overwrites: [],
      parent_id: null,
      nsfw: false,
      bitrate: 64_000,
      user_limit: 0,
      rtc_region: null,
      rate_limit_per_user: 0,
      last_message_id: null,
      flags: NO_FLAGS,
    };
  }

  role(guild: Guild, n: number): APIRole {
    const color = n === 0 ? 0 : hash32(this.seed, 4, guild.index, n) & 0xffffff;
    return {
      id: this.roleId(guild, n),
      name: n === 0 ? '@everyone' : (ROLES[n % ROLES.length] ?? 'Crew'),
      color,
      colors: { primary_color: color, secondary_color: null, tertiary_color: null },
      hoist: n === 1,
      icon: null,
      unicode_emoji: null,
      position: n,
      permissions: n === 1 ? '8' : '2248473465835073',
      managed: false,
      mentionable: n > 1,
      flags: NO_FLAGS,
      ...(n === 2 && { tags: { subscription_listing_id: this.stickerId(guild, 9), available_for_purchase: null } }),
    };
  }

  user(index: number): APIUser {
    const random = new Random(this.seed, 5, index);
    const name = `${random.pick(FIRST)}.${random.pick(SECOND)}${index}`;
    const user: APIUser = {
      id: snowflake(USERS_FROM + index * 977, 17),
      username: name,
      discriminator: '0',
      global_name: random.chance(0.7) ? random.pick(GLOBAL_NAMES) : null,
      avatar: random.chance(0.8) ? random.hex(32) : null,
      public_flags: random.chance(0.1) ? UserFlags.HypeSquadOnlineHouse1 : NO_FLAGS,
      ...(index % 3 === 0
        ? this.#ornaments(index)
        : { avatar_decoration_data: null, primary_guild: null, collectibles: null }),
    };
    return user;
  }

  /** What some people wear beside their names. */
  #ornaments(index: number): Partial<APIUser> {
    const id = snowflake(USERS_FROM + index * 977, 19);
    return {
      avatar_decoration_data: { asset: `a_${hash32(this.seed, 12, index).toString(16)}`, sku_id: id },
      primary_guild: { identity_guild_id: id, identity_enabled: true, tag: 'HRBR', badge: 'e2f1' },
      collectibles: {
        nameplate: { sku_id: id, asset: 'nameplates/wave/', label: 'WAVE', palette: NameplatePalette.Teal },
      },
    };
  }

  /** Someone else's bot. */
  otherBot(index: number): APIUser {
    const random = new Random(this.seed, 6, index);
    return {
      id: snowflake(USERS_FROM + index * 977, 18),
      username: `${random.pick(SECOND)}-bot`,
      discriminator: String(1_000 + random.below(9_000)),
      global_name: null,
      avatar: random.hex(32),
      bot: true,
      public_flags: 65_536,
      avatar_decoration_data: null,
      primary_guild: null,
      collectibles: null,
    };
  }

  /** The n-th member of a guild, below its `memberCount`. */
  person(guild: Guild, n: number): Person {
    // No guild has as many members.
    const key = guild.index * POPULATION + n;
    const known = this.#people.get(key);
    if (known) return known;
    const index = hash32(this.seed, 7, guild.index, n) % POPULATION;
    const person: Person = { user: Object.freeze(this.user(index)), member: Object.freeze(this.member(guild, index)) };
    Object.freeze(person.member.roles);
    if (this.#people.size >= REMEMBERED) this.#people.clear();
    this.#people.set(key, person);
    return person;
  }

  member(guild: Guild, userIndex: number): Omit<APIGuildMember, 'user'> {
    const random = new Random(this.seed, 8, guild.index, userIndex);
    const roles: string[] = [];
    for (let n = 1; n < guild.roles; n += 1) if (random.chance(0.35)) roles.push(this.roleId(guild, n));
    return {
      roles,
      nick: random.chance(0.2) ? random.pick(GLOBAL_NAMES) : null,
      avatar: random.chance(0.05) ? random.hex(32) : null,
      banner: null,
      joined_at: isoTime(this.guildBornAt(guild) + 86_400_000 + random.below(2_000_000_000)),
      premium_since: random.chance(0.05) ? isoTime(this.epoch - random.below(1_000_000_000)) : null,
      communication_disabled_until: null,
      pending: false,
      deaf: false,
      mute: false,
      flags: NO_FLAGS,
    };
  }
}

const FIRST = ['amber', 'basil', 'cedar', 'dune', 'ember', 'fern', 'grove', 'heath', 'iris', 'juniper'] as const;
const SECOND = ['heron', 'otter', 'lynx', 'marten', 'plover', 'stoat', 'tern', 'vole', 'wren', 'adder'] as const;
const GLOBAL_NAMES = [
  'Amber',
  'Basil 🌿',
  'Zoë',
  'Нина',
  '小林',
  'Łukasz',
  'Ms. Heron',
  'dune',
  'عمر',
  "O'Tern",
] as const;
const PLACES = ['Tidewater', 'Northgate', 'Elm Street', 'Über', 'Lantern', 'Saltmarsh', 'Кедр', 'Hinterland'] as const;
const SOCIETIES = ['Chess Club', 'Guild', 'Makers', 'Study Hall', 'Bakers', 'Radio', 'Gardeners', 'Arcade'] as const;
const CHANNELS = ['general', 'announcements', 'help', 'off-topic', 'showcase', 'events', 'bots', 'moderators'] as const;
const ROLES = ['Crew', 'Admin', 'Moderator', 'Regular', 'Helper', 'Muted', 'Event host', 'Booster'] as const;
const LOCALES = [Locale.EnglishUS, Locale.EnglishGB, Locale.German, Locale.French, Locale.Japanese] as const;
