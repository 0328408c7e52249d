// The broker's layout as one typed value: exchanges, queues, bindings, policies, users. Data only, and JSON-able. Names
// come from service/contract/. What must hold for it: rules.ts. How a broker gets there: plan.ts, apply.ts.
// Arguments of a queue can never change, so everything that may change is a policy. Everything is durable.

import { z } from 'zod';
import { CONSUMER_DISCONNECTED_TIMEOUT_MS, INTERACTION_TOKEN_MS } from '../../service/contract/limits.ts';
import {
  EXCHANGES,
  identifyQueue,
  LEASE_QUEUE_ARGUMENTS,
  leaseQueue,
  QUEUES,
  USERS,
  VHOST,
  WORKER_QUEUES,
} from '../../service/contract/names.ts';
import { BINDINGS } from '../../service/events/routing.ts';

/** An argument or a policy's value, as the management API has it. */
const VALUES = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));

export const TOPOLOGY = z.object({
  vhost: z.string(),
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

export interface DiscordTopologyOptions {
  /** @default VHOST of service/contract/ */
  readonly vhost?: string;
  /** One lease queue for each. @default 1 */
  readonly shardGroups?: number;
  readonly limits?: Partial<Limits>;
  /** Users belong to the whole broker, not to a vhost: several topologies on one broker need several names. */
  readonly userNames?: Partial<Readonly<Record<keyof typeof USERS, string>>>;
  /** Connections that one node of the broker allows: the limits of the users follow. @default - no limits are set */
  readonly connectionLimit?: number;
  /** Tasks of the ingestor, standbys included. @default - one standby */
  readonly tasks?: number;
}

/** The product's layout. */
export function discordTopology(options: DiscordTopologyOptions = {}): Topology {
  const { vhost = VHOST, shardGroups = 1, connectionLimit, tasks = shardGroups + 1 } = options;
  const userNames = { ...USERS, ...options.userNames };
  const limits: Limits = { ...DEFAULT_LIMITS, ...options.limits };
  const limitsOf = connectionLimit === undefined ? undefined : userLimits(connectionLimit, tasks, shardGroups);
  const leases = Array.from({ length: shardGroups }, (_, group) => leaseQueue(group));
  return {
    vhost,
    exchanges: [
      { name: EXCHANGES.events, type: 'topic' },
      { name: EXCHANGES.unrouted, type: 'fanout' },
      { name: EXCHANGES.deadLetter, type: 'direct' },
      { name: EXCHANGES.leases, type: 'direct' },
    ],
    queues: [
      ...Object.values(QUEUES).map((name) => ({ name, arguments: { 'x-queue-type': 'quorum' } })),
      ...leases.map((name) => ({ name, arguments: LEASE_QUEUE_ARGUMENTS })),
    ],
    bindings: [
      ...[...BINDINGS].map(([word, queue]) => ({ exchange: EXCHANGES.events, queue, routingKey: `${word}.#` })),
      { exchange: EXCHANGES.deadLetter, queue: QUEUES.deadLetters, routingKey: QUEUES.deadLetters },
      { exchange: EXCHANGES.unrouted, queue: QUEUES.unrouted, routingKey: '' },
      // Not the default exchange: who may write there may write to every queue.
      ...leases.map((queue) => ({ exchange: EXCHANGES.leases, queue, routingKey: queue })),
    ],
    policies: policies(limits),
    users: PARTS.map((part) => ({
      name: userNames[part],
      tags: [],
      permissions: PERMISSIONS[part],
      ...(limitsOf && { limits: limitsOf[part] }),
    })),
  };
}

/** Whether a queue of this name holds a group record, of this shard layout or of another one. */
export function isLeaseQueue(name: string): boolean {
  return new RegExp(`^${numbered(leaseQueue)}$`).test(name);
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

/**
 * By part of the product, the least that it needs:
 * - ingestor: publishes events; declares, binds, reads and publishes to the lease queues; holds the identify queues,
 *   for which configure is enough; reads the depth of the queues, for which RabbitMQ 4.3 requires some permission: write
 *   is the least, as it can neither consume nor purge. (It can bind them to the exchange of leases, which no pattern
 *   distinguishes from binding its own.)
 * - worker: consumes events. `read` also allows to purge: RabbitMQ has no permission of its own for that.
 * - deadLetters: reads dead letters, and publishes them again.
 */
const PERMISSIONS: Readonly<Record<Part, Permissions>> = {
  ingestor: {
    configure: `^(${numbered(leaseQueue)}|${numbered(identifyQueue)})$`,
    write: `^(${[numbered(leaseQueue), ...[EXCHANGES.leases, EXCHANGES.events, ...Object.values(QUEUES)].map(literal)].join('|')})$`,
    read: `^(${numbered(leaseQueue)}|${literal(EXCHANGES.leases)})$`,
  },
  worker: { configure: '', write: '', read: exactly(...Object.values(WORKER_QUEUES)) },
  deadLetters: { configure: '', write: exactly(EXCHANGES.events), read: exactly(QUEUES.deadLetters) },
};

/**
 * Leave room for the ingestor: what all others may open together, each as both users of its pair, is the broker's limit
 * less what the ingestor's tasks need. It is the limit of one node, because all may connect to the same one.
 */
function userLimits(connectionLimit: number, tasks: number, shardGroups: number): Readonly<Record<Part, UserLimits>> {
  // During a deployment two versions run, and the broker notices a lost host only by its heartbeat. There is room for each
  // owner's connection for the identify lock.
  const running = Math.max(3 * tasks, 10);
  const ingestor = running * CONNECTIONS_OF_A_TASK;
  const forWorkers = connectionLimit - ingestor - 2 * DEAD_LETTERS_CONNECTIONS - ADMINISTRATORS_CONNECTIONS;
  const worker = Math.floor(forWorkers / 2);
  return {
    ingestor: {
      'max-connections': ingestor,
      'max-channels': running * (CHANNELS_OF_A_TASK + Math.ceil(shardGroups / CONSUMERS_PER_CHANNEL)),
    },
    worker: limited(worker),
    deadLetters: limited(DEAD_LETTERS_CONNECTIONS),
  };
}

const limited = (connections: number): UserLimits => ({
  'max-connections': connections,
  'max-channels': connections * CHANNELS_PER_CONNECTION,
});

/**
 * One that publishes, and one for the lease. A third, for the identify lock, is open while an owner's shards IDENTIFY: not
 * those of a deployment's new tasks, which resume sessions.
 */
export const CONNECTIONS_OF_A_TASK = 2;
/** For the events of each queue, depths, claims and records, and for identify queues that wait. */
const CHANNELS_OF_A_TASK = 12;
/** Amazon MQ's default on RabbitMQ 4: more lease queues need more channels. */
const CONSUMERS_PER_CHANNEL = 10;
/** For a person with a tool. */
const DEAD_LETTERS_CONNECTIONS = 5;
/** For the tests of rotated logins, and for the administrator. */
const ADMINISTRATORS_CONNECTIONS = 10;
/** The least of Amazon MQ's own ratios between the two limits: 300 channels, 100 connections. */
const CHANNELS_PER_CONNECTION = 3;

/** Each policy is complete, because of several that match only one applies. */
function policies(limits: Limits): Policy[] {
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
  return [
    policy(QUEUES.interactions, exactly(QUEUES.interactions), {
      ...{ ...confirmed, ...disconnected },
      'message-ttl': limits.interactionsTtlMs,
      'max-length': limits.interactionsMaxMessages,
      'max-length-bytes': limits.interactionsMaxBytes,
      'delivery-limit': limits.deliveryLimit,
    }),
    // With RabbitMQ's own disconnected timeout, 60 s: a cut that heals gives no unanswered event to a second worker.
    policy(QUEUES.guildEvents, exactly(QUEUES.guildEvents), {
      ...dropping,
      'max-length': limits.guildEventsMaxMessages,
      'max-length-bytes': limits.guildEventsMaxBytes,
      'delivery-limit': limits.deliveryLimit,
    }),
    policy(QUEUES.gatewayEvents, exactly(QUEUES.gatewayEvents), {
      ...dropping,
      'max-length': limits.gatewayEventsMaxMessages,
      'delivery-limit': limits.deliveryLimit,
    }),
    policy(QUEUES.dispatches, exactly(QUEUES.dispatches), {
      ...dropping,
      'max-length': limits.dispatchesMaxMessages,
      'max-length-bytes': limits.dispatchesMaxBytes,
      'delivery-limit': limits.deliveryLimit,
    }),
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
    {
      ...policy(EXCHANGES.events, exactly(EXCHANGES.events), { 'alternate-exchange': EXCHANGES.unrouted }),
      applyTo: 'exchanges',
    },
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
