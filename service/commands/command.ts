// The contract with workers for commands, which they publish to the exchange `discord.commands`. `data` is Discord's own `d` of
// the opcode: Discord's documentation describes it. What Discord would ignore or close the connection over is refused here. https://discord.com/developers/docs/events/gateway-events#send-events

import { GatewayOpcodes, type GatewaySendPayload, PresenceUpdateStatus } from 'discord-api-types/v10';
import { z } from 'zod';

/** https://discord.com/developers/docs/events/gateway#sending-events */
export const MOST_PAYLOAD_BYTES = 4_096;
/** It must also fit into an IDENTIFY, beside the token. */
const MOST_PRESENCE_BYTES = 3_072;
const MOST_USER_IDS = 100;
const MOST_NONCE_BYTES = 32;

const NO_ID = { error: 'expected an id, as a string of digits' };
/** Ids have 63 bits. */
const Id = z.string(NO_ID).regex(/^[1-9]\d{0,18}$/, NO_ID);
/** Half of a surrogate pair has no UTF-8. */
const Text = z.string().refine((text) => text.isWellFormed(), { error: 'expected text that can be written as UTF-8' });

const within = <T extends z.ZodType>(schema: T, most: number) =>
  schema.refine((value) => bytesOf(value) <= most, { error: `expected at most ${most} bytes` });

/** Discord's activities have more fields; it takes these of a bot. */
const Activity = z.object({
  name: Text.min(1),
  type: z.int().min(0).max(5).describe("Discord's activity type: 0 playing, 1 streaming, … 4 custom, 5 competing"),
  state: Text.nullish(),
  url: Text.nullish(),
});

export const Presence = within(
  z.strictObject({
    since: z.int().nonnegative().nullable().default(null),
    activities: z.array(Activity).default([]),
    status: z.enum(PresenceUpdateStatus),
    afk: z.boolean().default(false),
  }),
  MOST_PRESENCE_BYTES,
).describe(`At most ${MOST_PRESENCE_BYTES} bytes as JSON`);
export type Presence = z.output<typeof Presence>;

const VoiceState = z.strictObject({
  guild_id: Id,
  channel_id: Id.nullable().describe('null: leave'),
  self_mute: z.boolean(),
  self_deaf: z.boolean(),
});

const ofMembers = {
  guild_id: Id,
  presences: z.boolean().optional().describe('true needs the intent GuildPresences'),
  nonce: within(Text, MOST_NONCE_BYTES)
    .optional()
    .describe(`Comes back in each GUILD_MEMBERS_CHUNK. At most ${MOST_NONCE_BYTES} bytes`),
};
/** Discord takes the one or the other. */
const Members = z.union(
  [
    z.strictObject({
      ...ofMembers,
      query: Text.describe('What names begin with. Empty, for all members, it needs the intent GuildMembers'),
      limit: z.int().nonnegative(),
    }),
    z.strictObject({ ...ofMembers, user_ids: z.union([Id, z.array(Id).min(1).max(MOST_USER_IDS)]) }),
  ],
  {
    error: `expected guild_id, either query and limit, or user_ids (1 to ${MOST_USER_IDS}), and no others but presences and nonce (at most ${MOST_NONCE_BYTES} bytes)`,
  },
);

const SoundboardSounds = z.strictObject({ guild_ids: z.array(Id).min(1).describe('All of this shard') });

const command = <const Name extends string, Data extends z.ZodType>(name: Name, data: Data) =>
  z.strictObject({ command: z.literal(name), data });

const COMMANDS = [
  command('update_presence', Presence),
  command('update_voice_state', VoiceState),
  command('request_guild_members', Members),
  command('request_soundboard_sounds', SoundboardSounds),
] as const;
const NAMES = COMMANDS.map(({ shape }) => shape.command.value);

export const Command = z
  .discriminatedUnion('command', COMMANDS, { error: `expected an object whose command is one of ${NAMES.join(', ')}` })
  .meta({
    title: 'DiscordCommand',
    description:
      "The body of every message to the discord.commands exchange. `data` is Discord's own `d` of the opcode. Routing key: " +
      `shard.<id>, or for update_presence also shard.all. Discord takes at most ${MOST_PAYLOAD_BYTES} bytes of opcode and d.`,
  });
export type Command = z.output<typeof Command>;
/** As a worker writes it. */
export type DiscordCommand = z.input<typeof Command>;

const OPCODES = {
  update_presence: GatewayOpcodes.PresenceUpdate,
  update_voice_state: GatewayOpcodes.VoiceStateUpdate,
  request_guild_members: GatewayOpcodes.RequestGuildMembers,
  request_soundboard_sounds: GatewayOpcodes.RequestSoundboardSounds,
} as const satisfies Record<Command['command'], GatewayOpcodes>;

export type Payload = Extract<GatewaySendPayload, { op: (typeof OPCODES)[Command['command']] }>;

/** What Discord gets. @throws Error with one sentence when Discord would close the connection over its size */
export function payloadOf({ command, data }: Command): Payload {
  const payload = { op: OPCODES[command], d: data } as Payload;
  const bytes = bytesOf(payload);
  if (bytes <= MOST_PAYLOAD_BYTES) return payload;
  throw new Error(`data: Discord takes payloads of at most ${MOST_PAYLOAD_BYTES} bytes, this one has ${bytes}`);
}

/** @throws Error with one sentence */
export function parsePresence(text: string): Presence {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error(`expected Discord's presence as JSON, such as {"status":"online"}, got no JSON`);
  }
  const { data, error } = Presence.safeParse(json);
  if (data !== undefined) return data;
  throw new Error(`expected a presence that Discord takes, got one that is faulty: ${sentence(error)}`);
}

/** Where, and what was expected there: of what came, names of fields only. */
export function sentence({ issues: [issue] }: z.ZodError): string {
  const path = issue?.path.map((part) => String(part).slice(0, 30)).join('.');
  const other = issue?.code === 'unrecognized_keys' ? `expected no field '${issue.keys[0]?.slice(0, 30)}'` : undefined;
  const expected = other ?? issue?.message.replaceAll(/\s+/g, ' ').slice(0, 250) ?? '';
  return path ? `${path}: ${expected}` : expected;
}

function bytesOf(value: unknown): number {
  return Buffer.byteLength(typeof value === 'string' ? value : JSON.stringify(value));
}
