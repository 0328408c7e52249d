// What the payload of one event is made from: the guild it happens in, and everything random. Two contexts of the same
// number are alike, so a payload is made again for a replay instead of being kept.

import { Random } from '../random.ts';
import { isoTime, snowflake } from './snowflake.ts';
import { EVENTS_FROM, type Guild, type Person, type World } from './world.ts';

export class EventContext {
  readonly world: World;
  readonly guild: Guild;
  readonly random: Random;
  /** Unix ms. */
  readonly at: number;
  #ids = 0;

  /** @param number of the event; its ids and times follow from it */
  constructor(world: World, guild: Guild, number: number) {
    this.world = world;
    this.guild = guild;
    this.random = new Random(world.seed, 9, number);
    this.at = EVENTS_FROM + number;
  }

  /** A new id; no other event has it. */
  id(): string {
    this.#ids += 1;
    return snowflake(this.at, this.#ids);
  }

  /** The event's time, or so many ms before it. */
  time(beforeMs = 0): string {
    return isoTime(this.at - beforeMs);
  }

  person(): Person {
    return this.world.person(this.guild, this.random.below(this.guild.memberCount));
  }

  channelId(): string {
    return this.world.idIn(this.guild, 'channel', this.random.below(this.guild.textChannels));
  }

  /** A text as a person writes it. */
  words(): string {
    const { random } = this;
    let text = random.pick(PHRASES);
    while (random.chance(0.3)) text += ` ${random.pick(PHRASES)}`;
    const { marker } = this.world;
    return marker === undefined ? text : `${text} ${marker}`;
  }
}

const PHRASES = [
  'Has anyone tried the new build?',
  'Das ist ja großartig 🎉',
  'お疲れさまでした',
  'No idea, sorry.',
] as const;
