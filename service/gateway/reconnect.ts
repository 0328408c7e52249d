// Whether a shard connects again after a connection has ended, after which pause, and to which address. Pure; shard.ts and
// retries.ts carry it out. https://docs.discord.com/developers/events/gateway#resuming

import type { APIGatewaySessionStartLimit } from 'discord-api-types/v10';
import { backoffMs } from '../wait.ts';
import type { Verdict } from './close-code.ts';

/** Connections in a row up to now. */
export interface Attempts {
  /** That ended before READY or RESUMED, or soon after it. */
  readonly failures: number;
  /** On which the gateway did not answer. */
  readonly unanswered: number;
  /** Which ended without an answer about the session. */
  readonly unresumed: number;
  /** On which READY did not come in time. */
  readonly withoutReady: number;
  /** That sent an IDENTIFY, and whose session ended within `intervalMs`. */
  readonly identifies: number;
}

export const NO_ATTEMPTS: Attempts = { failures: 0, unanswered: 0, unresumed: 0, withoutReady: 0, identifies: 0 };

export interface EndedConnection {
  readonly verdict: Verdict['kind'];
  readonly sent: 'identify' | 'resume' | undefined;
  /** Since READY or RESUMED; nothing if neither came. */
  readonly readyMs: number | undefined;
  /** The session received a dispatch on it, or gave one up. */
  readonly progressed: boolean;
  /** Since the first of `unresumed`; 0 without one. */
  readonly unresumedMs: number;
  /** Since READY of its session; nothing without one. */
  readonly sessionMs: number | undefined;
  /** See `identifyIntervalMs`. */
  readonly intervalMs: number;
  /** The next connection resumes a session; without one it IDENTIFYs. */
  readonly hasSession: boolean;
}

export interface Reconnect {
  readonly pauseMs: number;
  /** It is that long so that the day's IDENTIFYs last. */
  readonly savesIdentifies: boolean;
  readonly attempts: Attempts;
}

/** A connection that lasted longer after READY or RESUMED succeeded: its end is a first failure. */
const SUCCEEDED_MS = 10_000;
/** One that came to READY or RESUMED, or a dispatch further, and ended sooner counts at most so many: a pause of up to 2 s. */
const MOST_AFTER_READY = 3;
/** Discord asks to reconnect at once after op 7, which is frequent; the jitter spreads shards that end together. */
const QUICK_MS = { least: 50, most: 250 };
/** Before a refused session is resumed once more. Only once: a second refusal without READY or RESUMED in between ends it. */
const RESUME_AGAIN_MS = { least: 0, most: 500 };
/** Discord asks for a random pause of 1 to 5 s after op 9, resumable or not. https://github.com/discord/discord-api-docs/pull/244 */
const AFTER_INVALID_SESSION_MS = { least: 1_000, most: 5_000 };
/** IDENTIFYs in a row before which there is only Discord's pause. */
const FREE_IDENTIFIES = 3;
/** After so many the pause is the longest; sooner where these would be a quarter of the budget. */
const MOST_UNTIL_LONGEST = 10;
/** In intervals. IDENTIFYs that are refused all day then take about half of the budget. */
const LONGEST_BEFORE_IDENTIFY = 4;
/** The shards of a task spread their tries: the first that comes to READY ends the pauses of the others. */
const SPREAD = 8;
const DAY_MS = 86_400_000;
/** Discord asks to resume at `resume_gateway_url`; after so many tries without an answer, it and the general address alternate. */
const SESSION_ADDRESS_TRIES = 2;
/**
 * One connection that ends after RESUME, or by a malformed frame, is an accident. After so many in a row the general address
 * is tried; where that does not help, the session cannot be resumed.
 */
const MOST_UNRESUMED = 3;
/** A gateway that restarts, or our own proxy, may end each connection for as long, and still have the session. */
const UNRESUMED_MS = 15_000;
/** READY of a shard with many guilds has taken 40 s. */
const FIRST_READY_DEADLINE_MS = 30_000;
const LONGEST_READY_DEADLINE_MS = 480_000;

/**
 * The interval at which each shard may IDENTIFY, so that the budget of all shards lasts until Discord renews it.
 * @param limit of Get Gateway Bot; nothing: Discord's usual one, 1,000 a day
 */
export function identifyIntervalMs(
  limit: Pick<APIGatewaySessionStartLimit, 'total' | 'remaining' | 'reset_after'> | undefined,
  shards: number,
): number {
  const { total, remaining, reset_after } = limit ?? { total: 1_000, remaining: 1_000, reset_after: DAY_MS };
  // The longest pause is no longer than the period: after it the budget is renewed.
  const interval = (ms: number, identifies: number) =>
    Math.min((shards * ms) / Math.max(identifies, 1), ms / LONGEST_BEFORE_IDENTIFY);
  return Math.max(interval(DAY_MS, total), interval(reset_after, remaining));
}

/** The verdict in view of those before: another end without an answer, at the general address too, is a refusal. */
export function effectiveVerdict(end: Omit<EndedConnection, 'hasSession'>, before: Attempts): Verdict['kind'] {
  const isTried = unresumedAfter(end, before) > MOST_UNRESUMED && end.unresumedMs >= UNRESUMED_MS;
  return isUnresumed(end) && isTried ? 'refused' : end.verdict;
}

/** @returns nothing when Discord would refuse another connection too. Not after READY or RESUMED: it accepted that one */
export function reconnectAfter(
  end: EndedConnection,
  before: Attempts,
  random: () => number = Math.random,
): Reconnect | undefined {
  const { verdict, sent, readyMs, progressed, sessionMs = 0, intervalMs, hasSession } = end;
  const wasReady = readyMs !== undefined;
  if (verdict === 'fatal' && !wasReady) return undefined;
  const effective = effectiveVerdict(end, before);
  // The pauses have grown only to see whether the session can be resumed.
  const inARow = lasted(end) || effective !== verdict ? 1 : before.failures + 1;
  const attempts: Attempts = {
    failures: wasReady || (progressed && verdict === 'resume') ? Math.min(inARow, MOST_AFTER_READY) : inARow,
    unanswered: verdict === 'unreachable' ? before.unanswered + 1 : 0,
    // A new session begins with none.
    unresumed: hasSession ? unresumedAfter(end, before) : 0,
    withoutReady: verdict === 'no READY' ? before.withoutReady + 1 : wasReady ? 0 : before.withoutReady,
    identifies: sessionMs >= intervalMs ? 0 : before.identifies + (sent === 'identify' && !isOfToken(end) ? 1 : 0),
  };
  return { ...pauseFor({ ...end, verdict: effective }, attempts, random), attempts };
}

function pauseFor(
  end: EndedConnection,
  { failures, identifies }: Attempts,
  random: () => number,
): Omit<Reconnect, 'attempts'> {
  const { verdict, sent, readyMs, hasSession, intervalMs } = end;
  const between = ({ least, most }: typeof QUICK_MS) => least + random() * (most - least);
  if (verdict === 'refused' && hasSession && readyMs === undefined)
    return { pauseMs: between(RESUME_AGAIN_MS), savesIdentifies: false };
  const isAsked = verdict === 'not now' || (!hasSession && (verdict === 'refused' || sent === 'identify'));
  const inARow = verdict === 'not now' ? failures : failures - 1;
  const usualMs = Math.max(
    inARow === 0 ? between(QUICK_MS) : backoffMs(inARow, random),
    isAsked ? between(AFTER_INVALID_SESSION_MS) : 0,
  );
  // Where nothing was sent, no IDENTIFY was used; and BotToken waits for another token.
  const isFree = hasSession || sent === undefined || isOfToken(end);
  const savingMs = isFree ? 0 : between(beforeIdentify(identifies, intervalMs));
  const savesIdentifies = savingMs > Math.max(usualMs, AFTER_INVALID_SESSION_MS.most);
  return { pauseMs: Math.max(usualMs, savingMs), savesIdentifies };
}

function beforeIdentify(identifies: number, intervalMs: number): typeof QUICK_MS {
  const untilLongest = Math.min(Math.max(DAY_MS / intervalMs / 4, FREE_IDENTIFIES), MOST_UNTIL_LONGEST);
  if (identifies <= FREE_IDENTIFIES && identifies < untilLongest) return { least: 0, most: 0 };
  const most = (LONGEST_BEFORE_IDENTIFY * intervalMs) / 2 ** Math.max(0, untilLongest - identifies);
  return { least: most / SPREAD, most };
}

const isOfToken = ({ verdict }: Pick<EndedConnection, 'verdict'>): boolean => verdict === 'token rejected';

const lasted = ({ readyMs = 0 }: Pick<EndedConnection, 'readyMs'>): boolean => readyMs > SUCCEEDED_MS;

/** RESUME had neither an answer nor a dispatch, or what came was malformed. */
function isUnresumed({ verdict, sent, readyMs, progressed }: Omit<EndedConnection, 'hasSession'>): boolean {
  if (verdict === 'malformed') return true;
  const isEnd = verdict === 'resume' || verdict === 'unreachable';
  return isEnd && sent === 'resume' && readyMs === undefined && !progressed;
}

function unresumedAfter(end: Omit<EndedConnection, 'hasSession'>, { unresumed }: Attempts): number {
  if (isUnresumed(end)) return (lasted(end) ? 0 : unresumed) + 1;
  return lasted(end) || end.progressed ? 0 : unresumed;
}

/** Where a session is resumed: at its own address, or at the one that Get Gateway Bot answers. */
export function addressToResume({
  unanswered,
  unresumed,
}: Pick<Attempts, 'unanswered' | 'unresumed'>): 'session' | 'gateway' {
  const beyond = unanswered - (unresumed < MOST_UNRESUMED ? SESSION_ADDRESS_TRIES : 0);
  return beyond < 0 || beyond % 2 === 1 ? 'session' : 'gateway';
}

/** How long READY may take after IDENTIFY: twice as long after each time that it did not come. */
export function readyDeadlineMs({ withoutReady }: Pick<Attempts, 'withoutReady'>): number {
  return Math.min(FIRST_READY_DEADLINE_MS * 2 ** withoutReady, LONGEST_READY_DEADLINE_MS);
}
