// Pure: what is wrong with a topology, one sentence each, before any broker is asked. Most of these RabbitMQ would
// accept, and lose messages later.

import { EXCHANGES, identifyQueue } from '../../service/contract/names.ts';
import type { Binding, Policy, Queue, Topology } from './topology.ts';

/**
 * @param routingKeys what will be published to the exchange of events: each must reach a queue
 * @returns none when the topology is sound
 */
export function complaints(topology: Topology, routingKeys: readonly string[] = []): string[] {
  return [
    ...names(topology),
    ...topology.queues.flatMap((queue) => queueComplaints(queue, topology)),
    ...topology.bindings.flatMap((binding) => bindingComplaints(binding, topology)),
    ...topology.policies.flatMap((policy) => policyComplaints(policy, topology)),
    ...topology.users.flatMap((user) => userComplaints(user)),
    ...routingKeys
      .filter((key) => queuesFor(topology, EXCHANGES.events, key).length === 0)
      .map((key) => `routing key ${key}: no binding of exchange ${EXCHANGES.events} takes it to a queue`),
  ];
}

/** Where a message goes, alternate exchanges not counted. */
export function queuesFor(topology: Topology, exchange: string, routingKey: string): string[] {
  const type = topology.exchanges.find(({ name }) => name === exchange)?.type;
  const takes = (pattern: string): boolean => {
    if (type === 'topic') return topicMatches(pattern.split('.'), routingKey.split('.'));
    return type === 'fanout' || pattern === routingKey;
  };
  const bound = topology.bindings.filter((binding) => binding.exchange === exchange && takes(binding.routingKey));
  return [...new Set(bound.map(({ queue }) => queue))];
}

/** Amazon MQ's own policies have the priorities 0 and 1. */
const LEAST_PRIORITY = 2;
/** What a policy cannot say. The type decides where data lives, and the single active consumer who may read it. */
const ARGUMENTS = ['x-queue-type', 'x-single-active-consumer', 'x-quorum-initial-group-size'];
/** RabbitMQ 4 knows these for no quorum queue, and Amazon MQ sets some of them in policies of its own. */
const NOT_FOR_QUORUM = ['queue-mode', 'queue-version', 'max-priority', 'ha-mode', 'ha-params', 'ha-sync-mode'];
const MAX_NAME_BYTES = 255;

function names(topology: Topology): string[] {
  const found: string[] = topology.vhost === '' ? ["vhost: expected a name, got ''"] : [];
  const lists = {
    exchange: topology.exchanges.map(({ name }) => name),
    queue: topology.queues.map(({ name }) => name),
    policy: topology.policies.map(({ name }) => name),
    user: topology.users.map(({ name }) => name),
    binding: topology.bindings.map(({ exchange, queue, routingKey }) => `${exchange} → ${queue} (${routingKey})`),
  };
  for (const [what, list] of Object.entries(lists)) {
    const twice = new Set(list.filter((name, index) => list.indexOf(name) !== index));
    found.push(...[...twice].map((name) => `${what} ${name}: there is another of this name`));
    if (what === 'binding') continue;
    for (const name of list) {
      if (name === '') found.push(`${what}: expected a name, got ''`);
      if (Buffer.byteLength(name) > MAX_NAME_BYTES)
        found.push(`${what} ${name}: expected a name of at most ${MAX_NAME_BYTES} bytes`);
      if (name.startsWith('amq.')) found.push(`${what} ${name}: names with amq. in front are RabbitMQ's own`);
    }
  }
  return found;
}

function queueComplaints(queue: Queue, topology: Topology): string[] {
  const what = `queue ${queue.name}`;
  const found: string[] = [];
  const type = queue.arguments['x-queue-type'];
  if (type !== 'quorum')
    found.push(
      `${what}: expected the argument x-queue-type 'quorum', got ${show(type)}: others lose messages with a node`,
    );
  for (const key of Object.keys(queue.arguments).filter((argument) => !ARGUMENTS.includes(argument)))
    found.push(
      key === 'x-max-priority'
        ? `${what}: quorum queues refuse the argument x-max-priority and have priorities without it`
        : `${what}: the argument ${key} could never be changed: make it a policy`,
    );
  if (!topology.bindings.some((binding) => binding.queue === queue.name)) found.push(`${what}: no binding leads to it`);
  const governing = topology.policies.filter((policy) => matches(policy, 'queues', queue.name));
  if (governing.length === 0)
    found.push(`${what}: no policy matches it, so RabbitMQ 4 would drop a message after 20 deliveries`);
  if (governing.length > 1)
    found.push(`${what}: only one of the policies ${governing.map(({ name }) => name).join(', ')} would apply to it`);
  return found;
}

function bindingComplaints({ exchange, queue, routingKey }: Binding, topology: Topology): string[] {
  const what = `binding ${exchange} → ${queue} (${routingKey})`;
  const found: string[] = [];
  if (!topology.exchanges.some(({ name }) => name === exchange)) found.push(`${what}: there is no such exchange`);
  if (!topology.queues.some(({ name }) => name === queue)) found.push(`${what}: there is no such queue`);
  if (Buffer.byteLength(routingKey) > MAX_NAME_BYTES)
    found.push(`${what}: expected a routing key of at most ${MAX_NAME_BYTES} bytes`);
  return found;
}

function policyComplaints(policy: Policy, topology: Topology): string[] {
  const what = `policy ${policy.name}`;
  const found: string[] = [];
  if (!Number.isInteger(policy.priority) || policy.priority < LEAST_PRIORITY)
    found.push(
      `${what}: expected a priority of at least ${LEAST_PRIORITY}, got ${policy.priority}: Amazon MQ's own policies would apply instead`,
    );
  const fault = expressionFault(policy.pattern);
  if (fault !== undefined) return [...found, `${what}: pattern ${policy.pattern}: ${fault}`];
  const governed = (policy.applyTo === 'queues' ? topology.queues : topology.exchanges).filter(({ name }) =>
    matches(policy, policy.applyTo, name),
  );
  if (governed.length === 0)
    found.push(`${what}: its pattern ${policy.pattern} matches none of the ${policy.applyTo} of this topology`);
  if (matches(policy, 'queues', identifyQueue(0)))
    found.push(`${what}: its pattern matches ${identifyQueue(0)} too, an exclusive queue that no policy may touch`);
  return [...found, ...definitionComplaints(policy, governed, topology).map((fault) => `${what}: ${fault}`)];
}

function definitionComplaints(
  { applyTo, definition }: Policy,
  governed: readonly { readonly name: string }[],
  topology: Topology,
): string[] {
  const found: string[] = [];
  const alternate = definition['alternate-exchange'];
  if (alternate !== undefined && !topology.exchanges.some(({ name }) => name === alternate))
    found.push(`there is no alternate exchange ${alternate}`);
  if (applyTo === 'exchanges') return found;

  for (const key of NOT_FOR_QUORUM.filter((key) => key in definition)) found.push(`quorum queues do not know ${key}`);
  for (const key of ['message-ttl', 'max-length', 'max-length-bytes']) {
    const value = definition[key];
    if (value !== undefined && (!Number.isInteger(value) || Number(value) < 1))
      found.push(`${key}: expected a whole number of at least 1, got ${show(value)}`);
  }
  const { overflow } = definition;
  if (overflow !== 'drop-head' && overflow !== 'reject-publish')
    found.push(`overflow: expected 'drop-head' or 'reject-publish', got ${show(overflow)}`);
  const target = definition['dead-letter-exchange'];
  const limit = definition['delivery-limit'];
  if (!Number.isInteger(limit) || Number(limit) < -1)
    found.push(`delivery-limit: expected -1 (none) or a number of deliveries, got ${show(limit)}: RabbitMQ 4 takes 20`);
  else if (limit !== -1 && target === undefined)
    found.push('delivery-limit: without a dead-letter-exchange RabbitMQ drops what reaches it; expected one, or -1');
  if (definition['dead-letter-strategy'] === 'at-least-once') {
    if (target === undefined) found.push('dead-letter-strategy: at-least-once needs a dead-letter-exchange');
    if (overflow !== 'reject-publish')
      found.push(
        'dead-letter-strategy: at-least-once needs overflow reject-publish, or RabbitMQ falls back to at-most-once',
      );
  }
  if (target !== undefined) found.push(...deadLetterComplaints(String(target), definition, governed, topology));
  return found;
}

function deadLetterComplaints(
  target: string,
  definition: Policy['definition'],
  governed: readonly { readonly name: string }[],
  topology: Topology,
): string[] {
  if (!topology.exchanges.some(({ name }) => name === target)) return [`there is no dead-letter-exchange ${target}`];
  const key = definition['dead-letter-routing-key'];
  if (key === undefined) return ['dead-letter-routing-key: expected one, as the key of the message leads anywhere'];
  const reached = queuesFor(topology, target, String(key));
  if (reached.length === 0) return [`dead letters with the key ${key} reach no queue through exchange ${target}`];
  return governed
    .filter(({ name }) => reached.includes(name))
    .map(({ name }) => `the dead letters of queue ${name} would come back to it`);
}

function userComplaints({ name, tags, permissions, limits }: Topology['users'][number]): string[] {
  const what = `user ${name}`;
  const found: string[] = [];
  if (!/^[\w.-]{2,100}$/.test(name) || name === 'guest')
    found.push(`${what}: Amazon MQ wants 2 to 100 letters, digits, '-', '.' or '_', and not guest`);
  if (tags.includes('administrator'))
    found.push(`${what}: a user of the topology is no administrator, who could give itself every permission`);
  for (const [limit, value] of Object.entries(limits ?? {}))
    if (!Number.isInteger(value) || value < 1)
      found.push(
        `${what}: ${limit}: expected a whole number of at least 1, got ${value}. Does the broker allow enough connections for so many tasks?`,
      );
  for (const [kind, expression] of Object.entries(permissions)) {
    if (expression === '') continue;
    const fault = expressionFault(expression);
    if (fault !== undefined) {
      found.push(`${what}: ${kind} ${expression}: ${fault}`);
      continue;
    }
    if (!expression.startsWith('^') || !expression.endsWith('$'))
      found.push(
        `${what}: ${kind} ${expression}: expected ^ in front and $ behind, or it matches parts of other names`,
      );
    if (kind !== 'read' && new RegExp(expression, 'u').test(DEFAULT_EXCHANGE))
      found.push(
        `${what}: ${kind} ${expression} matches ${DEFAULT_EXCHANGE}, through which every queue can be written`,
      );
  }
  return found;
}

/** What permissions call the exchange without a name. */
const DEFAULT_EXCHANGE = 'amq.default';

function matches(policy: Policy, kind: Policy['applyTo'], name: string): boolean {
  return (
    policy.applyTo === kind &&
    expressionFault(policy.pattern) === undefined &&
    new RegExp(policy.pattern, 'u').test(name)
  );
}

function expressionFault(expression: string): string | undefined {
  try {
    new RegExp(expression, 'u');
    return undefined;
  } catch (error) {
    return `no regular expression (${error instanceof Error ? error.message : String(error)})`;
  }
}

/** `*` is one word, `#` any number of words, none included. */
function topicMatches(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return words.length === 0;
  if (first === '#') return topicMatches(rest, words) || (words.length > 0 && topicMatches(pattern, words.slice(1)));
  return words.length > 0 && (first === '*' || first === words[0]) && topicMatches(rest, words.slice(1));
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  return value === undefined ? 'none' : JSON.stringify(value);
}
