// What the ingestor itself reports of sessions. `gateway.ready`: one began. `gateway.gap`: events that will not come; of a
// lost session, what Discord sent in it after `lastSequence`; of one that goes on, some sequences. `gateway.session-replaced`:
// one was ended on purpose. Each has one id, however often and by whichever task it is reported.

import { eventId } from './event-id.ts';
import type { Event } from './outcome.ts';
import type { GatewayGapData, GatewayReadyData, GatewaySessionReplacedData } from './payload.ts';
import { ROUTES, type Route } from './routing.ts';

export interface Gap extends GatewayGapData {
  readonly shardId: number;
  /** Of a session that goes on: where the sequences that did not come begin. */
  readonly firstMissing?: number | undefined;
}

interface Replaced extends GatewaySessionReplacedData {
  readonly shardId: number;
  /** Unix ms. */
  readonly endedAt: number;
}

/** A Gap has Unix ms in `lostFrom` and `lostUntil`. */
export function gatewayGap({ shardId, firstMissing, ...data }: Gap): Event {
  const what = firstMissing === undefined ? 'gap' : `gap:${firstMissing}`;
  return eventOf(ROUTES.gatewayGap, what, data.lostUntil, shardId, data);
}

export function sessionReplaced({ shardId, endedAt, ...data }: Replaced): Event {
  return eventOf(ROUTES.sessionReplaced, 'replaced', endedAt, shardId, data);
}

/** @param receivedAt Unix ms */
export function gatewayReady(shardId: number, receivedAt: number, data: GatewayReadyData): Event {
  return eventOf(ROUTES.gatewayReady, 'ready', receivedAt, shardId, data);
}

function eventOf(
  { family, priority, queue }: Route,
  what: string,
  timestamp: number,
  shardId: number,
  data: { readonly sessionId: string },
): Event {
  const payload = { eventId: eventId(data.sessionId, what), eventType: family, timestamp, shardId, data };
  return { kind: 'event', routingKey: family, priority, queue, payload };
}
