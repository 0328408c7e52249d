// What one connection has sent within the last minute, so that it never sends more than Discord takes: 120 payloads in
// 60 s, and it closes over more. Regular heartbeats, IDENTIFY and RESUME are sent in any case; the others leave room
// for them. Pure: the caller has the clock. https://discord.com/developers/docs/events/gateway#rate-limiting

/** A minute, and as long as a payload may be late: a lost segment is sent again within seconds, and what follows it waits. */
export const WINDOW_MS = 65_000;

/** Sends within the window, all kinds together, up to which one of the kind is sent. */
export const MOST_SENDS = { command: 110, askedHeartbeat: 117 } as const;

export class SendWindow {
  /** Oldest first, by any clock that only advances. */
  readonly #sentAt: number[] = [];

  sent(now: number): void {
    this.#sentAt.push(now);
    // No decision looks further back.
    if (this.#sentAt.length > MOST_SENDS.askedHeartbeat) this.#sentAt.shift();
  }

  /** @returns in how many ms one of this kind may be sent: 0 is now */
  waitMs(now: number, kind: keyof typeof MOST_SENDS): number {
    const leaves = this.#sentAt.at(-MOST_SENDS[kind]);
    return leaves === undefined ? 0 : Math.max(0, leaves + WINDOW_MS - now);
  }
}
