// The names that the deployer (lib/), the deployed (service/) and the tests must agree on.
// Nothing in contract/ imports anything else, so that each of them can import it.

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
  events: 'EVENTS',
  forwardMessageContent: 'FORWARD_MESSAGE_CONTENT',
  forwardBotMessages: 'FORWARD_BOT_MESSAGES',
  forwardDirectMessages: 'FORWARD_DIRECT_MESSAGES',
  gatewayIntents: 'GATEWAY_INTENTS',
  initialPresence: 'INITIAL_PRESENCE',
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
  nodeTlsRejectUnauthorized: 'NODE_TLS_REJECT_UNAUTHORIZED',
} as const;

/** HTTP paths of the service. */
export const PATHS = { root: '/', health: '/health', live: '/live', metrics: '/metrics', events: '/events' } as const;

export const VHOST = 'discord';

export const EXCHANGES = {
  events: 'discord.events',
  unrouted: 'discord.unrouted',
  deadLetter: 'discord.dlx',
  /** Where workers publish commands, which are sent over a gateway connection. */
  commands: 'discord.commands',
  leases: 'ingestor.leases',
  /** Where tasks report to each other, for the status page. */
  status: 'ingestor.status',
} as const;

/** Queues that workers read. */
export const WORKER_QUEUES = {
  interactions: 'interactions',
  guildEvents: 'events.guild',
  gatewayEvents: 'events.gateway',
  /** Every dispatch without a routing key of its own. */
  dispatches: 'events.dispatch',
} as const;

export type WorkerQueue = (typeof WORKER_QUEUES)[keyof typeof WORKER_QUEUES];

export const QUEUES = {
  ...WORKER_QUEUES,
  deadLetters: 'dead-letters',
  unrouted: 'unrouted',
} as const;

/** Names of the ingestor's own queues begin with it. Its permissions: lib/topology/topology.ts. */
const INGESTOR_PREFIX = 'ingestor.';
/** The queue whose one unacknowledged message, the group record, is the lease of a shard group. */
export const leaseQueue = (group: number): string => `${INGESTOR_PREFIX}lease.${group}`;
/** Immutable, so the topology and the service must declare the same. Everything else of these queues is policy. */
export const LEASE_QUEUE_ARGUMENTS = { 'x-queue-type': 'quorum', 'x-single-active-consumer': true } as const;
/** The commands for the shards of a group. */
export const commandQueue = (group: number): string => `${INGESTOR_PREFIX}commands.${group}`;
/** Routing key of a command: to the shard of this id, or to each. */
export const commandKey = (shard: number | 'all'): string => `shard.${shard}`;
/** The exclusive queue that is the identify lock of this rate-limit bucket. */
export const identifyQueue = (bucket: number): string => `${INGESTOR_PREFIX}identify.${bucket}`;
/** The exclusive queue of a task for the reports of all tasks. */
export const statusQueue = (task: string): string => `${INGESTOR_PREFIX}status.${task}`;

/** The exclusive queue of an operator who looks at live events. @param id 12 hexadecimal digits */
export const tailQueue = (id: string): string => `tail.${id}`;

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
  /** Of a message in parts: the id of the parts together, the number of this one from 1 on, and how many there are. */
  whole: 'x-whole',
  part: 'x-part',
  parts: 'x-parts',
  /** Of a dead letter: why the ingestor did not send this command. */
  refused: 'x-refused',
  /** Of such a dead letter: the routing key that the command had. */
  refusedKey: 'x-refused-key',
  /** Of an event that was published again from the dead letters: the time of that run. */
  replayed: 'x-replayed',
} as const;
