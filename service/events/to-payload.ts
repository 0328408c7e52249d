// From a dispatch to an Outcome, by the table of routes. `data` is Discord's own object without what is private. It never
// throws, whatever Discord sends: a dispatch that ended the process would be replayed to the next one. It changes only the
// session's memory of guilds.

import { GatewayDispatchEvents } from 'discord-api-types/v10';
import { WORKER_QUEUES } from '../contract/names.ts';
import { ALWAYS_READ, ID_NAMES, type IdName, type Path, type PlacedRow, rowOf } from './dispatches.ts';
import { eventId } from './event-id.ts';
import { gatewayReady } from './gap.ts';
import {
  type DispatchContext,
  type Event,
  FILTERED,
  type Fields,
  isObject,
  isSnowflake,
  malformed,
  type Outcome,
  unknown,
} from './outcome.ts';
import { isMessage, publicPart, wholePart } from './privacy.ts';
import { namedKey, ROUTES, type Route, routesOf } from './routing.ts';

const COMMAND_NAME: Path = ['data', 'name'];
const COMPONENT: Path = ['data', 'component_type'];

export interface Dispatch {
  readonly t: string;
  readonly d?: unknown;
  readonly s?: number;
}

/** Of a dispatch. The last one is the reason if there is no event. */
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
    const isChosen = (context.choice.dispatches as ReadonlySet<string>).has(t);
    if (!isChosen && !ALWAYS_READ.has(t)) return FILTERED.notChosen;
    if (!isObject(d)) return malformed('d', 'an object', d);
    if (row.direct !== undefined && isMissing(d.guild_id) && !context.optIns.directMessages)
      return t === GatewayDispatchEvents.InteractionCreate ? FILTERED.outsideGuild : FILTERED.directMessage;
    const outcome = routed(t, d, row, context);
    return isChosen ? outcome : FILTERED.notChosen;
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

/** An event besides the join that it may be, so with an id of its own. */
function wholeGuild({ t, d }: Dispatch, context: DispatchContext): Outcome {
  const row = rowOf(t);
  if (!isObject(d) || row === undefined) return malformed('d', 'an object', d);
  const ids = idsOf(d, row, ROUTES.further);
  if ('kind' in ids) return ids;
  const key = keyOf(ROUTES.further, t, d);
  const data = wholePart(d, context.optIns.messageContent);
  return toEvent(ROUTES.further, key, `${context.sequence}:${key}`, ids, data, context);
}

function routed(t: string, d: Fields, row: PlacedRow, context: DispatchContext): Outcome {
  const route = routesOf(t).find(
    ({ type, components, named, dispatch }) =>
      (type === undefined || type === d.type) &&
      (components === undefined || (components as readonly unknown[]).includes(at(d, COMPONENT))) &&
      (!named || dispatch === null || isText(at(d, COMMAND_NAME))),
  );
  if (route === undefined) return unknown('an unknown kind of interaction');
  const filtered = (isMessage(t) ? notByPerson(d, context) : undefined) ?? route.filter?.(d, context);
  if (filtered !== undefined) return filtered;
  const ids = idsOf(d, row, route);
  if ('kind' in ids) return ids;
  const { data, unknownFields } = publicPart(t, d, context.optIns.messageContent);
  const event = toEvent(route, keyOf(route, t, d), context.sequence, ids, data, context);
  return unknownFields.length === 0 ? event : { ...event, unknownFields };
}

/** The author decides. An update may come without one. */
function notByPerson(d: Fields, { optIns }: DispatchContext): Outcome | undefined {
  if (optIns.botMessages) return undefined;
  if (!isMissing(d.webhook_id)) return FILTERED.webhook;
  return isObject(d.author) && d.author.bot === true ? FILTERED.bot : undefined;
}

function keyOf(route: Route, t: string, d: Fields): string {
  if (!route.named) return route.family;
  return namedKey(route, route.dispatch === null ? t.toLowerCase() : String(at(d, COMMAND_NAME)));
}

type Ids = { [name in IdName]?: string };

/** Of the envelope; or what is missing. */
function idsOf(d: Fields, row: PlacedRow, { ids, queue }: Route): Ids | Outcome {
  const found: Ids = {};
  for (const name of ID_NAMES) {
    const need = ids[name];
    if (need === undefined) continue;
    const isId = name === 'interactionToken' ? isText : isSnowflake;
    const values = row[name].map((path) => at(d, path));
    const id = values.find(isId);
    // Whether something is of a guild is never guessed; but an interaction can be answered without.
    const isGuild = name === 'guildId' && queue !== WORKER_QUEUES.interactions && !values.every(isMissing);
    if (id !== undefined) found[name] = id;
    else if (need === 'required' || isGuild)
      return malformed(['d', ...(row[name][0] ?? [])].join('.'), isId === isText ? 'text' : 'a snowflake', values[0]);
  }
  return found;
}

function toEvent(
  { priority, queue, expirationMs }: Route,
  routingKey: string,
  what: number | string,
  ids: Ids,
  data: object,
  { sessionId, receivedAt, shardId }: DispatchContext,
): Event {
  const id = eventId(sessionId, what);
  const payload = { eventId: id, eventType: routingKey, timestamp: receivedAt, shardId, data, ...ids };
  return { kind: 'event', routingKey, priority, queue, payload, ...(expirationMs && { expirationMs }) };
}

const isMissing = (value: unknown): boolean => value === undefined || value === null;

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

function at(d: Fields, path: Path): unknown {
  let value: unknown = d;
  for (const name of path) value = isObject(value) ? value[name] : undefined;
  return value;
}
