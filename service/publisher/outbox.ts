// The outbox: everything received and not yet confirmed, in order. An entry leaves it by a confirm, or with all others
// when another task becomes the owner (`clear`). It decides what is written next and what is written again. Pure. It has
// no bound of its own: an event that was received is always taken (backpressure.ts stops receiving).
//
//   waiting:   not written to the current channel      → sent by `next`
//   sent:      written, not answered                   → confirmed by `confirm`, waiting again by `rewind`
//   confirmed: answered; removed as soon as all before it are, so the head is always unconfirmed

export interface Entry<T> {
  readonly message: T;
  readonly bytes: number;
  /** Called once, when the broker has confirmed. */
  readonly settled: () => void;
  state: 'waiting' | 'sent' | 'confirmed';
}

/** The list is cut when so many confirmed entries stand before its head: cutting for each event would be slow. */
const CUT_AT = 1_024;

export class Outbox<T> {
  #entries: Entry<T>[] = [];
  #head = 0;
  #next = 0;
  #count = 0;
  #bytes = 0;

  /** Events not yet confirmed. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of their messages. */
  get bytes(): number {
    return this.#bytes;
  }

  add(message: T, bytes: number, settled: () => void): void {
    this.#entries.push({ message, bytes, settled, state: 'waiting' });
    this.#count += 1;
    this.#bytes += bytes;
  }

  /** The oldest waiting entry, which counts as sent from now on. */
  next(): Entry<T> | undefined {
    while (this.#next < this.#entries.length) {
      const entry = this.#entries[this.#next];
      this.#next += 1;
      // After a rewind some that are passed again have been confirmed.
      if (entry?.state !== 'waiting') continue;
      entry.state = 'sent';
      return entry;
    }
    return undefined;
  }

  confirm(entry: Entry<T>): void {
    if (entry.state === 'confirmed') return;
    entry.state = 'confirmed';
    this.#count -= 1;
    this.#bytes -= entry.bytes;
    while (this.#head < this.#entries.length && this.#entries[this.#head]?.state === 'confirmed') this.#head += 1;
    if (this.#head === this.#entries.length || this.#head >= CUT_AT) this.#cut();
    entry.settled();
  }

  /** Everything unconfirmed waits again, in order: the channel is new, or the broker refused some of it. */
  rewind(): void {
    for (let index = this.#head; index < this.#entries.length; index += 1) {
      const entry = this.#entries[index];
      if (entry?.state === 'sent') entry.state = 'waiting';
    }
    this.#next = this.#head;
  }

  /** Drops everything unconfirmed without settling it: another task receives it again. @returns how many */
  clear(): number {
    const dropped = this.#count;
    // A confirm that still comes for one of them changes nothing.
    for (const entry of this.#entries) entry.state = 'confirmed';
    this.#entries = [];
    this.#head = this.#next = this.#count = this.#bytes = 0;
    return dropped;
  }

  #cut(): void {
    this.#entries = this.#entries.slice(this.#head);
    // After a rewind, `next` may be before the head: confirms of what was written earlier came.
    this.#next = Math.max(0, this.#next - this.#head);
    this.#head = 0;
  }
}
