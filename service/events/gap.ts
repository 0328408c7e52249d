// The event that says that a session was lost: what Discord sent in it after `lastSequence` will not come again.
// One event for each session: whoever reports it again reports the same event.

import { gapEventId } from './event-id.ts';
import type { Event } from './outcome.ts';
import type { GatewayGapData } from './payload.ts';
import { ROUTES } from './routing.ts';

export type Gap = GatewayGapData & { readonly shardId: number };

/** A Gap has Unix ms in `lostFrom` and `lostUntil`. */
export function gatewayGap({ shardId, ...data }: Gap): Event {
  const { family, priority } = ROUTES.gatewayGap;
  return {
    kind: 'event',
    routingKey: family,
    priority,
    payload: { eventId: gapEventId(data.sessionId), eventType: family, timestamp: data.lostUntil, shardId, data },
  };
}
