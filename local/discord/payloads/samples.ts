// One dispatch of every kind, without a simulator: for tests of what is made of them. The stateful ones come with what
// must precede them, in the order of one session: READY, then a guild of its list, an outage and its end, a join, a leave.

import { GatewayDispatchEvents } from 'discord-api-types/v10';
import { EventContext } from './event-context.ts';
import * as guild from './guild.ts';
import { dueKey, VARIANTS } from './variants.ts';
import { type Guild, World, type WorldOptions } from './world.ts';

export interface Sample {
  readonly name: string;
  readonly dispatch: { readonly t: string; readonly d: object | null };
  /** What a worker is due for it by default; `null`: nothing. */
  readonly routingKey: string | null;
}

/**
 * @param seed same seed, same samples
 * @param options among them the marker, which is then part of everything that people wrote; and when the bot joins a guild,
 *   Unix ms. A join is recognised by its time. @default - now
 */
export function samplePayloads(
  seed: number,
  { joinedAt = Date.now(), ...options }: Omit<WorldOptions, 'seed'> & { readonly joinedAt?: number } = {},
): readonly Sample[] {
  const world = new World({ ...options, seed });
  const [known, joined] = [0, 1].map((index) => ({ ...world.guild(index), quotedMembers: 5 })) as [Guild, Guild];
  const session = { sessionId: '0123456789abcdef', resumeUrl: 'ws://127.0.0.1:1', shard: [0, 1] as [number, number] };
  const { GuildCreate, GuildDelete, Ready, Resumed } = GatewayDispatchEvents;
  const created = guild.create(world, known, known.createdAt);
  return [
    sample('ready', Ready, guild.ready(world, session, [known])),
    sample('guild.of-ready', GuildCreate, created),
    sample('guild.outage', GuildDelete, guild.unavailable(known)),
    sample('guild.back', GuildCreate, created),
    sample('guild.join', GuildCreate, guild.create(world, joined, joinedAt), 'guild.join'),
    sample('guild.leave', GuildDelete, guild.remove(joined), 'guild.leave'),
    ...VARIANTS.map((variant, index) =>
      sample(variant.name, variant.dispatch, variant.make(new EventContext(world, known, index)), dueKey(variant)),
    ),
    sample('resumed', Resumed, null),
  ];
}

const sample = (name: string, t: string, d: object | null, routingKey: string | null = null): Sample => ({
  name,
  dispatch: { t, d },
  routingKey,
});
