// Queues and worker users that a deployer adds to the product's: which names and binding keys they may have. Pure.
// Such a queue gets copies: its keys reach the product's queue too, and the ingestor waits for the confirms of both.

import { EXCHANGES, QUEUES, USERS } from '../../service/contract/names.ts';
import { type Choice, parseEvents } from '../../service/events/choice.ts';
import { MAX_ROUTING_KEY_BYTES, ROUTING_KEY_FAMILIES } from '../../service/events/routing.ts';
import { topicMatches } from './rules.ts';
import { discordTopology, type FurtherQueue, type FurtherWorker } from './topology.ts';

export interface Further {
  readonly queues: Readonly<Record<string, FurtherQueue>>;
  readonly workers: Readonly<Record<string, FurtherWorker>>;
}

/**
 * One sentence each, which begins with the setting.
 * @param choice the events that will be published. @default - all that can be chosen
 */
export function furtherFaults({ queues, workers }: Further, choice: Choice = EVERYTHING): string[] {
  const readable = [...Object.values(QUEUES).filter((name) => !NOT_FOR_WORKERS.includes(name)), ...Object.keys(queues)];
  return [
    ...Object.entries(queues).flatMap(([name, { keys }]) => [
      ...nameFaults(`queues.${name}`, name),
      ...keys.flatMap((key) => keyFaults(`queues.${name}.keys`, key, choice)),
    ]),
    ...Object.entries(workers).flatMap(([name, { queues }]) => [
      ...workerFaults(`workers.${name}`, name),
      ...queues
        .filter((queue) => !readable.includes(queue))
        .map((queue) => `workers.${name}.queues: expected some of ${readable.join(', ')}, got '${queue}'`),
    ]),
  ];
}

const EVERYTHING = parseEvents('all,guilds.full');
const NOT_FOR_WORKERS: readonly string[] = [QUEUES.deadLetters, QUEUES.unrouted];

/** A permission does not distinguish a queue from an exchange, and a policy has the name of its queue. */
const TAKEN = new Set<string>([
  ...[...Object.values(QUEUES), ...Object.values(EXCHANGES)],
  ...discordTopology().policies.map(({ name }) => name),
]);
const RESERVED = /^(ingestor|discord|amq|tail)\./;

function nameFaults(setting: string, name: string): string[] {
  if (!/^[A-Za-z0-9][\w.-]{0,126}$/.test(name))
    return [`${setting}: expected a name of 1 to 127 letters, digits, '.', '_' or '-', such as events.analytics`];
  if (TAKEN.has(name) || RESERVED.test(name))
    return [`${setting}: the name is taken by the product or by RabbitMQ. Choose another, such as events.analytics`];
  return [];
}

const USERS_OF_THE_BROKER: readonly string[] = [...Object.values(USERS), 'administrator', 'guest'];

export const mayBeWorker = (name: string): boolean => workerFaults('', name).length === 0;

function workerFaults(setting: string, name: string): string[] {
  // No hyphen: the name ends that of a secret, where a hyphen and six characters would be taken for a part of its ARN. No
  // underscore, which the other user of a pair has.
  if (!/^[a-z][a-z0-9]{1,39}$/.test(name))
    return [`${setting}: expected 2 to 40 lower-case letters and digits, such as analytics`];
  if (USERS_OF_THE_BROKER.includes(name)) return [`${setting}: the name is taken by another user of the broker`];
  return [];
}

/** @param choice the events that will be published. @default - all that can be chosen */
export function keyFaults(setting: string, key: string, choice: Choice = EVERYTHING): string[] {
  if (Buffer.byteLength(key) > MAX_ROUTING_KEY_BYTES)
    return [
      `${setting}: expected keys of at most ${MAX_ROUTING_KEY_BYTES} bytes, got one of ${Buffer.byteLength(key)}`,
    ];
  const reaches = (published: string) => topicMatches(key.split('.'), published.split('.'));
  if (publishedKeys(choice).some(reaches)) return [];
  if (publishedKeys(EVERYTHING).some(reaches))
    return [`${setting}: nothing of the chosen events has a routing key like '${key}'. Add the dispatch to events`];
  const known = [...new Set(publishedKeys(EVERYTHING).map((published) => `${published.split('.', 1)}.#`))];
  return [`${setting}: nothing is published with a routing key like '${key}'. Known: ${known.join(', ')}`];
}

/** Every routing key, with `*` in place of a name that the bot's author chose: none has that character. */
export function publishedKeys({ dispatches, wholeGuilds }: Choice): string[] {
  const names: readonly string[] = [...dispatches];
  // The row without a dispatch of its own is that of all others.
  const rows = ROUTING_KEY_FAMILIES.filter(({ dispatch, named }) =>
    dispatch === null ? !named : names.includes(dispatch),
  );
  const others = names.filter((name) => !ROUTING_KEY_FAMILIES.some(({ dispatch }) => dispatch === name));
  return [
    ...rows.map(({ family, named }) => (named ? `${family}.*` : family)),
    ...[...others, ...(wholeGuilds ? ['GUILD_CREATE'] : [])].map((name) => `dispatch.${name.toLowerCase()}`),
  ];
}
