// A session that Discord no longer knows: what it sent after `lastSequence` and this task did not receive is lost. Or a
// session that lives, some of whose sequences did not come. Rooms find it out (session/, lease/), gap-reporter.ts reports it.

export interface LostSession {
  readonly shardId: number;
  readonly sessionId: string;
  /** Everything up to here was confirmed; before `missing`: received. */
  readonly lastSequence: number;
  /** When the last dispatch of the session came in (or its READY), Unix ms. */
  readonly lastReceivedAt: number;
  readonly lostAt: number;
  readonly reason: string;
  /** It was alive when another task handed it over, and lost with the hand-over: the release may be the cause. */
  readonly inHandOver?: boolean | undefined;
  /** The session lives: only these sequences did not come, both ends included. */
  readonly missing?: { readonly first: number; readonly last: number } | undefined;
}

/** A session that was connected so short a time before is handed over alive: Discord keeps it for minutes. */
const HAND_OVER_MS = 60_000;

/** @param at when the session was last connected @param now when it was taken over; both Unix ms */
export const isAlive = (at: number, now: number): boolean => now - at <= HAND_OVER_MS;
