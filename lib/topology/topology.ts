// The broker's layout as one typed value: exchanges, queues, bindings, policies, users. Data only, and JSON-able. Names
// come from service/contract/. What must hold for it: rules.ts. How a broker gets there: plan.ts, apply.ts.
// Arguments of a queue can never change, so everything that may change is a policy. Everything is durable.

import { z } from 'zod';
import {
  COMMAND_TTL_MS,
  CONSUMER_DISCONNECTED_TIMEOUT_MS,
  INTERACTION_TOKEN_MS,
} from '../../service/contract/limits.ts';
import {
  commandKey,
  commandQueue,
  EXCHANGES,
  identifyQueue,
  LEASE_QUEUE_ARGUMENTS,
  leaseQueue,
  QUEUES,
  statusQueue,
  tailQueue,
  USERS,
  VHOST,
  WORKER_QUEUES,
} from '../../service/contract/names.ts';
import { BINDINGS } from '../../service/events/routing.ts';

/** An argument or a policy's value, as the management API has it. */
const VALUES = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));

export const TOPOLOGY = z.object({
  vhost: z.string(),
  /** What the queues and bindings of commands follow from. */
  shards: z.object({ count: z.number(), perTask: z.number() }),
  exchanges: z.array(z.object({ name: z.string(), type: z.enum(['topic', 'direct', 'fanout']) })),
  queues: z.array(z.object({ name: z.string(), arguments: VALUES })),
  bindings: z.array(z.object({ exchange: z.string(), queue: z.string(), routingKey: z.string() })),
  policies: z.array(
    z.object({
      name: z.string(),
      /** A regular expression, matched anywhere in a name unless anchored. */
      pattern: z.string(),
      /** Not 'quorum_queues': RabbitMQ has that from 3.12 on only. */
      applyTo: z.enum(['queues', 'exchanges']),
      /** Of those that match, the one with the highest priority applies, alone. */
      priority: z.number(),
      definition: VALUES,
    }),
  ),
  users: z.array(
    z.object({
      name: z.string(),
      /** For the management plugin: none means that the user cannot log in there. */
      tags: z.array(z.string()),
      /** Regular expressions on names of exchanges and queues, matched anywhere unless anchored; '' matches none. */
      permissions: z.object({ configure: z.string(), write: z.string(), read: z.string() }),
      /** As RabbitMQ names them. Without them the user keeps those it has. */
      limits: z.object({ 'max-connections': z.number(), 'max-channels': z.number() }).optional(),
    }),
  ),
});

export type Topology = z.output<typeof TOPOLOGY>;
export type Shards = Topology['shards'];
export type Exchange = Topology['exchanges'][number];
export type Queue = Topology['queues'][number];
export type Binding = Topology['bindings'][number];
export type Policy = Topology['policies'][number];
export type User = Topology['users'][number];
export type Permissions = User['permissions'];
export type UserLimits = NonNullable<User['limits']>;

/** What depends on the size of the broker and on how fast the workers are. */
export const DEFAULT_LIMITS = {
  /** How long an interaction waits for a worker: later it cannot be answered. A message may expire earlier (routing.ts). */
  interactionsTtlMs: INTERACTION_TOKEN_MS,
  /** Beyond it the ingestor's publishes are refused, and wait in its outbox. */
  interactionsMaxMessages: 1_000_000,
  interactionsMaxBytes: 2 * 1024 ** 3,
  /** Beyond it the oldest are dead-lettered. */
  guildEventsMaxMessages: 1_000_000,
  guildEventsMaxBytes: 4 * 1024 ** 3,
  gatewayEventsMaxMessages: 100_000,
  /** Beyond it the oldest are dead-lettered: presences and typing are most of a large bot's traffic. */
  dispatchesMaxMessages: 1_000_000,
  dispatchesMaxBytes: 2 * 1024 ** 3,
  /**
   * Deliveries that end without an acknowledgement, because the worker ends, after which a message is dead-lettered.
   * Before RabbitMQ 4.3 a nack with requeue counts as well. It is RabbitMQ 4's own default.
   */
  deliveryLimit: 20,
  /** How long dead letters and unrouted messages are kept, and how much of each: beyond it the oldest are dropped. */
  deadLettersTtlMs: 7 * 24 * 60 * 60_000,
  deadLettersMaxBytes: 1024 ** 3,
};
export type Limits = Readonly<typeof DEFAULT_LIMITS>;

/** Gets a copy of what has one of these keys. Beyond a limit its oldest are dead-lettered. */
export interface FurtherQueue {
  readonly keys: readonly string[];
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** @default - messages wait until one of the limits */
  readonly ttlMs?: number | undefined;
}

/** A user that may read these queues only. */
export interface FurtherWorker {
  readonly queues: readonly string[];
  /** Whether it may also publish commands. */
  readonly commands: boolean;
}

export interface DiscordTopologyOptions {
  /** @default VHOST of service/contract/ */
  readonly vhost?: string;
  /** A task runs a group of them, which has a lease queue and a queue for commands. @default - one shard */
  readonly shards?: Shards;
  readonly limits?: Partial<Limits>;
  /** By name, in addition to the product's. What they may be: further-queues.ts. @default - none */
  readonly queues?: Readonly<Record<string, FurtherQueue>>;
  /** By user's name. @default - only the product's */
  readonly workers?: Readonly<Record<string, FurtherWorker>>;
  /** Users belong to the broker, not to a vhost: several topologies on one broker need several names. */
  readonly userNames?: Partial<Readonly<Record<keyof typeof USERS, string>>>;
  /** Connections that one node of the broker allows: the limits of the users follow. @default - no limits are set */
  readonly connectionLimit?: number;
  /** Tasks of the ingestor, standbys included. @default - one standby */
  readonly tasks?: number;
}

/** The product's layout. */
export function discordTopology(options: DiscordTopologyOptions = {}): Topology {
  const { vhost = VHOST, shards = ONE_SHARD, queues = {}, workers = {} } = options;
  const userNames = { ...USERS, ...options.userNames };
  const userLimits = userLimitsOf(shards, options);
  const leases = Array.from({ length: groupsOf(shards) }, (_, group) => leaseQueue(group));
  const commands = commandTopology(shards);
  const named = new Set(Object.values(workers).flatMap(({ queues }) => queues));
  const permissions = permissionsFor(Object.keys(queues).filter((name) => !named.has(name)));
  return {
    vhost,
    shards: { count: shards.count, perTask: shards.perTask },
    exchanges: [
      { name: EXCHANGES.events, type: 'topic' },
      { name: EXCHANGES.unrouted, type: 'fanout' },
      { name: EXCHANGES.deadLetter, type: 'direct' },
      { name: EXCHANGES.leases, type: 'direct' },
      { name: EXCHANGES.commands, type: 'direct' },
      { name: EXCHANGES.status, type: 'direct' },
    ],
    queues: [
      ...[...Object.values(QUEUES), ...Object.keys(queues)].map((name) => ({ name, arguments: QUORUM })),
      ...leases.map((name) => ({ name, arguments: LEASE_QUEUE_ARGUMENTS })),
      ...commands.queues,
    ],
    bindings: [
      ...[...BINDINGS].map(([word, queue]) => ({ exchange: EXCHANGES.events, queue, routingKey: `${word}.#` })),
      { exchange: EXCHANGES.deadLetter, queue: QUEUES.deadLetters, routingKey: QUEUES.deadLetters },
      { exchange: EXCHANGES.unrouted, queue: QUEUES.unrouted, routingKey: '' },
      ...Object.entries(queues).flatMap(([queue, { keys }]) =>
        [...new Set(keys)].map((routingKey) => ({ exchange: EXCHANGES.events, queue, routingKey })),
      ),
      // Not the default exchange: who may write there may write to every queue.
      ...leases.map((queue) => ({ exchange: EXCHANGES.leases, queue, routingKey: queue })),
      ...commands.bindings,
    ],
    policies: policies({ ...DEFAULT_LIMITS, ...options.limits }, queues),
    users: [
      ...PARTS.map((part) => ({ name: userNames[part], part, permissions: permissions[part] })),
      ...Object.entries(workers).map(([name, worker]) => ({
        name,
        part: 'worker' as const,
        permissions: readerOf(worker),
      })),
    ].map(({ name, part, permissions }) => ({
      ...{ name, tags: [], permissions },
      ...(userLimits && { limits: userLimits[part] }),
    })),
  };
}

const QUORUM = { 'x-queue-type': 'quorum' };
const ONE_SHARD: Shards = { count: 1, perTask: 1 };

/** Each runs in one task. */
export function groupsOf({ count, perTask }: Shards): number {
  return Math.ceil(count / perTask);
}

/**
 * The way of commands to the task of a shard: thousands of bindings, as each shard has one. What is published to a shard
 * that there is not goes to the alternate exchange.
 */
export function commandTopology(shards: Shards): Pick<Topology, 'queues' | 'bindings'> {
  const groups = Array.from({ length: groupsOf(shards) }, (_, group) => group);
  return {
    queues: groups.map((group) => ({ name: commandQueue(group), arguments: QUORUM })),
    bindings: groups.flatMap((group) => {
      const first = group * shards.perTask;
      const ids = Array.from({ length: Math.min(shards.perTask, shards.count - first) }, (_, index) => first + index);
      const [exchange, queue] = [EXCHANGES.commands, commandQueue(group)];
      return (['all', ...ids] as const).map((shard) => ({ exchange, queue, routingKey: commandKey(shard) }));
    }),
  };
}

/** Whether a queue of this name holds a group record, of this shard layout or of another one. */
export const isLeaseQueue = (name: string): boolean => LEASE_QUEUES.test(name);

/** Whether a queue of this name takes the commands of a group, of this shard layout or of another one. */
export const isCommandQueue = (name: string): boolean => COMMAND_QUEUES.test(name);

export function isCommandBinding({ exchange, queue, routingKey }: Binding): boolean {
  return exchange === EXCHANGES.commands && isCommandQueue(queue) && COMMAND_KEYS.test(routingKey);
}

/** The shard group of a lease queue. */
export function groupOf(queue: string): number {
  return Number(queue.slice(queue.lastIndexOf('.') + 1));
}

type Part = keyof typeof USERS;
const PARTS = ['ingestor', 'worker', 'deadLetters'] as const satisfies readonly Part[];

/** A number as it stands in a name: four digits at most, none of them leading zeros. */
const NUMBER = '(0|[1-9][0-9]{0,3})';

function numbered(nameOf: (number: number) => string): string {
  return `${literal(nameOf(0)).slice(0, -1)}${NUMBER}`;
}

const LEASE_QUEUES = new RegExp(`^${numbered(leaseQueue)}$`);
const COMMAND_QUEUES = new RegExp(`^${numbered(commandQueue)}$`);
/** Part of a pattern. */
const TAIL_QUEUES = `${literal(tailQueue(''))}[0-9a-f]{12}`;
const COMMAND_KEYS = new RegExp(`^(${literal(commandKey('all'))}|${numbered(commandKey)})$`);

/** Whatever a task is called. */
const STATUS_QUEUES = `${literal(statusQueue(''))}[\\w.-]+`;

/**
 * The least that each user needs:
 * - ingestor: publishes events; declares, binds, reads and writes its lease queues and the queue of its status; holds the
 *   identify queues, for which configure is enough; consumes commands, and publishes those that it refuses as dead letters.
 *   It reads the depth of the queues, for which RabbitMQ 4.3 requires some permission: with write it can neither consume nor
 *   purge. (It can bind them to the exchange of leases, which no pattern distinguishes from binding its own.)
 * - worker: consumes events, also from further queues that no further worker names, and publishes commands. `read` also
 *   allows to purge: RabbitMQ has no separate permission.
 * - deadLetters: an operator's. Reads dead letters, and publishes them again; declares its own queues for live events.
 */
const WRITTEN_BY_INGESTOR = [
  ...[EXCHANGES.leases, EXCHANGES.status, EXCHANGES.events, EXCHANGES.deadLetter],
  ...Object.values(QUEUES),
];
const permissionsFor = (unnamed: readonly string[]): Readonly<Record<Part, Permissions>> => ({
  ingestor: {
    configure: `^(${numbered(leaseQueue)}|${numbered(identifyQueue)}|${STATUS_QUEUES})$`,
    write: `^(${[numbered(leaseQueue), STATUS_QUEUES, ...WRITTEN_BY_INGESTOR.map(literal)].join('|')})$`,
    read: `^(${numbered(leaseQueue)}|${numbered(commandQueue)}|${STATUS_QUEUES}|${literal(EXCHANGES.leases)}|${literal(EXCHANGES.status)})$`,
  },
  worker: {
    configure: '',
    write: exactly(EXCHANGES.commands),
    read: exactly(...Object.values(WORKER_QUEUES), ...unnamed),
  },
  deadLetters: {
    configure: `^${TAIL_QUEUES}$`,
    write: `^(${literal(EXCHANGES.events)}|${TAIL_QUEUES})$`,
    read: `^(${[QUEUES.deadLetters, EXCHANGES.events].map(literal).join('|')}|${TAIL_QUEUES})$`,
  },
});

function readerOf({ queues, commands }: FurtherWorker): Permissions {
  return { configure: '', write: commands ? exactly(EXCHANGES.commands) : '', read: exactly(...new Set(queues)) };
}

/**
 * Leave room for the ingestor: what all others may open together, each as both users of its pair, is the broker's limit
 * less what the ingestor's tasks need. It is the limit of one node, because all may connect to the same one.
 */
function userLimitsOf(
  shards: Shards,
  { connectionLimit, tasks, workers = {} }: DiscordTopologyOptions,
): Record<Part, UserLimits> | undefined {
  if (connectionLimit === undefined) return undefined;
  const shardGroups = groupsOf(shards);
  // During a deployment two versions run, and the broker notices a lost host only by its heartbeat. There is room for each
  // owner's connection for the identify lock.
  const running = Math.max(3 * (tasks ?? shardGroups + 1), 10);
  const ingestor = running * CONNECTIONS_OF_A_TASK;
  const forWorkers = connectionLimit - ingestor - 2 * DEAD_LETTERS_CONNECTIONS - ADMINISTRATORS_CONNECTIONS;
  const workerUsers = 1 + Object.keys(workers).length;
  return {
    ingestor: {
      'max-connections': ingestor,
      'max-channels': running * (CHANNELS_OF_A_TASK + Math.ceil(shardGroups / CONSUMERS_PER_CHANNEL)),
    },
    worker: limited(Math.floor(forWorkers / (2 * workerUsers))),
    deadLetters: limited(DEAD_LETTERS_CONNECTIONS),
  };
}

const limited = (connections: number): UserLimits => ({
  'max-connections': connections,
  'max-channels': connections * CHANNELS_PER_CONNECTION,
});

/**
 * One that publishes, one for the lease, and one for commands. A fourth, for the identify lock, is open while an owner's
 * shards IDENTIFY: not those of a deployment's new tasks, which resume sessions.
 */
export const CONNECTIONS_OF_A_TASK = 3;
/** For the events of each queue, depths, claims and records, commands, the status, and for identify queues that wait. */
const CHANNELS_OF_A_TASK = 16;
/** Amazon MQ's default on RabbitMQ 4: more lease queues need more channels. */
const CONSUMERS_PER_CHANNEL = 10;
/** For a person with a tool. */
const DEAD_LETTERS_CONNECTIONS = 5;
/** For the tests of rotated logins, and for the administrator. */
const ADMINISTRATORS_CONNECTIONS = 10;
/** The least of Amazon MQ's own ratios between the two limits: 300 channels, 100 connections. */
const CHANNELS_PER_CONNECTION = 3;

/** Each policy is complete, because of several that match only one applies. */
function policies(limits: Limits, queues: Readonly<Record<string, FurtherQueue>>): Policy[] {
  const deadLettered = {
    'dead-letter-exchange': EXCHANGES.deadLetter,
    // The original key and queue are in the header x-death.
    'dead-letter-routing-key': QUEUES.deadLetters,
  };
  // A message stays in its queue until the dead-letter queue confirms it. RabbitMQ does that only with reject-publish.
  const confirmed = { ...deadLettered, 'dead-letter-strategy': 'at-least-once', overflow: 'reject-publish' };
  // A refused publish would hold up the interactions behind it, so the oldest messages are dead-lettered instead.
  const dropping = { ...deadLettered, 'dead-letter-strategy': 'at-most-once', overflow: 'drop-head' };
  const disconnected = { 'consumer-disconnected-timeout': CONSUMER_DISCONNECTED_TIMEOUT_MS };
  const policy = (name: string, pattern: string, definition: Policy['definition']): Policy => ({
    ...{ name, pattern, applyTo: 'queues', priority: PRIORITY, definition },
  });
  const ofEvents = (name: string, { ttlMs, maxMessages, maxBytes }: Omit<Partial<FurtherQueue>, 'keys'>) =>
    policy(name, exactly(name), {
      ...dropping,
      ...(ttlMs !== undefined && { 'message-ttl': ttlMs }),
      ...(maxMessages !== undefined && { 'max-length': maxMessages }),
      ...(maxBytes !== undefined && { 'max-length-bytes': maxBytes }),
      'delivery-limit': limits.deliveryLimit,
    });
  return [
    policy(QUEUES.interactions, exactly(QUEUES.interactions), {
      ...{ ...confirmed, ...disconnected },
      'message-ttl': limits.interactionsTtlMs,
      // A worker that holds one for longer cannot answer it any more. It is hung, and no consumer from then on.
      'consumer-timeout': INTERACTION_TOKEN_MS,
      'max-length': limits.interactionsMaxMessages,
      'max-length-bytes': limits.interactionsMaxBytes,
      'delivery-limit': limits.deliveryLimit,
    }),
    // With RabbitMQ's own disconnected timeout, 60 s: a cut that heals gives no unanswered event to a second worker.
    ofEvents(QUEUES.guildEvents, { maxMessages: limits.guildEventsMaxMessages, maxBytes: limits.guildEventsMaxBytes }),
    ofEvents(QUEUES.gatewayEvents, { maxMessages: limits.gatewayEventsMaxMessages }),
    ofEvents(QUEUES.dispatches, { maxMessages: limits.dispatchesMaxMessages, maxBytes: limits.dispatchesMaxBytes }),
    ...Object.entries(queues).map(([name, queue]) => ofEvents(name, queue)),
    // Brokers already have it under this name.
    policy('set-aside', exactly(QUEUES.deadLetters, QUEUES.unrouted), {
      'message-ttl': limits.deadLettersTtlMs,
      'max-length-bytes': limits.deadLettersMaxBytes,
      overflow: 'drop-head',
      'delivery-limit': -1,
    }),
    // A group record is redelivered at every hand-over, without an end. Not the identify queues: those are classic.
    policy('leases', `^${numbered(leaseQueue)}$`, {
      ...{ ...confirmed, ...disconnected },
      'delivery-limit': -1,
      'consumer-timeout': LEASE_CONSUMER_TIMEOUT_MS,
    }),
    // A task that cannot send them in time has too many; what is older than its latest orders matters least.
    policy('commands', `^${numbered(commandQueue)}$`, {
      ...{ ...dropping, ...disconnected },
      'message-ttl': COMMAND_TTL_MS,
      'max-length': COMMANDS_MAX_MESSAGES,
      'max-length-bytes': COMMANDS_MAX_BYTES,
      'delivery-limit': limits.deliveryLimit,
    }),
    // Whoever has the operator's login may declare others than bin/tail.ts does, and leave them. No delivery limit: RabbitMQ
    // leaves out a policy with a key that a classic queue has not. (Nor does a stream take this one.)
    policy('tail', `^${TAIL_QUEUES}$`, {
      ...{ expires: TAIL_EXPIRES_MS, 'max-length': TAIL_MAX_MESSAGES, 'max-length-bytes': TAIL_MAX_BYTES },
      overflow: 'drop-head',
    }),
    ...[EXCHANGES.events, EXCHANGES.commands].map(
      (exchange): Policy => ({
        ...policy(exchange, exactly(exchange), { 'alternate-exchange': EXCHANGES.unrouted }),
        applyTo: 'exchanges',
      }),
    ),
  ];
}

/**
 * How long a record may stay unacknowledged: a week, beyond any alarm. While an alarm blocks publishers an owner cannot
 * store a record, so it acknowledges none, and no lease may change hands: after its own 30 minutes RabbitMQ would take the
 * records from all owners. It has no value for "never": after 0 it takes a record back at once. The policy goes before the
 * broker's `consumer_timeout`; from RabbitMQ 4.3 on it is in force for consumers that begin after it is set, before for all.
 * https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout
 */
const LEASE_CONSUMER_TIMEOUT_MS = 7 * 24 * 60 * 60_000;

/** Of a group: 256 shards send 15,360 in their 30 s, at Discord's 120 in 60 s each; one has 4 KiB at most at Discord. */
const COMMANDS_MAX_MESSAGES = 20_000;
const COMMANDS_MAX_BYTES = 64 * 1024 ** 2;

/** Of an operator's live events: what a slow terminal may miss, and how long a queue stays without a consumer. */
const TAIL_EXPIRES_MS = 60_000;
const TAIL_MAX_MESSAGES = 1_000;
const TAIL_MAX_BYTES = 16 * 1024 ** 2;

/** Above Amazon MQ's own policies, which have 0 and 1, with room for others on both sides. */
const PRIORITY = 10;

function exactly(...names: readonly string[]): string {
  const literals = names.map(literal).join('|');
  return names.length === 1 ? `^${literals}$` : `^(${literals})$`;
}

/** A text as a regular expression that matches just this text. */
function literal(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
