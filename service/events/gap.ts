// The event that reports events that will not come: of a lost session, what Discord sent in it after `lastSequence`; of a
// living one, some sequences. A lost session has one such event, and so has each hole, with one id, however often it is
// reported.

import { gapEventId } from './event-id.ts';
import type { Event } from './outcome.ts';
import type { GatewayGapData } from './payload.ts';
import { ROUTES } from './routing.ts';

export interface Gap extends GatewayGapData {
  readonly shardId: number;
  /** Of a session that lives: where the sequences that did not come begin. */
  readonly firstMissing?: number | undefined;
}

/** A Gap has Unix ms in `lostFrom` and `lostUntil`. */
export function gatewayGap({ shardId, firstMissing, ...data }: Gap): Event {
  const { family, priority, queue } = ROUTES.gatewayGap;
  return {
    kind: 'event',
    routingKey: family,
    priority,
    queue,
    payload: {
      eventId: gapEventId(data.sessionId, firstMissing),
      eventType: family,
      timestamp: data.lostUntil,
      shardId,
      data,
    },
  };
}
