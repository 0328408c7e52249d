// Dispatches that no worker is due, of the kinds that a bot gets all day beside the ones it wants.

import type {
  GatewayChannelUpdateDispatchData,
  GatewayMessageDeleteDispatchData,
  GatewayMessageUpdateDispatchData,
  GatewayUserUpdateDispatchData,
} from 'discord-api-types/v10';
import type { EventContext } from './event-context.ts';
import { text } from './message.ts';

export function messageUpdate(context: EventContext): GatewayMessageUpdateDispatchData {
  const { nonce: _, ...message } = text(context);
  return { ...message, edited_timestamp: context.time() };
}

export function messageDelete(context: EventContext): GatewayMessageDeleteDispatchData {
  return { id: context.id(), channel_id: context.channelId(), guild_id: context.guild.id };
}

export function channelUpdate({ world, guild, random }: EventContext): GatewayChannelUpdateDispatchData {
  return {
    ...world.textChannel(guild, random.below(guild.textChannels)),
    nsfw: random.chance(0.5),
    guild_id: guild.id,
  };
}

export const userUpdate = ({ world }: EventContext): GatewayUserUpdateDispatchData => world.bot;

/** Discord sends bots dispatches that it has not documented. */
export const undocumented = (context: EventContext): object => ({
  guild_id: context.guild.id,
  application_id: context.world.bot.id,
  version: context.id(),
});
