// The messages for one queue, and how they are written: in order, at most a window of them unanswered. Pure.
//
//   writing: `next` gives the oldest that waits, while fewer than `window` are unanswered. The window begins with one
//            message on each channel and grows by what is confirmed. A nack → holding
//   holding: the broker refused a message. `next` gives nothing until everything written is answered (`isAnswered`) and the
//            caller's pause has passed (`resume`). Then everything unconfirmed is written again, with a window of one
//
// A message over which the broker closes the channel would stop everything behind it: it is given up after `MOST_CLOSES` closes
// while it alone was unanswered, which it comes to be, as each channel begins with one message.
//
// So a queue that is full gets few messages, and the order is lost only of those that it takes after it refused an earlier one.
// A full quorum queue takes messages again when a fifth of it is gone: that must happen while one window is being answered.
// With a large window from the start it did: a new owner publishes a replay to a full queue, which is emptied at that moment.

import { Confirms } from './confirms.ts';
import { type Entry, Outbox } from './outbox.ts';

/**
 * RabbitMQ stops reading a connection, with all its channels, when one channel has 400 messages that its queue does not take;
 * it allows 200 more after each 200 (credit flow; tried with 4.3.6: 399 unanswered, and other channels confirm; 401, and none
 * does). With fewer than 200 a queue that stops answering never stops the others.
 * https://www.rabbitmq.com/blog/2015/10/06/new-credit-flow-settings-on-rabbitmq-3-5-5
 */
export const MOST_UNANSWERED = 192;

/** A close may have another cause, which passes: the pauses between these take some seconds. */
export const MOST_CLOSES = 3;

export class Lane<T> {
  readonly outbox = new Outbox<T>();
  #confirms = new Confirms<Entry<T>>();
  #window = 1;
  #holding = false;
  #refusals = 0;
  #confirmedAt = 0;
  /** The last message that alone was unanswered when the broker closed a channel, and how often that happened. */
  #suspect: { readonly entry: Entry<T>; readonly closes: number } | undefined;

  get holding(): boolean {
    return this.#holding;
  }

  /** Messages that the broker refused in a row: nacks, and channels that it closed. */
  get refusals(): number {
    return this.#refusals;
  }

  /** When the broker last confirmed a message, Unix ms; 0: never. */
  get confirmedAt(): number {
    return this.#confirmedAt;
  }

  /** Written to the channel and not answered. */
  get unanswered(): number {
    return this.#confirms.size;
  }

  /** What is not confirmed is written again to the next channel. */
  channelLost(): void {
    this.#confirms = new Confirms();
    this.resume();
  }

  /** What is to be written now. Then call `written`; or replace or confirm it in the outbox, if it cannot be written. */
  next(): Entry<T> | undefined {
    if (this.#holding || this.#confirms.size >= this.#window) return undefined;
    return this.outbox.next();
  }

  written(entry: Entry<T>): void {
    this.#confirms.written(entry);
  }

  /** @returns the messages that this confirms, without those that were dropped meanwhile */
  acked(tag: number, multiple: boolean, now: number): T[] {
    const answered = this.#confirms.answered(tag, multiple);
    if (answered.length > 0) this.#confirmedAt = now;
    if (answered.length > 0 && !this.#holding) {
      this.#refusals = 0;
      this.#window = Math.min(MOST_UNANSWERED, this.#window + answered.length);
    }
    return answered.flatMap((entry) => (this.outbox.confirm(entry) ? [entry.message] : []));
  }

  /** @returns the messages that this refuses */
  nacked(tag: number, multiple: boolean): T[] {
    const refused = this.#confirms.answered(tag, multiple).map(({ message }) => message);
    if (refused.length > 0 && !this.#holding) {
      this.#holding = true;
      this.#refusals += 1;
    }
    return refused;
  }

  /** The broker closes the channel, perhaps over a message. @returns the message that is given up, and settled */
  closedOver(): T | undefined {
    const entry = this.#confirms.only;
    if (entry === undefined) return undefined;
    const closes = this.#suspect?.entry === entry ? this.#suspect.closes + 1 : 1;
    this.#suspect = { entry, closes };
    if (closes < MOST_CLOSES || !this.outbox.confirm(entry)) return undefined;
    // It was the cause: the next message does not wait for it.
    this.#refusals = 0;
    return entry.message;
  }

  /** The broker closed the channel, and not with its connection. */
  channelRefused(): void {
    this.#refusals += 1;
  }

  /** Holding, and everything written is answered. */
  get isAnswered(): boolean {
    return this.#holding && this.#confirms.size === 0;
  }

  resume(): void {
    this.outbox.rewind();
    this.#window = 1;
    this.#holding = false;
  }
}
