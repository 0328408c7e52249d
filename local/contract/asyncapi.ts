// The contract with workers as an AsyncAPI document: what the ingestor sends and receives, where and under which keys, with
// examples of each message. All of it follows from the service's tables and schemas and from the topology, but for the
// sentences that explain. As in every AsyncAPI document the operations are the application's: what it sends workers receive.
// https://www.asyncapi.com/docs/reference/specification/v3.1.0

import { PresenceUpdateStatus } from 'discord-api-types/v10';
import { z } from 'zod';
import { queuesFor } from '../../lib/topology/rules.ts';
import { discordTopology } from '../../lib/topology/topology.ts';
import { admit } from '../../service/commands/admit.ts';
import { Command, type DiscordCommand, MOST_PAYLOAD_BYTES } from '../../service/commands/command.ts';
import { MOST_WAITING, OUTLIVED_AFTER_MS } from '../../service/commands/shard-commands.ts';
import { COMMAND_TTL_MS, MAX_COMMAND_BYTES, MAX_MESSAGE_BYTES } from '../../service/contract/limits.ts';
import { commandKey, EXCHANGES, HEADERS, QUEUES, SCHEMA_VERSION, USERS } from '../../service/contract/names.ts';
import { DISPATCHES } from '../../service/events/dispatches.ts';
import { EVENTS } from '../../service/events/payload.ts';
import {
  type Family,
  family,
  MAX_ROUTING_KEY_BYTES,
  namedKey,
  ROUTES,
  type Route,
} from '../../service/events/routing.ts';
import { MOST_SENDS, WINDOW_MS } from '../../service/gateway/send-window.ts';
import { propertiesOf } from '../../service/publisher/lane-channel.ts';
import { PART_BYTES } from '../../service/publisher/smaller.ts';
import { type Example, examples } from './examples.ts';
import { componentSchemas, type Schema } from './json-schema.ts';

interface Reference {
  readonly $ref: string;
}
type Values = Readonly<Record<string, string | number | boolean | undefined>>;
type Named<T> = Readonly<Record<string, T>>;

export type AsyncApi = ReturnType<typeof asyncApi>;

interface Parameter {
  readonly description: string;
  readonly enum?: readonly string[];
  readonly examples?: readonly string[];
}

export interface Channel {
  readonly address: string;
  readonly summary?: string;
  readonly parameters?: Named<Parameter>;
  readonly messages: Named<Reference>;
  readonly bindings: object;
  /** For a queue: its arguments, bindings and policy as deployed by default; of the policy what workers notice. */
  readonly 'x-arguments'?: Values;
  readonly 'x-bindings'?: readonly { readonly exchange: string; readonly routingKey: string }[];
  readonly 'x-policy'?: Values;
}

export interface Operation {
  readonly action: 'send' | 'receive';
  readonly channel: Reference;
  readonly messages: readonly Reference[];
  readonly summary: string;
  readonly description?: string;
  readonly bindings: { readonly amqp: Values };
}

export interface Message {
  readonly name: string;
  readonly title: string;
  readonly summary: string;
  readonly description?: string;
  readonly headers?: Reference;
  readonly payload: Reference | Schema;
  readonly contentType?: string;
  readonly correlationId?: { readonly location: string };
  readonly bindings?: { readonly amqp: Values };
  readonly examples?: readonly { readonly name: string; readonly headers?: object; readonly payload: object }[];
}

const seconds = (ms: number): string => `${ms / 1_000} s`;
const kibibytes = (bytes: number): string => `${bytes / 1_024} KiB`;

const SUMMARIES: Readonly<Record<Family, string>> = {
  'interaction.command': 'A chat, user or message command is used.',
  'interaction.button': 'A button of a message is pressed.',
  'interaction.select': 'A choice is made in a select menu of a message.',
  'interaction.modal': 'A modal is submitted.',
  'interaction.autocomplete': 'Choices for an option of a command are asked for, while the user types.',
  'interaction.unknown': 'An interaction of a kind that this version does not know.',
  'member.join': 'A member joins a guild.',
  'member.leave': 'A member leaves a guild.',
  'member.update': 'A member is updated.',
  'guild.join': 'The bot joins a guild. Not sent for the guilds of a new session, nor after an outage.',
  'guild.leave': 'The bot leaves a guild. Not sent for an outage.',
  'message.create': 'A person writes a message.',
  'reaction.add': 'A reaction is added to a message. Only where EVENTS chooses it.',
  'gateway.ready': 'A session of a shard begins.',
  'gateway.gap': 'Events of a session may be missing: after its last sequence, or single ones.',
  'gateway.session-replaced': 'A session is ended on purpose, to begin another.',
  dispatch: 'Any other dispatch of Discord that EVENTS chooses.',
};

const COMMANDS: Readonly<Record<DiscordCommand['command'], string>> = {
  update_presence: `Op 3. Routing key also ${commandKey('all')}: every shard. Once a task has it, it does not expire, and each new session begins with it; in the queue it lives ${seconds(COMMAND_TTL_MS)} as others do.`,
  update_voice_state: 'Op 4. Discord answers with VOICE_STATE_UPDATE and VOICE_SERVER_UPDATE.',
  request_guild_members: 'Op 8. Discord answers with GUILD_MEMBERS_CHUNK, which has the nonce.',
  request_soundboard_sounds: 'Op 31. Discord answers with SOUNDBOARD_SOUNDS.',
};

const QUEUE_SUMMARIES: Readonly<Record<keyof typeof QUEUES, string>> = {
  interactions: 'Interactions, the most urgent first.',
  guildEvents: 'Members, guilds, messages and reactions.',
  gatewayEvents: 'What the ingestor itself reports of sessions.',
  dispatches:
    'Every dispatch without a routing key of its own. Read it with one consumer if large events come in parts.',
  deadLetters: `What expired, was rejected or was delivered too often, with RabbitMQ's header x-death; and refused commands. Commands that expired in their queue, or have more than ${kibibytes(MAX_COMMAND_BYTES)}, have x-death alone. Read by the user ${USERS.deadLetters}, not by ${USERS.worker}.`,
  unrouted:
    'Messages under a routing key that no queue is bound to, such as a command to a shard that there is not. Read only by the administrator.',
};

/** The logins of workers and of an operator. */
const SECURITY: Readonly<Record<string, string>> = {
  [USERS.worker]: 'May read the queues of events and write to the exchange of commands, and configure nothing.',
  [USERS.deadLetters]: `An operator's. May read ${QUEUES.deadLetters}, and publish events again.`,
};

/** Keys of a policy that change what a worker gets. */
const NOTICED = ['message-ttl', 'max-length', 'max-length-bytes', 'overflow', 'delivery-limit'] as const;

const EventHeaders = z.object({
  [HEADERS.schemaVersion]: z.literal(SCHEMA_VERSION).describe('Version of the schemas of events.'),
  [HEADERS.shard]: z.int().min(0).describe('The shard that received it.'),
  [HEADERS.session]: z.string().describe("Discord's session of this shard."),
  [HEADERS.sequence]: z.int().describe('Its sequence in this session.'),
  [HEADERS.traceparent]: z.string().describe('W3C trace context, made of the eventId.'),
  [HEADERS.replayed]: z.string().optional().describe('When it was published again from dead-letters, ISO 8601.'),
});
const PartHeaders = EventHeaders.extend({
  [HEADERS.whole]: z.string().optional().describe('The same for all parts that belong together.'),
  [HEADERS.part]: z.int().min(1).optional().describe('The number of this part.'),
  [HEADERS.parts]: z.int().min(1).optional().describe('How many parts there are. Without it the body is whole.'),
});
const RefusedHeaders = z.object({
  [HEADERS.refused]: z.string().describe('Why the command was not sent: one sentence.'),
  [HEADERS.refusedKey]: z.string().describe('The routing key that it had.'),
});

const bindingVersion = '0.3.0';
const LARGE = 'large-event';
const REFUSED = 'refused-command';
const ALL = 'commands';
const DISPATCH = ROUTES.further.family;
const topology = discordTopology();
const { vhost } = topology;
const routes = Object.values<Route>(ROUTES);
const commands = Object.keys(COMMANDS) as DiscordCommand['command'][];

export function asyncApi() {
  const shown: ReadonlyMap<string, readonly Example[]> = Map.groupBy(examples(), ({ message }) =>
    family(message.routingKey),
  );
  const events = routes.map((route) => {
    const of = shown.get(route.family) ?? [];
    return { family: route.family, message: eventMessage(route, of), operation: eventOperation(route, of) };
  });
  const operations: Named<Operation> = {
    ...Object.fromEntries(events.map(({ family, operation }) => [family, operation])),
    [ALL]: {
      ...operation('receive', ALL, commands),
      summary: 'Sends a command over the gateway connection of its shard.',
      description:
        `In order per shard, at most ${MOST_SENDS.command} in ${seconds(WINDOW_MS)}; at most ${MOST_WAITING} wait for a shard. A ` +
        `message has at most ${kibibytes(MAX_COMMAND_BYTES)}, and what Discord gets of it (op and d) ${MOST_PAYLOAD_BYTES} bytes. ` +
        `Acknowledged once it is sent and the connection outlived that by ${seconds(OUTLIVED_AFTER_MS)}: so a command may be ` +
        'sent twice. What is not sent goes to dead-letters with the reason, or expires.',
      bindings: { amqp: { deliveryMode: 2, expiration: COMMAND_TTL_MS, timestamp: true, ack: true, bindingVersion } },
    },
    [REFUSED]: {
      ...operation('send', REFUSED, [REFUSED]),
      summary: 'Dead-letters a command that it does not send.',
      bindings: { amqp: { deliveryMode: 2, bindingVersion } },
    },
  };
  const messages: Named<Message> = {
    ...Object.fromEntries(events.map(({ family, message }) => [family, message])),
    [LARGE]: largeMessage(),
    ...commandMessages(shown.get(DISPATCH) ?? []),
  };
  return {
    asyncapi: '3.1.0',
    info: {
      title: 'Discord Gateway Ingestor',
      version: `${SCHEMA_VERSION}.0.0`,
      description:
        "The ingestor publishes Discord's gateway events to RabbitMQ, and sends to Discord what workers publish. Operations " +
        "are the ingestor's: a worker receives what it sends, and sends what it receives. Consume the queues with manual " +
        'acknowledgements, drop an eventId that you have already handled, and nack without requeue to dead-letter. Ignore ' +
        'event types that you do not know: a later version may have more. Of an event messageId is the eventId, type the routing key, and correlationId the interactionId or, without one, the ' +
        'eventId. Declare nothing: the topology is applied by the deployment.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: 'application/json',
    servers: {
      broker: {
        host: '{host}:5671',
        pathname: `/${vhost}`,
        protocol: 'amqps',
        protocolVersion: '0.9.1',
        description: 'RabbitMQ 4; strict priorities need 4.3.',
        variables: { host: { description: 'The deployed broker.' } },
        security: Object.keys(SECURITY).map((name) => to('components', 'securitySchemes', name)),
      },
    },
    channels: { ...Object.fromEntries(routes.map(eventChannel)), ...queueChannels(), ...commandChannels() },
    operations,
    components: {
      messages,
      schemas: {
        ...componentSchemas({ ...EVENTS, EventHeaders, PartHeaders, RefusedHeaders }, 'events'),
        ...componentSchemas(
          Object.fromEntries(Command.options.map((each) => [each.shape.command.value, each])),
          'commands',
        ),
      },
      securitySchemes: Object.fromEntries(Object.entries(SECURITY).map(securityScheme)),
    },
  };
}

function securityScheme([user, description]: readonly [string, string]) {
  const { permissions } = topology.users.find(({ name }) => name === user) ?? {};
  return [user, { type: 'userPassword', description, 'x-permissions': permissions }] as const;
}

const to = (...path: readonly string[]): Reference => ({ $ref: ['#', ...path].join('/') });

const operation = (action: 'send' | 'receive', channel: string, messages: readonly string[]) => ({
  action,
  channel: to('channels', channel),
  messages: messages.map((name) => to('channels', channel, 'messages', name)),
});

const carries = (messages: readonly string[]) =>
  Object.fromEntries(messages.map((name) => [name, to('components', 'messages', name)]));

/** Others are large only where the broker takes less than deployed. */
const messagesOf = (family: string): string[] => (family === DISPATCH ? [family, LARGE] : [family]);

const publishedTo = (name: string) => ({
  amqp: {
    is: 'routingKey',
    exchange: {
      ...{ name, type: topology.exchanges.find((each) => each.name === name)?.type },
      ...{ durable: true, autoDelete: false, vhost },
    },
    bindingVersion,
  },
});

/** The part after the family is a parameter. */
const keyOf = ({ family, named, dispatch }: Route): string => (named ? `${family}.{${wordOf(dispatch)}}` : family);
const wordOf = (dispatch: Route['dispatch']) => (dispatch === null ? 'dispatch' : 'command');

/** Those that are published by their own names; GUILD_CREATE as a whole. */
const further = Object.keys(DISPATCHES).filter(
  (name) => name === 'GUILD_CREATE' || routes.every(({ dispatch }) => dispatch !== name),
);

const PARAMETERS: Readonly<Record<'command' | 'dispatch' | 'shard', Parameter>> = {
  command: {
    description: `The command's name, which \`data.data.name\` has as it is: here each dot, wildcard, white space and control character is an underscore, and it is cut so that the whole key has at most ${MAX_ROUTING_KEY_BYTES} bytes.`,
    examples: ['ping'],
  },
  dispatch: { description: "Discord's name in lower case.", enum: further.map((name) => name.toLowerCase()) },
  shard: {
    description: `The shard of the guild, (guild_id >> 22) % shards: the shardId of its events. \`all\` for update_presence.`,
    examples: ['0', 'all'],
  },
};

function eventChannel(route: Route): [string, Channel] {
  const { family, named, dispatch } = route;
  const word = wordOf(dispatch);
  const channel = {
    address: keyOf(route),
    ...(named && { parameters: { [word]: PARAMETERS[word] } }),
    messages: carries(messagesOf(family)),
    bindings: publishedTo(EXCHANGES.events),
  };
  return [family, channel];
}

function published({ family }: Route, [example]: readonly Example[]) {
  if (example === undefined) throw new Error(`expected an example of ${family}, got none`);
  return propertiesOf(example.message);
}

function eventOperation(route: Route, of: readonly Example[]): Operation {
  const { persistent, mandatory, priority, expiration } = published(route, of);
  const amqp = { deliveryMode: persistent ? 2 : 1, mandatory, priority, ...(expiration && { expiration }) };
  return {
    ...operation('send', route.family, messagesOf(route.family)),
    summary: SUMMARIES[route.family as Family],
    bindings: { amqp: { ...amqp, timestamp: true, bindingVersion } },
  };
}

function eventMessage(route: Route, of: readonly Example[]): Message {
  const { family, dispatch, ids, queue } = route;
  const { contentEncoding } = published(route, of);
  const isInteraction = 'interactionId' in ids;
  return {
    name: family,
    title: keyOf(route),
    summary: SUMMARIES[family as Family],
    description: `${dispatch ?? (family === DISPATCH ? 'Each dispatch' : 'Made by the ingestor')}. Read it from the queue ${queue}.`,
    headers: to('components', 'schemas', 'EventHeaders'),
    payload: to('components', 'schemas', family),
    correlationId: { location: `$message.payload#/${isInteraction ? 'interactionId' : 'eventId'}` },
    bindings: { amqp: { contentEncoding, messageType: keyOf(route), bindingVersion } },
    examples: of.map(({ name, message: { headers, body } }) => ({
      ...{ name, headers, payload: JSON.parse(body.toString()) as object },
    })),
  };
}

const largeMessage = (): Message => ({
  name: LARGE,
  title: 'An event that is larger than the broker takes',
  summary:
    `An event whose body exceeds ${MAX_MESSAGE_BYTES} bytes, or what the broker takes: compressed, and in parts of at most ` +
    `${kibibytes(PART_BYTES)} if that is not enough. In practice a large guild, or many members.`,
  description:
    `Join the bodies of one ${HEADERS.whole} in the order of ${HEADERS.part}, from 1 to ${HEADERS.parts}; then ` +
    'decompress: the payload of the event. The messageId of a part is the whole with `:` and the part. Acknowledge all ' +
    'parts when the whole is handled. Parts that never become whole are to be forgotten: all of them are published again.',
  headers: to('components', 'schemas', 'PartHeaders'),
  contentType: 'application/json',
  payload: { type: 'string', format: 'binary', description: 'JSON, compressed by gzip; or a part of that.' },
  bindings: { amqp: { contentEncoding: 'gzip', bindingVersion } },
});

/** Where workers read. RabbitMQ's arguments, bindings and policy as deployed by default. */
function queueChannels(): Named<Channel> {
  const settings = { durable: true, exclusive: false, autoDelete: false, vhost };
  const keys = new Map(routes.map((route) => [route.family, route.named ? namedKey(route, 'x') : route.family]));
  return Object.fromEntries(
    Object.entries(QUEUES).map(([part, name]) => {
      const from = topology.bindings.filter(({ queue }) => queue === name);
      const direct = routes.filter(({ family }) =>
        queuesFor(topology, EXCHANGES.events, keys.get(family) ?? '').includes(name),
      );
      const isAside = direct.length === 0;
      const further = isAside ? [...commands, ...(name === QUEUES.deadLetters ? [REFUSED] : [])] : [];
      const messages = [...(isAside ? routes : direct).flatMap(({ family }) => messagesOf(family)), ...further];
      const { definition = {} } =
        topology.policies.find(({ applyTo, pattern }) => applyTo === 'queues' && new RegExp(pattern).test(name)) ?? {};
      const channel = {
        address: name,
        summary: QUEUE_SUMMARIES[part as keyof typeof QUEUES],
        messages: carries(messages),
        bindings: { amqp: { is: 'queue', queue: { name, ...settings }, bindingVersion } },
        'x-arguments': topology.queues.find((queue) => queue.name === name)?.arguments,
        'x-bindings': from.map(({ exchange, routingKey }) => ({ exchange, routingKey })),
        'x-policy': Object.fromEntries(NOTICED.flatMap((key) => (key in definition ? [[key, definition[key]]] : []))),
      };
      return [name, channel];
    }),
  );
}

const commandChannels = (): Named<Channel> => ({
  [ALL]: {
    address: commandKey('all').replace('all', '{shard}'),
    summary: 'What workers have sent to Discord over a gateway connection.',
    parameters: { shard: PARAMETERS.shard },
    messages: carries(commands),
    bindings: publishedTo(EXCHANGES.commands),
  },
  [REFUSED]: {
    address: QUEUES.deadLetters,
    summary: 'Commands that were not sent.',
    messages: carries([REFUSED]),
    bindings: publishedTo(EXCHANGES.deadLetter),
  },
});

function commandMessages(of: readonly Example[]): Named<Message> {
  const body = of
    .map(({ message }) => JSON.parse(message.body.toString()))
    .find(({ guildId, channelId, userId }) => guildId && channelId && userId);
  const { guildId: guild_id, channelId: channel_id, userId } = body;
  const data: { readonly [C in DiscordCommand as C['command']]: C['data'] } = {
    update_presence: { status: PresenceUpdateStatus.Online, activities: [{ name: '/help', type: 2 }] },
    update_voice_state: { guild_id, channel_id, self_mute: false, self_deaf: true },
    request_guild_members: { guild_id, user_ids: [userId], nonce: 'who-is-this' },
    request_soundboard_sounds: { guild_ids: [guild_id] },
  };
  const refused = { command: 'request_guild_members', data: data.request_guild_members };
  const routingKey = commandKey('all');
  const reason = admit(
    { body: Buffer.from(JSON.stringify(refused)), routingKey, timestamp: undefined, expiration: undefined },
    { shardIds: [0], shardCount: 1, intents: 0 },
    0,
  );
  const messages = commands.map((name) => [
    name,
    {
      ...{ name, title: name, summary: COMMANDS[name] },
      payload: to('components', 'schemas', name),
      examples: [{ name, payload: { command: name, data: data[name] } }],
    },
  ]);
  return {
    ...Object.fromEntries(messages),
    [REFUSED]: {
      ...{ name: REFUSED, title: 'A refused command' },
      summary: "A worker's command as it was, with the reason why it was not sent.",
      headers: to('components', 'schemas', 'RefusedHeaders'),
      payload: { description: 'What the worker published.' },
      examples: [
        { name: REFUSED, headers: { [HEADERS.refused]: reason, [HEADERS.refusedKey]: routingKey }, payload: refused },
      ],
    },
  };
}
