// What can become of a dispatch. An event goes to the broker; of the rest nothing goes, and its sequence is settled at
// once. A `reason` is a sentence for a log: it names fields and kinds, never what a payload held.

import type { GuildPresence } from './guild-presence.ts';
import type { DiscordEventPayload } from './payload.ts';

export type Outcome =
  | {
      readonly kind: 'event';
      readonly payload: DiscordEventPayload;
      readonly routingKey: string;
      readonly priority: number;
    }
  /** Understood, and not wanted by workers. */
  | { readonly kind: 'filtered'; readonly reason: FilterReason }
  /** Should have been understood: malformed, or newer than this version. To be counted, and logged once for each type. */
  | { readonly kind: 'unknown'; readonly reason: string };

export interface DispatchContext {
  readonly sessionId: string;
  readonly shardId: number;
  readonly sequence: number;
  /** Unix ms. */
  readonly receivedAt: number;
  /** The memory of this session. */
  readonly guilds: GuildPresence;
}

export const FILTERED = {
  notAsked: filtered('a dispatch that no worker asked for'),
  session: filtered("the session's own bookkeeping"),
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

function filtered<const R extends string>(reason: R): { readonly kind: 'filtered'; readonly reason: R } {
  return Object.freeze({ kind: 'filtered', reason });
}
