// Whether a shard connects again after a connection has ended, after which pause, and to which address. Pure; shard.ts
// carries it out. https://docs.discord.com/developers/events/gateway#resuming

import { backoffMs } from '../wait.ts';
import type { Verdict } from './close-code.ts';

/** Connections in a row up to now. */
export interface Attempts {
  /** That ended soon. */
  readonly failures: number;
  /** On which the gateway did not answer. */
  readonly unanswered: number;
}

export interface EndedConnection {
  readonly verdict: Verdict['kind'];
  readonly lastedMs: number;
  /** READY or RESUMED came. */
  readonly wasReady: boolean;
  /** The next connection resumes a session; without one it IDENTIFYs. */
  readonly hasSession: boolean;
}

export interface Reconnect {
  readonly pauseMs: number;
  readonly attempts: Attempts;
}

/** A connection that lasted longer succeeded: its end is a first failure. */
const SUCCEEDED_MS = 10_000;
/** One that came to READY or RESUMED and ended sooner counts at most so many failures: a pause of up to 2 s. */
const MOST_AFTER_READY = 3;
/** Discord asks to reconnect at once after op 7, which is frequent; the jitter spreads shards that end together. */
const QUICK_MS = { least: 50, most: 250 };
/** Before a refused session is resumed once more. */
const RESUME_AGAIN_MS = { least: 0, most: 500 };
/** Discord asks for a random pause of 1 to 5 s before a new session after op 9. https://github.com/discord/discord-api-docs/pull/244 */
const NEW_SESSION_MS = { least: 1_000, most: 5_000 };
/** Discord asks to resume at `resume_gateway_url`; after so many tries without an answer, it and the general address alternate. */
const SESSION_ADDRESS_TRIES = 2;

/** @returns nothing when another connection would only be refused again */
export function reconnectAfter(
  { verdict, lastedMs, wasReady, hasSession }: EndedConnection,
  before: Attempts,
  random: () => number = Math.random,
): Reconnect | undefined {
  if (verdict === 'fatal') return undefined;
  const inARow = lastedMs > SUCCEEDED_MS ? 1 : before.failures + 1;
  const failures = wasReady ? Math.min(inARow, MOST_AFTER_READY) : inARow;
  const unanswered = verdict === 'unreachable' ? before.unanswered + 1 : 0;
  return { pauseMs: pauseFor(verdict === 'refused', hasSession, failures, random), attempts: { failures, unanswered } };
}

function pauseFor(refused: boolean, hasSession: boolean, failures: number, random: () => number): number {
  const between = ({ least, most }: typeof QUICK_MS) => least + random() * (most - least);
  if (!refused) return failures <= 1 ? between(QUICK_MS) : backoffMs(failures - 1, random);
  if (hasSession) return between(RESUME_AGAIN_MS);
  // Discord allows 1,000 IDENTIFYs a day: those that are refused again and again are sent with longer pauses.
  return Math.max(between(NEW_SESSION_MS), failures > MOST_AFTER_READY ? backoffMs(failures, random) : 0);
}

/** Where a session is resumed: at its own address, or at the one that Get Gateway Bot answers. */
export function addressToResume({ unanswered }: Attempts): 'session' | 'gateway' {
  const beyond = unanswered - SESSION_ADDRESS_TRIES;
  return beyond < 0 || beyond % 2 === 1 ? 'session' : 'gateway';
}
