// Who and what there is: the bot, its guilds with their channels and roles, and the people. Everything is a function of
// the seed and of its number, so a guild costs nothing until it is asked for. Some thousand people are remembered,
// because the same ones write again; they are frozen, because payloads share them.
// Guild n belongs to shard n modulo the shard count, for every count up to 16 and every power of two up to 256.

import {
  type APIGuildMember,
  type APIGuildTextChannel,
  type APIRole,
  type APIUser,
  ChannelType,
  Locale,
} from 'discord-api-types/v10';
import { Random } from '../random.ts';
import { DISCORD_EPOCH_MS, isoTime, shardingKey, snowflake } from './snowflake.ts';

export interface WorldOptions {
  readonly seed: number;
  /** A text that is part of everything that people write: content, embeds, names of files, whatever quotes them. */
  readonly marker?: string | undefined;
}

export interface Guild {
  readonly index: number;
  readonly id: string;
  /** Modulo the shard count it is the shard. */
  readonly shardingKey: number;
  /** Unix ms. */
  readonly createdAt: number;
  readonly name: string;
  readonly locale: Locale;
  readonly memberCount: number;
  readonly textChannels: number;
  readonly roles: number;
  /** Members in its GUILD_CREATE in addition to the bot. @default 0 */
  readonly quotedMembers?: number;
}

/** What makes a guild a large one, whose GUILD_CREATE is larger than many a broker's largest message. */
export const LARGE = { memberCount: 5_000, textChannels: 250, roles: 200, quotedMembers: 4_999 } as const;

export interface Person {
  readonly user: APIUser;
  /** Without the user, which dispatches have in a field next to it. */
  readonly member: Omit<APIGuildMember, 'user'>;
}

/** A set of flags with none set: discord-api-types names the flags only. */
export const NO_FLAGS = 0 as never;

/** Unix ms that ids and times of events count from. */
export const EVENTS_FROM = Date.UTC(2026, 5, 1);
/** A multiple of every count up to 16 and of 256. */
const STRIDE_MS = 11_531_520;
const USERS_FROM = Date.UTC(2016, 0, 1);
const GUILDS_FROM = DISCORD_EPOCH_MS + 20_000 * STRIDE_MS;
const POPULATION = 200_000;
const REMEMBERED = 20_000;
/** A member has about this many. */
const MOST_ROLES = 6;

/** Low bits of the ids within one guild. */
const LOW = { channel: 1, role: 1_000, thread: 4_000 } as const;

export class World {
  readonly seed: number;
  readonly marker: string | undefined;
  readonly bot: APIUser;
  readonly #guildsFrom: number;
  readonly #people = new Map<number, Person>();

  constructor({ seed, marker }: WorldOptions) {
    this.seed = seed;
    this.marker = marker;
    this.#guildsFrom = GUILDS_FROM + new Random(seed).below(5_000) * STRIDE_MS;
    this.bot = this.user(POPULATION, true);
  }

  guild(index: number): Guild {
    const createdAt = this.#guildsFrom + index;
    const id = snowflake(createdAt, 0);
    const random = new Random(this.seed, 3, index);
    return {
      index,
      id,
      shardingKey: shardingKey(id),
      createdAt,
      name: `${random.pick(PLACES)} ${index}`,
      locale: random.pick(LOCALES),
      memberCount: 20 + Math.floor(2_000 * random.next() ** 3),
      textChannels: 3 + random.below(6),
      roles: 3 + random.below(5),
    };
  }

  /** An id that belongs to a guild. The role 0 is @everyone. */
  idIn(guild: Guild, what: keyof typeof LOW, n: number): string {
    return what === 'role' && n === 0 ? guild.id : snowflake(guild.createdAt, LOW[what] + n);
  }

  textChannel(guild: Guild, n: number): APIGuildTextChannel<ChannelType.GuildText> {
    return {
      id: this.idIn(guild, 'channel', n),
      type: ChannelType.GuildText,
      name: `channel-${n}`,
      guild_id: guild.id,
      position: n,
      permission_overwrites: [],
      parent_id: null,
      nsfw: false,
      rate_limit_per_user: 0,
      last_message_id: null,
      flags: NO_FLAGS,
    };
  }

  role(guild: Guild, n: number): APIRole {
    const color = n === 0 ? 0 : new Random(this.seed, 4, guild.index, n).below(0x1000000);
    return {
      id: this.idIn(guild, 'role', n),
      name: n === 0 ? '@everyone' : `role-${n}`,
      color,
      colors: { primary_color: color, secondary_color: null, tertiary_color: null },
      hoist: n === 1,
      position: n,
      permissions: n === 1 ? '8' : '2248473465835073',
      managed: false,
      mentionable: n > 1,
      flags: NO_FLAGS,
      ...(n === 2 && { tags: { subscription_listing_id: guild.id, available_for_purchase: null } }),
    };
  }

  user(index: number, bot = false): APIUser {
    const random = new Random(this.seed, 5, index);
    const id = snowflake(USERS_FROM + index * 977, bot ? 18 : 17);
    const adorned = index % 3 === 0;
    return {
      id,
      username: `${random.pick(FIRST)}.${random.pick(SECOND)}${index}`,
      discriminator: bot ? String(1_000 + random.below(9_000)) : '0',
      global_name: random.chance(0.7) && !bot ? random.pick(GLOBAL_NAMES) : null,
      avatar: random.chance(0.8) ? random.hex(32) : null,
      public_flags: NO_FLAGS,
      avatar_decoration_data: adorned ? { asset: `a_${random.hex(32)}`, sku_id: id } : null,
      primary_guild: adorned ? { identity_guild_id: id, identity_enabled: true, tag: 'HRBR', badge: 'e2f1' } : null,
      collectibles: null,
      ...(bot && { bot }),
    };
  }

  /** The n-th member of a guild, below its `memberCount`. */
  person(guild: Guild, n: number): Person {
    // No guild has as many members.
    const key = guild.index * POPULATION + n;
    const known = this.#people.get(key);
    if (known) return known;
    const index = new Random(this.seed, 7, guild.index, n).below(POPULATION);
    const person = { user: Object.freeze(this.user(index)), member: Object.freeze(this.member(guild, index)) };
    if (this.#people.size >= REMEMBERED) this.#people.clear();
    this.#people.set(key, person);
    return person;
  }

  member(guild: Guild, userIndex: number): Omit<APIGuildMember, 'user'> {
    const random = new Random(this.seed, 8, guild.index, userIndex);
    const roles: string[] = [];
    const share = Math.min(0.35, MOST_ROLES / guild.roles);
    for (let n = 1; n < guild.roles; n += 1) if (random.chance(share)) roles.push(this.idIn(guild, 'role', n));
    return {
      roles,
      nick: random.chance(0.2) ? random.pick(GLOBAL_NAMES) : null,
      avatar: random.chance(0.05) ? random.hex(32) : null,
      banner: null,
      joined_at: isoTime(guild.createdAt + 86_400_000 + random.below(2_000_000_000)),
      premium_since: random.chance(0.05) ? isoTime(EVENTS_FROM - random.below(1_000_000_000)) : null,
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
const GLOBAL_NAMES = ['Amber', 'Basil 🌿', 'Zoë', 'Нина', '小林', 'Łukasz', 'Ms. Heron', 'عمر', "O'Tern"] as const;
const PLACES = ['Tidewater', 'Northgate', 'Elm Street', 'Über', 'Lantern', 'Saltmarsh', 'Кедр', 'Hinterland'] as const;
const LOCALES = [Locale.EnglishUS, Locale.EnglishGB, Locale.German, Locale.French, Locale.Japanese] as const;
