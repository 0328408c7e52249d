// Which guilds the bot is in, and which of them are unavailable because of an outage. Guilds are numbered: those from
// the start first, then each that was joined.

import type { Guild, World } from './payloads/world.ts';
import type { Random } from './random.ts';

interface Membership {
  readonly guild: Guild;
  /** Unix ms. */
  readonly joinedAt: number;
  state: 'available' | 'unavailable' | 'left';
}

export class GuildRoster {
  readonly #world: World;
  readonly #initial: number;
  readonly #memberships: Membership[];

  constructor(world: World, guilds: number) {
    this.#world = world;
    this.#initial = guilds;
    this.#memberships = Array.from({ length: guilds }, (_, index) => {
      const guild = world.guild(index);
      return { guild, joinedAt: guild.createdAt, state: 'available' };
    });
  }

  /** Those the bot is in, unavailable ones included. */
  get guilds(): readonly Guild[] {
    return this.#memberships.flatMap(({ guild, state }) => (state === 'left' ? [] : guild));
  }

  /** @throws for an id that is none of the bot's guilds */
  byId(guildId: string): Guild {
    const found = this.#memberships.find(({ guild, state }) => guild.id === guildId && state !== 'left');
    if (found) return found.guild;
    throw new Error(`expected the id of a guild that the bot is in, got '${guildId}'`);
  }

  isAvailable(guild: Guild): boolean {
    return this.#of(guild).state === 'available';
  }

  /** Unix ms. */
  joinedAt(guild: Guild): number {
    return this.#of(guild).joinedAt;
  }

  /** Some available guild; those with low numbers are more active. */
  active(random: Random): Guild | undefined {
    const { length } = this.#memberships;
    const from = Math.floor(length * random.next() ** 2);
    for (let step = 0; step < length; step += 1) {
      const membership = this.#memberships[(from + step) % length];
      if (membership?.state === 'available') return membership.guild;
    }
    return undefined;
  }

  firstUnavailable(): Guild | undefined {
    return this.#memberships.find(({ state }) => state === 'unavailable')?.guild;
  }

  /** The first of those joined since the start. */
  firstJoined(): Guild | undefined {
    return this.#memberships.find(({ guild, state }) => guild.index >= this.#initial && state === 'available')?.guild;
  }

  join(): Guild {
    const guild = this.#world.guild(this.#memberships.length);
    this.#memberships.push({ guild, joinedAt: Date.now(), state: 'available' });
    return guild;
  }

  change(guild: Guild, state: Membership['state']): void {
    this.#of(guild).state = state;
  }

  #of({ index, id }: Guild): Membership {
    const membership = this.#memberships[index];
    if (membership?.guild.id === id) return membership;
    throw new Error(`expected a guild of this roster, got ${id}`);
  }
}
