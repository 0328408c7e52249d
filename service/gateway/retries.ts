// What follows from the ends of one shard's connections: carries out the decisions of reconnect.ts, keeps why connections
// ended, and waits until the next one may follow.

import { sleep } from '../wait.ts';
import type { Verdict } from './close-code.ts';
import {
  type Attempts,
  effectiveVerdict,
  identifyIntervalMs,
  NO_ATTEMPTS,
  type Reconnect,
  reconnectAfter,
} from './reconnect.ts';
import type { ShardOptions } from './shard-options.ts';

/** How far a connection came. */
export interface Progress {
  readonly token: string;
  /** What it sent after HELLO, and the session's sequence then. */
  readonly sent: { readonly what: 'identify' | 'resume'; readonly from: number | undefined } | undefined;
  /** Of READY or RESUMED, Unix ms. */
  readonly readyAt: number | undefined;
}

/** One connection that ends is normal; so many without READY or RESUMED in between are a problem. */
const PROBLEM_AFTER_ENDS = 2;

export class Retries {
  readonly #options: Pick<ShardOptions, 'id' | 'session' | 'token' | 'information' | 'gate' | 'metrics' | 'log'>;
  #attempts = NO_ATTEMPTS;
  #unresumedSince: number | undefined;
  /** Why connections ended since the last READY or RESUMED. */
  #ends = { count: 0, reason: '' };
  #fatal: string | undefined;
  /** Unix ms: the next connection waits until then, so that the day's IDENTIFYs last. */
  #pausedUntil: number | undefined;
  #pauseEndedEarly = false;

  constructor(options: ShardOptions) {
    this.#options = options;
  }

  get attempts(): Attempts {
    return this.#attempts;
  }

  /** Why Discord refuses the shard, and what to change. */
  get fatal(): string | undefined {
    // The gate knows when a shard tries again.
    return this.#fatal && (this.#options.gate.closed ?? this.#fatal);
  }

  /** Why READY or RESUMED does not come, and that it is retried. */
  get problem(): string | undefined {
    if (this.#fatal !== undefined) return this.fatal;
    const { count, reason } = this.#ends;
    if (count < PROBLEM_AFTER_ENDS) return undefined;
    const at = this.#pausedUntil === undefined ? '' : ` at ${new Date(this.#pausedUntil).toISOString()}`;
    return `${reason}: ${count} connections in a row ended; it is retried${at}`;
  }

  /** The shard starts again. */
  started(): void {
    this.#attempts = { ...this.#attempts, failures: 0 };
  }

  /** READY or RESUMED came. */
  succeeded(): void {
    this.#ends = { count: 0, reason: '' };
    this.#fatal = undefined;
  }

  /** A connection has ended. @returns nothing when Discord refuses the shard, until the identify gate opens again */
  after({ kind: verdict, reason }: Verdict, { token, sent, readyAt }: Progress): Reconnect | undefined {
    const { id, information, log, metrics, session } = this.#options;
    const { resumable, shardCount } = session;
    log.warn({ shard: id, verdict, reason }, 'the gateway connection ended');
    this.#fatal = undefined;
    if (verdict === 'malformed') metrics.add('invalidFrames');
    this.#ends = { count: this.#ends.count + 1, reason };
    const since = (at: number | undefined) => (at === undefined ? undefined : Date.now() - at);
    const end = {
      verdict,
      sent: sent?.what,
      readyMs: since(readyAt),
      progressed: sent !== undefined && resumable?.sequence !== sent.from,
      unresumedMs: since(this.#unresumedSince) ?? 0,
      sessionMs: since(resumable?.startedAt),
      intervalMs: identifyIntervalMs(information.latest?.session_start_limit, shardCount),
    };
    const isRefused = effectiveVerdict(end, this.#attempts) === 'refused';
    const hasSession = isRefused ? session.refused(reason, Date.now()) : resumable !== undefined;
    const next = reconnectAfter({ ...end, hasSession }, this.#attempts);
    if (next === undefined) {
      this.#refuse(reason);
      return undefined;
    }
    if (verdict === 'token rejected') this.#options.token.reject(token, reason);
    this.#attempts = next.attempts;
    this.#unresumedSince = next.attempts.unresumed === 0 ? undefined : (this.#unresumedSince ?? Date.now());
    if (next.attempts.identifies === 0) this.#pauseEndedEarly = false;
    return next;
  }

  /** Resolves when the next connection may follow, or when the signal aborts. */
  async wait(next: Reconnect | undefined, signal: AbortSignal): Promise<void> {
    if (next?.savesIdentifies) return await this.#saveIdentifies(next, signal);
    const pause = next === undefined ? this.#options.gate.untilOpen(signal) : sleep(next.pauseMs, signal);
    await pause.catch(() => undefined);
  }

  #refuse(reason: string): void {
    const { id, gate, log } = this.#options;
    gate.close(reason);
    this.#fatal = reason;
    log.error({ shard: id, problem: this.fatal }, 'Discord refuses the shard: it waits, and tries again');
  }

  /** READY of another shard ends the pause, but only once until this shard's session lasts: the cause may be this shard. */
  async #saveIdentifies({ pauseMs, attempts }: Reconnect, signal: AbortSignal): Promise<void> {
    const { id, gate, log } = this.#options;
    this.#pausedUntil = Date.now() + pauseMs;
    const line = { shard: id, identifies: attempts.identifies, until: new Date(this.#pausedUntil).toISOString() };
    log.warn(line, 'IDENTIFYs led to no session that lasts: the next one waits, to save the daily budget');
    const ready = this.#pauseEndedEarly ? [] : [gate.nextReady];
    await sleep(pauseMs, AbortSignal.any([signal, ...ready])).catch(() => undefined);
    this.#pauseEndedEarly ||= ready.some(({ aborted }) => aborted);
    this.#pausedUntil = undefined;
  }
}
