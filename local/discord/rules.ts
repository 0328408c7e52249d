// What Discord's gateway accepts from a client, and with which close code it refuses the rest. Pure: a payload comes in,
// its content or a refusal comes out. Each refusal has a sentence for the person who wrote the client.
// https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway

import { GatewayCloseCodes, GatewayIntentBits, GatewayOpcodes } from 'discord-api-types/v10';

export class Refusal {
  readonly code: GatewayCloseCodes;
  readonly sentence: string;

  constructor(code: keyof typeof GatewayCloseCodes, sentence: string) {
    this.code = GatewayCloseCodes[code];
    this.sentence = sentence;
  }
}

/** Larger payloads are refused. https://discord.com/developers/docs/events/gateway#sending-events */
const MAX_PAYLOAD_BYTES = 4_096;
/** Payloads that a connection may send within the window. */
const MAX_SENDS = 120;
export const SENDS_WINDOW_MS = 60_000;
/** Heartbeats of Discord's own interval, 41.25 s, within the window. */
const USUAL_HEARTBEATS = 2;
/** More guilds on a shard are refused. https://discord.com/developers/docs/events/gateway#sharding */
const GUILDS_PER_SHARD = 2_500;

/** A simulator with a shorter interval than Discord's demands more heartbeats than Discord counts; these are added. */
export function maxSends(heartbeatIntervalMs: number): number {
  return MAX_SENDS + Math.max(0, Math.ceil(SENDS_WINDOW_MS / heartbeatIntervalMs) - USUAL_HEARTBEATS);
}

/** What the address asks for. `undefined` refuses nothing. */
export function refusalOfQuery(query: URLSearchParams): Refusal | undefined {
  const [version, encoding, compress] = [query.get('v'), query.get('encoding'), query.get('compress')];
  if (version !== '10') return new Refusal('InvalidAPIVersion', `expected v=10 in the address, got v=${version}`);
  if (encoding !== 'json') return new Refusal('DecodeError', `this simulator supports encoding=json, not ${encoding}`);
  if (compress !== null && compress !== 'zlib-stream')
    return new Refusal('DecodeError', `this simulator supports compress=zlib-stream, not ${compress}`);
  return undefined;
}

export interface Payload {
  readonly op: number;
  readonly d: unknown;
}

export function readPayload(bytes: Buffer): Payload | Refusal {
  if (bytes.length > MAX_PAYLOAD_BYTES)
    return undecodable(`a payload may have ${MAX_PAYLOAD_BYTES} bytes, this has ${bytes.length}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undecodable('a payload must be JSON');
  }
  if (!isRecord(parsed)) return undecodable('a payload must be an object');
  const { op, d } = parsed;
  if (typeof op === 'number' && CLIENT_OPCODES.has(op)) return { op, d };
  return new Refusal('UnknownOpcode', `a client does not send opcode ${JSON.stringify(op)}`);
}

/** A heartbeat's sequence: one that was received, or null before any was. */
export function readHeartbeat(d: unknown): number | null | Refusal {
  if (d === null || d === undefined) return null;
  return Number.isSafeInteger(d) ? Number(d) : undecodable('the d of a heartbeat must be a sequence or null');
}

export interface Bot {
  readonly token: string;
  readonly guilds: number;
  readonly shardCountMultiple: number;
  readonly grantedIntents: number;
}

export interface Identify {
  readonly shardId: number;
  readonly shardCount: number;
  readonly intents: number;
  readonly presence: unknown;
}

export function readIdentify(d: unknown, bot: Bot): Identify | Refusal {
  if (!isRecord(d)) return undecodable('the d of IDENTIFY must be an object');
  const refused = refusalOfToken('IDENTIFY', d.token, bot.token);
  if (refused) return refused;
  if (!isRecord(d.properties)) return undecodable('IDENTIFY needs properties: os, browser and device');
  const shard = readShard(d.shard, bot);
  if (shard instanceof Refusal) return shard;
  const intents = readIntents(d.intents, bot);
  if (intents instanceof Refusal) return intents;
  return { ...shard, intents, presence: d.presence };
}

export interface Resume {
  readonly sessionId: string;
  readonly sequence: number;
}

export function readResume(d: unknown, bot: Pick<Bot, 'token'>): Resume | Refusal {
  if (!isRecord(d)) return undecodable('the d of RESUME must be an object');
  const { token, session_id: sessionId, seq } = d;
  const refused = refusalOfToken('RESUME', token, bot.token);
  if (refused) return refused;
  if (typeof sessionId !== 'string') return undecodable('RESUME needs a session_id');
  if (Number.isSafeInteger(seq) && Number(seq) >= 0) return { sessionId, sequence: Number(seq) };
  return new Refusal('InvalidSeq', `RESUME needs the last sequence received, got ${JSON.stringify(seq)}`);
}

/** Close codes of Discord after which the session is gone; 4001 too, according to its staff, although it is not documented. */
const ENDS_SESSION: ReadonlySet<number> = new Set([
  GatewayCloseCodes.UnknownOpcode,
  GatewayCloseCodes.AuthenticationFailed,
  GatewayCloseCodes.InvalidSeq,
  GatewayCloseCodes.SessionTimedOut,
  GatewayCloseCodes.InvalidShard,
  GatewayCloseCodes.ShardingRequired,
  GatewayCloseCodes.InvalidAPIVersion,
  GatewayCloseCodes.InvalidIntents,
  GatewayCloseCodes.DisallowedIntents,
]);

export type ClosedBy = 'client' | 'server' | 'network';

/**
 * Whether a close with this code ends the session.
 * https://discord.com/developers/docs/events/gateway#initiating-a-disconnect
 */
export function closeEndsSession(code: number, by: ClosedBy): boolean {
  if (by === 'client') return code === 1000 || code === 1001;
  return by === 'server' && ENDS_SESSION.has(code);
}

function refusalOfToken(opcode: string, given: unknown, token: string): Refusal | undefined {
  if (given === token) return undefined;
  if (typeof given !== 'string') return undecodable(`${opcode} needs a token`);
  return new Refusal('AuthenticationFailed', `${opcode} has a token that is not the bot's`);
}

type Shard = Pick<Identify, 'shardId' | 'shardCount'>;

function readShard(shard: unknown, { guilds, shardCountMultiple }: Bot): Shard | Refusal {
  const [shardId, shardCount] = Array.isArray(shard) && shard.length === 2 ? shard : shard === undefined ? [0, 1] : [];
  if (!Number.isSafeInteger(shardId) || !Number.isSafeInteger(shardCount) || shardId < 0 || shardId >= shardCount)
    return new Refusal('InvalidShard', `shard must be [id, count] with 0 <= id < count, got ${JSON.stringify(shard)}`);
  if (shardCount % shardCountMultiple !== 0)
    return new Refusal('InvalidShard', `this bot needs a multiple of ${shardCountMultiple} shards, got ${shardCount}`);
  if (guilds / shardCount <= GUILDS_PER_SHARD) return { shardId, shardCount };
  const sentence = `${guilds} guilds over ${shardCount} shards are more than ${GUILDS_PER_SHARD} each: use more shards`;
  return new Refusal('ShardingRequired', sentence);
}

function readIntents(intents: unknown, { grantedIntents }: Bot): number | Refusal {
  if (typeof intents !== 'number' || !Number.isSafeInteger(intents) || intents < 0)
    return new Refusal('InvalidIntents', `intents must be a bit set, got ${JSON.stringify(intents)}`);
  const unknown = intents & ~ALL_INTENTS;
  if (unknown !== 0 || intents > 2 ** 31 - 1)
    return new Refusal('InvalidIntents', `there is no intent behind these bits: ${unknown}`);
  const denied = intents & PRIVILEGED_INTENTS & ~grantedIntents;
  if (denied === 0) return intents;
  const names = INTENTS.flatMap(([name, bit]) => ((bit & denied) === 0 ? [] : name)).join(', ');
  return new Refusal('DisallowedIntents', `the bot was not granted ${names}: enable it in the developer portal`);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const undecodable = (sentence: string): Refusal => new Refusal('DecodeError', sentence);

const CLIENT_OPCODES: ReadonlySet<number> = new Set([
  GatewayOpcodes.Heartbeat,
  GatewayOpcodes.Identify,
  GatewayOpcodes.PresenceUpdate,
  GatewayOpcodes.VoiceStateUpdate,
  GatewayOpcodes.Resume,
  GatewayOpcodes.RequestGuildMembers,
  GatewayOpcodes.RequestSoundboardSounds,
]);

const INTENTS = Object.entries(GatewayIntentBits).filter((entry): entry is [string, number] =>
  Number.isInteger(entry[1]),
);

const ALL_INTENTS = INTENTS.reduce((all, [, bit]) => all | bit, 0);

export const PRIVILEGED_INTENTS =
  GatewayIntentBits.GuildMembers | GatewayIntentBits.GuildPresences | GatewayIntentBits.MessageContent;
