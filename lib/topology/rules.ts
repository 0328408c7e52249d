// Pure: what is wrong with a topology, one sentence each, before any call of a broker. RabbitMQ would accept each of these,
// and lose messages later.

import { identifyQueue, tailQueue } from '../../service/contract/names.ts';
import { governs } from './effective-policies.ts';
import type { Policy, Queue, Topology, User } from './topology.ts';

/** @returns none when the topology is sound */
export function complaints(topology: Topology): string[] {
  const about = (what: string, faults: readonly string[]) => faults.map((fault) => `${what}: ${fault}`);
  return [
    ...(topology.vhost === '' ? ["vhost: expected a name, got ''"] : []),
    ...topology.queues.flatMap((queue) => about(`queue ${queue.name}`, queueFaults(queue, topology))),
    ...topology.policies.flatMap((policy) => about(`policy ${policy.name}`, policyFaults(policy, topology))),
    ...topology.users.flatMap((user) => about(`user ${user.name}`, userFaults(user))),
    ...topology.users.flatMap(({ name }, index, users) =>
      users.findIndex((other) => other.name === name) < index ? [`user ${name}: two parts of the product have it`] : [],
    ),
  ];
}

/** Where a message goes, alternate exchanges not counted. */
export function queuesFor(topology: Topology, exchange: string, routingKey: string): string[] {
  const type = topology.exchanges.find(({ name }) => name === exchange)?.type;
  const matches = (pattern: string): boolean => {
    if (type === 'topic') return topicMatches(pattern.split('.'), routingKey.split('.'));
    return type === 'fanout' || pattern === routingKey;
  };
  const bound = topology.bindings.filter((binding) => binding.exchange === exchange && matches(binding.routingKey));
  return [...new Set(bound.map(({ queue }) => queue))];
}

/** In a pattern `*` is one word, `#` any number of words, none included; of the words `*` is whatever one. */
export function topicMatches(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return words.length === 0;
  if (first === '#') return topicMatches(rest, words) || (words.length > 0 && topicMatches(pattern, words.slice(1)));
  return (
    words.length > 0 && (first === '*' || words[0] === '*' || first === words[0]) && topicMatches(rest, words.slice(1))
  );
}

/** What a policy cannot set. The type decides where data lives, and the single active consumer who may read it. */
const ARGUMENTS = ['x-queue-type', 'x-single-active-consumer'];

function queueFaults(queue: Queue, topology: Topology): string[] {
  const faults: string[] = [];
  const type = queue.arguments['x-queue-type'];
  if (type !== 'quorum')
    faults.push(`expected the argument x-queue-type 'quorum', got ${show(type)}: others lose messages with a node`);
  for (const key of Object.keys(queue.arguments).filter((argument) => !ARGUMENTS.includes(argument)))
    faults.push(`the argument ${key} could never be changed: make it a policy`);
  if (!topology.bindings.some((binding) => binding.queue === queue.name)) faults.push('no binding leads to it');
  const governing = topology.policies.filter((policy) => governs(policy, 'queues', queue.name));
  if (governing.length === 0)
    faults.push('no policy matches it, so RabbitMQ 4 would drop a message after 20 deliveries');
  if (governing.length > 1)
    faults.push(`only one of the policies ${governing.map(({ name }) => name).join(', ')} would apply to it`);
  return faults;
}

/** Amazon MQ's own policies have the priorities 0 and 1. */
const LEAST_PRIORITY = 2;

function policyFaults(policy: Policy, topology: Topology): string[] {
  const { pattern, priority, applyTo, definition } = policy;
  const faults: string[] = [];
  if (priority < LEAST_PRIORITY)
    faults.push(
      `expected a priority of at least ${LEAST_PRIORITY}, got ${priority}: Amazon MQ's own policies would apply instead`,
    );
  const governed = topology[applyTo].filter(({ name }) => governs(policy, applyTo, name)).map(({ name }) => name);
  // What an operator declares is not of this topology, and may be lost.
  const isForTails = governed.length === 0 && governs(policy, 'queues', tailQueue('000000000000'));
  if (governed.length === 0 && !isForTails)
    faults.push(`its pattern ${pattern} matches none of the ${applyTo} of this topology`);
  if (governs(policy, 'queues', identifyQueue(0)))
    faults.push(`its pattern matches ${identifyQueue(0)} too, an exclusive queue that no policy may change`);
  const alternate = definition['alternate-exchange'];
  if (alternate !== undefined && !topology.exchanges.some(({ name }) => name === alternate))
    faults.push(`there is no alternate exchange ${alternate}`);
  if (applyTo === 'exchanges' || isForTails) return faults;
  return [...faults, ...limitFaults(definition), ...deadLetterFaults(definition, governed, topology)];
}

/** As a timeout RabbitMQ takes 0 too, and takes every delivery back at once. */
const WHOLE_NUMBERS = [
  ...['message-ttl', 'max-length', 'max-length-bytes'],
  ...['consumer-timeout', 'consumer-disconnected-timeout'],
];

function limitFaults(definition: Policy['definition']): string[] {
  const faults: string[] = [];
  for (const key of WHOLE_NUMBERS) {
    const value = definition[key] ?? 1;
    if (!Number.isInteger(value) || Number(value) < 1)
      faults.push(`${key}: expected a whole number of at least 1, got ${show(value)}`);
  }
  const { overflow, 'delivery-limit': limit } = definition;
  if (overflow !== 'drop-head' && overflow !== 'reject-publish')
    faults.push(`overflow: expected 'drop-head' or 'reject-publish', got ${show(overflow)}`);
  if (!Number.isInteger(limit) || Number(limit) < -1)
    faults.push(
      `delivery-limit: expected -1 (none) or a number of deliveries, got ${show(limit)}: RabbitMQ 4 takes 20`,
    );
  return faults;
}

function deadLetterFaults(definition: Policy['definition'], governed: readonly string[], topology: Topology): string[] {
  const {
    'dead-letter-exchange': exchange,
    'dead-letter-routing-key': key,
    'dead-letter-strategy': strategy,
    'delivery-limit': limit = -1,
    overflow,
  } = definition;
  const faults: string[] = [];
  if (limit !== -1 && exchange === undefined)
    faults.push('delivery-limit: without a dead-letter-exchange RabbitMQ drops what reaches it; expected one, or -1');
  if (strategy === 'at-least-once' && (exchange === undefined || overflow !== 'reject-publish'))
    faults.push(
      'dead-letter-strategy: at-least-once needs a dead-letter-exchange and overflow reject-publish, or RabbitMQ falls back to at-most-once',
    );
  if (exchange === undefined) return faults;
  if (key === undefined)
    return [...faults, 'dead-letter-routing-key: expected one, as the key of the message leads anywhere'];
  const reached = queuesFor(topology, String(exchange), String(key));
  if (reached.length === 0) faults.push(`dead letters with the key ${key} reach no queue through exchange ${exchange}`);
  for (const name of governed.filter((name) => reached.includes(name)))
    faults.push(`the dead letters of queue ${name} would come back to it`);
  return faults;
}

/** The name of the default exchange in permissions. */
const DEFAULT_EXCHANGE = 'amq.default';

function userFaults({ name, tags, permissions, limits }: User): string[] {
  const faults: string[] = [];
  if (!/^[\w.-]{2,100}$/.test(name) || name === 'guest')
    faults.push("Amazon MQ requires 2 to 100 letters, digits, '-', '.' or '_', and not guest");
  if (tags.includes('administrator'))
    faults.push('a user of the topology is no administrator, who could give itself every permission');
  for (const [limit, value] of Object.entries(limits ?? {}))
    if (!Number.isInteger(value) || value < 1)
      faults.push(
        `${limit}: expected a whole number of at least 1, got ${value}. Does the broker allow enough connections for so many tasks?`,
      );
  for (const [kind, expression] of Object.entries(permissions)) {
    if (expression === '') continue;
    if (!expression.startsWith('^') || !expression.endsWith('$'))
      faults.push(`${kind} ${expression}: expected ^ in front and $ at the end, or it matches parts of other names`);
    if (kind !== 'read' && new RegExp(expression, 'u').test(DEFAULT_EXCHANGE))
      faults.push(`${kind} ${expression} matches ${DEFAULT_EXCHANGE}, through which every queue can be written`);
  }
  return faults;
}

function show(value: unknown): string {
  return value === undefined ? 'none' : `'${String(value)}'`;
}
