// When a shard may IDENTIFY: one per rate-limit bucket per 5 s across all tasks of the bot, and never more than Discord's
// daily budget. RESUME needs no permission. It waits and never refuses: the only rejection is the signal's, because
// after any other `@discordjs/ws` sends IDENTIFY twice. https://docs.discord.com/developers/events/gateway#rate-limiting

import { IDENTIFY_SPACING_MS } from '../contract/limits.ts';
import type { Log } from '../log.ts';
import { orAborted, sleep } from '../wait.ts';
import type { GatewayInformation } from './gateway-information.ts';

/** One holder per bucket among all tasks; `acquire` returns what releases it. Buckets are numbers from 0. */
export interface BucketMutex {
  acquire(bucket: number, signal: AbortSignal): Promise<() => void>;
}

/** Longer than another task keeps Discord's last answer about the budget. */
const LAST_SPACING_MS = 2_500;

export class IdentifyGate {
  readonly #information: Pick<GatewayInformation, 'fetch' | 'identified'>;
  readonly #mutex: BucketMutex;
  readonly #log: Log;
  #spentUntil: number | undefined;
  #closed: string | undefined;
  /** Shards that wait for the budget. */
  #waiting = 0;
  readonly #kept = new Set<Promise<void>>();

  constructor(information: Pick<GatewayInformation, 'fetch' | 'identified'>, mutex: BucketMutex, log: Log) {
    this.#information = information;
    this.#mutex = mutex;
    this.#log = log;
  }

  /** Until when the daily budget is spent, Unix ms; nothing while some is left, or when that time is over. */
  get spentUntil(): number | undefined {
    return this.#spentUntil !== undefined && this.#spentUntil > Date.now() ? this.#spentUntil : undefined;
  }

  /** Why no shard may IDENTIFY any more, if so. */
  get closed(): string | undefined {
    return this.#closed;
  }

  /** Why shards wait, in one sentence; nothing while none does, or only for its turn. */
  get problem(): string | undefined {
    if (this.#closed !== undefined || this.#waiting === 0 || this.#spentUntil === undefined) return this.#closed;
    const until = new Date(this.#spentUntil).toISOString();
    return `the day's IDENTIFYs are spent: shards that must IDENTIFY wait for Discord's reset at ${until}`;
  }

  /** From now on no shard IDENTIFYs: Discord refuses for a reason that only a person can change. */
  close(reason: string): void {
    this.#closed = reason;
  }

  /** Resolves when this shard may IDENTIFY at once. @throws when the signal aborts */
  async wait(shardId: number, signal: AbortSignal): Promise<void> {
    await this.#untilOpen(signal);
    const { session_start_limit: limit } = await this.#information.fetch(signal);
    const buckets = limit.max_concurrency;
    const releaseBucket = await this.#mutex.acquire(shardId % buckets, signal);
    let releaseLast: (() => void) | undefined;
    try {
      // The last IDENTIFYs of the day pass one at a time, whatever their buckets: two that see the same last one would
      // both take it, and after one too many Discord resets the token.
      if ((await this.#untilBudget(signal)) <= buckets && buckets > 1) {
        releaseLast = await this.#mutex.acquire(buckets, signal);
        await this.#untilBudget(signal);
      }
      await this.#untilOpen(signal);
      signal.throwIfAborted();
    } catch (error) {
      releaseLast?.();
      releaseBucket();
      throw error;
    }
    this.#information.identified();
    this.#keep(releaseBucket, IDENTIFY_SPACING_MS);
    if (releaseLast !== undefined) this.#keep(releaseLast, LAST_SPACING_MS);
  }

  /**
   * Resolves when no bucket is kept any more. A task that ends before that frees its buckets too early, and Discord
   * refuses the next owner's IDENTIFY.
   */
  async spaced(): Promise<void> {
    while (this.#kept.size > 0) await Promise.all(this.#kept);
  }

  /** Once closed it never opens: the shard waits until it is stopped. */
  async #untilOpen(signal: AbortSignal): Promise<void> {
    if (this.#closed !== undefined) await orAborted(new Promise(() => undefined), signal);
  }

  #keep(release: () => void, ms: number): void {
    const kept = sleep(ms).then(() => {
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
          "the day's IDENTIFYs are spent: waiting for Discord's reset. Sessions stay connected; find what reconnects so often",
        );
      this.#spentUntil = Date.now() + limit.reset_after;
      // Asked again each minute, since a reset may come early; the jitter spreads tasks that wait for the same moment.
      const resetMs = Math.max(limit.reset_after, IDENTIFY_SPACING_MS);
      this.#waiting += 1;
      await sleep(Math.min(resetMs + Math.random() * 1_000, 60_000), signal).finally(() => {
        this.#waiting -= 1;
      });
    }
  }
}
