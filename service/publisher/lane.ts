// The messages for one queue, and how they are written: in order, at most a window of them unanswered. Pure.
//
//   writing: `next` gives the oldest that waits, while fewer than `window` are unanswered. The window begins with one
//            message on each channel and grows by what is confirmed. A nack → holding
//   holding: the broker refused a message. `next` gives nothing until everything written is answered (`isAnswered`) and the
//            caller's pause has passed (`resume`). Then everything unconfirmed is written again, with a window of one
//
// A message over which the broker closes the channel would stop everything behind it: it is given up once that has happened
// `MOST_CLOSES` times while it alone was unanswered. It comes to be alone, as each channel begins with one message.
//
// So a queue that is full, or becomes so, gets few messages; and of those that one takes after it refused an earlier one, the
// order is lost. A full quorum queue takes messages again when a fifth of it is gone: the order is lost only if that happens
// while one window is being answered. With a large window from the start it did: a new owner publishes what is replayed to a
// queue that is full, which is emptied at that moment.

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
  readonly #outbox = new Outbox<T>();
  #confirms = new Confirms<Entry<T>>();
  #window = 1;
  #holding = false;
  #refusals = 0;
  #confirmedAt = 0;
  /** The last message over which the broker closed a channel, as nothing else was unanswered, and how often. */
  #suspect: { readonly entry: Entry<T>; readonly closes: number } | undefined;

  get outbox(): Pick<Outbox<T>, 'count' | 'bytes' | 'oldest' | 'add' | 'drop'> {
    return this.#outbox;
  }

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

  /** The channel is gone: what is not confirmed is written again to the next one. */
  channelLost(): void {
    this.#confirms = new Confirms();
    this.resume();
  }

  /** What is to be written now. Then call `written`, `replace`, or `settle` if it cannot be written. */
  next(): Entry<T> | undefined {
    if (this.#holding || this.#confirms.size >= this.#window) return undefined;
    return this.#outbox.next();
  }

  written(entry: Entry<T>): void {
    this.#confirms.written(entry);
  }

  settle(entry: Entry<T>): void {
    this.#outbox.confirm(entry);
  }

  replace(entry: Entry<T>, by: Parameters<Outbox<T>['replace']>[1]): boolean {
    return this.#outbox.replace(entry, by);
  }

  /** @returns the messages that this confirms, without those that were dropped meanwhile */
  acked(tag: number, multiple: boolean, now: number): T[] {
    const answered = this.#confirms.answered(tag, multiple);
    if (answered.length > 0) this.#confirmedAt = now;
    if (answered.length > 0 && !this.#holding) {
      this.#refusals = 0;
      this.#window = Math.min(MOST_UNANSWERED, this.#window + answered.length);
    }
    return answered.flatMap((entry) => (this.#outbox.confirm(entry) ? [entry.message] : []));
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

  /** The broker closes the channel, maybe over a message. @returns the message that it settles, given up */
  closedOver(): T | undefined {
    const entry = this.#confirms.only;
    if (entry === undefined) return undefined;
    const closes = this.#suspect?.entry === entry ? this.#suspect.closes + 1 : 1;
    this.#suspect = { entry, closes };
    if (closes < MOST_CLOSES || !this.#outbox.confirm(entry)) return undefined;
    // It was the cause, so the next message has none of its pauses.
    this.#refusals = 0;
    return entry.message;
  }

  /** The broker closed the channel, and not with its connection. */
  channelRefused(): void {
    this.#refusals += 1;
  }

  /** Holding, and a pause is due. */
  get isAnswered(): boolean {
    return this.#holding && this.#confirms.size === 0;
  }

  resume(): void {
    this.#outbox.rewind();
    this.#window = 1;
    this.#holding = false;
  }
}
