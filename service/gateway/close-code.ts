// What the end of a gateway connection means for its shard. Pure.
// https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes

import { GatewayCloseCodes } from 'discord-api-types/v10';
import { intentNames, SWITCHES } from './intents.ts';

/** Closes the connection and keeps the session: any code but 1000 and 1001 does. */
export const RESUMABLE_CLOSE = 4200;
/** Ends the session at once. */
export const SESSION_ENDING_CLOSE = 1000;

/** Why a connection ended: the first cause. */
export type EndCause =
  | { readonly how: 'closed by Discord'; readonly code: number }
  /** The socket, or the code above it. @param reason the error's sentence and code */
  | { readonly how: 'failed'; readonly reason: string }
  | { readonly how: 'no HELLO' | 'no READY' | 'no answer to RESUME' | 'zombie' | 'op 7' | 'closed here' }
  | { readonly how: 'op 9'; readonly resumable: boolean }
  /** @param reason what was expected, and what came. Undecodable: what may be a dispatch ends each connection on which it comes */
  | { readonly how: 'malformed' | 'undecodable'; readonly reason: string }
  /** Dispatches are missing that a RESUME may bring. */
  | { readonly how: 'hole'; readonly reason: string };

export type ConnectionEnd = EndCause & {
  /** HELLO came. */
  readonly answered: boolean;
};

export interface Verdict {
  readonly kind: /** The gateway did not answer: try again, with the session. */
    | 'unreachable'
    /** The connection has ended, the session has not. */
    | 'resume'
    /** Discord asks for time; the session is kept, however often. */
    | 'not now'
    /** An answer that shows nothing about the session. Several in a row are a refusal: see reconnect.ts. */
    | 'malformed'
    /** Discord did not accept the session, or there was none. */
    | 'refused'
    /** Discord would refuse another connection too: `reason` is what to change. */
    | 'fatal'
    | ('no READY' | 'token rejected');
  readonly reason: string;
}

const FATAL: Readonly<Record<number, (intents: readonly string[]) => string>> = {
  [GatewayCloseCodes.InvalidShard]: () =>
    'Discord refused the shard (4010): SHARD_COUNT does not fit this bot. Very large bots need a multiple of what Discord assigned them',
  [GatewayCloseCodes.ShardingRequired]: () =>
    'Discord requires more shards (4011): raise SHARD_COUNT. If it is auto, deploy again: the number is read at the start',
  [GatewayCloseCodes.InvalidAPIVersion]: () =>
    'Discord no longer supports this version of the gateway (4012): update the ingestor',
  [GatewayCloseCodes.InvalidIntents]: (intents) =>
    `Discord does not know one of the intents (4013): correct EVENTS, or GATEWAY_INTENTS where it is set: it asks for ${intents.join(', ')}`,
  [GatewayCloseCodes.DisallowedIntents]: (intents) => {
    const privileged = intents.filter((name) => name in SWITCHES);
    // Discord may make other intents privileged.
    const names = privileged.length > 0 ? privileged : intents;
    const switches = names.map((name) => `'${SWITCHES[name] ?? name}'`).join(' and ');
    return `Discord has not granted one of the intents (4014): switch on ${switches} in its developer portal (Bot, Privileged Gateway Intents), or choose no EVENTS that need ${names.join(' and ')} (and remove it from GATEWAY_INTENTS, where that is set)`;
  },
};

/** `ws` reports it for a connection that ended without a close frame. */
const NO_CLOSE_CODE = 1006;

/** Close codes that do not keep the session. */
const OF_CODE: Readonly<Record<number, 'refused' | 'not now'>> = {
  // "... or this session has been invalidated".
  [GatewayCloseCodes.NotAuthenticated]: 'refused',
  [GatewayCloseCodes.AlreadyAuthenticated]: 'refused',
  // "Reconnect and start a new session".
  [GatewayCloseCodes.InvalidSeq]: 'refused',
  // This shard sends no more than Discord asks for: it did not cause this.
  [GatewayCloseCodes.RateLimited]: 'not now',
};

/** Whether another connection that resumed the session may be the cause. Not of a network failure, nor of op 7. */
export function isEndByDiscord(end: EndCause): boolean {
  return end.how === 'op 9' || (end.how === 'closed by Discord' && end.code !== NO_CLOSE_CODE);
}

/** @param intents bit field of the IDENTIFY */
export function verdictOf(end: ConnectionEnd, intents: number): Verdict {
  if (end.how === 'closed by Discord') return verdictOfCode(end.code, end.answered, intents);
  if (end.how === 'malformed' || end.how === 'undecodable')
    return { kind: 'malformed', reason: `malformed frame: ${end.reason}` };
  const reason = 'reason' in end ? end.reason : SENTENCES[end.how];
  if (end.how === 'op 9')
    return end.resumable ? { kind: 'not now', reason: `${reason}, resumable` } : { kind: 'refused', reason };
  if (!end.answered || end.how === 'no answer to RESUME') return { kind: 'unreachable', reason };
  return { kind: end.how === 'no READY' ? 'no READY' : 'resume', reason };
}

function verdictOfCode(code: number, answered: boolean, intents: number): Verdict {
  if (code === GatewayCloseCodes.AuthenticationFailed)
    return { kind: 'token rejected', reason: 'Discord rejected the token (4004)' };
  const fatal = FATAL[code];
  if (fatal !== undefined) return { kind: 'fatal', reason: fatal(intentNames(intents)) };
  const reason = code === NO_CLOSE_CODE ? 'the connection ended without a close code (1006)' : `close code ${code}`;
  return { kind: answered ? (OF_CODE[code] ?? 'resume') : 'unreachable', reason };
}

const SENTENCES = {
  'no HELLO': 'the gateway sent no HELLO in time',
  'no READY': 'the gateway sent no READY in time',
  'no answer to RESUME': 'no answer to RESUME',
  zombie: 'no heartbeat was acknowledged for an interval',
  'op 7': 'Discord asked to reconnect (op 7)',
  'op 9': 'invalid session (op 9)',
  'closed here': 'the ingestor closed the connection',
} as const;
