// The contract with workers: the envelope of every event, less what a later version adds, and `data`, Discord's own object
// without what is private (privacy.ts). Nothing in Discord's object is validated: workers get it as Discord documents it.
// In TypeScript `DiscordEventPayload` gives `data` the types of discord-api-types. For other languages `npm run contract`
// writes it as JSON Schema and AsyncAPI to docs/. Both follow from the table of routes.

import type {
  APIApplicationCommandAutocompleteInteraction,
  APIApplicationCommandInteraction,
  APIMessageComponentButtonInteraction,
  APIMessageComponentSelectMenuInteraction,
  APIModalSubmitInteraction,
  GatewayDispatchEvents,
} from 'discord-api-types/v10';
import { z } from 'zod';
import type { DispatchName, IdName } from './dispatches.ts';
import { type DataOf, isMessage, type PublicData, removedFields, type WithoutContent } from './privacy.ts';
import { type Family, ROUTES, type Route } from './routing.ts';

const snowflake = z
  .string()
  .regex(/^\d{1,20}$/)
  .meta({ id: 'Snowflake', description: "Discord's id: an unsigned 64-bit number as text." });
const text = (description: string) => z.string().describe(description);
const int = (description: string) => z.int().describe(description);

export const GatewayReadyData = z
  .object({
    sessionId: text('The session that begins: what came before it may have changed meanwhile.'),
    applicationId: snowflake,
    userId: snowflake.describe("The bot's user."),
    shardCount: z.int().min(1).describe('Discord sends a guild to the shard `(guildId >> 22) % shardCount`.'),
    guildIds: z
      .array(snowflake)
      .describe(
        'The guilds of the shard. With `guilds.full` a dispatch.guild_create follows for each that is available.',
      ),
  })
  .meta({ id: 'GatewayReadyData' });
export type GatewayReadyData = z.infer<typeof GatewayReadyData>;

export const GatewayGapData = z
  .object({
    sessionId: text('The session that was lost, or some of whose events did not come.'),
    lastSequence: int('Its highest sequence before what is missing.'),
    lostFrom: z.int().nullable().describe('Unix ms: events from here on may be missing; null if not known.'),
    lostUntil: int('Unix ms: when the loss was noticed.'),
    reason: text(
      'Why, for people. `sequences 11 to 12 did not come`: the session goes on, and only these may be missing.',
    ),
  })
  .meta({ id: 'GatewayGapData' });
export type GatewayGapData = z.infer<typeof GatewayGapData>;

export const GatewaySessionReplacedData = z
  .object({
    sessionId: text('The session that was ended on purpose.'),
    lastSequence: int('Its last sequence: everything up to it is published.'),
    reason: text(
      'Why, for people. What happens until the next session of the shard begins is sent by Discord in neither.',
    ),
  })
  .meta({ id: 'GatewaySessionReplacedData' });
export type GatewaySessionReplacedData = z.infer<typeof GatewaySessionReplacedData>;

type Rows = (typeof ROUTES)[keyof typeof ROUTES];

/** What the kinds of INTERACTION_CREATE hold. Outside guilds (FORWARD_DIRECT_MESSAGES) `user` stands in place of `member`. */
interface Interactions {
  'interaction.command': APIApplicationCommandInteraction;
  'interaction.autocomplete': APIApplicationCommandAutocompleteInteraction;
  'interaction.button': APIMessageComponentButtonInteraction;
  'interaction.select': APIMessageComponentSelectMenuInteraction;
  'interaction.modal': APIModalSubmitInteraction;
}
const OF_INGESTOR = {
  'gateway.ready': GatewayReadyData,
  'gateway.gap': GatewayGapData,
  'gateway.session-replaced': GatewaySessionReplacedData,
} as const;
type WithoutToken<T> = T extends unknown ? Omit<T, 'token'> : never;

type EventData<R extends Rows> = R['family'] extends keyof Interactions
  ? WithoutToken<Interactions[R['family']]>
  : R['dispatch'] extends GatewayDispatchEvents
    ? PublicData<R['dispatch']>
    : R['family'] extends keyof typeof OF_INGESTOR
      ? z.infer<(typeof OF_INGESTOR)[R['family']]>
      : object;

/** Names of the envelope's ids. */
type Ids<R extends Rows, Need> = {
  [N in keyof R['ids']]: R['ids'][N] extends Need ? N : never;
}[keyof R['ids']];

/** Shows an intersection as one object. */
type Flat<T> = { [K in keyof T]: T[K] };

type EventOf<R extends Rows> = R extends Rows
  ? Flat<
      {
        readonly eventId: string;
        readonly eventType: R['named'] extends true ? `${R['family']}.${string}` : R['family'];
        readonly timestamp: number;
        readonly shardId: number;
        readonly data: EventData<R>;
      } & { readonly [name in Ids<R, 'required'>]: string } & { readonly [name in Ids<R, 'optional'>]?: string }
    >
  : never;

/** Dispatches without a routing key of their own, and whole guilds. */
type Further = Exclude<DispatchName, `${NonNullable<Rows['dispatch']>}`> | 'GUILD_CREATE';

type FurtherEvent<Name extends Further> = Name extends Further
  ? Omit<EventOf<typeof ROUTES.further>, 'eventType' | 'data'> & {
      readonly eventType: `dispatch.${Lowercase<Name>}`;
      readonly data: Name extends 'GUILD_CREATE'
        ? WithoutContent<DataOf<GatewayDispatchEvents.GuildCreate>>
        : PublicData<Extract<GatewayDispatchEvents, Name>>;
    }
  : never;

/** Every event that workers get; `eventType` discriminates. */
export type DiscordEventPayload = EventOf<Exclude<Rows, typeof ROUTES.further>> | FurtherEvent<Further>;

const ID: { readonly [name in IdName]: z.ZodType } = {
  guildId: snowflake.describe('Missing where Discord names no guild: see FORWARD_DIRECT_MESSAGES.'),
  channelId: snowflake,
  userId: snowflake.describe('Who acted, or whom it is about: the author, the member, the user of the interaction.'),
  interactionId: snowflake,
  interactionToken: z.string().min(1).describe('A credential for 15 minutes: never write it to a log.'),
};

const DOCUMENTATION = 'https://discord.com/developers/docs/events/gateway-events';

/** Discord's own object: open. */
function discordData(dispatch: GatewayDispatchEvents): z.ZodType {
  const link = `${DOCUMENTATION}#${dispatch.toLowerCase().replaceAll('_', '-')}`;
  const { always, content } = removedFields(dispatch);
  const without = always.length === 0 ? '' : `, without: ${always.join(', ')}`;
  const optIn = content.length === 0 ? '' : ` Only with FORWARD_MESSAGE_CONTENT: ${content.join(', ')}.`;
  return z
    .looseObject(isMessage(dispatch) ? REMOVED : {})
    .meta({ description: `Discord's own object of ${dispatch} (${link})${without}.${optIn}` });
}

/** In a message, for what is removed. */
const REMOVED = {
  hasContent: z
    .boolean()
    .describe(
      'Whether there was text. Discord blanks it for bots without the MessageContent intent, unless mentioned.',
    ),
  hasAttachments: z.boolean().describe('Whether there were files. Blanked by Discord like the text.'),
};

const furtherData = z.looseObject({}).meta({
  description:
    `Discord's own object (${DOCUMENTATION}) of the dispatch that the type names in lower case. Only with ` +
    `FORWARD_MESSAGE_CONTENT: ${removedFields('').content.join(', ')}. \`token\` of VOICE_SERVER_UPDATE is a credential: ` +
    'never write it to a log.',
});

const ofIngestor = (family: string): z.ZodType =>
  (OF_INGESTOR as Readonly<Record<string, z.ZodType>>)[family] ?? furtherData;

function schemaOf({ dispatch, named, family, ids }: Route): z.ZodType<DiscordEventPayload> {
  const schema = z.object({
    eventType: (named ? z.templateLiteral([`${family}.`, z.string().min(1)]) : z.literal(family)).describe(
      'The routing key.',
    ),
    eventId: z
      .uuid({ version: 'v5' })
      .describe('The same Discord event has the same id, however often it is delivered: deduplicate by it.'),
    timestamp: z.int().describe('Unix ms, when the ingestor received it.'),
    shardId: z.int().min(0),
    ...Object.fromEntries(
      Object.entries(ids).map(([name, need]) => [
        name,
        need === 'required' ? ID[name as IdName] : ID[name as IdName].optional(),
      ]),
    ),
    data: dispatch === null ? ofIngestor(family) : discordData(dispatch),
  });
  // The type has more than the schema checks: what Discord documents of `data`.
  return schema as unknown as z.ZodType<DiscordEventPayload>;
}

/** Every event by its family. */
export const EVENTS = Object.fromEntries(
  Object.values(ROUTES).map((route) => [route.family, schemaOf(route)]),
) as Readonly<Record<Family, z.ZodType<DiscordEventPayload>>>;

export const DiscordEventPayload = z.union(Object.values(EVENTS)).meta({
  title: 'DiscordEventPayload',
  description:
    'The body of every message of the discord.events exchange. Fields may be added without a new schema version ' +
    '(header x-schema-version): ignore those you do not know. `data` is open: it has what Discord sends. A large body is ' +
    'compressed (content encoding gzip), and comes in parts if that is not enough: join the bodies of one x-whole in the ' +
    'order of x-part, from 1 to x-parts, then decompress.',
});
