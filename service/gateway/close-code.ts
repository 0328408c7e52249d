// What the end of a gateway connection means for its shard. Pure.
// https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes

import { GatewayCloseCodes } from 'discord-api-types/v10';

/** Closes the connection and keeps the session: any code but 1000 and 1001 does. */
export const RESUMABLE_CLOSE = 4200;

/** How a connection ended, as far as is known. */
export interface ConnectionEnd {
  /** HELLO came. */
  readonly answered: boolean;
  /** What `@discordjs/ws` would do: resume, start a new session, or stop. */
  readonly advice: 'resume' | 'reconnect' | 'stop';
  /** The socket itself failed (reset, TLS, time-out). */
  readonly socketFailed: boolean;
  /** RESUME was sent, and neither RESUMED nor a refusal came in time. */
  readonly resumeTimedOut: boolean;
  /** Close code of Discord, if it closed. */
  readonly code: number | undefined;
  readonly reason: string | undefined;
}

export type Verdict =
  /** The gateway did not answer: try again, with the session. */
  | { readonly kind: 'unreachable'; readonly reason: string }
  /** The connection is over, the session is not. */
  | { readonly kind: 'resume'; readonly reason: string }
  /** Discord did not take the session (or there was none to take). */
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'token rejected'; readonly reason: string }
  /** Another connection would be refused again: `reason` is what to change. */
  | { readonly kind: 'fatal'; readonly reason: string };

const FATAL: Readonly<Record<number, string>> = {
  [GatewayCloseCodes.InvalidShard]:
    'Discord refused the shard (4010): SHARD_COUNT does not fit this bot. Very large bots need a multiple of what Discord assigned them',
  [GatewayCloseCodes.ShardingRequired]: 'Discord requires more shards (4011): raise SHARD_COUNT, or set it to auto',
  [GatewayCloseCodes.InvalidAPIVersion]:
    'Discord no longer supports this version of the gateway (4012): update the ingestor',
  [GatewayCloseCodes.InvalidIntents]: 'Discord does not know one of the intents (4013): correct GATEWAY_INTENTS',
  [GatewayCloseCodes.DisallowedIntents]:
    "Discord has not granted one of the intents (4014): enable 'Server Members Intent' for the bot in Discord's developer portal, or remove it from GATEWAY_INTENTS",
};

export function verdictOf(end: ConnectionEnd): Verdict {
  const reason = end.code === undefined ? (end.reason ?? 'the connection ended') : `close code ${end.code}`;
  if (end.code === GatewayCloseCodes.AuthenticationFailed)
    return { kind: 'token rejected', reason: 'Discord rejected the token (4004)' };
  const fatal = end.code === undefined ? undefined : FATAL[end.code];
  if (fatal !== undefined) return { kind: 'fatal', reason: fatal };
  if (!end.answered) return { kind: 'unreachable', reason };
  if (end.resumeTimedOut) return { kind: 'unreachable', reason: 'no answer to RESUME' };
  // When the socket fails the package drops the session; Discord keeps it.
  if (end.advice === 'resume' || end.socketFailed) return { kind: 'resume', reason };
  return { kind: 'refused', reason };
}
