// What a dispatch becomes. An event goes to the broker; the rest does not, and its sequence is settled at once. A `reason` is
// for the log: it names fields and kinds of values, and quotes nothing of the payload.

import type { WorkerQueue } from '../contract/names.ts';
import { kindOf } from '../errors.ts';
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

/**
 * `filtered`: known, and not for workers. `unknown`: it cannot be published, because it is malformed or newer than this version;
 * it is counted, and logged once for each type.
 */
export type Outcome = Event | { readonly kind: 'filtered' | 'unknown'; readonly reason: string };

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

const filtered = (reason: string) => ({ kind: 'filtered', reason }) as const;

export const FILTERED = {
  notChosen: filtered('a dispatch type that is not for workers'),
  session: filtered('about the session itself'),
  directMessage: filtered('a direct message'),
  bot: filtered("a bot's message"),
  webhook: filtered("a webhook's message"),
  outsideGuild: filtered('an interaction outside guilds'),
  knownGuild: filtered('a guild of the READY list, or back from an outage'),
  unavailableGuild: filtered('a guild that is unavailable'),
  outage: filtered('a guild in an outage'),
};

export const unknown = (reason: string): Outcome => ({ kind: 'unknown', reason });

/** @param path where the value stands, `d` first; of the value only its kind is named */
export function malformed(path: string, expected: string, got: unknown): Outcome {
  return unknown(`expected ${path} to be ${expected}, got ${kindOf(got)}`);
}

/** Discord's ids: an unsigned 64-bit number as text. https://discord.com/developers/docs/reference#snowflakes */
export function isSnowflake(value: unknown): value is string {
  if (typeof value !== 'string' || value.length === 0 || value.length > 20) return false;
  // Called four times for each event: a regular expression takes three times as long.
  for (let index = 0; index < value.length; index++) {
    const digit = value.charCodeAt(index) - DIGIT_0;
    if (digit < 0 || digit > 9) return false;
  }
  return true;
}

const DIGIT_0 = 48;
