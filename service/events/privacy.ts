// What is private in Discord's own object, and removed from it:
//   a message, what it quotes or forwards, and the interaction it answers: field by field, by a typed table. A field that
//     discord-api-types adds does not compile until it is classified; one unknown at run time is removed and reported
//   an interaction: only its token, which is in the envelope. What a user enters for the bot is for the bot
//   everything else: what Discord's MessageContent intent governs, by name, at any depth
// With FORWARD_MESSAGE_CONTENT content is forwarded, and nothing else that is private.
// Pure; the given object is not changed. What nests deeper than MAX_DEPTH is removed, so that the stack cannot overflow.

import {
  type APIMessage,
  type APIMessageInteractionMetadata,
  type APIMessageSnapshotFields,
  GatewayDispatchEvents,
  type GatewayDispatchPayload,
  type GatewayGuildCreateDispatchData,
  type GatewayMessageCreateDispatchData,
  type GatewayMessageUpdateDispatchData,
} from 'discord-api-types/v10';
import { type Fields, isObject } from './outcome.ts';

type Privacy = 'public' | 'content' | 'private';
type KeysOf<T> = T extends unknown ? keyof T : never;
type KeysThatAre<Table, P extends Privacy> = { [K in keyof Table]: Table[K] extends P ? K : never }[keyof Table];
type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** With the fields that are present only where content is forwarded. */
type WithOptional<T, K extends PropertyKey> = T extends unknown
  ? Omit<T, K> & Partial<Pick<T, Extract<keyof T, K>>>
  : never;

type Message = GatewayMessageCreateDispatchData | GatewayMessageUpdateDispatchData | APIMessage;

/** Content: what the MessageContent intent governs, and what repeats it. Private: what its sender did not write for bots. */
const MESSAGE = {
  id: 'public',
  channel_id: 'public',
  guild_id: 'public',
  channel_type: 'public',
  author: 'public',
  member: 'public',
  type: 'public',
  timestamp: 'public',
  edited_timestamp: 'public',
  flags: 'public',
  tts: 'public',
  pinned: 'public',
  position: 'public',
  mention_everyone: 'public',
  mention_roles: 'public',
  mention_channels: 'public',
  mentions: 'public',
  message_reference: 'public',
  referenced_message: 'public',
  message_snapshots: 'public',
  interaction_metadata: 'public',
  interaction: 'public',
  application: 'public',
  application_id: 'public',
  webhook_id: 'public',
  sticker_items: 'public',
  stickers: 'public',
  reactions: 'public',
  role_subscription_data: 'public',
  call: 'public',
  shared_client_theme: 'public',
  content: 'content',
  attachments: 'content',
  embeds: 'content',
  components: 'content',
  poll: 'content',
  /** What `components` and `attachments` name. */
  resolved: 'content',
  /** Its name is the message's first words. */
  thread: 'content',
  /** `party_id` lets its reader join the sender's party. */
  activity: 'private',
  /** Chosen by the sender, for the sender. */
  nonce: 'private',
} as const satisfies Record<KeysOf<Message>, Privacy>;

const INTERACTION_METADATA = {
  id: 'public',
  type: 'public',
  user: 'public',
  authorizing_integration_owners: 'public',
  original_response_message_id: 'public',
  target_user: 'public',
  target_message_id: 'public',
  interacted_message_id: 'public',
  triggering_interaction_metadata: 'public',
} as const satisfies Record<KeysOf<APIMessageInteractionMetadata>, Privacy>;

/** Governed by the intent, wherever it is. https://discord.com/developers/docs/events/gateway#message-content-intent */
const CONTENT = [
  'content',
  'matched_content',
  'embeds',
  'attachments',
  'components',
  'poll',
  'message_snapshots',
] as const;

/** With them a large guild exceeds the broker's largest message. */
const GUILD_LISTS = [
  'channels',
  'threads',
  'members',
  'presences',
  'voice_states',
  'roles',
  'emojis',
  'stickers',
  'soundboard_sounds',
  'stage_instances',
  'guild_scheduled_events',
] as const satisfies readonly (keyof GatewayGuildCreateDispatchData)[];

/** Discord's deepest payloads nest less than 20 levels. */
export const MAX_DEPTH = 64;

/** In a message, for what is removed. */
interface Removed {
  readonly hasContent: boolean;
  readonly hasAttachments: boolean;
}

type PublicMessage<M> = WithOptional<
  Without<M, KeysThatAre<typeof MESSAGE, 'private'> | 'referenced_message' | 'message_snapshots'>,
  KeysThatAre<typeof MESSAGE, 'content'>
> &
  Removed & {
    readonly referenced_message?: PublicMessage<APIMessage> | null;
    readonly message_snapshots?: readonly { readonly message: PublicMessage<APIMessageSnapshotFields> }[];
  };

/** What workers get of a dispatch. */
export type PublicData<T extends GatewayDispatchEvents> = T extends GatewayDispatchEvents.InteractionCreate
  ? Without<DataOf<T>, 'token'>
  : T extends GatewayDispatchEvents.MessageCreate | GatewayDispatchEvents.MessageUpdate
    ? PublicMessage<DataOf<T>>
    : T extends GatewayDispatchEvents.GuildCreate
      ? Without<DataOf<T>, (typeof GUILD_LISTS)[number]>
      : WithoutContent<DataOf<T>>;

export type WithoutContent<D> = WithOptional<D, (typeof CONTENT)[number]>;
export type DataOf<T extends GatewayDispatchEvents> = Extract<GatewayDispatchPayload, { t: T }>['d'];

/** @param content whether message content is forwarded @returns also the names of fields in no table, which are removed */
export function publicPart(dispatch: string, d: Fields, content: boolean) {
  const unknownFields: string[] = [];
  if (isMessage(dispatch)) return { data: message(d, 0, { content, unknownFields }) ?? {}, unknownFields };
  const removed = removedFields(dispatch);
  const rest = removed.always.length === 0 ? d : without(d, removed.always);
  return { data: wholePart(rest, content || removed.content.length === 0), unknownFields };
}

/** A dispatch without message content, unless that is forwarded; a guild with its lists. */
export const wholePart = (d: Fields, content: boolean): object => pruned(d, 0, content) ?? {};

/** Names of what `publicPart` removes, for the contract with workers: in any case, and where content is not forwarded. */
export function removedFields(dispatch: string): {
  readonly always: readonly string[];
  readonly content: readonly string[];
} {
  switch (dispatch) {
    case GatewayDispatchEvents.InteractionCreate:
      return { always: ['token'], content: [] };
    case GatewayDispatchEvents.GuildCreate:
      return { always: GUILD_LISTS, content: CONTENT };
    default:
      if (!isMessage(dispatch)) return { always: [], content: CONTENT };
      return { always: keysOf('private'), content: keysOf('content') };
  }
}

export const isMessage = (dispatch: string): boolean =>
  dispatch === GatewayDispatchEvents.MessageCreate || dispatch === GatewayDispatchEvents.MessageUpdate;

/** How a message is read. */
interface Read {
  /** Whether message content is forwarded. */
  readonly content: boolean;
  readonly unknownFields: string[];
}

type Table = ReadonlyMap<string, Privacy>;

const MESSAGE_TABLE: Table = new Map(Object.entries(MESSAGE));
const METADATA_TABLE: Table = new Map(Object.entries(INTERACTION_METADATA));

function message(d: Fields, depth: number, read: Read): object | undefined {
  const kept = classified(d, MESSAGE_TABLE, depth, read);
  if (kept === undefined) return undefined;
  kept.hasContent = typeof d.content === 'string' && d.content !== '';
  kept.hasAttachments = Array.isArray(d.attachments) && d.attachments.length > 0;
  return kept;
}

/** The public fields, by this table; `undefined` for an object that nests too deep. */
function classified(d: Fields, table: Table, depth: number, read: Read): Record<string, unknown> | undefined {
  if (depth >= MAX_DEPTH) return undefined;
  // Every name that is written is one of the table's own.
  const kept: Record<string, unknown> = {};
  for (const name in d) {
    const privacy = table.get(name);
    if (privacy === 'public' || (privacy === 'content' && read.content)) {
      const value = publicValue(name, d[name], depth, read);
      if (value !== undefined) kept[name] = value;
    } else if (privacy === undefined) read.unknownFields.push(name);
  }
  return kept;
}

/** The public part of a message's public field. */
function publicValue(name: string, value: unknown, depth: number, read: Read): unknown {
  if (value === null) return value;
  switch (name) {
    case 'referenced_message':
      return isObject(value) ? message(value, depth + 1, read) : undefined;
    case 'message_snapshots':
      return Array.isArray(value) ? value.map((each) => snapshot(each, depth + 2, read)) : undefined;
    case 'interaction_metadata':
    case 'triggering_interaction_metadata':
      return isObject(value) ? classified(value, METADATA_TABLE, depth + 1, read) : undefined;
    default:
      return typeof value === 'object' ? pruned(value, depth + 1, read.content) : value;
  }
}

/** A forwarded message, without unknown fields beside it. */
function snapshot(value: unknown, depth: number, read: Read): object {
  const forwarded = isObject(value) && isObject(value.message) ? value.message : undefined;
  return forwarded === undefined ? {} : { message: message(forwarded, depth, read) };
}

/** Without content at any depth, unless it is kept, and without what nests too deep. The same object if it has neither. */
function pruned(value: object, depth: number, keepsContent: boolean): object | undefined {
  if (depth >= MAX_DEPTH) return undefined;
  if (Array.isArray(value)) return prunedList(value, depth, keepsContent);
  const from = value as Fields;
  let copy: Record<string, unknown> | undefined;
  for (const name in from) {
    const inner = from[name];
    const removed = !keepsContent && isContent(name);
    if (!removed && !isNested(inner)) continue;
    const kept = removed ? undefined : pruned(inner as object, depth + 1, keepsContent);
    if (kept === inner) continue;
    // A spread copies `__proto__` as a field like any other; from then on it can be assigned.
    copy ??= { ...from };
    if (kept === undefined) delete copy[name];
    else copy[name] = kept;
  }
  return copy ?? value;
}

/** A list keeps its length. */
function prunedList(list: readonly unknown[], depth: number, keepsContent: boolean): readonly unknown[] {
  let copy: unknown[] | undefined;
  for (const [index, inner] of list.entries()) {
    const kept = isNested(inner) ? pruned(inner, depth + 1, keepsContent) : inner;
    if (kept === inner) continue;
    copy ??= [...list];
    copy[index] = kept ?? null;
  }
  return copy ?? list;
}

function without(from: Fields, names: readonly string[]): Fields {
  const rest: Record<string, unknown> = { ...from };
  for (const name of names) delete rest[name];
  return rest;
}

const CONTENT_NAMES: ReadonlySet<string> = new Set(CONTENT);
/** A bit for each length. Called for every field of every event: the length rules out nearly all of them at once. */
const CONTENT_LENGTHS = CONTENT.reduce((bits, { length }) => bits | (1 << length), 0);

const isContent = (name: string): boolean => ((CONTENT_LENGTHS >> name.length) & 1) === 1 && CONTENT_NAMES.has(name);

const isNested = (value: unknown): value is object => typeof value === 'object' && value !== null;

const keysOf = (privacy: Privacy): readonly string[] =>
  Object.entries(MESSAGE).flatMap(([name, each]) => (each === privacy ? name : []));
