// What a client asks for by ops 3, 4, 8 and 31: which payloads Discord cannot read, and the dispatches with which it answers
// the others. Pure.
// https://discord.com/developers/docs/events/gateway-events#send-events

import { GatewayDispatchEvents, GatewayIntentBits, GatewayOpcodes, PresenceUpdateStatus } from 'discord-api-types/v10';
import { z } from 'zod';
import type { Guild, World } from './payloads/world.ts';
import { Refusal } from './rules.ts';

/** An accepted payload. */
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
/** Members that are found by a prefix or by ids. */
const MOST_MATCHES = 100;
const MOST_NONCE_BYTES = 32;
const { VoiceStateUpdate, VoiceServerUpdate, GuildMembersChunk, SoundboardSounds } = GatewayDispatchEvents;

const ID = z.string().regex(/^\d{1,20}$/);
const NOT_THERE = z.undefined().optional();
const ACCEPTED: Readonly<Record<number, z.ZodType>> = {
  [GatewayOpcodes.PresenceUpdate]: z.object({
    status: z.enum(PresenceUpdateStatus),
    since: z.int().nullable(),
    afk: z.boolean(),
    activities: z.array(z.object({ name: z.string(), type: z.int() })),
  }),
  [GatewayOpcodes.VoiceStateUpdate]: z.object({
    guild_id: ID,
    channel_id: ID.nullable(),
    self_mute: z.boolean(),
    self_deaf: z.boolean(),
  }),
  [GatewayOpcodes.RequestGuildMembers]: z.union([
    z.object({ guild_id: ID, query: z.string(), limit: z.int(), user_ids: NOT_THERE }),
    z.object({ guild_id: ID, query: NOT_THERE, user_ids: z.union([ID, z.array(ID)]) }),
  ]),
  [GatewayOpcodes.RequestSoundboardSounds]: z.object({ guild_ids: z.array(ID) }),
};

/** @returns why Discord closes the connection over it */
export function refusalOfSend(op: number, d: unknown): Refusal | undefined {
  const { error } = ACCEPTED[op]?.safeParse(d) ?? {};
  return error && new Refusal('DecodeError', `the data of opcode ${op} is faulty: ${z.prettifyError(error)}`);
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
