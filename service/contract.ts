// The names and numbers that the deployer (lib/), the deployed (service/) and the tests must agree on.
// This file imports nothing, so that each of them can import it.

/** Environment variables of the service. `config.ts` reads them; the CDK's task definition sets them. */
export const ENV = {
  discordBotToken: 'DISCORD_BOT_TOKEN',
  discordBotTokenSecretArn: 'DISCORD_BOT_TOKEN_SECRET_ARN',
  discordApiUrl: 'DISCORD_API_URL',
  rabbitmqUrl: 'RABBITMQ_URL',
  rabbitmqSecretArn: 'RABBITMQ_SECRET_ARN',
  rabbitmqCaFile: 'RABBITMQ_CA_FILE',
  shardCount: 'SHARD_COUNT',
  shardsPerTask: 'SHARDS_PER_TASK',
  gatewayIntents: 'GATEWAY_INTENTS',
  gatewayCompression: 'GATEWAY_COMPRESSION',
  outboxMaxEvents: 'OUTBOX_MAX_EVENTS',
  outboxMaxBytes: 'OUTBOX_MAX_BYTES',
  memoryThreshold: 'MEMORY_THRESHOLD',
  port: 'PORT',
  host: 'HOST',
  logLevel: 'LOG_LEVEL',
  metricsNamespace: 'METRICS_NAMESPACE',
  environment: 'ENVIRONMENT',
  nodeEnv: 'NODE_ENV',
} as const;

/** Exit code for a faulty configuration: EX_CONFIG of sysexits.h. */
export const EXIT_CONFIG = 78;

/**
 * V8's young generation, kept small. Everything here is short-lived, and message bodies lie outside the heap: with
 * Node's own size they wait for a collection that seldom comes (355 MiB resident after 76,000 events instead of 131).
 */
export const NODE_FLAGS = ['--max-semi-space-size=4'] as const;

/** HTTP paths of the service. */
export const PATHS = { root: '/', health: '/health', live: '/live', metrics: '/metrics' } as const;
export const DEFAULT_PORT = 8080;

/** ECS `stopTimeout`: the time between SIGTERM and SIGKILL. 120 s is Fargate's maximum. */
export const STOP_TIMEOUT_SECONDS = 120;
/** What the service allows itself of it; the rest is for the process's own exit. */
export const DRAIN_DEADLINE_SECONDS = 110;

export const VHOST = 'discord';

export const EXCHANGES = {
  events: 'discord.events',
  unrouted: 'discord.unrouted',
  deadLetter: 'discord.dlx',
  leases: 'ingestor.leases',
} as const;

export const QUEUES = {
  interactions: 'interactions',
  guildEvents: 'events.guild',
  gatewayEvents: 'events.gateway',
  deadLetters: 'dead-letters',
  unrouted: 'unrouted',
} as const;

/** The ingestor's own objects begin so. What it may do with each: lib/topology/topology.ts. */
const INGESTOR_PREFIX = 'ingestor.';
/** The queue whose one unacknowledged message, the session record, is the lease of a shard group. */
export const leaseQueue = (group: number): string => `${INGESTOR_PREFIX}lease.${group}`;
/** Immutable, so declared alike by the topology and by the service. Everything else of these queues is policy. */
export const LEASE_QUEUE_ARGUMENTS = { 'x-queue-type': 'quorum', 'x-single-active-consumer': true } as const;
/** The exclusive queue whose owner may IDENTIFY in this rate-limit bucket. */
export const identifyQueue = (bucket: number): string => `${INGESTOR_PREFIX}identify.${bucket}`;

/** Users of the broker. The administrator is the broker's own. */
export const USERS = { ingestor: 'ingestor', worker: 'worker', deadLetters: 'dead-letters' } as const;

/** Fields of a secret that holds a broker login (JSON). */
export const BROKER_SECRET_FIELDS = ['host', 'port', 'vhost', 'username', 'password'] as const;

/** Version of the payload that workers read; header `x-schema-version`. */
export const SCHEMA_VERSION = 2;

export const HEADERS = {
  schemaVersion: 'x-schema-version',
  shard: 'x-shard',
  session: 'x-session',
  sequence: 'x-sequence',
  traceparent: 'traceparent',
} as const;

/** RabbitMQ 4's default for the largest message (`max_message_size`). Source: Amazon MQ, default limits. */
export const MAX_MESSAGE_BYTES = 524_288;

export interface Metric {
  /** Name in `GET /metrics`. */
  readonly prometheus: string;
  /** Name in CloudWatch (embedded metric format). */
  readonly cloudWatch: string;
  /** A counter is written to CloudWatch as its growth since the last minute; a summary as a sample of its values. */
  readonly kind: 'counter' | 'gauge' | 'summary';
  /** CloudWatch's unit. */
  readonly unit: 'Count' | 'Bytes' | 'Milliseconds' | 'Percent' | 'Seconds';
  readonly help: string;
  /** A label beside the environment, of few values: it becomes a CloudWatch dimension. */
  readonly label?: 'Queue';
}

/** Every figure that the service publishes. Alarms and the dashboard may name no other. */
export const METRICS = {
  eventsReceived: metric(
    'events_received_total',
    'EventsReceived',
    'counter',
    'Count',
    'Dispatches received from Discord',
  ),
  eventsFiltered: metric(
    'events_filtered_total',
    'EventsFiltered',
    'counter',
    'Count',
    'Dispatches that workers do not want',
  ),
  eventsUnknown: metric(
    'events_unknown_total',
    'EventsUnknown',
    'counter',
    'Count',
    'Dispatches that could not be understood',
  ),
  unknownFields: metric(
    'unknown_fields_total',
    'UnknownFields',
    'counter',
    'Count',
    'Fields of messages that this version does not know, removed',
  ),
  eventsReplayed: metric(
    'events_replayed_total',
    'EventsReplayed',
    'counter',
    'Count',
    'Dispatches replayed by a RESUME although still in the outbox, dropped',
  ),
  eventsPublished: metric(
    'events_published_total',
    'EventsPublished',
    'counter',
    'Count',
    'Messages written to the broker, repeats included',
  ),
  eventsConfirmed: metric(
    'events_confirmed_total',
    'EventsConfirmed',
    'counter',
    'Count',
    'Messages confirmed by the broker',
  ),
  eventsReturned: metric('events_returned_total', 'EventsReturned', 'counter', 'Count', 'Messages that no queue takes'),
  publishErrors: metric(
    'publish_errors_total',
    'PublishErrors',
    'counter',
    'Count',
    'Messages refused by the broker and published again',
  ),
  brokerReconnects: metric(
    'broker_reconnects_total',
    'BrokerReconnects',
    'counter',
    'Count',
    'Connections to the broker opened again',
  ),
  gatewayGaps: metric(
    'gateway_gaps_total',
    'GatewayGaps',
    'counter',
    'Count',
    'Sessions lost, so that events may be missing',
  ),
  gapsInHandOver: metric(
    'gateway_gaps_in_hand_over_total',
    'GatewayGapsInHandOver',
    'counter',
    'Count',
    'Of these: sessions that lived when they were handed over, and were refused',
  ),
  identifies: metric('identifies_total', 'Identifies', 'counter', 'Count', 'IDENTIFYs sent'),
  resumes: metric('resumes_total', 'Resumes', 'counter', 'Count', 'Sessions resumed'),
  leaseCommits: metric('lease_commits_total', 'LeaseCommits', 'counter', 'Count', 'Session records committed'),
  leaseLosses: metric('lease_losses_total', 'LeaseLosses', 'counter', 'Count', 'Leases that went to another task'),
  outboxEvents: metric('outbox_events', 'OutboxEvents', 'gauge', 'Count', 'Events not yet confirmed'),
  outboxBytes: metric('outbox_bytes', 'OutboxBytes', 'gauge', 'Bytes', 'Bytes not yet confirmed'),
  outboxUsed: metric('outbox_used_percent', 'OutboxUsed', 'gauge', 'Percent', 'Fullest of the two outbox bounds'),
  shardsAssigned: metric('shards_assigned', 'ShardsAssigned', 'gauge', 'Count', 'Shards this task holds the lease of'),
  shardsConnected: metric('shards_connected', 'ShardsConnected', 'gauge', 'Count', 'Shards with a live session'),
  shardsMissing: metric('shards_missing', 'ShardsMissing', 'gauge', 'Count', 'Shards assigned but not connected'),
  shardsConfigured: metric('shards_configured', 'ShardsConfigured', 'gauge', 'Count', 'Shards of the bot: SHARD_COUNT'),
  shardsWaiting: metric(
    'shards_waiting',
    'ShardsWaiting',
    'gauge',
    'Count',
    'Shards not connected for a reason that no release can be blamed for: no token yet, IDENTIFY not yet allowed, broker blocked',
  ),
  shardsUnderprovisioned: metric(
    'shards_underprovisioned',
    'ShardsUnderprovisioned',
    'gauge',
    'Count',
    'Shards that Discord recommends beyond SHARD_COUNT',
  ),
  gatewayLatency: metric(
    'gateway_latency_milliseconds',
    'GatewayLatency',
    'gauge',
    'Milliseconds',
    'Slowest heartbeat of the shards',
  ),
  identifiesRemaining: metric(
    'identifies_remaining',
    'IdentifiesRemaining',
    'gauge',
    'Count',
    "IDENTIFYs left of Discord's daily budget",
  ),
  brokerConnected: metric(
    'broker_connected',
    'BrokerConnected',
    'gauge',
    'Count',
    '1 while the publishing channel is open',
  ),
  brokerBlocked: metric(
    'broker_blocked',
    'BrokerBlocked',
    'gauge',
    'Count',
    '1 while the broker refuses publishers (memory or disk alarm)',
  ),
  standby: metric('standby', 'Standby', 'gauge', 'Count', '1 while this task waits for a lease'),
  heapUsed: metric('heap_used_percent', 'HeapUsed', 'gauge', 'Percent', "Heap used of V8's limit"),
  residentMemory: metric('resident_memory_bytes', 'ResidentMemory', 'gauge', 'Bytes', 'Resident set size'),
  frameToConfirm: metric(
    'frame_to_confirm_milliseconds',
    'FrameToConfirm',
    'summary',
    'Milliseconds',
    'From the gateway frame to the confirm of the broker',
  ),
  queueDepth: metric('queue_depth', 'QueueDepth', 'gauge', 'Count', 'Messages ready in a queue', 'Queue'),
} as const satisfies Record<string, Metric>;

function metric<const Kind extends Metric['kind']>(
  prometheus: string,
  cloudWatch: string,
  kind: Kind,
  unit: Metric['unit'],
  help: string,
  label?: Metric['label'],
): Metric & { readonly kind: Kind } {
  return { prometheus: `ingestor_${prometheus}`, cloudWatch, kind, unit, help, ...(label && { label }) };
}

/** CloudWatch dimension that every metric carries. */
export const ENVIRONMENT_DIMENSION = 'Environment';
export const DEFAULT_METRICS_NAMESPACE = 'DiscordIngestor';
/** How often the registry is written as embedded metric format. */
export const METRICS_PERIOD_SECONDS = 60;
