// When a shard may IDENTIFY: one per rate-limit bucket per 5 s across all tasks of the bot, and never more than Discord's
// daily budget. After a refusal for a reason that only a person can change, the gate is closed for minutes; then one shard tries
// again. A RESUME does not wait here. The only rejection is the signal's, because after any other `@discordjs/ws` sends
// IDENTIFY twice. https://docs.discord.com/developers/events/gateway#rate-limiting

import { IDENTIFY_SPACING_MS } from '../contract/limits.ts';
import type { Log } from '../log.ts';
import { orAborted, orAfter, sleep } from '../wait.ts';
import type { BotToken } from './bot-token.ts';
import type { GatewayInformation } from './gateway-information.ts';
import { Mutex } from './mutex.ts';
import { SharedWait } from './shared-wait.ts';

/** One holder per bucket among all tasks; `acquire` returns what releases it. Buckets are numbers from 0. */
export interface BucketMutex {
  acquire(bucket: number, signal: AbortSignal): Promise<() => void>;
}

/** Longer than another task keeps Discord's last answer about the budget. */
const LAST_SPACING_MS = 2_500;
/** A shard that replaces its session IDENTIFYs on another connection, so many ms later at most. */
export const AHEAD_MS = 4_000;
/** After the first refusal, so that a correction soon shows; after each further one in a row twice as long. */
const FIRST_CLOSED_MS = 60_000;
/** A try costs one IDENTIFY: a hundred a day for each task. Longer when less than half of the budget of all tasks is left. */
const LONGEST_CLOSED_MS = 900_000;
/** An IDENTIFY that may be refused again is sent and answered within it. */
const TRIED_WITHIN_MS = 60_000;

interface Refusal {
  readonly reason: string;
  /** Unix ms. */
  readonly until: number;
  /** One shard IDENTIFYs, and the others wait for its answer. */
  readonly isTried: boolean;
}

export class IdentifyGate {
  readonly #information: Pick<GatewayInformation, 'fetch' | 'identified' | 'latest'>;
  readonly #mutex: BucketMutex;
  readonly #token: Pick<BotToken, 'renewed'>;
  readonly #log: Log;
  /** Held by the one shard of this task that replaces its session. */
  readonly replacing = new Mutex();
  #nextReady = new AbortController();
  #spentUntil: number | undefined;
  /** In a row. */
  #refusals = 0;
  #closed: Refusal | undefined;
  readonly #opening = new SharedWait((signal) => this.#open(signal));
  /** Shards that wait for the budget. */
  #waiting = 0;
  readonly #held = new Set<Promise<void>>();

  constructor(
    information: Pick<GatewayInformation, 'fetch' | 'identified' | 'latest'>,
    mutex: BucketMutex,
    token: Pick<BotToken, 'renewed'>,
    log: Log,
  ) {
    this.#information = information;
    this.#mutex = mutex;
    this.#token = token;
    this.#log = log;
  }

  /** Until when the daily budget is spent, Unix ms; nothing while some is left, or after that time. */
  get spentUntil(): number | undefined {
    return this.#spentUntil !== undefined && this.#spentUntil > Date.now() ? this.#spentUntil : undefined;
  }

  /** Why no shard may IDENTIFY, and when one tries again; nothing as soon as that one is not refused. */
  get closed(): string | undefined {
    if (this.#closed === undefined || !this.#isClosed(TRIED_WITHIN_MS)) return undefined;
    const { reason, until } = this.#closed;
    return `${reason}. Tried again at ${new Date(until).toISOString()}: no restart is needed`;
  }

  /** Why shards wait, in one sentence; nothing while none waits, or only for a bucket. */
  get problem(): string | undefined {
    const { closed } = this;
    if (closed !== undefined || this.#waiting === 0 || this.#spentUntil === undefined) return closed;
    const until = new Date(this.#spentUntil).toISOString();
    return `the day's IDENTIFYs are spent: shards that must IDENTIFY wait for Discord's reset at ${until}`;
  }

  /** Aborts when the next shard of this task comes to READY: Discord accepts IDENTIFYs. */
  get nextReady(): AbortSignal {
    return this.#nextReady.signal;
  }

  /** Discord refused a shard for a reason that only a person can change: no shard IDENTIFYs for minutes, or until the token is new. */
  close(reason: string): void {
    const now = Date.now();
    // Another shard that was refused at the same time.
    if (this.#isClosed() && this.#closed?.isTried !== true) return;
    this.#refusals += 1;
    const { total = 1, remaining = total } = this.#information.latest?.session_start_limit ?? {};
    const longestMs = LONGEST_CLOSED_MS * Math.max(1, total / 2 / Math.max(remaining, 1));
    const ms = Math.min(FIRST_CLOSED_MS * 2 ** (this.#refusals - 1), longestMs);
    this.#closed = { reason, until: now + ms, isTried: false };
  }

  /** READY came. */
  accepted(): void {
    this.#closed = undefined;
    this.#refusals = 0;
    this.#nextReady.abort();
    this.#nextReady = new AbortController();
  }

  /** Resolves when shards may IDENTIFY again after a refusal. @throws when the signal aborts */
  async untilOpen(signal: AbortSignal, laterMs = 0): Promise<void> {
    while (this.#isClosed(laterMs)) await (this.#isClosed() ? this.#opening.join(signal) : sleep(1_000, signal));
  }

  #isClosed(laterMs = 0): boolean {
    return this.#closed !== undefined && Date.now() < this.#closed.until + laterMs;
  }

  /**
   * Resolves when this shard may IDENTIFY at once. @throws when the signal aborts
   * @param hasSession it works without: after a refusal shards without a session try first. It may IDENTIFY within `AHEAD_MS`
   */
  async wait(shardId: number, signal: AbortSignal, hasSession = false): Promise<void> {
    const laterMs = hasSession ? TRIED_WITHIN_MS : 0;
    await this.untilOpen(signal, laterMs);
    const { session_start_limit: limit } = await this.#information.fetch(signal);
    const buckets = limit.max_concurrency;
    const locks: { readonly release: () => void; readonly spacingMs: number }[] = [];
    const lock = async (bucket: number, spacingMs: number) =>
      void locks.push({ release: await this.#mutex.acquire(bucket, signal), spacingMs });
    const release = () => {
      for (const each of locks) each.release();
    };
    await lock(shardId % buckets, IDENTIFY_SPACING_MS);
    try {
      // The last IDENTIFYs of the day pass one at a time, whatever their buckets: two that see the same last one would
      // both use it, and after one too many Discord resets the token.
      if ((await this.#untilBudget(signal)) <= buckets && buckets > 1) {
        await lock(buckets, LAST_SPACING_MS);
        await this.#untilBudget(signal);
      }
      signal.throwIfAborted();
    } catch (error) {
      release();
      throw error;
    }
    // Other tasks need the buckets meanwhile.
    if (this.#isClosed(laterMs)) {
      release();
      return await this.wait(shardId, signal, hasSession);
    }
    if (this.#closed !== undefined)
      this.#closed = { ...this.#closed, isTried: true, until: Date.now() + TRIED_WITHIN_MS };
    this.#information.identified();
    // Counted from the IDENTIFY, which may be sent so much later: Discord's budget does not show it before.
    for (const each of locks) this.#releaseAfter((hasSession ? AHEAD_MS : 0) + each.spacingMs, each.release);
  }

  /**
   * Resolves when no bucket is held any more. A task that ends before that frees its buckets too early, and Discord
   * refuses the next owner's IDENTIFY.
   */
  async spaced(): Promise<void> {
    while (this.#held.size > 0) await Promise.all(this.#held);
  }

  async #open(signal: AbortSignal): Promise<void> {
    const closed = this.#closed;
    if (closed === undefined) return;
    const opened = new AbortController();
    const ended = AbortSignal.any([signal, this.nextReady, opened.signal]);
    // It may be reading the secret when READY comes.
    const renewedOrReady = orAborted(this.#token.renewed(ended), ended).catch(() => signal.throwIfAborted());
    await orAfter(renewedOrReady, closed.until - Date.now(), () => undefined).finally(() => opened.abort());
    if (this.#closed === closed) this.#closed = { ...closed, until: Math.min(closed.until, Date.now()) };
  }

  #releaseAfter(ms: number, release: () => void): void {
    const held = sleep(ms).then(() => {
      release();
      this.#held.delete(held);
    });
    this.#held.add(held);
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
