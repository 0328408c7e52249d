// What follows from the ends of one shard's connections: carries out the decisions of reconnect.ts, keeps why connections
// ended, and waits until the next one may follow.

import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { sleep } from '../wait.ts';
import type { BotToken } from './bot-token.ts';
import type { Verdict } from './close-code.ts';
import type { GatewayInformation } from './gateway-information.ts';
import type { IdentifyGate } from './identify-gate.ts';
import type { NextReady } from './next-ready.ts';
import {
  type Attempts,
  type EndedConnection,
  effectiveVerdict,
  identifyShareMs,
  NO_ATTEMPTS,
  type Reconnect,
  reconnectAfter,
} from './reconnect.ts';

export interface RetriesOptions {
  readonly id: number;
  readonly session: {
    readonly resumable: { readonly sequence: number; readonly startedAt: number } | undefined;
    readonly shardCount: number;
    /** @returns whether the session is kept for another try */
    refused(reason: string, at: number): boolean;
  };
  readonly token: Pick<BotToken, 'reject'>;
  readonly information: Pick<GatewayInformation, 'latest'>;
  readonly gate: Pick<IdentifyGate, 'close' | 'closed' | 'untilOpen'>;
  readonly nextReady: NextReady;
  readonly metrics: Pick<Metrics, 'add'>;
  readonly log: Log;
}

/** A connection that has ended. */
export interface Past {
  readonly token: string;
  /** What it sent, and the sequence of the session then; nothing before that. */
  readonly sent: { readonly what: 'identify' | 'resume'; readonly from: number | undefined } | undefined;
  /** Of READY or RESUMED, Unix ms. */
  readonly readyAt: number | undefined;
}

/** One connection that ends is everyday; so many without READY or RESUMED in between are a problem. */
const PROBLEM_AFTER_ENDS = 2;

export class Retries {
  readonly #options: RetriesOptions;
  #attempts = NO_ATTEMPTS;
  #unresumedSince: number | undefined;
  /** Why connections ended since the last READY or RESUMED. */
  #ends: { readonly count: number; readonly reason: string } = { count: 0, reason: '' };
  #fatal: string | undefined;
  /** The next connection follows then, to spare the day's IDENTIFYs. */
  #pausedUntil: number | undefined;
  #pauseEndedEarly = false;

  constructor(options: RetriesOptions) {
    this.#options = options;
  }

  get attempts(): Attempts {
    return this.#attempts;
  }

  /** Why Discord refuses the shard, and what to change. */
  get fatal(): string | undefined {
    // The gate says when it is tried again, by whichever shard.
    return this.#fatal && (this.#options.gate.closed ?? this.#fatal);
  }

  /** Why the shard does not come to READY or RESUMED, and that it is retried. */
  get problem(): string | undefined {
    if (this.#fatal !== undefined) return this.fatal;
    const { count, reason } = this.#ends;
    if (count < PROBLEM_AFTER_ENDS) return undefined;
    const at = this.#pausedUntil === undefined ? '' : ` at ${new Date(this.#pausedUntil).toISOString()}`;
    return `${reason}: ${count} connections in a row ended; it is retried${at}`;
  }

  /** The shard starts again. */
  started(): void {
    this.#attempts = { ...this.#attempts, failures: 0 } satisfies Attempts;
  }

  /** READY or RESUMED came. */
  succeeded(): void {
    this.#ends = { count: 0, reason: '' };
    this.#fatal = undefined;
  }

  /** A connection has ended. @returns nothing when Discord refuses the shard, until the identify gate opens again */
  after({ kind: verdict, reason }: Verdict, past: Past): Reconnect | undefined {
    const { id, information, log, metrics, session, token } = this.#options;
    log.warn({ shard: id, verdict, reason }, 'the gateway connection ended');
    this.#fatal = undefined;
    if (verdict === 'malformed') metrics.add('invalidFrames');
    this.#ends = { count: this.#ends.count + 1, reason };
    const { resumable, shardCount } = session;
    const since = (at: number | undefined) => (at === undefined ? undefined : Date.now() - at);
    const end = {
      verdict,
      sent: past.sent?.what,
      readyMs: since(past.readyAt),
      moved: past.sent !== undefined && resumable?.sequence !== past.sent.from,
      unresumedMs: since(this.#unresumedSince) ?? 0,
      sessionMs: since(resumable?.startedAt),
      shareMs: identifyShareMs(information.latest?.session_start_limit, shardCount),
    } satisfies Omit<EndedConnection, 'hasSession'>;
    const hasSession =
      effectiveVerdict(end, this.#attempts) === 'refused'
        ? session.refused(reason, Date.now())
        : resumable !== undefined;
    const next = reconnectAfter({ ...end, hasSession }, this.#attempts);
    if (next === undefined) {
      this.#refuse(reason);
      return undefined;
    }
    if (verdict === 'token rejected') token.reject(past.token, reason);
    this.#attempts = next.attempts;
    this.#unresumedSince = next.attempts.unresumed === 0 ? undefined : (this.#unresumedSince ?? Date.now());
    if (next.attempts.identifies === 0) this.#pauseEndedEarly = false;
    return next;
  }

  /** Resolves when the next connection may follow, or when the signal aborts. */
  async wait(next: Reconnect | undefined, signal: AbortSignal): Promise<void> {
    if (next?.sparesIdentifies) return await this.#spareIdentifies(next, signal);
    const pause = next === undefined ? this.#options.gate.untilOpen(signal) : sleep(next.pauseMs, signal);
    await pause.catch(() => undefined);
  }

  #refuse(reason: string): void {
    const { id, gate, log } = this.#options;
    gate.close(reason);
    this.#fatal = reason;
    log.error({ shard: id, problem: this.fatal }, 'Discord refuses the shard: it waits, and tries again');
  }

  /** Ends early when another shard comes to READY, once until this one's session lasts: it may help the other one only. */
  async #spareIdentifies({ pauseMs, attempts }: Reconnect, signal: AbortSignal): Promise<void> {
    const { id, log, nextReady } = this.#options;
    this.#pausedUntil = Date.now() + pauseMs;
    const line = { shard: id, identifies: attempts.identifies, until: new Date(this.#pausedUntil).toISOString() };
    log.warn(line, "IDENTIFYs led to no session that lasts: the next one waits, to spare the day's");
    const ready = this.#pauseEndedEarly ? [] : [nextReady.signal];
    await sleep(pauseMs, AbortSignal.any([signal, ...ready])).catch(() => undefined);
    this.#pauseEndedEarly ||= ready.some(({ aborted }) => aborted);
    this.#pausedUntil = undefined;
  }
}
