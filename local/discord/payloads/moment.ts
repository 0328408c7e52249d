// One event in the making: where it happens, and everything that its payload takes from chance. Two moments of the same
// number are alike, so a payload can be made again for a replay instead of being kept.

import type { APIUser } from 'discord-api-types/v10';
import { Random } from '../random.ts';
import { isoTime, snowflake } from './snowflake.ts';
import type { Guild, Person, World } from './world.ts';

export class Moment {
  readonly world: World;
  readonly guild: Guild;
  readonly index: number;
  readonly random: Random;
  /** Unix ms. */
  readonly at: number;
  #ids = 0;

  /** @param index number of the event; its ids and times follow from it */
  constructor(world: World, guild: Guild, index: number) {
    this.world = world;
    this.guild = guild;
    this.index = index;
    this.random = new Random(world.seed, 9, index);
    this.at = world.epoch + index;
  }

  /** A fresh id; no other event has it. */
  id(): string {
    this.#ids += 1;
    return snowflake(this.at, this.#ids);
  }

  /** The event's time, or so many ms before it. */
  time(before = 0): string {
    return isoTime(this.at - before);
  }

  /** Some member of the guild. */
  person(): Person {
    return this.world.person(this.guild, this.random.below(this.guild.memberCount));
  }

  bot(): APIUser {
    return this.world.otherBot(this.random.below(50));
  }

  channelNumber(): number {
    return this.random.below(this.guild.textChannels);
  }

  /** Something that a person wrote. */
  words(): string {
    const { random } = this;
    let text = random.pick(PHRASES);
    while (random.chance(0.3)) text += ` ${random.pick(PHRASES)}`;
    const { marker } = this.world;
    return marker === undefined ? text : `${text} ${marker}`;
  }

  /** What a person called a file. */
  fileName(extension: string): string {
    return `${this.world.marker ?? 'photo'}_${this.random.hex(6)}.${extension}`;
  }
}

const PHRASES = [
  'Has anyone tried the new build?',
  'That worked, thank you!',
  'See you at eight.',
  'I will look into it tomorrow.',
  'Das ist ja großartig 🎉',
  'お疲れさまでした',
  'Could you share the recipe?',
  'It rains again.',
  'The map is in the pinned messages.',
  'No idea, sorry.',
] as const;
