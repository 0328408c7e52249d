// The simulator's settings, each with its default and, where it is a limit of Discord's, its source.

import { GatewayIntentBits } from 'discord-api-types/v10';

export interface SimulatorOptions {
  /** Same seed, same events. */
  readonly seed: number;
  readonly token: string;
  /** Guilds that the bot is in from the start. */
  readonly guilds: number;
  /** What GET /gateway/bot recommends. @default - one for each 1,000 guilds */
  readonly shards: number | undefined;
  /** Buckets of IDENTIFY. https://discord.com/developers/docs/events/gateway#rate-limiting */
  readonly maxConcurrency: number;
  /** IDENTIFYs within `identifyBudgetWindowMs`; one more ends all sessions and resets the token. */
  readonly dailyIdentifies: number;
  readonly identifyBudgetWindowMs: number;
  /** Between two IDENTIFYs of one bucket. 2 % less is accepted, since the time on the way varies. */
  readonly identifyEveryMs: number;
  readonly heartbeatIntervalMs: number;
  /** How late a heartbeat may be. @default - half an interval, at least 5 s */
  readonly heartbeatGraceMs: number | undefined;
  /** How long a session without a connection lives. Discord says "a few minutes". */
  readonly sessionTtlMs: number;
  /** Dispatches kept for a RESUME, for each session. Discord does not document its bound. */
  readonly replayBufferEvents: number;
  /** Whether a RESUME closes the socket that the session had before. Discord does not document whether it does. */
  readonly closeOlderSocket: boolean;
  /** Between IDENTIFY and READY. */
  readonly readyDelayMs: number;
  /** From op 7 to the close of a connection whose client did not leave by itself. */
  readonly reconnectGraceMs: number;
  /** The shard count must be a multiple of this (large-bot sharding). */
  readonly shardCountMultiple: number;
  /** The privileged intents that this bot was granted. */
  readonly grantedIntents: number;
  /** Stands in everything that people write. */
  readonly marker: string | undefined;
  /** Whether content is blanked for a bot without the MessageContent intent, as Discord does. */
  readonly blankContent: boolean;
  /** Kinds of events and their shares. @default - each kind's own weight, and guilds that join, leave and fail at times */
  readonly mix: Readonly<Record<string, number>> | undefined;
}

export const DEFAULTS: SimulatorOptions = {
  seed: 1,
  token: 'MTA0MDMxOTM2MDIzODg3ODcyMA.Simulated.not-a-real-bot-token-0123456789ab',
  guilds: 10,
  shards: undefined,
  maxConcurrency: 1,
  dailyIdentifies: 1_000,
  identifyBudgetWindowMs: 86_400_000,
  identifyEveryMs: 5_000,
  heartbeatIntervalMs: 41_250,
  heartbeatGraceMs: undefined,
  sessionTtlMs: 300_000,
  replayBufferEvents: 10_000,
  closeOlderSocket: true,
  readyDelayMs: 0,
  reconnectGraceMs: 5_000,
  shardCountMultiple: 1,
  grantedIntents: GatewayIntentBits.GuildMembers,
  marker: undefined,
  blankContent: true,
  mix: undefined,
};
