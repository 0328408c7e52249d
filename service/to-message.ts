// The message of an event: what the publisher needs to publish it.

import { Buffer } from 'node:buffer';
import { HEADERS, SCHEMA_VERSION } from './contract/names.ts';
import { traceparent } from './events/event-id.ts';
import type { Event } from './events/outcome.ts';
import type { Message } from './publisher/message.ts';

export function toMessage(
  { payload, routingKey, priority, queue, expirationMs }: Event,
  sessionId: string,
  sequence: number,
): Message {
  const { eventId } = payload;
  return {
    routingKey,
    priority,
    queue,
    expirationMs,
    body: Buffer.from(JSON.stringify(payload)),
    messageId: eventId,
    correlationId: payload.interactionId ?? eventId,
    type: payload.eventType,
    timestamp: Math.floor(payload.timestamp / 1_000),
    headers: {
      [HEADERS.schemaVersion]: SCHEMA_VERSION,
      [HEADERS.shard]: payload.shardId,
      [HEADERS.session]: sessionId,
      [HEADERS.sequence]: sequence,
      [HEADERS.traceparent]: traceparent(eventId),
    },
  };
}
