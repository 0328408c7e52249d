// What the lease needs of the broker: the channels of one connection. They end together, and are replaced together.
// Satisfied by amqp/channel-set.ts.

import type { Buffer } from 'node:buffer';

export interface QueueMessage {
  readonly type: unknown;
  readonly appId: unknown;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, unknown>>;
  /** Unix seconds. */
  readonly timestamp: number | undefined;
  ack(): void;
  requeue(): void;
  deadLetter(): void;
}

/** Header of claims and records: when the sender's process started, Unix ms. */
export const STARTED_AT = 'x-started-at';

/** Undefined where the header is none of ours. */
export function startedAtOf(message: Pick<QueueMessage, 'headers'> | undefined): number | undefined {
  const value = message?.headers[STARTED_AT];
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : undefined;
}

/** What identifies the sender of a message in a lease queue. */
export interface Sender {
  readonly appId: string;
  readonly headers: Readonly<Record<string, number>>;
}

export interface MessageProperties extends Sender {
  readonly type: 'claim' | 'record';
  /** Unix seconds. */
  readonly timestamp?: number;
}

/** What its methods do is described there. */
export interface LeaseChannels {
  readonly ended: boolean;
  readonly lost: Promise<unknown>;
  consumes(queue: string): boolean;
  consume(queue: string, onMessage: (message: QueueMessage) => void): Promise<boolean>;
  consumeExisting(queue: string, onMessage: (message: QueueMessage) => void): Promise<boolean>;
  cancel(queue: string): void;
  publish(queue: string, body: Buffer, properties: MessageProperties): Promise<void>;
  after(ms: number, then: () => void): void;
  close(): Promise<void>;
}
