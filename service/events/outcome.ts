// What can become of a dispatch. An event goes to the broker; the rest does not, and its sequence is settled at once.
// A `reason` is for the log: it names fields and kinds of values, and quotes nothing of the payload.

import type { WorkerQueue } from '../contract/names.ts';
import type { Choice, OptIns } from './choice.ts';

/** An object as Discord sent it: names are known (discord-api-types), values are not validated. */
export type Fields = { readonly [name: string]: unknown };

export const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The body of a message. Per event type, with the type of `data`: `DiscordEventPayload` in payload.ts. */
export interface Envelope {
  readonly eventId: string;
  readonly eventType: string;
  /** Unix ms. */
  readonly timestamp: number;
  readonly shardId: number;
  readonly guildId?: string;
  readonly channelId?: string;
  readonly userId?: string;
  readonly interactionId?: string;
  readonly interactionToken?: string;
  readonly data: object;
}

export interface Event {
  readonly kind: 'event';
  readonly payload: Envelope;
  readonly routingKey: string;
  readonly priority: number;
  readonly queue: WorkerQueue;
  readonly expirationMs?: number;
  /** Unknown fields, which were removed: to be counted, and logged once for each name. */
  readonly unknownFields?: readonly string[];
}

export type Outcome =
  | Event
  /** Known, and not for workers. */
  | { readonly kind: 'filtered'; readonly reason: FilterReason }
  /** It cannot be published: malformed, or newer than this version. To be counted, and logged once for each type. */
  | { readonly kind: 'unknown'; readonly reason: string };

/** The session's memory of its guilds. */
export interface Guilds {
  ready(guildIds: readonly string[]): void;
  outage(guildId: string): void;
  leave(guildId: string): void;
  isJoin(guildId: string, sequence: number, joinedAt: string | undefined): boolean;
}

export interface DispatchContext {
  readonly sessionId: string;
  readonly shardId: number;
  readonly sequence: number;
  readonly shardCount: number;
  /** Unix ms. */
  readonly receivedAt: number;
  readonly guilds: Guilds;
  readonly choice: Choice;
  readonly optIns: OptIns;
}

export const FILTERED = {
  notAsked: filtered('a dispatch type that is not for workers'),
  session: filtered('about the session itself'),
  directMessage: filtered('a direct message'),
  bot: filtered("a bot's message"),
  webhook: filtered("a webhook's message"),
  outsideGuild: filtered('an interaction outside guilds'),
  knownGuild: filtered('a guild of the READY list, or back from an outage'),
  unavailableGuild: filtered('a guild that is unavailable'),
  outage: filtered('a guild taken by an outage'),
} as const;

export type FilterReason = (typeof FILTERED)[keyof typeof FILTERED]['reason'];

export const unknown = (reason: string): Outcome => ({ kind: 'unknown', reason });

/** @param path where the value stands, `d` first; of the value only its kind is named */
export function malformed(path: string, expected: string, got: unknown): Outcome {
  return unknown(`expected ${path} to be ${expected}, got ${kindOf(got)}`);
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function filtered<const R extends string>(reason: R): { readonly kind: 'filtered'; readonly reason: R } {
  return Object.freeze({ kind: 'filtered', reason });
}
