// The numbers that the deployer (lib/), the deployed (service/) and the tests must agree on.

/** Exit code for a faulty configuration: EX_CONFIG of sysexits.h. */
export const EXIT_CONFIG = 78;

/**
 * V8's young generation, kept small. Everything here is short-lived, and message bodies lie outside the heap: with
 * Node's own size they wait for a collection that seldom comes (355 MiB resident after 76,000 events instead of 131).
 */
export const NODE_FLAGS = ['--max-semi-space-size=4'] as const;

export const DEFAULT_PORT = 8080;

const MIB = 1024 * 1024;

/** Of numeric settings. The deployer and the service refuse what is outside, and have the same default. */
export const BOUNDS = {
  /** Discord asks for one shard per 2,500 guilds; the largest bots are in some 20 million. */
  shardCount: { least: 1, most: 10_000, default: 1 },
  /** A task of the default size carries 16 with ease. */
  shardsPerTask: { least: 1, most: 256, default: 16 },
  outboxMaxEvents: { least: 10, most: 10_000_000, default: 100_000 },
  outboxMaxBytes: { least: 64 * 1024, most: 8_192 * MIB, default: 64 * MIB },
  /** A share of V8's heap limit; above `least`, not equal to it. */
  memoryThreshold: { least: 0, most: 1, default: 0.75 },
  /** 0: the system chooses. */
  port: { least: 0, most: 65_535, default: DEFAULT_PORT },
} as const;

/** Each group has a lease queue of its own, which is written out in a CloudFormation template of at most 1 MB. */
export const MAX_SHARD_GROUPS = 1_000;

/** pino's. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export const DEFAULT_LOG_LEVEL: (typeof LOG_LEVELS)[number] = 'info';

/** Of what the gateway sends: none, or one zlib context per connection. */
export const COMPRESSIONS = ['none', 'zlib-stream'] as const;

/** ECS `stopTimeout`: the time between SIGTERM and SIGKILL. 120 s is Fargate's maximum. */
export const STOP_TIMEOUT_SECONDS = 120;
/** The drain's part of it; the rest is for the process to exit. */
export const DRAIN_DEADLINE_SECONDS = 110;

/** Between two IDENTIFYs of a rate-limit bucket: Discord's 5 s and a margin for the network. */
export const IDENTIFY_SPACING_MS = 5_250;

/**
 * The largest body of a message: the deployed broker's `max_message_size`, and what the service publishes. RabbitMQ
 * compares it with the body alone, without properties and headers, and closes the channel over a larger one. Its default
 * is 512 KiB on Amazon MQ (RabbitMQ 4) and 16 MiB elsewhere; from a broker that takes less the service learns its limit.
 */
export const MAX_MESSAGE_BYTES = 1_048_576;

/** How long an interaction's token is valid. https://discord.com/developers/docs/interactions/receiving-and-responding */
export const INTERACTION_TOKEN_MS = 15 * 60_000;

/** How long a command may wait, for its shard to be connected or for Discord's rate limit. Its sender may give it less. */
export const COMMAND_TTL_MS = 30_000;

/** The largest command has some 4 KiB. Larger bodies are not parsed, nor held until they are confirmed as dead letters. */
export const MAX_COMMAND_BYTES = 64 * 1024;

/**
 * Lease and command queues and `interactions`, on RabbitMQ 4.3 and newer: how long messages stay with a consumer whose node of the
 * broker is unreachable. RabbitMQ's own 60 s would be as long without an owner, and Discord waits 3 s for an answer.
 */
export const CONSUMER_DISCONNECTED_TIMEOUT_MS = 3_000;
