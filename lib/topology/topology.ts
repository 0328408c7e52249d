// The broker's layout as one typed value: exchanges, queues, bindings, policies, users. Data only, and JSON-able. Names
// come from service/contract.ts. What is sound about it: rules.ts. How a broker gets there: plan.ts, apply.ts.
// Arguments of a queue can never change, so all that may change is policy, and everything is durable.

import {
  EXCHANGES,
  INGESTOR_PREFIX,
  LEASE_QUEUE_ARGUMENTS,
  leaseQueue,
  QUEUES,
  USERS,
  VHOST,
} from '../../service/contract.ts';

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
  /** @default VHOST of service/contract.ts */
  readonly vhost?: string;
  /** One lease queue for each. @default 1 */
  readonly shardGroups?: number;
  readonly limits?: Partial<Limits>;
  /** Users belong to the whole broker, not to a vhost: several topologies on one broker need several names. */
  readonly userNames?: { readonly ingestor: string; readonly worker: string };
}

/** The product's layout. */
export function discordTopology(options: DiscordTopologyOptions = {}): Topology {
  const { vhost = VHOST, shardGroups = 1, userNames = USERS } = options;
  const limits: Limits = { ...DEFAULT_LIMITS, ...options.limits };
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
    users: [ingestorUser(userNames.ingestor), workerUser(userNames.worker)],
  };
}

/** Publishes events, holds leases, and asks for the depth of the queues that it watches. */
export function ingestorUser(name: string = USERS.ingestor): User {
  const own = `${literal(INGESTOR_PREFIX)}.*`;
  // For a passive declare RabbitMQ 4.3 wants some permission on the queue: write is the least, as it cannot consume.
  const watched = Object.values(QUEUES);
  return {
    name,
    tags: [],
    permissions: {
      configure: `^${own}$`,
      write: `^(${own}|${[EXCHANGES.events, ...watched].map(literal).join('|')})$`,
      read: `^${own}$`,
    },
  };
}

/** Consumes events, and looks into the dead letters. */
export function workerUser(name: string = USERS.worker): User {
  const consumed = [QUEUES.interactions, QUEUES.guildEvents, QUEUES.gatewayEvents, QUEUES.deadLetters];
  return { name, tags: [], permissions: { configure: '', write: '', read: exactly(...consumed) } };
}

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
    // A session record is redelivered at every hand-over, for ever. Not the identify queues: those are classic.
    queues('leases', `^${literal(leaseQueue(0)).replace(/0$/, '[0-9]+')}$`, { ...surely, 'delivery-limit': -1 }),
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
