// The names of the intents in a bit field, and the switches of those that a bot's owner must grant.

import { GatewayIntentBits } from 'discord-api-types/v10';

/** In the order of their bits. */
export const INTENTS: readonly string[] = Object.keys(GatewayIntentBits).filter((name) => Number.isNaN(Number(name)));

export const intentNames = (bits: number): string[] =>
  INTENTS.filter((name) => (bits & GatewayIntentBits[name as keyof typeof GatewayIntentBits]) !== 0);

/** By intent, the privileged ones. https://docs.discord.com/developers/events/gateway#privileged-intents */
export const SWITCHES: Readonly<Record<string, string>> = {
  GuildMembers: 'Server Members Intent',
  GuildPresences: 'Presence Intent',
  MessageContent: 'Message Content Intent',
};
