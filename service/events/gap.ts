// The event that reports a lost session: what Discord sent in it after `lastSequence` will not come again. A session has
// one such event, with one id, however often it is reported.

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
