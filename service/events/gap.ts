// What the ingestor itself reports of sessions. `gateway.ready`: one has begun. `gateway.gap`: events that will not come; of a
// lost session, what Discord sent in it after `lastSequence`; of a living one, some sequences. `gateway.session-replaced`: it
// was ended on purpose.
// Each has one id, however often it is reported.

import { gapEventId, sessionReadyId, sessionReplacedId } from './event-id.ts';
import type { Event } from './outcome.ts';
import type { GatewayGapData, GatewayReadyData, GatewaySessionReplacedData } from './payload.ts';
import { ROUTES } from './routing.ts';

export interface Gap extends GatewayGapData {
  readonly shardId: number;
  /** Of a session that lives: where the sequences that did not come begin. */
  readonly firstMissing?: number | undefined;
}

export interface Replaced extends GatewaySessionReplacedData {
  readonly shardId: number;
  /** Unix ms. */
  readonly endedAt: number;
}

/** A Gap has Unix ms in `lostFrom` and `lostUntil`. */
export function gatewayGap({ shardId, firstMissing, ...data }: Gap): Event {
  return eventOf(ROUTES.gatewayGap, gapEventId(data.sessionId, firstMissing), data.lostUntil, shardId, data);
}

export function sessionReplaced({ shardId, endedAt, ...data }: Replaced): Event {
  return eventOf(ROUTES.sessionReplaced, sessionReplacedId(data.sessionId), endedAt, shardId, data);
}

/** @param receivedAt Unix ms */
export function gatewayReady(shardId: number, receivedAt: number, data: GatewayReadyData): Event {
  return eventOf(ROUTES.gatewayReady, sessionReadyId(data.sessionId), receivedAt, shardId, data);
}

function eventOf(
  { family, priority, queue }: (typeof ROUTES)['gatewayGap' | 'gatewayReady' | 'sessionReplaced'],
  eventId: string,
  timestamp: number,
  shardId: number,
  data: object,
): Event {
  const payload = { eventId, eventType: family, timestamp, shardId, data };
  return { kind: 'event', routingKey: family, priority, queue, payload };
}
