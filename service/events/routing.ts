// The table from Discord's dispatches to what workers consume, a row for each kind of event: its dispatch, what is filtered,
// routing key (the event's type), priority, queue, and the envelope's ids. `toPayload`, the contract with workers and the
// broker's bindings follow from it. A family is a routing key without a name: one per row, so it can be a metric's label.

import { ComponentType, GatewayDispatchEvents, InteractionType } from 'discord-api-types/v10';
import { INTERACTION_TOKEN_MS } from '../contract/limits.ts';
import { WORKER_QUEUES, type WorkerQueue } from '../contract/names.ts';
import type { IdName } from './dispatches.ts';
import {
  type DispatchContext,
  FILTERED,
  type Fields,
  isObject,
  isSnowflake,
  malformed,
  type Outcome,
} from './outcome.ts';

export interface Route {
  /** Discord's dispatch; `null` for an event of the ingestor, and for every dispatch without a row. */
  readonly dispatch: GatewayDispatchEvents | null;
  /** Of the interactions that it takes. */
  readonly type?: InteractionType;
  readonly components?: readonly ComponentType[];
  /** What becomes of a dispatch that is not for workers; `undefined` for one that is. */
  readonly filter?: (d: Fields, context: DispatchContext) => Outcome | undefined;
  /** The routing key, or what stands before the name in it. */
  readonly family: string;
  /** Whether `.<name>` follows, of the command or the dispatch. */
  readonly named: boolean;
  /** Strict on RabbitMQ 4.3; on earlier versions 5 and above are delivered before the rest. */
  readonly priority: number;
  readonly queue: WorkerQueue;
  /**
   * How long a worker can use it, from its arrival in the queue. One that waited before that, or was replayed, is older:
   * `timestamp` and ids tell its age. @default - as long as the queue keeps it
   */
  readonly expirationMs?: number;
  /** In the envelope. Without a required one there is no event. */
  readonly ids: { readonly [name in IdName]?: 'required' | 'optional' };
}

/** For the first response. https://discord.com/developers/docs/interactions/receiving-and-responding */
const FIRST_RESPONSE_MS = 3_000;

const interaction = {
  dispatch: GatewayDispatchEvents.InteractionCreate,
  queue: WORKER_QUEUES.interactions,
  // Discord waits 3 s for the first response; but a worker may have deferred it and ended: the next one that gets the message
  // can answer until the token expires.
  expirationMs: INTERACTION_TOKEN_MS,
  // What discord.js can do without may be missing.
  ids: {
    ...{ guildId: 'optional', channelId: 'optional', userId: 'optional' },
    ...{ interactionId: 'required', interactionToken: 'required' },
  },
} as const satisfies Partial<Route>;

const member = {
  named: false,
  priority: 5,
  queue: WORKER_QUEUES.guildEvents,
  ids: { guildId: 'required', userId: 'required' },
} as const satisfies Partial<Route>;

const guild = {
  named: false,
  priority: 4,
  queue: WORKER_QUEUES.guildEvents,
  ids: { guildId: 'required' },
} as const satisfies Partial<Route>;

const ofIngestor = {
  dispatch: null,
  named: false,
  priority: 5,
  queue: WORKER_QUEUES.gatewayEvents,
  ids: {},
} as const satisfies Partial<Route>;

export const ROUTES = {
  command: {
    ...interaction,
    type: InteractionType.ApplicationCommand,
    family: 'interaction.command',
    named: true,
    priority: 10,
  },
  button: {
    ...interaction,
    type: InteractionType.MessageComponent,
    components: [ComponentType.Button],
    family: 'interaction.button',
    named: false,
    priority: 8,
  },
  select: {
    ...interaction,
    type: InteractionType.MessageComponent,
    components: [
      ComponentType.StringSelect,
      ComponentType.UserSelect,
      ComponentType.RoleSelect,
      ComponentType.MentionableSelect,
      ComponentType.ChannelSelect,
    ],
    family: 'interaction.select',
    named: false,
    priority: 8,
  },
  modal: {
    ...interaction,
    type: InteractionType.ModalSubmit,
    family: 'interaction.modal',
    named: false,
    priority: 7,
  },
  autocomplete: {
    ...interaction,
    type: InteractionType.ApplicationCommandAutocomplete,
    family: 'interaction.autocomplete',
    // It cannot be deferred, and the user types on. Old ones would be delivered before what can still be answered.
    expirationMs: FIRST_RESPONSE_MS,
    named: true,
    priority: 6,
  },
  // The last row of its dispatch, for what no other takes: a type or a component that is newer than this version, a command
  // without a name. A worker may know it.
  unknownInteraction: { ...interaction, family: 'interaction.unknown', named: false, priority: 5 },
  memberJoin: { ...member, dispatch: GatewayDispatchEvents.GuildMemberAdd, family: 'member.join' },
  memberLeave: { ...member, dispatch: GatewayDispatchEvents.GuildMemberRemove, family: 'member.leave' },
  memberUpdate: { ...member, dispatch: GatewayDispatchEvents.GuildMemberUpdate, family: 'member.update' },
  guildJoin: { ...guild, dispatch: GatewayDispatchEvents.GuildCreate, family: 'guild.join', filter: notJoined },
  guildLeave: { ...guild, dispatch: GatewayDispatchEvents.GuildDelete, family: 'guild.leave', filter: notLeft },
  messageCreate: {
    dispatch: GatewayDispatchEvents.MessageCreate,
    filter: notWithoutAuthor,
    family: 'message.create',
    named: false,
    priority: 1,
    queue: WORKER_QUEUES.guildEvents,
    ids: { guildId: 'optional', channelId: 'optional', userId: 'optional' },
  },
  reactionAdd: {
    dispatch: GatewayDispatchEvents.MessageReactionAdd,
    family: 'reaction.add',
    named: false,
    priority: 1,
    queue: WORKER_QUEUES.guildEvents,
    ids: { guildId: 'optional', channelId: 'required', userId: 'required' },
  },
  gatewayReady: { ...ofIngestor, family: 'gateway.ready' },
  gatewayGap: { ...ofIngestor, family: 'gateway.gap' },
  sessionReplaced: { ...ofIngestor, family: 'gateway.session-replaced' },
  /** Every dispatch without a row of its own, and each guild as a whole. */
  further: {
    dispatch: null,
    family: 'dispatch',
    named: true,
    priority: 2,
    queue: WORKER_QUEUES.dispatches,
    ids: { guildId: 'optional', channelId: 'optional', userId: 'optional' },
  },
} as const satisfies Record<string, Route>;

export type Family = (typeof ROUTES)[keyof typeof ROUTES]['family'];

export const ROUTING_KEY_FAMILIES: readonly Route[] = Object.values(ROUTES);

/** What the broker binds: every key that begins with this word goes to this queue. */
export const BINDINGS: ReadonlyMap<string, WorkerQueue> = new Map(
  ROUTING_KEY_FAMILIES.map(({ family, queue }) => [family.split('.', 1).join(), queue]),
);

/** The family of an event's type; `other` for a type that is not in the table. */
export function family(eventType: string): Family | 'other' {
  const [first = '', second] = eventType.split('.', 2);
  return FAMILY_OF.get(`${first}.${second}`) ?? (first === ROUTES.further.family ? first : 'other');
}

/** The rows of a dispatch. */
export const routesOf = (dispatch: string): readonly Route[] => BY_DISPATCH.get(dispatch) ?? FURTHER;

/** A short string of AMQP 0-9-1 has one byte for its length. */
export const MAX_ROUTING_KEY_BYTES = 255;

/**
 * The routing key of a named event. The name becomes one word: a dot (it separates words), a wildcard and an invisible
 * character become `_`, and what does not fit is cut off, whole characters only. Two names may have the same key: `data` has
 * the name itself.
 */
export function namedKey<F extends string>({ family }: { readonly family: F }, name: string): `${F}.${string}` {
  const key = `${family}.${name.toWellFormed().replaceAll(UNSAFE, '_')}` as const;
  return key.slice(0, UTF8.encodeInto(key, MOST_BYTES).read) as typeof key;
}

const UNSAFE = /[.*#\s\p{Cc}]/gu;
const UTF8 = new TextEncoder();
/** Written over by each key, to know how many characters fit. */
const MOST_BYTES = new Uint8Array(MAX_ROUTING_KEY_BYTES);

const FAMILY_OF = new Map<string, Family>(Object.values(ROUTES).map((route) => [route.family, route.family]));

const BY_DISPATCH: ReadonlyMap<string | null, readonly Route[]> = Map.groupBy(
  ROUTING_KEY_FAMILIES,
  ({ dispatch }) => dispatch,
);
const FURTHER = [ROUTES.further];

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

function notWithoutAuthor({ author }: Fields): Outcome | undefined {
  return isObject(author) ? undefined : malformed('d.author', 'an object', author);
}
