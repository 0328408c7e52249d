// The broker's layout as one typed value: exchanges, queues, bindings, policies, users. Data only, and JSON-able. Names
// come from service/contract/. What is sound about it: rules.ts. How a broker gets there: plan.ts, apply.ts.
// Arguments of a queue can never change, so all that may change is policy, and everything is durable.

import {
  EXCHANGES,
  identifyQueue,
  LEASE_QUEUE_ARGUMENTS,
  leaseQueue,
  QUEUES,
  USERS,
  VHOST,
} from '../../service/contract/names.ts';

export interface Topology {
  readonly vhost: string;
  readonly exchanges: readonly Exchange[];
  readonly queues: readonly Queue[];
  readonly bindings: readonly Binding[];
  readonly policies: readonly Policy[];
  readonly users: readonly User[];
}

/** An argument or a policy's value, as the management API has it. */
export type Value = string | number | boolean;

/** Durable. */
export interface Exchange {
  readonly name: string;
  readonly type: 'topic' | 'direct' | 'fanout';
}

/** Durable. */
export interface Queue {
  readonly name: string;
  readonly arguments: Readonly<Record<string, Value>>;
}

export interface Binding {
  readonly exchange: string;
  readonly queue: string;
  readonly routingKey: string;
}

export interface Policy {
  readonly name: string;
  /** A regular expression, matched anywhere in a name unless anchored. */
  readonly pattern: string;
  /** Not 'quorum_queues': RabbitMQ has that from 3.12 on only. The pattern tells queues apart. */
  readonly applyTo: 'queues' | 'exchanges';
  /** The highest one that matches applies, alone. */
  readonly priority: number;
  readonly definition: Readonly<Record<string, Value>>;
}

export interface User {
  readonly name: string;
  /** For the management plugin: none means that the user cannot log in there. */
  readonly tags: readonly string[];
  /** Regular expressions on names of exchanges and queues, matched anywhere unless anchored; '' matches none. */
  readonly permissions: Permissions;
  /** In the words of RabbitMQ's user limits. @default - whatever limits the user has */
  readonly limits?: UserLimits;
}

export interface UserLimits {
  readonly 'max-connections': number;
  readonly 'max-channels': number;
}

export interface Permissions {
  readonly configure: string;
  readonly write: string;
  readonly read: string;
}

/** What a deployer may set to the size of the broker and the patience of the workers. */
export interface Limits {
  /** How long an interaction waits for a worker. Its token lives for 15 minutes, so later it cannot be answered. */
  readonly interactionsTtlMs: number;
  /** Beyond it the ingestor's publishes are refused, and wait in its outbox. */
  readonly interactionsMaxMessages: number;
  readonly interactionsMaxBytes: number;
  /** Beyond it the oldest go. */
  readonly guildEventsMaxMessages: number;
  readonly guildEventsMaxBytes: number;
  readonly gatewayEventsMaxMessages: number;
  /**
   * Deliveries that end without an answer, as a worker dies of them, after which a message is set aside into the dead
   * letters. Before RabbitMQ 4.3 a nack with requeue counts as well.
   */
  readonly deliveryLimit: number;
  /** How long dead letters and unrouted messages are kept, and how much of each: beyond it the oldest go. */
  readonly setAsideTtlMs: number;
  readonly setAsideMaxBytes: number;
}

export const DEFAULT_LIMITS: Limits = {
  interactionsTtlMs: 15 * 60_000,
  interactionsMaxMessages: 1_000_000,
  interactionsMaxBytes: 2 * 1024 ** 3,
  guildEventsMaxMessages: 1_000_000,
  guildEventsMaxBytes: 4 * 1024 ** 3,
  gatewayEventsMaxMessages: 100_000,
  // RabbitMQ 4's own default, said here because there it would drop what it limits.
  deliveryLimit: 20,
  setAsideTtlMs: 7 * 24 * 60 * 60_000,
  setAsideMaxBytes: 1024 ** 3,
};

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
      { exchange: EXCHANGES.events, queue: QUEUES.interactions, routingKey: 'interaction.#' },
      { exchange: EXCHANGES.events, queue: QUEUES.guildEvents, routingKey: 'member.#' },
      { exchange: EXCHANGES.events, queue: QUEUES.guildEvents, routingKey: 'guild.#' },
      { exchange: EXCHANGES.events, queue: QUEUES.guildEvents, routingKey: 'message.#' },
      { exchange: EXCHANGES.events, queue: QUEUES.gatewayEvents, routingKey: 'gateway.#' },
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

/** Whether a queue of this name holds the record of a shard group, of this division of the shards or of another. */
export function isLeaseQueue(name: string): boolean {
  return new RegExp(`^${numbered(leaseQueue)}$`).test(name);
}

type Part = keyof typeof USERS;
const PARTS = ['ingestor', 'worker', 'deadLetters'] as const satisfies readonly Part[];

/** A number as it stands in a name: four digits at most, none of them leading zeros. */
const NUMBER = '(0|[1-9][0-9]{0,3})';

function numbered(nameOf: (number: number) => string): string {
  return `${literal(nameOf(0)).slice(0, -1)}${NUMBER}`;
}

/**
 * By part of the product, no more than it does:
 * - ingestor: publishes events; declares, binds, reads and publishes to the lease queues; holds the identify queues,
 *   for which configure is enough; asks for the depth of the queues, for which RabbitMQ 4.3 wants some permission: write
 *   is the least, as it can neither consume nor purge. (It can bind them to the exchange of leases, which no pattern tells
 *   from binding its own.)
 * - worker: consumes events. `read` is also the right to purge: RabbitMQ does not tell the two apart.
 * - deadLetters: reads what was set aside, and publishes it again.
 */
const PERMISSIONS: Readonly<Record<Part, Permissions>> = {
  ingestor: {
    configure: `^(${numbered(leaseQueue)}|${numbered(identifyQueue)})$`,
    write: `^(${[numbered(leaseQueue), ...[EXCHANGES.leases, EXCHANGES.events, ...Object.values(QUEUES)].map(literal)].join('|')})$`,
    read: `^(${numbered(leaseQueue)}|${literal(EXCHANGES.leases)})$`,
  },
  worker: { configure: '', write: '', read: exactly(QUEUES.interactions, QUEUES.guildEvents, QUEUES.gatewayEvents) },
  deadLetters: { configure: '', write: exactly(EXCHANGES.events), read: exactly(QUEUES.deadLetters) },
};

/**
 * So that the ingestor always finds room: what all others may open together, each as both users of its pair, is the
 * broker's limit less what the ingestor's tasks need. It is the limit of one node, because all may meet at one.
 */
function userLimits(connectionLimit: number, tasks: number, shardGroups: number): Readonly<Record<Part, UserLimits>> {
  // While one version replaces another, both run; and the broker notices the end of a lost host only by its heartbeat.
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

/** One that publishes, and one for the lease (service/main.ts). */
export const CONNECTIONS_OF_A_TASK = 2;
/** For events, depths, claims and records, and for the IDENTIFYs that wait. */
const CHANNELS_OF_A_TASK = 10;
/** Amazon MQ's default on RabbitMQ 4: more lease queues need more channels. */
const CONSUMERS_PER_CHANNEL = 10;
/** A person with a tool, now and then. */
const DEAD_LETTERS_CONNECTIONS = 5;
/** For the tests of rotated logins, and for whoever looks after the broker. */
const ADMINISTRATORS_CONNECTIONS = 10;
/** The least of Amazon MQ's own ratios between the two limits: 300 channels, 100 connections. */
const CHANNELS_PER_CONNECTION = 3;

/** Each restates what RabbitMQ would fill in otherwise: of several policies that match, one applies, alone. */
function policies(limits: Limits): Policy[] {
  const deadLettered = {
    'dead-letter-exchange': EXCHANGES.deadLetter,
    // The original key and queue are in the header x-death.
    'dead-letter-routing-key': QUEUES.deadLetters,
  };
  // A message stays in its queue until the dead letters have it. RabbitMQ does that only where nothing is dropped.
  const surely = { ...deadLettered, 'dead-letter-strategy': 'at-least-once', overflow: 'reject-publish' };
  // Refusing a publish here would hold up the interactions behind it, so the oldest go: into the dead letters.
  const dropping = { ...deadLettered, 'dead-letter-strategy': 'at-most-once', overflow: 'drop-head' };
  const setAside = {
    'message-ttl': limits.setAsideTtlMs,
    'max-length-bytes': limits.setAsideMaxBytes,
    overflow: 'drop-head',
    // There is nowhere further to set it aside to.
    'delivery-limit': -1,
  };
  const queues = (name: string, pattern: string, definition: Policy['definition']): Policy => ({
    name,
    pattern,
    applyTo: 'queues',
    priority: PRIORITY,
    definition,
  });
  return [
    queues(QUEUES.interactions, exactly(QUEUES.interactions), {
      ...surely,
      'message-ttl': limits.interactionsTtlMs,
      'max-length': limits.interactionsMaxMessages,
      'max-length-bytes': limits.interactionsMaxBytes,
      'delivery-limit': limits.deliveryLimit,
    }),
    queues(QUEUES.guildEvents, exactly(QUEUES.guildEvents), {
      ...dropping,
      'max-length': limits.guildEventsMaxMessages,
      'max-length-bytes': limits.guildEventsMaxBytes,
      'delivery-limit': limits.deliveryLimit,
    }),
    queues(QUEUES.gatewayEvents, exactly(QUEUES.gatewayEvents), {
      ...dropping,
      'max-length': limits.gatewayEventsMaxMessages,
      'delivery-limit': limits.deliveryLimit,
    }),
    queues('set-aside', exactly(QUEUES.deadLetters, QUEUES.unrouted), setAside),
    // A session record is redelivered at every hand-over, indefinitely. Not the identify queues: those are classic.
    queues('leases', `^${numbered(leaseQueue)}$`, { ...surely, 'delivery-limit': -1 }),
    {
      name: EXCHANGES.events,
      pattern: exactly(EXCHANGES.events),
      applyTo: 'exchanges',
      priority: PRIORITY,
      definition: { 'alternate-exchange': EXCHANGES.unrouted },
    },
  ];
}

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
