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
  /** Whose answer said nothing about the session. */
  readonly unclear: number;
  /** On which READY did not come in time. */
  readonly withoutReady: number;
  /** After which a new session had to begin. */
  readonly newSessions: number;
}

export const NO_ATTEMPTS: Attempts = { failures: 0, unanswered: 0, unclear: 0, withoutReady: 0, newSessions: 0 };

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
/** Before a refused session is resumed once more. Only once: a second refusal without READY or RESUMED in between ends it. */
const RESUME_AGAIN_MS = { least: 0, most: 500 };
/** Discord asks for a random pause of 1 to 5 s after op 9, resumable or not. https://github.com/discord/discord-api-docs/pull/244 */
const AFTER_INVALID_SESSION_MS = { least: 1_000, most: 5_000 };
/** Discord allows 1,000 IDENTIFYs a day: one in 86.4 s. */
const LONGEST_BEFORE_IDENTIFY_MS = 90_000;
/** Discord asks to resume at `resume_gateway_url`; after so many tries without an answer, it and the general address alternate. */
const SESSION_ADDRESS_TRIES = 2;
/** One malformed frame is an accident; so many in a row mean that the session cannot be resumed. */
const MOST_UNCLEAR = 5;
/** READY of a shard with many guilds has taken 40 s. */
const FIRST_READY_DEADLINE_MS = 30_000;
const LONGEST_READY_DEADLINE_MS = 480_000;

/** The verdict in view of those before it: the fifth unclear answer in a row is a refusal. */
export function effectiveVerdict(end: Omit<EndedConnection, 'hasSession'>, before: Attempts): Verdict['kind'] {
  return unclearAfter(end, before) >= MOST_UNCLEAR && isUnclear(end.verdict) ? 'refused' : end.verdict;
}

/** @returns nothing when another connection would only be refused again. Not after READY or RESUMED: Discord took it then */
export function reconnectAfter(
  end: EndedConnection,
  before: Attempts,
  random: () => number = Math.random,
): Reconnect | undefined {
  const { verdict, wasReady, hasSession } = end;
  if (verdict === 'fatal' && !wasReady) return undefined;
  const effective = effectiveVerdict(end, before);
  const inARow = end.lastedMs > SUCCEEDED_MS ? 1 : before.failures + 1;
  const attempts: Attempts = {
    failures: wasReady ? Math.min(inARow, MOST_AFTER_READY) : inARow,
    unanswered: verdict === 'unreachable' ? before.unanswered + 1 : 0,
    // A new session begins with no malformed frames.
    unclear: effective === 'refused' && !hasSession ? 0 : unclearAfter(end, before),
    withoutReady: verdict === 'no READY' ? before.withoutReady + 1 : wasReady ? 0 : before.withoutReady,
    newSessions: (succeeded(end) ? 0 : before.newSessions) + (hasSession || verdict === 'unreachable' ? 0 : 1),
  };
  return { pauseMs: pauseFor({ ...end, verdict: effective }, attempts, random), attempts };
}

function pauseFor(
  { verdict, hasSession, wasReady }: EndedConnection,
  attempts: Attempts,
  random: () => number,
): number {
  const { failures, newSessions } = attempts;
  const between = ({ least, most }: typeof QUICK_MS) => least + random() * (most - least);
  const isAnswer = verdict === 'refused' || verdict === 'no READY' || isUnclear(verdict);
  if (!hasSession && isAnswer)
    return Math.max(
      between(AFTER_INVALID_SESSION_MS),
      newSessions > MOST_AFTER_READY ? backoffMs(newSessions, random, LONGEST_BEFORE_IDENTIFY_MS) : 0,
    );
  if (verdict === 'not now') return Math.max(between(AFTER_INVALID_SESSION_MS), backoffMs(failures, random));
  if (verdict === 'refused' && !wasReady) return between(RESUME_AGAIN_MS);
  return failures <= 1 ? between(QUICK_MS) : backoffMs(failures - 1, random);
}

const isUnclear = (verdict: Verdict['kind']): boolean => verdict === 'malformed' || verdict === 'unclear';

const succeeded = ({ wasReady, lastedMs }: Pick<EndedConnection, 'wasReady' | 'lastedMs'>): boolean =>
  wasReady && lastedMs > SUCCEEDED_MS;

function unclearAfter(end: Omit<EndedConnection, 'hasSession'>, { unclear }: Attempts): number {
  return (succeeded(end) ? 0 : unclear) + (isUnclear(end.verdict) ? 1 : 0);
}

/** Where a session is resumed: at its own address, or at the one that Get Gateway Bot answers. */
export function addressToResume({ unanswered }: Pick<Attempts, 'unanswered'>): 'session' | 'gateway' {
  const beyond = unanswered - SESSION_ADDRESS_TRIES;
  return beyond < 0 || beyond % 2 === 1 ? 'session' : 'gateway';
}

/** How long READY is waited for after IDENTIFY: twice as long after each time that it was too short. */
export function readyDeadlineMs({ withoutReady }: Pick<Attempts, 'withoutReady'>): number {
  return Math.min(FIRST_READY_DEADLINE_MS * 2 ** withoutReady, LONGEST_READY_DEADLINE_MS);
}
