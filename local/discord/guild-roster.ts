// Which guilds the bot is in, and which of them are out of order. Guilds are numbered: those from the start first, then
// each that was joined.

import * as guild from './payloads/guild.ts';
import type { Guild, World } from './payloads/world.ts';
import type { Random } from './random.ts';

export class GuildRoster {
  readonly #world: World;
  readonly #guilds: (Guild | undefined)[] = [];
  readonly #indexById = new Map<string, number>();
  readonly #left = new Set<number>();
  readonly #out = new Set<number>();
  /** Unix ms; of those that were joined since the start. */
  readonly #joinedAt = new Map<number, number>();
  #next: number;

  constructor(world: World, guilds: number) {
    this.#world = world;
    this.#next = guilds;
  }

  /** How many the bot is in. */
  get size(): number {
    return this.#next - this.#left.size;
  }

  at(index: number): Guild {
    const known = this.#guilds[index];
    if (known) return known;
    const made = this.#world.guild(index);
    this.#guilds[index] = made;
    return made;
  }

  /** @throws for an id that is none of the bot's guilds */
  byId(guildId: string): Guild {
    const index = this.#indexOf(guildId);
    if (index === undefined || this.#left.has(index))
      throw new Error(`expected the id of a guild that the bot is in, got '${guildId}'`);
    return this.at(index);
  }

  /** The guilds of a shard, those out of order included. */
  *ofShard(shardId: number, shardCount: number): Generator<Guild> {
    if (this.#next === 0) return;
    // Guilds have consecutive sharding keys.
    const first = (shardId - (this.at(0).shardingKey % shardCount) + shardCount) % shardCount;
    for (let index = first; index < this.#next; index += shardCount) if (!this.#left.has(index)) yield this.at(index);
  }

  isOut(guild: Guild): boolean {
    return this.#out.has(guild.index);
  }

  /** Some guild where things may happen; the low numbers are livelier. */
  lively(random: Random): Guild | undefined {
    const from = Math.floor(this.#next * random.next() ** 2);
    for (let step = 0; step < this.#next; step += 1) {
      const index = (from + step) % this.#next;
      if (!this.#left.has(index) && !this.#out.has(index)) return this.at(index);
    }
    return undefined;
  }

  /** The first that is out of order. */
  firstOut(): Guild | undefined {
    for (const index of this.#out) return this.at(index);
    return undefined;
  }

  /** The first of those joined since the start. */
  firstJoined(): Guild | undefined {
    for (const index of this.#joinedAt.keys()) if (!this.#out.has(index)) return this.at(index);
    return undefined;
  }

  /** A guild that was never there. @param at Unix ms */
  join(at: number): Guild {
    const index = this.#next;
    this.#next += 1;
    this.#joinedAt.set(index, at);
    return this.at(index);
  }

  /** @throws for a guild that the bot has not left */
  rejoin(guildId: string, at: number): Guild {
    const index = this.#indexOf(guildId);
    if (index === undefined || !this.#left.delete(index))
      throw new Error(`expected the id of a guild that the bot has left, got '${guildId}'`);
    this.#joinedAt.set(index, at);
    return this.at(index);
  }

  leave(left: Guild): void {
    this.#left.add(left.index);
    this.#out.delete(left.index);
    this.#joinedAt.delete(left.index);
  }

  /** @returns whether it was in order until now */
  fail(failed: Guild): boolean {
    if (this.#out.has(failed.index)) return false;
    this.#out.add(failed.index);
    return true;
  }

  /** @returns whether it was out of order until now */
  restore(restored: Guild): boolean {
    return this.#out.delete(restored.index);
  }

  /** Unix ms. */
  joinedAt(of: Guild): number {
    return this.#joinedAt.get(of.index) ?? guild.joinedLongAgo(this.#world, of);
  }

  #indexOf(guildId: string): number | undefined {
    for (let index = this.#indexById.size; index < this.#next; index += 1)
      this.#indexById.set(this.at(index).id, index);
    return this.#indexById.get(guildId);
  }
}
