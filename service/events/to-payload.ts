// One dispatch in, one Outcome out, by the table of routes. `data` is Discord's own object without what is private. It
// never throws, whatever Discord sends: a dispatch that ended the process would be replayed to the next one. It changes
// only the session's memory of guilds.

import { GatewayDispatchEvents } from 'discord-api-types/v10';
import { WORKER_QUEUES } from '../contract/names.ts';
import { type Path, rowOf } from './dispatches.ts';
import { eventId } from './event-id.ts';
import { gatewayReady } from './gap.ts';
import {
  type DispatchContext,
  type Envelope,
  type Event,
  FILTERED,
  type Fields,
  isObject,
  malformed,
  type Outcome,
  unknown,
} from './outcome.ts';
import { publicPart, wholePart } from './privacy.ts';
import {
  COMMAND_NAME,
  furtherRoute,
  type IdName,
  isMissing,
  isSnowflake,
  namedKey,
  type Route,
  routesOf,
} from './routing.ts';

export interface Dispatch {
  readonly t: string;
  readonly d?: unknown;
  readonly s?: number;
}

/** What becomes of a dispatch. The last is why there is no event, if there is none. */
export function toOutcomes(dispatch: Dispatch, context: DispatchContext): readonly Outcome[] {
  const outcome = toPayload(dispatch, context);
  const isWhole = context.choice.wholeGuilds && dispatch.t === GatewayDispatchEvents.GuildCreate;
  return isWhole ? [safely(() => wholeGuild(dispatch, context)), outcome] : [outcome];
}

export function toPayload({ t, d }: Dispatch, context: DispatchContext): Outcome {
  return safely(() => {
    if (t === GatewayDispatchEvents.Ready) return ready(d, context);
    if (t === GatewayDispatchEvents.Resumed) return FILTERED.session;
    const row = rowOf(t);
    if (row === undefined) return unknown('an unknown dispatch type');
    const isWanted = (context.choice.dispatches as ReadonlySet<string>).has(t);
    // The session remembers its guilds, whoever wants to know of them.
    if (!isWanted && t !== GatewayDispatchEvents.GuildCreate && t !== GatewayDispatchEvents.GuildDelete)
      return FILTERED.notAsked;
    if (!isObject(d)) return malformed('d', 'an object', d);
    if (row.direct !== undefined && isMissing(d.guild_id) && !context.optIns.directMessages)
      return t === GatewayDispatchEvents.InteractionCreate ? FILTERED.outsideGuild : FILTERED.directMessage;
    const outcome = routed(t, d, context);
    return isWanted ? outcome : FILTERED.notAsked;
  });
}

function safely(outcome: () => Outcome): Outcome {
  try {
    return outcome();
  } catch (error) {
    // A defect here. Its message may quote the payload, so only its kind is reported.
    return unknown(`${error instanceof Error ? error.name : typeof error} in the ingestor: report this defect`);
  }
}

function ready(d: unknown, { guilds, sessionId, shardId, shardCount, receivedAt }: DispatchContext): Outcome {
  if (!isObject(d) || !Array.isArray(d.guilds)) return malformed('d.guilds', 'a list', isObject(d) ? d.guilds : d);
  const guildIds = d.guilds.map((guild) => (isObject(guild) ? guild.id : undefined)).filter(isSnowflake);
  guilds.ready(guildIds);
  const [applicationId, userId] = [at(d, ['application', 'id']), at(d, ['user', 'id'])];
  if (!isSnowflake(applicationId)) return malformed('d.application.id', 'a snowflake', applicationId);
  if (!isSnowflake(userId)) return malformed('d.user.id', 'a snowflake', userId);
  return gatewayReady(shardId, receivedAt, { sessionId, applicationId, userId, shardCount, guildIds });
}

function wholeGuild({ t, d }: Dispatch, context: DispatchContext): Outcome {
  if (!isObject(d)) return malformed('d', 'an object', d);
  const route = furtherRoute(t);
  const { family: routingKey, priority, queue } = route;
  const id = eventId(context.sessionId, context.sequence, routingKey);
  const payload = envelope(routingKey, id, d, route, context);
  if ('kind' in payload) return payload;
  payload.data = wholePart(d, context.optIns.messageContent);
  return { kind: 'event', routingKey, priority, queue, payload };
}

function routed(t: string, d: Fields, context: DispatchContext): Outcome {
  const route = routesOf(t).find(
    ({ where, named }) =>
      (where === undefined || where.every(({ path, is }) => is.includes(at(d, path)))) &&
      (!named || isText(at(d, COMMAND_NAME))),
  );
  if (route === undefined) return unknown('an unknown kind of interaction');
  for (const filter of route.filters) {
    const outcome = filter(d, context);
    if (outcome !== undefined) return outcome;
  }
  const routingKey = route.named ? namedKey(route, String(at(d, COMMAND_NAME))) : route.family;
  const payload = envelope(routingKey, eventId(context.sessionId, context.sequence), d, route, context);
  if ('kind' in payload) return payload;
  const { data, unknownFields } = publicPart(t, d, context.optIns.messageContent);
  payload.data = data;
  const { priority, queue, expirationMs } = route;
  const event: Event = { kind: 'event', routingKey, priority, queue, payload, ...(expirationMs && { expirationMs }) };
  return unknownFields.length === 0 ? event : { ...event, unknownFields };
}

/** Its `data` is still the whole `d`. */
function envelope(
  eventType: string,
  eventId: string,
  d: Fields,
  { ids, queue }: Route,
  { receivedAt, shardId }: DispatchContext,
): { -readonly [K in keyof Envelope]: Envelope[K] } | Outcome {
  const payload: { -readonly [K in keyof Envelope]: Envelope[K] } = {
    ...{ eventId, eventType, timestamp: receivedAt, shardId, data: d },
  };
  for (const { name, paths, required } of ids) {
    const id = firstId(d, name, paths);
    // Whether something is of a guild is never guessed; but an interaction can be answered without.
    const isGuild =
      name === 'guildId' && queue !== WORKER_QUEUES.interactions && paths.some((path) => !isMissing(at(d, path)));
    if (id === undefined && (required || isGuild)) return missing(d, name, paths);
    if (id !== undefined && name !== null) payload[name] = id;
  }
  return payload;
}

function missing(d: Fields, name: IdName | null, [path = []]: readonly Path[]): Outcome {
  return malformed(dotted(path), name === 'interactionToken' ? 'text' : 'a snowflake', at(d, path));
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

const dotted = (path: Path): string => ['d', ...path].join('.');

function at(d: Fields, path: Path): unknown {
  let value: unknown = d;
  for (const name of path) value = isObject(value) ? value[name] : undefined;
  return value;
}

function firstId(d: Fields, name: IdName | null, paths: readonly Path[]): string | undefined {
  for (const path of paths) {
    const value = at(d, path);
    if (name === 'interactionToken' ? isText(value) : isSnowflake(value)) return String(value);
  }
  return undefined;
}
