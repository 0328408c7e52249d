// How often a bot may IDENTIFY: once per bucket (`shard_id % max_concurrency`) in a while, and so many times a day over
// all shards. RESUMEs are not counted. Pure: the time comes from the caller.
// https://discord.com/developers/docs/events/gateway#rate-limiting

export interface IdentifyLimitsOptions {
  readonly maxConcurrency: number;
  readonly everyMs: number;
  /** How much earlier is still accepted. */
  readonly slackMs: number;
  readonly total: number;
  readonly windowMs: number;
}

export type Admission =
  | { readonly kind: 'admitted' }
  /** The bucket was used so many ms ago, which is too short. */
  | { readonly kind: 'too early'; readonly bucket: number; readonly sinceMs: number }
  | { readonly kind: 'exhausted' };

export class IdentifyLimits {
  readonly #options: IdentifyLimitsOptions;
  readonly #lastInBucket = new Map<number, number>();
  #windowFrom: number;
  #used = 0;

  constructor(options: IdentifyLimitsOptions, now: number) {
    this.#options = options;
    this.#windowFrom = now;
  }

  /** Counts only what it admits. */
  admit(shardId: number, now: number): Admission {
    this.#roll(now);
    const { maxConcurrency, everyMs, slackMs, total } = this.#options;
    if (this.#used >= total) return { kind: 'exhausted' };
    const bucket = shardId % maxConcurrency;
    const last = this.#lastInBucket.get(bucket);
    if (last !== undefined && now - last < everyMs - slackMs)
      return { kind: 'too early', bucket, sinceMs: Math.round(now - last) };
    this.#lastInBucket.set(bucket, now);
    this.#used += 1;
    return { kind: 'admitted' };
  }

  /** `session_start_limit` of GET /gateway/bot. */
  state(now: number): { total: number; remaining: number; reset_after: number; max_concurrency: number } {
    this.#roll(now);
    const { total, windowMs, maxConcurrency } = this.#options;
    return {
      total,
      remaining: total - this.#used,
      reset_after: Math.ceil(this.#windowFrom + windowMs - now),
      max_concurrency: maxConcurrency,
    };
  }

  #roll(now: number): void {
    const { windowMs } = this.#options;
    const windows = Math.floor((now - this.#windowFrom) / windowMs);
    if (windows < 1) return;
    this.#windowFrom += windows * windowMs;
    this.#used = 0;
  }
}
