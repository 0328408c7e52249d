// Who may IDENTIFY, and when. Time is short here (the spacing is a few milliseconds); the mutex and Discord's budget are
// the smallest that keep their contracts.

import type { APIGatewayBotInfo } from 'discord-api-types/v10';
import { beforeEach, describe, expect, it } from 'vitest';
import { type BucketMutex, IdentifyGate } from '../../../service/gateway/identify-gate.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';

const SPACING_MS = 40;
/** A timer counts from the beginning of its turn of the event loop, which a busy machine makes long. */
const LEAST_MS = SPACING_MS / 2;

/** What several tasks share: who asks first holds a bucket, the others wait in turn. */
class Buckets implements BucketMutex {
  readonly held = new Set<number>();
  readonly taken: number[] = [];
  readonly #tails = new Map<number, Promise<void>>();

  async acquire(bucket: number, signal: AbortSignal): Promise<() => void> {
    const before = this.#tails.get(bucket) ?? Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tails.set(
      bucket,
      before.then(() => promise),
    );
    await before;
    if (signal.aborted) {
      resolve();
      throw signal.reason;
    }
    this.held.add(bucket);
    this.taken.push(bucket);
    return () => {
      this.held.delete(bucket);
      resolve();
    };
  }
}

/** Discord's budget, and each task's view of it: kept for a while, unless the task itself has identified. */
class Discord {
  remaining: number;
  resetAfterMs = 60_000;
  readonly #maxConcurrency: number;
  asked = 0;

  constructor(maxConcurrency: number, remaining: number) {
    this.#maxConcurrency = maxConcurrency;
    this.remaining = remaining;
  }

  /** @param keepMs how long an answer is used again */
  view(keepMs = 0) {
    let kept: { info: APIGatewayBotInfo; at: number } | undefined;
    return {
      fetch: async (signal: AbortSignal): Promise<APIGatewayBotInfo> => {
        signal.throwIfAborted();
        if (kept !== undefined && Date.now() - kept.at < keepMs) return kept.info;
        this.asked += 1;
        const session_start_limit = {
          total: 1_000,
          remaining: this.remaining,
          reset_after: this.resetAfterMs,
          max_concurrency: this.#maxConcurrency,
        };
        kept = { info: { url: 'wss://gateway.discord.gg', shards: 1, session_start_limit }, at: Date.now() };
        return kept.info;
      },
      identified: () => {
        this.remaining -= 1;
        kept = undefined;
      },
    };
  }
}

const forever = new AbortController().signal;
let lines: LogLines;
let buckets: Buckets;

beforeEach(() => {
  lines = logLines();
  buckets = new Buckets();
});

const gateOf = (discord: Discord, keepMs?: number) =>
  new IdentifyGate(discord.view(keepMs), buckets, lines.log, SPACING_MS);

/** Passes, and tells when. */
async function pass(gate: IdentifyGate, shardId: number, passed: { shardId: number; at: number }[]): Promise<void> {
  await gate.wait(shardId, forever);
  passed.push({ shardId, at: performance.now() });
}

describe('the gate', () => {
  it('lets one pass at once', async () => {
    const discord = new Discord(1, 1_000);
    await gateOf(discord).wait(0, forever);
    expect(discord.remaining).toBe(999);
  });

  it('keeps the spacing within a bucket, in the order of asking', async () => {
    const gate = gateOf(new Discord(1, 1_000));
    const passed: { shardId: number; at: number }[] = [];
    await Promise.all([0, 1, 2, 3].map((shardId) => pass(gate, shardId, passed)));
    expect(passed.map(({ shardId }) => shardId)).toEqual([0, 1, 2, 3]);
    // A timer may fire a fraction of a millisecond early.
    for (const [index, { at }] of passed.entries())
      if (index > 0) expect(at - (passed[index - 1]?.at ?? 0)).toBeGreaterThan(LEAST_MS);
  });

  it('keeps it between tasks, which share the buckets', async () => {
    const discord = new Discord(1, 1_000);
    const passed: { shardId: number; at: number }[] = [];
    await Promise.all([gateOf(discord), gateOf(discord)].map((gate, index) => pass(gate, index, passed)));
    const [first, second] = passed.map(({ at }) => at);
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThan(LEAST_MS);
  });

  it('lets the buckets of max_concurrency pass beside each other', async () => {
    const gate = gateOf(new Discord(16, 1_000));
    await Promise.all(Array.from({ length: 16 }, (_, shardId) => gate.wait(shardId, forever)));
    expect([...buckets.held].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, bucket) => bucket));
    await gate.wait(16, forever);
    expect(buckets.taken.at(-1)).toBe(0);
  });
});

describe('the signal', () => {
  it('is the only thing that ends a wait, and gives the bucket to the next', async () => {
    const gate = gateOf(new Discord(1, 1_000));
    await gate.wait(0, forever);
    const leaver = new AbortController();
    const left = gate.wait(1, leaver.signal);
    const next = gate.wait(2, forever);
    leaver.abort(new Error('stopped'));
    await expect(left).rejects.toThrow('stopped');
    await next;
  });

  it('ends a wait for the budget, and leaves the bucket', async () => {
    const discord = new Discord(1, 0);
    const gate = gateOf(discord);
    const leaver = new AbortController();
    const left = gate.wait(0, leaver.signal);
    await eventually('the budget is known to be spent', () => gate.spentUntil !== undefined);
    leaver.abort(new Error('stopped'));
    await expect(left).rejects.toThrow();
    expect(buckets.held.size).toBe(0);
  });
});

describe("the day's budget", () => {
  it('when spent is waited for, and said: in the log once, and with its time', async () => {
    const discord = new Discord(1, 0);
    discord.resetAfterMs = 50;
    const gate = gateOf(discord);
    const waiting = gate.wait(0, forever);
    await eventually('it says so', () => gate.spentUntil !== undefined);
    expect(gate.spentUntil).toBeLessThanOrEqual(Date.now() + 50);
    expect(await lines.line("the day's IDENTIFYs are spent")).toMatchObject({ level: 'error', total: 1_000 });
    discord.remaining = 5;
    await waiting;
    expect(gate.spentUntil).toBeUndefined();
    expect(lines.lines).toHaveLength(1);
    expect(discord.remaining).toBe(4);
  });

  it('is not said to be spent when that time is over, though nobody has asked since', async () => {
    const discord = new Discord(1, 0);
    discord.resetAfterMs = 20;
    const gate = gateOf(discord);
    const leaver = new AbortController();
    const left = gate.wait(0, leaver.signal);
    await eventually('it says so', () => gate.spentUntil !== undefined);
    leaver.abort(new Error('stopped'));
    await expect(left).rejects.toThrow();
    await eventually('it no longer does', () => gate.spentUntil === undefined);
  });

  it('is never overspent, though tasks in different buckets see the same last one', async () => {
    const discord = new Discord(16, 3);
    // Each task uses what it heard again for less than the last ones are spaced.
    const tasks = Array.from({ length: 8 }, () => gateOf(discord, SPACING_MS / 2));
    const leaver = new AbortController();
    let passed = 0;
    const waits = tasks.map((gate, shardId) =>
      gate.wait(shardId, leaver.signal).then(
        () => {
          passed += 1;
        },
        () => undefined,
      ),
    );
    await eventually('one of them has to wait for the reset', () =>
      tasks.some((gate) => gate.spentUntil !== undefined),
    );
    expect(passed).toBe(3);
    expect(discord.remaining).toBe(0);
    leaver.abort(new Error('stopped'));
    for (const gate of tasks) expect(gate.closed).toBeUndefined();
    await eventually('all have left', async () => {
      await Promise.all(waits);
      return true;
    });
    expect(discord.remaining).toBe(0);
  });
});

describe('a closed gate', () => {
  it('lets nobody pass any more, those who wait included, and rejects only by the signal', async () => {
    const gate = gateOf(new Discord(1, 1_000));
    await gate.wait(0, forever);
    const leaver = new AbortController();
    let passed = 0;
    const waits = [1, 2].map((shardId) =>
      gate.wait(shardId, leaver.signal).then(
        () => {
          passed += 1;
        },
        (error: Error) => error.message,
      ),
    );
    gate.close('Discord refused the shard (4010)');
    waits.push(
      gate.wait(3, leaver.signal).then(
        () => {
          passed += 1;
        },
        (error: Error) => error.message,
      ),
    );
    await eventually('the first bucket is free again and taken by the next', () => buckets.taken.length === 2);
    expect(passed).toBe(0);
    leaver.abort(new Error('stopped'));
    expect(await Promise.all(waits)).toEqual(['stopped', 'stopped', 'stopped']);
    expect(gate.closed).toBe('Discord refused the shard (4010)');
  });
});

describe('a task that is about to end', () => {
  it('is spaced only when none of its buckets is held any more', async () => {
    const buckets = new Buckets();
    const gate = new IdentifyGate(new Discord(2, 1_000).view(), buckets, logLines().log, SPACING_MS);
    await gate.spaced();
    await gate.wait(0, forever);
    await gate.wait(1, forever);
    expect([...buckets.held]).toEqual([0, 1]);
    await gate.spaced();
    expect([...buckets.held]).toEqual([]);
  });
});
