// What Discord's gateway accepts from a client, and with which close code it refuses the rest. Pure: a payload comes in,
// a reading or a refusal comes out. Each refusal has a sentence for the person who wrote the client.
// https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway

import { GatewayCloseCodes, GatewayIntentBits, GatewayOpcodes } from 'discord-api-types/v10';

export interface Refusal {
  readonly kind: 'refused';
  readonly code: GatewayCloseCodes;
  readonly sentence: string;
}

/** Sent frames of more than this are not read. https://discord.com/developers/docs/events/gateway#sending-events */
const MAX_PAYLOAD_BYTES = 4_096;
/** Payloads that a connection may send within the window. */
const MAX_SENDS = 120;
export const SENDS_WINDOW_MS = 60_000;
/** Heartbeats of Discord's own interval, 41.25 s, within the window. */
const USUAL_HEARTBEATS = 2;

/** A simulator with a shorter interval than Discord's demands more heartbeats than Discord counts; these are added. */
export function maxSends(heartbeatIntervalMs: number): number {
  return MAX_SENDS + Math.max(0, Math.ceil(SENDS_WINDOW_MS / heartbeatIntervalMs) - USUAL_HEARTBEATS);
}

export interface Payload {
  readonly kind: 'payload';
  readonly op: number;
  readonly d: unknown;
}

export function readPayload(bytes: Buffer): Payload | Refusal {
  if (bytes.length > MAX_PAYLOAD_BYTES)
    return refuse(
      GatewayCloseCodes.DecodeError,
      `a payload may have ${MAX_PAYLOAD_BYTES} bytes, this has ${bytes.length}`,
    );
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString('utf8'));
  } catch {
    return refuse(GatewayCloseCodes.DecodeError, 'a payload is to be JSON');
  }
  if (!isRecord(parsed)) return refuse(GatewayCloseCodes.DecodeError, 'a payload is to be an object');
  const { op, d } = parsed;
  if (typeof op !== 'number' || !CLIENT_OPCODES.has(op))
    return refuse(GatewayCloseCodes.UnknownOpcode, `a client does not send opcode ${JSON.stringify(op)}`);
  return { kind: 'payload', op, d };
}

/** What the address asks for. `undefined` refuses nothing. */
export function judgeQuery(query: URLSearchParams): Refusal | undefined {
  if (query.get('v') !== '10')
    return refuse(GatewayCloseCodes.InvalidAPIVersion, `expected v=10 in the address, got v=${query.get('v')}`);
  if (query.get('encoding') !== 'json')
    return refuse(GatewayCloseCodes.DecodeError, `this simulator speaks encoding=json, not ${query.get('encoding')}`);
  const compress = query.get('compress');
  if (compress !== null && compress !== 'zlib-stream')
    return refuse(GatewayCloseCodes.DecodeError, `this simulator speaks compress=zlib-stream or none, not ${compress}`);
  return undefined;
}

/** A heartbeat's sequence: one that was received, or null before any was. */
export function readHeartbeat(d: unknown): { readonly kind: 'heartbeat'; readonly sequence: number | null } | Refusal {
  if (d === null || d === undefined) return { kind: 'heartbeat', sequence: null };
  if (Number.isSafeInteger(d)) return { kind: 'heartbeat', sequence: Number(d) };
  return refuse(GatewayCloseCodes.DecodeError, 'the d of a heartbeat is to be a sequence or null');
}

export interface Bot {
  readonly token: string;
  readonly guilds: number;
  readonly guildsPerShard: number;
  readonly shardCountMultiple: number;
  readonly grantedIntents: number;
}

export interface Identify {
  readonly kind: 'identify';
  readonly shardId: number;
  readonly shardCount: number;
  readonly intents: number;
  /** Large payloads as zlib, each for itself. */
  readonly compress: boolean;
}

export function readIdentify(d: unknown, bot: Bot): Identify | Refusal {
  if (!isRecord(d)) return refuse(GatewayCloseCodes.DecodeError, 'the d of IDENTIFY is to be an object');
  if (typeof d.token !== 'string') return refuse(GatewayCloseCodes.DecodeError, 'IDENTIFY needs a token');
  if (d.token !== bot.token)
    return refuse(GatewayCloseCodes.AuthenticationFailed, "IDENTIFY has a token that is not the bot's");
  if (!isRecord(d.properties))
    return refuse(GatewayCloseCodes.DecodeError, 'IDENTIFY needs properties: os, browser and device');
  const shard = readShard(d.shard, bot);
  if (shard.kind === 'refused') return shard;
  const intents = readIntents(d.intents, bot);
  if (typeof intents !== 'number') return intents;
  const { shardId, shardCount } = shard;
  return { kind: 'identify', shardId, shardCount, intents, compress: d.compress === true };
}

export interface Resume {
  readonly kind: 'resume';
  readonly sessionId: string;
  readonly sequence: number;
}

export function readResume(d: unknown, bot: Pick<Bot, 'token'>): Resume | Refusal {
  if (!isRecord(d)) return refuse(GatewayCloseCodes.DecodeError, 'the d of RESUME is to be an object');
  const { token, session_id: sessionId, seq } = d;
  if (typeof token !== 'string' || typeof sessionId !== 'string')
    return refuse(GatewayCloseCodes.DecodeError, 'RESUME needs token and session_id');
  if (token !== bot.token)
    return refuse(GatewayCloseCodes.AuthenticationFailed, "RESUME has a token that is not the bot's");
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 0)
    return refuse(GatewayCloseCodes.InvalidSeq, `RESUME needs the last sequence received, got ${JSON.stringify(seq)}`);
  return { kind: 'resume', sessionId, sequence: seq };
}

/** Close codes of Discord after which the session is gone; 4001 too, as its staff said, although it is not documented. */
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

/** Whether a close by Discord ends the session. */
export const closeEndsSession = (code: number): boolean => ENDS_SESSION.has(code);

/**
 * Whether a close by the client ends the session.
 * https://discord.com/developers/docs/events/gateway#initiating-a-disconnect
 */
export const clientCloseEndsSession = (code: number): boolean => code === 1000 || code === 1001;

function readShard(
  shard: unknown,
  { guilds, guildsPerShard, shardCountMultiple }: Bot,
): { readonly kind: 'shard'; readonly shardId: number; readonly shardCount: number } | Refusal {
  const [shardId, shardCount] = Array.isArray(shard) && shard.length === 2 ? shard : shard === undefined ? [0, 1] : [];
  if (!Number.isSafeInteger(shardId) || !Number.isSafeInteger(shardCount) || shardId < 0 || shardId >= shardCount)
    return refuse(
      GatewayCloseCodes.InvalidShard,
      `shard is to be [id, count] with 0 <= id < count, got ${JSON.stringify(shard)}`,
    );
  if (shardCount % shardCountMultiple !== 0)
    return refuse(
      GatewayCloseCodes.InvalidShard,
      `the shard count of this bot must be a multiple of ${shardCountMultiple}, got ${shardCount}`,
    );
  if (guilds / shardCount > guildsPerShard)
    return refuse(
      GatewayCloseCodes.ShardingRequired,
      `${guilds} guilds over ${shardCount} shards are more than ${guildsPerShard} each: use more shards`,
    );
  return { kind: 'shard', shardId, shardCount };
}

function readIntents(intents: unknown, { grantedIntents }: Bot): number | Refusal {
  if (typeof intents !== 'number' || !Number.isSafeInteger(intents) || intents < 0)
    return refuse(GatewayCloseCodes.InvalidIntents, `intents are to be a bit set, got ${JSON.stringify(intents)}`);
  const unknown = intents & ~ALL_INTENTS;
  if (unknown !== 0 || intents > 2 ** 31 - 1)
    return refuse(GatewayCloseCodes.InvalidIntents, `there is no intent behind these bits: ${unknown}`);
  const denied = intents & PRIVILEGED_INTENTS & ~grantedIntents;
  if (denied !== 0)
    return refuse(
      GatewayCloseCodes.DisallowedIntents,
      `the bot was not granted ${namesOf(denied).join(', ')}: enable it in the developer portal`,
    );
  return intents;
}

function namesOf(intents: number): string[] {
  return Object.entries(GatewayIntentBits)
    .filter(([, bit]) => typeof bit === 'number' && (bit & intents) !== 0)
    .map(([name]) => name);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const refuse = (code: GatewayCloseCodes, sentence: string): Refusal => ({ kind: 'refused', code, sentence });

const CLIENT_OPCODES: ReadonlySet<number> = new Set([
  GatewayOpcodes.Heartbeat,
  GatewayOpcodes.Identify,
  GatewayOpcodes.PresenceUpdate,
  GatewayOpcodes.VoiceStateUpdate,
  GatewayOpcodes.Resume,
  GatewayOpcodes.RequestGuildMembers,
  GatewayOpcodes.RequestSoundboardSounds,
]);

const ALL_INTENTS = Object.values(GatewayIntentBits)
  .filter((bit) => typeof bit === 'number')
  .reduce((all, bit) => all | bit, 0);

const PRIVILEGED_INTENTS =
  GatewayIntentBits.GuildMembers | GatewayIntentBits.GuildPresences | GatewayIntentBits.MessageContent;
