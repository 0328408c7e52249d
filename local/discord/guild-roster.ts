// Which guilds the bot is in, and which of them are unavailable because of an outage. Guilds are numbered: those from
// the start first, then each that was joined.

import type { Guild, World } from './payloads/world.ts';
import type { Random } from './random.ts';

export interface Membership {
  readonly guild: Guild;
  /** Unix ms. */
  readonly joinedAt: number;
  state: 'available' | 'unavailable' | 'left';
}

export class GuildRoster {
  readonly #world: World;
  readonly #initial: number;
  readonly #all: Membership[];

  constructor(world: World, guilds: number) {
    this.#world = world;
    this.#initial = guilds;
    this.#all = Array.from({ length: guilds }, (_, index) => {
      const guild = world.guild(index);
      return { guild, joinedAt: guild.createdAt, state: 'available' };
    });
  }

  get memberships(): readonly Membership[] {
    return this.#all.filter(({ state }) => state !== 'left');
  }

  /** @throws for an id that is none of the bot's guilds */
  byId(guildId: string): Membership {
    const found = this.#all.find(({ guild, state }) => guild.id === guildId && state !== 'left');
    if (found) return found;
    throw new Error(`expected the id of a guild that the bot is in, got '${guildId}'`);
  }

  /** An available guild at random; those with low numbers are more active. */
  active(random: Random): Membership | undefined {
    const { length } = this.#all;
    const from = Math.floor(length * random.next() ** 2);
    for (let step = 0; step < length; step += 1) {
      const membership = this.#all[(from + step) % length];
      if (membership?.state === 'available') return membership;
    }
    return undefined;
  }

  firstUnavailable(): Membership | undefined {
    return this.#all.find(({ state }) => state === 'unavailable');
  }

  /** The first of those joined since the start. */
  firstJoined(): Membership | undefined {
    return this.#all.find(({ guild, state }) => guild.index >= this.#initial && state === 'available');
  }

  /** @param size what another guild has; LARGE makes it a large one */
  join(size: Partial<Guild> = {}): Membership {
    const guild = { ...this.#world.guild(this.#all.length), ...size };
    const joined: Membership = { guild, joinedAt: Date.now(), state: 'available' };
    this.#all.push(joined);
    return joined;
  }
}
