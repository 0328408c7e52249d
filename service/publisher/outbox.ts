// The outbox of one queue: its messages, received and not yet confirmed, in order. A linked list, so that an entry leaves
// at once, wherever it stands: by a confirm, or because another task has the event replayed (`drop`). It decides what is
// written next and what is written again. Pure. It has no bound of its own: an event that was received is always taken
// (backpressure.ts stops receiving).

export interface Entry<T> {
  readonly message: T;
  readonly bytes: number;
  /** Unix ms. */
  readonly addedAt: number;
  /** Called once, when the broker has confirmed. */
  readonly settled: () => void;
}

interface Link<T> extends Entry<T> {
  /** Neither confirmed nor dropped. */
  held: boolean;
  before: Link<T> | undefined;
  after: Link<T> | undefined;
}

export class Outbox<T> {
  #first: Link<T> | undefined;
  #last: Link<T> | undefined;
  /** The oldest that waits to be written. */
  #next: Link<T> | undefined;
  #count = 0;
  #bytes = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get oldest(): Entry<T> | undefined {
    return this.#first;
  }

  add(message: T, bytes: number, addedAt: number, settled: () => void): void {
    this.#insert({ message, bytes, addedAt, settled }, this.#last);
    this.#next ??= this.#last;
  }

  /** The oldest that waits, which counts as written from now on. */
  next(): Entry<T> | undefined {
    const link = this.#next;
    this.#next = link?.after;
    return link;
  }

  /** @returns whether it was still held: a dropped one may be confirmed later */
  confirm(entry: Entry<T>): boolean {
    if (!this.#remove(entry as Link<T>)) return false;
    entry.settled();
    return true;
  }

  /** Puts others in its place, which wait: it is settled when the last of them is. @returns whether it was still held */
  replace(entry: Entry<T>, by: readonly { readonly message: T; readonly bytes: number }[]): boolean {
    const old = entry as Link<T>;
    if (!old.held) return false;
    let left = by.length;
    const settled = () => {
      left -= 1;
      if (left === 0) old.settled();
    };
    let { before } = old;
    const { after, addedAt } = old;
    const isNext = this.#next === old || this.#next === after;
    this.#remove(old);
    const links = by.map(({ message, bytes }) => {
      before = this.#insert({ message, bytes, addedAt, settled }, before);
      return before;
    });
    if (isNext) this.#next = links[0] ?? after;
    return true;
  }

  /** Everything waits again, in order: the channel is new, or the broker refused some of it. */
  rewind(): void {
    this.#next = this.#first;
  }

  /** Without settling them. @returns how many */
  drop(isDropped: (message: T) => boolean): number {
    const before = this.#count;
    for (let link = this.#first; link !== undefined; ) {
      const { after } = link;
      if (isDropped(link.message)) this.#remove(link);
      link = after;
    }
    return before - this.#count;
  }

  /** @param before the link that it follows; none for the first */
  #insert(entry: Entry<T>, before: Link<T> | undefined): Link<T> {
    const after = before === undefined ? this.#first : before.after;
    const link = { ...entry, held: true, before, after };
    if (before === undefined) this.#first = link;
    else before.after = link;
    if (after === undefined) this.#last = link;
    else after.before = link;
    this.#count += 1;
    this.#bytes += entry.bytes;
    return link;
  }

  #remove(link: Link<T>): boolean {
    if (!link.held) return false;
    const { before, after } = link;
    if (before === undefined) this.#first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
    if (this.#next === link) this.#next = after;
    link.held = false;
    // So that a removed link keeps no other one in memory.
    link.before = link.after = undefined;
    this.#count -= 1;
    this.#bytes -= link.bytes;
    return true;
  }
}
