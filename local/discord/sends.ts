// What a client sends beside the protocol, ops 3, 4, 8 and 31: which payloads Discord cannot read, and the dispatches with
// which it answers the others. Pure.
// https://discord.com/developers/docs/events/gateway-events#send-events

import { GatewayDispatchEvents, GatewayIntentBits, GatewayOpcodes, PresenceUpdateStatus } from 'discord-api-types/v10';
import type { Guild, World } from './payloads/world.ts';
import { isRecord, Refusal } from './rules.ts';

/** One that was accepted. */
export interface Send {
  readonly sessionId: string;
  readonly shardId: number;
  readonly op: number;
  readonly d: Record<string, unknown>;
  /** By `performance.now()`. */
  readonly at: number;
}

export interface Answer {
  readonly dispatch: GatewayDispatchEvents;
  readonly guild: Guild;
  readonly intents: number;
  readonly d: object;
}

const MEMBERS_PER_CHUNK = 1_000;
/** Of a prefix, and of ids. */
const MOST_MATCHES = 100;
const MOST_NONCE_BYTES = 32;
const { VoiceStateUpdate, VoiceServerUpdate, GuildMembersChunk, SoundboardSounds } = GatewayDispatchEvents;

/** @returns why Discord closes the connection over it */
export function refusalOfSend(op: number, d: unknown): Refusal | undefined {
  const wrong = isRecord(d) ? wrongField(op, d) : 'd';
  return wrong === undefined ? undefined : new Refusal('DecodeError', `the ${wrong} of opcode ${op} is faulty`);
}

function wrongField(op: number, d: Record<string, unknown>): string | undefined {
  const { guild_id, channel_id, user_ids, guild_ids } = d;
  const failing = (checks: Readonly<Record<string, boolean>>) =>
    Object.entries(checks).find(([, right]) => !right)?.[0];
  if (op === GatewayOpcodes.PresenceUpdate)
    return failing({
      status: Object.values<unknown>(PresenceUpdateStatus).includes(d.status),
      since: d.since === null || Number.isSafeInteger(d.since),
      afk: typeof d.afk === 'boolean',
      activities: Array.isArray(d.activities) && d.activities.every(isActivity),
    });
  if (op === GatewayOpcodes.VoiceStateUpdate)
    return failing({
      guild_id: isId(guild_id),
      channel_id: channel_id === null || isId(channel_id),
      self_mute: typeof d.self_mute === 'boolean',
      self_deaf: typeof d.self_deaf === 'boolean',
    });
  if (op === GatewayOpcodes.RequestGuildMembers)
    return failing({
      guild_id: isId(guild_id),
      'query or user_ids': (d.query === undefined) !== (user_ids === undefined),
      limit: user_ids !== undefined || (Number.isSafeInteger(d.limit) && typeof d.query === 'string'),
      user_ids: user_ids === undefined || (Array.isArray(user_ids) ? user_ids : [user_ids]).every(isId),
    });
  return failing({ guild_ids: Array.isArray(guild_ids) && guild_ids.every(isId) });
}

/** @param guildOf a guild of the session's shard that the bot is in: what concerns others is not answered */
export function answersTo(
  { op, d, sessionId }: Send,
  world: World,
  intents: number,
  guildOf: (id: unknown) => Guild | undefined,
): Answer[] {
  if (op === GatewayOpcodes.RequestSoundboardSounds)
    return (d.guild_ids as unknown[]).flatMap((id) => {
      const guild = guildOf(id);
      const sounds = { guild_id: guild?.id, soundboard_sounds: [] };
      return guild === undefined ? [] : [{ dispatch: SoundboardSounds, guild, intents: 0, d: sounds }];
    });
  const guild = guildOf(d.guild_id);
  if (guild === undefined) return [];
  if (op === GatewayOpcodes.RequestGuildMembers) return chunks(d, world, guild, intents);
  const { guild_id, channel_id, self_mute, self_deaf } = d;
  const state = { guild_id, channel_id, self_mute, self_deaf, user_id: world.bot.id, session_id: sessionId };
  const flags = { deaf: false, mute: false, self_video: false, suppress: false, request_to_speak_timestamp: null };
  const server = { guild_id, token: `voice-token-${sessionId}`, endpoint: 'voice.discord.test:443' };
  const stateUpdate = { guild, intents: GatewayIntentBits.GuildVoiceStates, d: { ...state, ...flags } };
  return [
    { dispatch: VoiceStateUpdate, ...stateUpdate },
    ...(channel_id === null ? [] : [{ dispatch: VoiceServerUpdate, guild, intents: 0, d: server }]),
  ];
}

function chunks(d: Record<string, unknown>, world: World, guild: Guild, intents: number): Answer[] {
  const { query, user_ids, nonce } = d;
  const all = query === '' && d.limit === 0;
  if (all && (intents & GatewayIntentBits.GuildMembers) === 0) return [];
  const people = Array.from({ length: guild.memberCount }, (_, index) => world.person(guild, index));
  const ids = user_ids === undefined ? undefined : [user_ids].flat().slice(0, MOST_MATCHES);
  const matching = people.filter(({ user }) => ids?.includes(user.id) ?? user.username.startsWith(String(query)));
  const found = all || ids !== undefined ? matching : matching.slice(0, Math.min(Number(d.limit), MOST_MATCHES));
  const missing = ids?.filter((id) => !found.some(({ user }) => user.id === id));
  const count = Math.max(1, Math.ceil(found.length / MEMBERS_PER_CHUNK));
  return Array.from({ length: count }, (_, index) => ({
    dispatch: GuildMembersChunk,
    guild,
    intents: 0,
    d: {
      guild_id: guild.id,
      members: found
        .slice(index * MEMBERS_PER_CHUNK, (index + 1) * MEMBERS_PER_CHUNK)
        .map(({ user, member }) => ({ ...member, user })),
      ...{ chunk_index: index, chunk_count: count },
      ...(missing && { not_found: missing }),
      ...(typeof nonce === 'string' && Buffer.byteLength(nonce) <= MOST_NONCE_BYTES && { nonce }),
    },
  }));
}

const isId = (value: unknown): boolean => typeof value === 'string' && /^\d{1,20}$/.test(value);

const isActivity = (value: unknown): boolean =>
  isRecord(value) && typeof value.name === 'string' && Number.isSafeInteger(value.type);
