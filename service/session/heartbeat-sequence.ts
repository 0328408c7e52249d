// The sequence that heartbeats carry: the stored one. Discord may close connections whose heartbeats lag. After three in a row
// that it closed right after a lagging heartbeat, heartbeats that would lag half as much or more carry the received sequence.
// Not sooner: that acknowledges what no record has, so a kill may cost the session; and Discord may close a connection at
// such a moment for another reason. Pure: times come from the caller.

import type { Watermark } from './watermark.ts';

/** A connection that Discord closes so soon after a heartbeat may be closed because of it. */
const BECAUSE_MS = 1_000;
const CLOSINGS = 3;

export class HeartbeatSequence {
  #mostLag = Number.POSITIVE_INFINITY;
  /** Of the current connection. */
  #last: { readonly lag: number; readonly at: number } | undefined;
  /** In a row: by how much the heartbeat lagged for which Discord may have closed the connection. */
  #closings: readonly number[] = [];

  /** @param at Unix ms @returns the sequence that the next heartbeat carries */
  next({ received, stored }: Pick<Watermark, 'received' | 'stored'>, at: number): number {
    const sequence = received - stored > this.#mostLag ? received : stored;
    this.#last = { lag: received - sequence, at };
    return sequence;
  }

  /** @returns by how many sequences heartbeats may lag from now on, if that has changed */
  ended(at: number, closedByDiscord: boolean): number | undefined {
    const last = this.#last;
    // A connection without a heartbeat shows nothing.
    if (last === undefined) return undefined;
    this.#last = undefined;
    const because = closedByDiscord && last.lag > 0 && at - last.at <= BECAUSE_MS;
    const closings = because ? [...this.#closings, last.lag] : [];
    this.#closings = closings.length < CLOSINGS ? closings : [];
    if (closings.length < CLOSINGS) return undefined;
    this.#mostLag = Math.floor((Math.min(...closings) - 1) / 2);
    return this.#mostLag;
  }
}
