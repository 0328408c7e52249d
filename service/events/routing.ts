// The one table from Discord's dispatches to what workers consume: routing key (the event's type), priority and queue.
// A family is a routing key without a command's name; there are as many as rows here, so it is fit for a metric's label.

import { Buffer } from 'node:buffer';
import { QUEUES } from '../contract.ts';

export interface Route {
  /** Discord's dispatch; `null` for an event of our own. */
  readonly dispatch: string | null;
  /** The routing key, or what stands before the command's name in it. */
  readonly family: string;
  /** Whether `.<name of the command>` follows. */
  readonly named: boolean;
  /** Strict on RabbitMQ 4.3; before it, 5 and above go before the rest. */
  readonly priority: number;
  readonly queue: string;
}

const interaction = { dispatch: 'INTERACTION_CREATE', queue: QUEUES.interactions } as const;
const guildEvent = { named: false, queue: QUEUES.guildEvents } as const;

export const ROUTES = {
  command: { ...interaction, family: 'interaction.command', named: true, priority: 10 },
  button: { ...interaction, family: 'interaction.button', named: false, priority: 8 },
  select: { ...interaction, family: 'interaction.select', named: false, priority: 8 },
  modal: { ...interaction, family: 'interaction.modal', named: false, priority: 7 },
  autocomplete: { ...interaction, family: 'interaction.autocomplete', named: true, priority: 6 },
  memberJoin: { ...guildEvent, dispatch: 'GUILD_MEMBER_ADD', family: 'member.join', priority: 5 },
  memberLeave: { ...guildEvent, dispatch: 'GUILD_MEMBER_REMOVE', family: 'member.leave', priority: 5 },
  memberUpdate: { ...guildEvent, dispatch: 'GUILD_MEMBER_UPDATE', family: 'member.update', priority: 5 },
  guildJoin: { ...guildEvent, dispatch: 'GUILD_CREATE', family: 'guild.join', priority: 4 },
  guildLeave: { ...guildEvent, dispatch: 'GUILD_DELETE', family: 'guild.leave', priority: 4 },
  messageCreate: { ...guildEvent, dispatch: 'MESSAGE_CREATE', family: 'message.create', priority: 1 },
  gatewayGap: { dispatch: null, family: 'gateway.gap', named: false, priority: 5, queue: QUEUES.gatewayEvents },
} as const satisfies Record<string, Route>;

export type Family = (typeof ROUTES)[keyof typeof ROUTES]['family'];

export const ROUTING_KEY_FAMILIES: readonly Route[] = Object.values(ROUTES);

/** The family of an event's type; `other` for a type that is not in the table. */
export function family(eventType: string): Family | 'other' {
  return FAMILY_OF.get(eventType.split('.', 2).join('.')) ?? 'other';
}

/** The routing key of a command, by its name as Discord gives it. */
export function namedKey<F extends Family>(route: { readonly family: F }, name: string): `${F}.${string}` {
  const left = MAX_ROUTING_KEY_BYTES - Buffer.byteLength(route.family) - 1;
  return `${route.family}.${safeWord(name, left)}`;
}

/** A short string of AMQP 0-9-1 has one byte for its length. */
export const MAX_ROUTING_KEY_BYTES = 255;

/**
 * A name as one word of a routing key: no dot (it parts words), no wildcard, nothing invisible; each becomes `_`.
 * At most `maxBytes` of UTF-8, whole characters only. Two names may meet in one word: `data` has the true name.
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
