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

export interface LeaseChannels {
  readonly ended: boolean;
  /** Resolves when they have ended: with the reason, or with nothing after `close()`. */
  readonly lost: Promise<string | undefined>;
  consumes(queue: string): boolean;
  /** Declares the queue if it is missing. @returns false when it is already consumed */
  consume(queue: string, onMessage: (message: QueueMessage) => void): Promise<boolean>;
  /** @returns whether the queue exists */
  consumeExisting(queue: string, onMessage: (message: QueueMessage) => void): Promise<boolean>;
  /** Ends the consumer, also one that is being started; what is delivered and not answered stays unacknowledged. */
  cancel(queue: string): void;
  /**
   * Resolves when the broker has confirmed the message in the queue, which is declared if it is missing.
   * @throws when the broker refuses it, or the channels have ended: that of a broker that confirms nothing is ended
   */
  publish(queue: string, body: Buffer, properties: MessageProperties): Promise<void>;
  /** Calls it after this time, unless they have ended by then. */
  after(ms: number, then: () => void): void;
  close(): Promise<void>;
}
