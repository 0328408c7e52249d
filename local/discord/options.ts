// The simulator's settings, each with its default and, where it is a limit of Discord's, its source.

import { GatewayIntentBits } from 'discord-api-types/v10';

export const DEFAULTS = {
  /** Same seed, same events. */
  seed: 1,
  token: 'MTA0MDMxOTM2MDIzODg3ODcyMA.Simulated.not-a-real-bot-token-0123456789ab',
  /** Guilds that the bot is in from the start. */
  guilds: 10,
  /** What GET /gateway/bot recommends. @default - one for each 1,000 guilds */
  shards: undefined as number | undefined,
  /** Buckets of IDENTIFY. https://discord.com/developers/docs/events/gateway#rate-limiting */
  maxConcurrency: 1,
  /** IDENTIFYs within `identifyBudgetWindowMs`; one more ends all sessions and resets the token. */
  dailyIdentifies: 1_000,
  identifyBudgetWindowMs: 86_400_000,
  /** Between two IDENTIFYs of one bucket. 2 % less is accepted, since the time on the way varies. */
  identifyEveryMs: 5_000,
  heartbeatIntervalMs: 41_250,
  /** How late a heartbeat may be. @default - half an interval, at least 5 s */
  heartbeatGraceMs: undefined as number | undefined,
  /** How long a session without a connection lives. Discord documents "a few minutes". */
  sessionTtlMs: 300_000,
  /**
   * What each session keeps for a RESUME: so many dispatches; when trimmed, without those that a heartbeat or a RESUME has
   * acknowledged. Discord documents neither.
   */
  replayBuffer: { events: 10_000, trimmedByAcknowledgement: false },
  /** Closes a connection, resumably, whose heartbeat is more than so many events behind. @default - none is */
  closesLaggingHeartbeat: undefined as number | undefined,
  /** Whether a RESUME closes the socket that the session had before. Discord does not document whether it does. */
  closeOlderSocket: true,
  /** After op 7, before a connection is closed whose client did not close it. */
  reconnectGraceMs: 5_000,
  /** The shard count must be a multiple of this (large-bot sharding). */
  shardCountMultiple: 1,
  /** The privileged intents that this bot was granted. */
  grantedIntents: GatewayIntentBits.GuildMembers as number,
  /** A text that is part of everything that people write. */
  marker: undefined as string | undefined,
  /** Whether content is blanked for a bot without the MessageContent intent, as Discord does. */
  blankContent: true,
  /** EVENTS of the ingestor: decides what is due, and which events the traffic has. @default - the seven */
  events: undefined as string | undefined,
  /** Whether interactions of the traffic that workers are due can be answered too, not only those that `emit` makes. */
  answerable: false,
  /** Kinds of events and their shares. @default - each kind's own weight, and guilds that join, leave and fail at times */
  mix: undefined as Readonly<Record<string, number>> | undefined,
};

export type SimulatorOptions = Readonly<typeof DEFAULTS>;

/** What Discord does not document, and clients must survive in any case. */
export type Reading = Pick<SimulatorOptions, 'replayBuffer' | 'closesLaggingHeartbeat'>;
export type ReplayBufferReading = Reading['replayBuffer'];

/** The least that a small bot may have, and what an imitation of Discord keeps. */
export const REPLAY_BUFFERS: readonly ReplayBufferReading[] = [100, 2_048].flatMap((events) =>
  [false, true].map((trimmedByAcknowledgement) => ({ events, trimmedByAcknowledgement })),
);

export const replayBufferName = ({ events, trimmedByAcknowledgement }: ReplayBufferReading): string =>
  `${events} events${trimmedByAcknowledgement ? ', trimmed' : ''}`;
