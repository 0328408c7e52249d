// The names of the intents in a bit field.

import { GatewayIntentBits } from 'discord-api-types/v10';

/** In the order of their bits. */
export const INTENTS: readonly string[] = Object.keys(GatewayIntentBits).filter((name) => Number.isNaN(Number(name)));

export const intentNames = (bits: number): string[] =>
  INTENTS.filter((name) => (bits & GatewayIntentBits[name as keyof typeof GatewayIntentBits]) !== 0);
