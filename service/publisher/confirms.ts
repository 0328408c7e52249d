// Delivery tags of one channel. One invariant and no I/O: every message written to the channel is answered at most
// once, by an ack or nack of its tag or of a later one with `multiple`; with `multiple`, 0 means all (AMQP 0-9-1, basic.ack).
// Tags count from 1 for each new channel.

export class Confirms<T> {
  readonly #unanswered = new Map<number, T>();
  #lastTag = 0;

  /** How many messages the broker has not answered. */
  get size(): number {
    return this.#unanswered.size;
  }

  /** The message that is not answered, if it is the only one. */
  get only(): T | undefined {
    return this.size === 1 ? this.#unanswered.values().next().value : undefined;
  }

  /** Call right after each publish. */
  written(message: T): void {
    this.#lastTag += 1;
    this.#unanswered.set(this.#lastTag, message);
  }

  /** The messages that this ack or nack answers, in the order they were written; none for a tag never written. */
  answered(tag: number, multiple: boolean): T[] {
    if (!multiple) {
      const message = this.#unanswered.get(tag);
      if (message === undefined) return [];
      this.#unanswered.delete(tag);
      return [message];
    }
    const messages: T[] = [];
    // Insertion order is the order of tags, so the walk ends at the first later one.
    for (const [each, message] of this.#unanswered) {
      if (tag !== 0 && each > tag) break;
      this.#unanswered.delete(each);
      messages.push(message);
    }
    return messages;
  }
}
