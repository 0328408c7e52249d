// What is published: a body with its routing key and AMQP properties. Built by `to-message.ts` from an event.

import type { WorkerQueue } from '../contract/names.ts';

export interface Message {
  readonly routingKey: string;
  /** Where the topology's bindings bring this key: messages for one queue stay in order. */
  readonly queue: WorkerQueue;
  readonly body: Buffer;
  /** @default - JSON as it is */
  readonly contentEncoding?: 'gzip';
  /** 0–31; RabbitMQ 4.3 keeps strict order of them on quorum queues. */
  readonly priority: number;
  /** How long the queue keeps it. @default - as the queue's policy has it */
  readonly expirationMs?: number | undefined;
  /** The event's id: the same event published again has the same. Of a part, with its number. */
  readonly messageId: string;
  readonly correlationId: string;
  /** The event's type. */
  readonly type: string;
  /** Unix seconds. */
  readonly timestamp: number;
  readonly headers: Readonly<Record<string, string | number>>;
}
