// One dispatch in, one Outcome out, by the table of routes. `data` is Discord's own object without what is private. It
// never throws, whatever Discord sends: a dispatch that ended the process would be replayed to the next one. It changes
// only the session's memory of guilds.

import { GatewayDispatchEvents } from 'discord-api-types/v10';
import type { Path } from './dispatches.ts';
import { eventId } from './event-id.ts';
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
import { publicPart } from './privacy.ts';
import { COMMAND_NAME, type IdName, isSnowflake, namedKey, type Route, routesOf } from './routing.ts';

export interface Dispatch {
  readonly t: string;
  readonly d?: unknown;
  readonly s?: number;
}

export function toPayload({ t, d }: Dispatch, context: DispatchContext): Outcome {
  try {
    if (t === GatewayDispatchEvents.Ready) return ready(d, context);
    if (t === GatewayDispatchEvents.Resumed) return FILTERED.session;
    const routes = routesOf(t);
    if (routes !== undefined) return isObject(d) ? routed(t, d, routes, context) : malformed('d', 'an object', d);
    return KNOWN.has(t) ? FILTERED.notAsked : unknown('an unknown dispatch type');
  } catch (error) {
    // A defect here. Its message may quote the payload, so only its kind is reported.
    return unknown(`${error instanceof Error ? error.name : typeof error} in the ingestor: report this defect`);
  }
}

const KNOWN: ReadonlySet<string> = new Set(Object.values(GatewayDispatchEvents));

function ready(d: unknown, { guilds }: DispatchContext): Outcome {
  if (!isObject(d) || !Array.isArray(d.guilds)) return malformed('d.guilds', 'a list', isObject(d) ? d.guilds : d);
  guilds.ready(d.guilds.map((guild) => (isObject(guild) ? guild.id : undefined)).filter(isSnowflake));
  return FILTERED.session;
}

function routed(t: string, d: Fields, routes: readonly Route[], context: DispatchContext): Outcome {
  const route = routes.find(
    ({ where }) => where === undefined || where.every(({ path, is }) => is.includes(at(d, path))),
  );
  if (route === undefined) return unknown('an unknown kind of interaction');
  for (const filter of route.filters) {
    const outcome = filter(d, context);
    if (outcome !== undefined) return outcome;
  }
  const routingKey = keyOf(route, d);
  if (routingKey === undefined) return malformed(dotted(COMMAND_NAME), 'text', at(d, COMMAND_NAME));
  const payload: { -readonly [K in keyof Envelope]: Envelope[K] } = {
    eventId: eventId(context.sessionId, context.sequence),
    eventType: routingKey,
    timestamp: context.receivedAt,
    shardId: context.shardId,
    data: d,
  };
  for (const { name, paths, required } of route.ids) {
    const id = firstId(d, name, paths);
    if (id === undefined && required) return missing(d, name, paths);
    if (id !== undefined && name !== null) payload[name] = id;
  }
  const { data, unknownFields } = publicPart(t, d);
  payload.data = data;
  const { priority, queue, expirationMs } = route;
  const event: Event = { kind: 'event', routingKey, priority, queue, payload, ...(expirationMs && { expirationMs }) };
  return unknownFields.length === 0 ? event : { ...event, unknownFields };
}

function keyOf({ named, family }: Route, d: Fields): string | undefined {
  if (!named) return family;
  const name = at(d, COMMAND_NAME);
  return isText(name) ? namedKey({ family }, name) : undefined;
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
