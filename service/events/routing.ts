// The one table from Discord's dispatches to what workers consume, a row for each kind of event: which dispatches it takes,
// what is filtered, routing key (the event's type), priority, queue, and where the envelope's ids stand. `toPayload`, the
// contract with workers and the broker's bindings follow from it.
// A family is a routing key without a command's name: one per row, so it can be a metric's label.

import { Buffer } from 'node:buffer';
import { ComponentType, GatewayDispatchEvents, InteractionType } from 'discord-api-types/v10';
import { INTERACTION_TOKEN_MS } from '../contract/limits.ts';
import { WORKER_QUEUES, type WorkerQueue } from '../contract/names.ts';
import { DISPATCHES, type DispatchRow, type Path, USUAL_IDS } from './dispatches.ts';
import { type DispatchContext, FILTERED, type Fields, isObject, malformed, type Outcome } from './outcome.ts';

export type IdName = 'guildId' | 'channelId' | 'userId' | 'interactionId' | 'interactionToken';
/** What becomes of a dispatch that is not for workers; `undefined` for one that is. */
export type Filter = (d: Fields, context: DispatchContext) => Outcome | undefined;

/** An id that the dispatch holds. */
export interface Id<Name extends IdName | null = IdName | null, Required extends boolean = boolean> {
  /** In the envelope; `null`: it is not in the envelope. */
  readonly name: Name;
  /** Without it there is no event. */
  readonly required: Required;
  /** The first place that holds one. */
  readonly paths: readonly Path[];
}

export interface Route {
  /** Discord's dispatch; `null` for an event that the ingestor makes. */
  readonly dispatch: GatewayDispatchEvents | null;
  /** Where a dispatch has several rows: the values of this one. */
  readonly where?: readonly { readonly path: Path; readonly is: readonly unknown[] }[];
  readonly filters: readonly Filter[];
  /** The routing key, or what stands before the command's name in it. */
  readonly family: string;
  /** Whether `.<name>` follows, of the command or the dispatch. */
  readonly named: boolean;
  /** Strict on RabbitMQ 4.3; before that, 5 and above are delivered before the rest. */
  readonly priority: number;
  readonly queue: WorkerQueue;
  /**
   * How long it is of use to a worker, from its arrival in the queue. What waited before that, or was replayed, is older:
   * its `timestamp` and ids have its age. @default - as long as the queue keeps it
   */
  readonly expirationMs?: number;
  readonly ids: readonly Id[];
}

/** The name that a command's routing key ends with. */
export const COMMAND_NAME: Path = ['data', 'name'];

/** For the first response. https://discord.com/developers/docs/interactions/receiving-and-responding */
const FIRST_RESPONSE_MS = 3_000;

const required = <const N extends IdName | null>(name: N, ...paths: readonly Path[]): Id<N, true> => ({
  name,
  required: true,
  paths,
});
const optional = <const N extends IdName>(name: N, ...paths: readonly Path[]): Id<N, false> => ({
  name,
  required: false,
  paths,
});

const interaction = {
  dispatch: GatewayDispatchEvents.InteractionCreate,
  filters: [],
  queue: WORKER_QUEUES.interactions,
  // Discord waits 3 s for the first response, but a worker may have deferred it, and ended: the one that gets the message
  // next can answer for as long as the token lives.
  expirationMs: INTERACTION_TOKEN_MS,
  // What discord.js can do without may be missing.
  ids: [
    optional('guildId', ['guild_id']),
    // `channel_id` is deprecated.
    optional('channelId', ['channel_id'], ['channel', 'id']),
    optional('userId', ['member', 'user', 'id'], ['user', 'id']),
    required('interactionId', ['id']),
    required('interactionToken', ['token']),
  ],
} as const satisfies Partial<Route>;

const ofType = (type: InteractionType) => ({ path: ['type'], is: [type] });
const ofComponent = (...is: readonly ComponentType[]) => ({ path: ['data', 'component_type'], is });

const member = {
  filters: [],
  named: false,
  priority: 5,
  queue: WORKER_QUEUES.guildEvents,
  ids: [required('guildId', ['guild_id']), required('userId', ['user', 'id'])],
} as const satisfies Partial<Route>;

const guild = {
  named: false,
  priority: 4,
  queue: WORKER_QUEUES.guildEvents,
  ids: [required('guildId', ['id'])],
} as const satisfies Partial<Route>;

const ofIngestor = {
  dispatch: null,
  filters: [],
  named: false,
  priority: 5,
  queue: WORKER_QUEUES.gatewayEvents,
  ids: [],
} as const satisfies Partial<Route>;

export const ROUTES = {
  command: {
    ...interaction,
    where: [ofType(InteractionType.ApplicationCommand)],
    family: 'interaction.command',
    named: true,
    priority: 10,
  },
  button: {
    ...interaction,
    where: [ofType(InteractionType.MessageComponent), ofComponent(ComponentType.Button)],
    family: 'interaction.button',
    named: false,
    priority: 8,
  },
  select: {
    ...interaction,
    where: [
      ofType(InteractionType.MessageComponent),
      ofComponent(
        ComponentType.StringSelect,
        ComponentType.UserSelect,
        ComponentType.RoleSelect,
        ComponentType.MentionableSelect,
        ComponentType.ChannelSelect,
      ),
    ],
    family: 'interaction.select',
    named: false,
    priority: 8,
  },
  modal: {
    ...interaction,
    where: [ofType(InteractionType.ModalSubmit)],
    family: 'interaction.modal',
    named: false,
    priority: 7,
  },
  autocomplete: {
    ...interaction,
    where: [ofType(InteractionType.ApplicationCommandAutocomplete)],
    family: 'interaction.autocomplete',
    // It cannot be deferred, and the user types on. Without workers these would stand before what can still be answered.
    expirationMs: FIRST_RESPONSE_MS,
    named: true,
    priority: 6,
  },
  // The last of its dispatch, for what no other row takes: a type or a component that is newer than this version, a command
  // without a name. A worker may know it.
  unknownInteraction: { ...interaction, family: 'interaction.unknown', named: false, priority: 5 },
  memberJoin: { ...member, dispatch: GatewayDispatchEvents.GuildMemberAdd, family: 'member.join' },
  memberLeave: { ...member, dispatch: GatewayDispatchEvents.GuildMemberRemove, family: 'member.leave' },
  memberUpdate: { ...member, dispatch: GatewayDispatchEvents.GuildMemberUpdate, family: 'member.update' },
  guildJoin: { ...guild, dispatch: GatewayDispatchEvents.GuildCreate, family: 'guild.join', filters: [notJoined] },
  guildLeave: { ...guild, dispatch: GatewayDispatchEvents.GuildDelete, family: 'guild.leave', filters: [notLeft] },
  messageCreate: {
    dispatch: GatewayDispatchEvents.MessageCreate,
    filters: [notByPerson, notWithoutAuthor],
    family: 'message.create',
    named: false,
    priority: 1,
    queue: WORKER_QUEUES.guildEvents,
    ids: [
      required(null, ['id']),
      optional('guildId', ['guild_id']),
      optional('channelId', ['channel_id']),
      optional('userId', ['author', 'id']),
    ],
  },
  reactionAdd: {
    dispatch: GatewayDispatchEvents.MessageReactionAdd,
    filters: [],
    family: 'reaction.add',
    named: false,
    priority: 1,
    queue: WORKER_QUEUES.guildEvents,
    ids: [optional('guildId', ['guild_id']), required('channelId', ['channel_id']), required('userId', ['user_id'])],
  },
  gatewayReady: { ...ofIngestor, family: 'gateway.ready' },
  gatewayGap: { ...ofIngestor, family: 'gateway.gap' },
  sessionReplaced: { ...ofIngestor, family: 'gateway.session-replaced' },
  /** Every dispatch that has no row of its own. */
  further: {
    dispatch: null,
    filters: [],
    family: 'dispatch',
    named: true,
    priority: 2,
    queue: WORKER_QUEUES.dispatches,
    ids: [
      optional('guildId', ...USUAL_IDS.guildId),
      optional('channelId', ...USUAL_IDS.channelId),
      optional('userId', ...USUAL_IDS.userId),
    ],
  },
} as const satisfies Record<string, Route>;

export type Family = (typeof ROUTES)[keyof typeof ROUTES]['family'];

export const ROUTING_KEY_FAMILIES: readonly Route[] = Object.values(ROUTES);

/** What the broker binds: every key that begins with the word goes to the queue. */
export const BINDINGS: ReadonlyMap<string, WorkerQueue> = new Map(
  ROUTING_KEY_FAMILIES.map(({ family, queue }) => [family.split('.', 1).join(), queue]),
);

/** The rows of a dispatch. */
export const routesOf = (dispatch: string): readonly Route[] => BY_DISPATCH.get(dispatch) ?? [furtherRoute(dispatch)];

/** The row of a dispatch that has none of its own; and of a guild as a whole. */
export const furtherRoute = (dispatch: string): Route => FURTHER.get(dispatch) ?? ROUTES.further;

const FURTHER: ReadonlyMap<string, Route> = new Map(
  Object.entries<DispatchRow>(DISPATCHES).map(([dispatch, row]) => [
    dispatch,
    {
      ...ROUTES.further,
      family: `${ROUTES.further.family}.${dispatch.toLowerCase()}`,
      named: false,
      filters: dispatch === GatewayDispatchEvents.MessageUpdate ? [notByPerson] : [],
      ids: ROUTES.further.ids.map((id) => ({ ...id, paths: row[id.name] ?? id.paths })),
    },
  ]),
);

/** The family of an event's type; `other` for a type that is not in the table. */
export function family(eventType: string): Family | 'other' {
  const [first = '', second] = eventType.split('.', 2);
  return FAMILY_OF.get(`${first}.${second}`) ?? (first === ROUTES.further.family ? first : 'other');
}

/** The routing key of a command, by its name as Discord gives it. */
export function namedKey<F extends string>(route: { readonly family: F }, name: string): `${F}.${string}` {
  const left = MAX_ROUTING_KEY_BYTES - Buffer.byteLength(route.family) - 1;
  return `${route.family}.${safeWord(name, left)}`;
}

/** A short string of AMQP 0-9-1 has one byte for its length. */
export const MAX_ROUTING_KEY_BYTES = 255;

/**
 * A name as one word of a routing key: a dot (it separates words), a wildcard or an invisible character becomes `_`.
 * At most `maxBytes` of UTF-8, whole characters only. Two names may become the same word: `data` has the name itself.
 */
export function safeWord(name: string, maxBytes: number): string {
  const word = name.toWellFormed().replaceAll(UNSAFE, '_');
  if (Buffer.byteLength(word) <= maxBytes) return word;
  let kept = '';
  let bytes = 0;
  for (const character of word) {
    bytes += Buffer.byteLength(character);
    if (bytes > maxBytes) break;
    kept += character;
  }
  return kept;
}

const UNSAFE = /[.*#\s\p{Cc}]/gu;

const FAMILY_OF = new Map<string, Family>(Object.values(ROUTES).map((route) => [route.family, route.family]));

const BY_DISPATCH: ReadonlyMap<string | null, readonly Route[]> = Map.groupBy(
  ROUTING_KEY_FAMILIES,
  ({ dispatch }) => dispatch,
);

/** Discord's ids: an unsigned 64-bit number as text. https://discord.com/developers/docs/reference#snowflakes */
export function isSnowflake(value: unknown): value is string {
  if (typeof value !== 'string' || value.length === 0 || value.length > 20) return false;
  // Called four times for each event: a regular expression takes three times as long.
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index);
    if (code < DIGIT_0 || code > DIGIT_9) return false;
  }
  return true;
}

const DIGIT_0 = 48;
const DIGIT_9 = 57;

export const isMissing = (value: unknown): boolean => value === undefined || value === null;

/** Discord sends GUILD_CREATE for joins, at the start of a session, and after outages. */
function notJoined(d: Fields, { guilds, sequence }: DispatchContext): Outcome | undefined {
  if (!isSnowflake(d.id)) return undefined;
  if (d.unavailable === true) return FILTERED.unavailableGuild;
  const joinedAt = typeof d.joined_at === 'string' ? d.joined_at : undefined;
  return guilds.isJoin(d.id, sequence, joinedAt) ? undefined : FILTERED.knownGuild;
}

/** Discord sends GUILD_DELETE for removals and for outages. */
function notLeft(d: Fields, { guilds }: DispatchContext): Outcome | undefined {
  if (!isSnowflake(d.id)) return undefined;
  if (d.unavailable !== true) {
    guilds.leave(d.id);
    return undefined;
  }
  guilds.outage(d.id);
  return FILTERED.outage;
}

/** The author decides. An update may come without one. */
function notByPerson(d: Fields, { optIns }: DispatchContext): Outcome | undefined {
  if (optIns.botMessages) return undefined;
  if (!isMissing(d.webhook_id)) return FILTERED.webhook;
  return isObject(d.author) && d.author.bot === true ? FILTERED.bot : undefined;
}

function notWithoutAuthor({ author }: Fields): Outcome | undefined {
  return isObject(author) ? undefined : malformed('d.author', 'an object', author);
}
