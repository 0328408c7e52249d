// What may be told to the simulator, each with its default and, where it is a limit of Discord's, its source.
// Faults are reported all at once, each with what was expected.

import { GatewayIntentBits } from 'discord-api-types/v10';
import { VARIANTS } from './payloads/variants.ts';

export interface SimulatorOptions {
  /** Same seed, same events. */
  readonly seed: number;
  /** 0: whatever is free. */
  readonly port: number;
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
  /** Between two IDENTIFYs of one bucket. */
  readonly identifyEveryMs: number;
  /** How much earlier an IDENTIFY may arrive, since the way there varies. @default - 2 % */
  readonly identifySlackMs: number | undefined;
  readonly heartbeatIntervalMs: number;
  /** How late a heartbeat may be. @default - half an interval, at least 5 s */
  readonly heartbeatGraceMs: number | undefined;
  /** How long a session without a connection lives. Discord says "a few minutes". */
  readonly sessionTtlMs: number;
  /** Dispatches kept for a RESUME, for each session. Discord does not document its bound. */
  readonly replayBufferEvents: number;
  /** Whether a heartbeat drops what it acknowledges from the replay buffer. Discord does not document whether it does. */
  readonly trimReplayOnHeartbeat: boolean;
  /** Whether a RESUME closes the socket that the session had before. Discord does not document whether it does. */
  readonly closeOlderSocket: boolean;
  /** Between IDENTIFY and READY. */
  readonly readyDelayMs: number;
  /** From op 7 to the close of a connection whose client did not leave by itself. */
  readonly reconnectGraceMs: number;
  /** The shard count must be a multiple of this (large-bot sharding). */
  readonly shardCountMultiple: number;
  /** More than so many guilds on a shard are refused. https://discord.com/developers/docs/events/gateway#sharding */
  readonly guildsPerShard: number;
  /** The privileged intents that this bot was granted. */
  readonly grantedIntents: number;
  /** Members that the GUILD_CREATE of the first guild quotes: 2,000 make it larger than 512 KiB. */
  readonly largeGuildMembers: number;
  /** Stands in everything that people write. */
  readonly marker: string | undefined;
  /** Whether content is blanked for a bot without the MessageContent intent, as Discord does. */
  readonly blankContent: boolean;
  /** Kinds of events and their shares. @default - each kind's own weight, and guilds that join, leave and fail at times */
  readonly mix: Readonly<Record<string, number>> | undefined;
  /** On top of the rate: so many events at once, every so often. */
  readonly bursts: { readonly events: number; readonly everyMs: number } | undefined;
  /** Unix ms that ids and times of events count from. */
  readonly epoch: number | undefined;
  /** For what Discord takes from the wall clock: when a guild was joined. */
  readonly clock: () => number;
}

export const DEFAULTS: SimulatorOptions = {
  seed: 1,
  port: 0,
  token: 'MTA0MDMxOTM2MDIzODg3ODcyMA.Simulated.not-a-real-bot-token-0123456789ab',
  guilds: 10,
  shards: undefined,
  maxConcurrency: 1,
  dailyIdentifies: 1_000,
  identifyBudgetWindowMs: 86_400_000,
  identifyEveryMs: 5_000,
  identifySlackMs: undefined,
  heartbeatIntervalMs: 41_250,
  heartbeatGraceMs: undefined,
  sessionTtlMs: 300_000,
  replayBufferEvents: 10_000,
  trimReplayOnHeartbeat: false,
  closeOlderSocket: true,
  readyDelayMs: 0,
  reconnectGraceMs: 5_000,
  shardCountMultiple: 1,
  guildsPerShard: 2_500,
  grantedIntents: GatewayIntentBits.GuildMembers,
  largeGuildMembers: 0,
  marker: undefined,
  blankContent: true,
  mix: undefined,
  bursts: undefined,
  epoch: undefined,
  clock: Date.now,
};

/** Kinds of traffic that change the world, so that they are not in the table of variants. */
export const GUILD_KINDS = { join: 'guild.join', leave: 'guild.leave', outage: 'guild.outage' } as const;

const BOUNDS: readonly (readonly [key: keyof SimulatorOptions, low: number, high: number])[] = [
  ['seed', 0, 2 ** 32 - 1],
  ['port', 0, 65_535],
  ['guilds', 0, 1_000_000],
  ['shards', 1, 100_000],
  ['maxConcurrency', 1, 1_000],
  ['dailyIdentifies', 0, 1_000_000],
  ['identifyBudgetWindowMs', 1, Number.MAX_SAFE_INTEGER],
  ['identifyEveryMs', 0, 600_000],
  ['identifySlackMs', 0, 600_000],
  ['heartbeatIntervalMs', 10, 600_000],
  ['heartbeatGraceMs', 0, 600_000],
  // Node's timers end there.
  ['sessionTtlMs', 0, 2 ** 31 - 1],
  ['replayBufferEvents', 1, 10_000_000],
  ['readyDelayMs', 0, 600_000],
  ['reconnectGraceMs', 0, 600_000],
  ['shardCountMultiple', 1, 1_000],
  ['guildsPerShard', 1, Number.MAX_SAFE_INTEGER],
  ['largeGuildMembers', 0, 100_000],
];

/** @throws one sentence for each fault */
export function complete(given: Partial<SimulatorOptions>): SimulatorOptions {
  const options: SimulatorOptions = { ...DEFAULTS, ...given };
  const faults: string[] = [];
  for (const [key, low, high] of BOUNDS) {
    const value = options[key];
    if (value === undefined) continue;
    if (!Number.isInteger(value) || Number(value) < low || Number(value) > high)
      faults.push(`${key}: expected a whole number from ${low} to ${high}, got ${String(value)}`);
  }
  if (options.token === '' || /\s/.test(options.token)) faults.push('token: expected text without spaces');
  const { bursts } = options;
  if (bursts && !(Number.isInteger(bursts.events) && bursts.events > 0 && bursts.everyMs >= 10))
    faults.push('bursts: expected a whole number of events above 0, and at least 10 ms between bursts');
  faults.push(...faultsOfMix(options.mix ?? {}));
  if (faults.length > 0) throw new Error(faults.join('\n'));
  return options;
}

function faultsOfMix(mix: Readonly<Record<string, number>>): string[] {
  const names = new Set<string>([...VARIANTS.map(({ name }) => name), ...Object.values(GUILD_KINDS)]);
  const faults: string[] = [];
  for (const [name, weight] of Object.entries(mix)) {
    if (!names.has(name)) faults.push(`mix: there is no kind of event '${name}'. There are ${[...names].join(', ')}`);
    else if (!(Number.isFinite(weight) && weight >= 0))
      faults.push(`mix: expected a share of 0 or more for '${name}', got ${weight}`);
  }
  const total = Object.values(mix).reduce((sum, weight) => sum + weight, 0);
  if (Object.keys(mix).length > 0 && !(total > 0)) faults.push('mix: expected a share above 0 for at least one kind');
  return faults;
}
