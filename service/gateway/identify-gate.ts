// Who may IDENTIFY, and when: one per rate-limit bucket per 5 s, across all tasks of the bot, and never more than
// Discord's daily budget. RESUMEs do not come here. It waits and never refuses: the only rejection is the signal's,
// as anything else would make `@discordjs/ws` send IDENTIFY twice.
// https://discord.com/developers/docs/events/gateway#rate-limiting

import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../log.ts';
import type { GatewayInformation } from './gateway-information.ts';

/** One holder per bucket among all tasks; what `acquire` returns gives it to the next. Buckets are numbers from 0. */
export interface BucketMutex {
  acquire(bucket: number, signal: AbortSignal): Promise<() => void>;
}

/** Discord's 5 s, and something for the way there. */
const SPACING_MS = 5_250;
/** Longer than another task keeps what Discord last said of the budget. */
const LAST_SPACING_MS = 2_500;

export class IdentifyGate {
  readonly #information: Pick<GatewayInformation, 'fetch' | 'identified'>;
  readonly #mutex: BucketMutex;
  readonly #log: Log;
  readonly #spacingMs: number;
  #spentUntil: number | undefined;
  #closed: string | undefined;
  readonly #kept = new Set<Promise<void>>();

  constructor(
    information: Pick<GatewayInformation, 'fetch' | 'identified'>,
    mutex: BucketMutex,
    log: Log,
    spacingMs = SPACING_MS,
  ) {
    this.#information = information;
    this.#mutex = mutex;
    this.#log = log;
    this.#spacingMs = spacingMs;
  }

  /** Until when the daily budget is spent, Unix ms; nothing while some is left, or when that time is over. */
  get spentUntil(): number | undefined {
    return this.#spentUntil !== undefined && this.#spentUntil > Date.now() ? this.#spentUntil : undefined;
  }

  /** Why nobody may IDENTIFY any more, if so. */
  get closed(): string | undefined {
    return this.#closed;
  }

  /** From now on nobody passes: Discord refuses this bot's IDENTIFYs for a reason that only a person can change. */
  close(reason: string): void {
    this.#closed = reason;
  }

  /** Resolves when this shard may IDENTIFY, at once. @throws when the signal aborts */
  async wait(shardId: number, signal: AbortSignal): Promise<void> {
    if (this.#closed !== undefined) await aborted(signal);
    const { session_start_limit: limit } = await this.#information.fetch(signal);
    const buckets = limit.max_concurrency;
    const releaseBucket = await this.#mutex.acquire(shardId % buckets, signal);
    let releaseLast: (() => void) | undefined;
    try {
      // The last ones of the day pass one at a time, whatever their buckets: two that see the same last one would both
      // take it, and one too many costs the token.
      if ((await this.#untilBudget(signal)) <= buckets && buckets > 1) {
        releaseLast = await this.#mutex.acquire(buckets, signal);
        await this.#untilBudget(signal);
      }
      if (this.#closed !== undefined) await aborted(signal);
      signal.throwIfAborted();
    } catch (error) {
      releaseLast?.();
      releaseBucket();
      throw error;
    }
    this.#information.identified();
    this.#keep(releaseBucket, this.#spacingMs);
    if (releaseLast !== undefined) this.#keep(releaseLast, Math.min(this.#spacingMs, LAST_SPACING_MS));
  }

  /**
   * Resolves when no bucket is kept any more. A task that ends before frees its buckets too early, and the next owner's
   * IDENTIFY would be refused.
   */
  async spaced(): Promise<void> {
    while (this.#kept.size > 0) await Promise.all(this.#kept);
  }

  #keep(release: () => void, ms: number): void {
    const kept = sleep(ms, undefined, { ref: false }).then(() => {
      release();
      this.#kept.delete(kept);
    });
    this.#kept.add(kept);
  }

  /** @returns how many are left; at least one */
  async #untilBudget(signal: AbortSignal): Promise<number> {
    while (true) {
      const { session_start_limit: limit } = await this.#information.fetch(signal);
      if (limit.remaining > 0) {
        this.#spentUntil = undefined;
        return limit.remaining;
      }
      if (this.#spentUntil === undefined)
        this.#log.error(
          { total: limit.total, resetAfterMs: limit.reset_after },
          "the day's IDENTIFYs are spent: waiting for Discord's reset. Sessions that live go on; look for what reconnects so often",
        );
      this.#spentUntil = Date.now() + limit.reset_after;
      // Asked again now and then, since a reset may come early; the jitter spreads tasks that wait for the same moment.
      await sleep(Math.min(limit.reset_after + Math.random() * 1_000, 60_000), undefined, { signal });
    }
  }
}

/** Rejects when the signal aborts, and never resolves. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
