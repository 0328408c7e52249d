// How often a bot may IDENTIFY: once per bucket (`shard_id % max_concurrency`) in a while, and so many times a day over
// all shards. RESUMEs are not counted. Pure: the time comes from the caller.
// https://discord.com/developers/docs/events/gateway#rate-limiting

import type { APIGatewaySessionStartLimit } from 'discord-api-types/v10';
import type { SimulatorOptions } from './options.ts';

/** Too early: the bucket was used so many ms ago. */
type Admission = 'admitted' | 'exhausted' | { readonly bucket: number; readonly sinceMs: number };

/** How much earlier is still accepted. */
const SLACK = 0.02;

export class IdentifyLimits {
  readonly #options: SimulatorOptions;
  readonly #lastInBucket = new Map<number, number>();
  #windowFrom: number;
  #used = 0;

  constructor(options: SimulatorOptions, now: number) {
    this.#options = options;
    this.#windowFrom = now;
  }

  /** Counts only what it admits. */
  admit(shardId: number, now: number): Admission {
    this.#renew(now);
    const { maxConcurrency, identifyEveryMs, dailyIdentifies } = this.#options;
    if (this.#used >= dailyIdentifies) return 'exhausted';
    const bucket = shardId % maxConcurrency;
    const last = this.#lastInBucket.get(bucket);
    if (last !== undefined && now - last < identifyEveryMs * (1 - SLACK))
      return { bucket, sinceMs: Math.round(now - last) };
    this.#lastInBucket.set(bucket, now);
    this.#used += 1;
    return 'admitted';
  }

  /** `session_start_limit` of GET /gateway/bot. */
  state(now: number): APIGatewaySessionStartLimit {
    this.#renew(now);
    const { dailyIdentifies: total, identifyBudgetWindowMs, maxConcurrency } = this.#options;
    return {
      total,
      remaining: total - this.#used,
      reset_after: Math.ceil(this.#windowFrom + identifyBudgetWindowMs - now),
      max_concurrency: maxConcurrency,
    };
  }

  #renew(now: number): void {
    const { identifyBudgetWindowMs } = this.#options;
    const windows = Math.floor((now - this.#windowFrom) / identifyBudgetWindowMs);
    if (windows < 1) return;
    this.#windowFrom += windows * identifyBudgetWindowMs;
    this.#used = 0;
  }
}
