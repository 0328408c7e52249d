// Whether a message of a worker is a command that may be sent, over which shards, and until when; or a sentence about why it
// is not. Pure.

import { type Buffer, isUtf8 } from 'node:buffer';
import { GatewayIntentBits } from 'discord-api-types/v10';
import { COMMAND_TTL_MS, MAX_COMMAND_BYTES } from '../contract/limits.ts';
import { commandKey } from '../contract/names.ts';
import { errorMessage } from '../errors.ts';
import { Command, type Payload, payloadOf, sentence } from './command.ts';

export interface CommandMessage {
  readonly body: Buffer;
  readonly routingKey: string;
  /** When the worker published it, Unix seconds. Optional. */
  readonly timestamp: number | undefined;
  /** AMQP's, in milliseconds: a string of digits. */
  readonly expiration: unknown;
}

export interface Shards {
  readonly shardIds: readonly number[];
  readonly shardCount: number;
  /** Bit field. */
  readonly intents: number;
}

export interface Admitted {
  readonly shardIds: readonly number[];
  readonly payload: Payload;
  /** Unix ms. */
  readonly expiresAt: number;
}

const ALL_SHARDS = commandKey('all');
const MOST_QUOTED = 100;

/** @param now when it was received, Unix ms @returns the command, or why it is refused: one sentence */
export function admit(message: CommandMessage, shards: Shards, now: number): Admitted | string {
  const { body, routingKey } = message;
  const shardIds = shardIdsOf(routingKey, shards);
  if (typeof shardIds === 'string') return shardIds;
  if (body.length > MAX_COMMAND_BYTES) return `expected at most ${MAX_COMMAND_BYTES} bytes, got ${body.length}`;
  if (!isUtf8(body)) return 'expected a command as JSON in UTF-8, got bytes that are none';
  let json: unknown;
  try {
    json = JSON.parse(body.toString('utf8'));
  } catch {
    return 'expected a command as JSON, got no JSON';
  }
  const { data: command, error } = Command.safeParse(json);
  if (command === undefined) return sentence(error);
  const objection = routingObjection(command, routingKey, shards) ?? intentObjection(command, shards.intents);
  if (objection !== undefined) return objection;
  const expiresAt = expiryOf(message, now);
  // A presence is a state: a late one is still the latest.
  if (expiresAt <= now && command.command !== 'update_presence')
    return `expired: it was ${now - expiresAt} ms past its life when it came. Is the clock of its sender right?`;
  try {
    return { shardIds, payload: payloadOf(command), expiresAt };
  } catch (cause) {
    return errorMessage(cause);
  }
}

function shardIdsOf(routingKey: string, { shardIds }: Shards): readonly number[] | string {
  if (routingKey === ALL_SHARDS) return shardIds;
  const id = shardIds.find((each) => routingKey === commandKey(each));
  if (id !== undefined) return [id];
  const own = `shards ${shardIds[0]} to ${shardIds.at(-1)}`;
  return `routing key: expected shard.<id> of ${own}, or ${ALL_SHARDS}, got '${routingKey.slice(0, MOST_QUOTED)}'. Where the shards are divided otherwise now, apply the topology`;
}

function routingObjection({ command, data }: Command, routingKey: string, { shardCount }: Shards): string | undefined {
  if (command === 'update_presence') return undefined;
  if (routingKey === ALL_SHARDS)
    return `routing key: only update_presence goes to ${ALL_SHARDS}. Publish ${command} to the shard of its guild`;
  for (const guildId of 'guild_ids' in data ? data.guild_ids : [data.guild_id]) {
    const shardId = shardOf(guildId, shardCount);
    if (routingKey !== commandKey(shardId))
      return `routing key: expected ${commandKey(shardId)}, to which guild ${guildId} belongs ((id >> 22) % ${shardCount}), got ${routingKey}`;
  }
  return undefined;
}

/** https://discord.com/developers/docs/events/gateway#sharding */
export function shardOf(guildId: string, shardCount: number): number {
  return Number((BigInt(guildId) >> 22n) % BigInt(shardCount));
}

/** Without it Discord leaves out the answer, or the presences, and reports no error. */
function intentObjection({ command, data }: Command, intents: number): string | undefined {
  if (command !== 'request_guild_members') return undefined;
  const needs: (keyof typeof GatewayIntentBits)[] = [];
  if ('query' in data && data.query === '') needs.push('GuildMembers');
  if (data.presences) needs.push('GuildPresences');
  const missing = needs.find((name) => (intents & GatewayIntentBits[name]) === 0);
  return missing && `data: Discord answers this only with the intent ${missing}. Add it to GATEWAY_INTENTS`;
}

/** AMQP's timestamp has whole seconds. Without one the time in the queue does not count here: the queue's own TTL ends it. */
function expiryOf({ timestamp, expiration }: CommandMessage, now: number): number {
  const own = typeof expiration === 'string' && /^\d+$/.test(expiration) ? Number(expiration) : COMMAND_TTL_MS;
  const publishedAt = timestamp === undefined ? now : Math.min(now, (timestamp + 1) * 1_000);
  return publishedAt + Math.min(own, COMMAND_TTL_MS);
}
