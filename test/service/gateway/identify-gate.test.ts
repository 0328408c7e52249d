// When a shard may IDENTIFY, with the smallest mutex and budget that keep their contracts. Time is fake.

import type { APIGatewayBotInfo } from 'discord-api-types/v10';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { IDENTIFY_SPACING_MS } from '../../../service/contract/limits.ts';
import { type BucketMutex, IdentifyGate } from '../../../service/gateway/identify-gate.ts';
import { Mutex } from '../../../service/gateway/mutex.ts';
import { orAborted } from '../../../service/wait.ts';
import { type LogLines, logLines } from '../../support/log-lines.ts';

/** Discord's limit is one per bucket in 5 s; the margin costs waiting time at every deployment. */
const [LEAST_MS, MOST_MS] = [5_000, 5_500];

/** Shared by the tasks: one holds a bucket, the others wait in turn. */
class Buckets implements BucketMutex {
  readonly held = new Set<number>();
  readonly #locks = new Map<number, Mutex>();

  async acquire(bucket: number, signal: AbortSignal): Promise<() => void> {
    const lock = this.#locks.get(bucket) ?? new Mutex();
    this.#locks.set(bucket, lock);
    const unlock = await lock.lock(signal);
    this.held.add(bucket);
    return () => {
      this.held.delete(bucket);
      unlock();
    };
  }
}

/** Discord's budget; each task keeps its view of it for a while, unless it has sent an IDENTIFY. */
class Budget {
  remaining: number;
  resetAfterMs = 30_000;
  asked = 0;
  readonly #maxConcurrency: number;

  constructor(maxConcurrency: number, remaining = 1_000) {
    this.#maxConcurrency = maxConcurrency;
    this.remaining = remaining;
  }

  view() {
    let keptUntil = 0;
    const view = {
      latest: undefined as APIGatewayBotInfo | undefined,
      fetch: async (signal: AbortSignal): Promise<APIGatewayBotInfo> => {
        signal.throwIfAborted();
        if (view.latest !== undefined && Date.now() < keptUntil) return view.latest;
        this.asked += 1;
        keptUntil = Date.now() + 2_000;
        const { remaining, resetAfterMs: reset_after } = this;
        const session_start_limit = { total: 1_000, remaining, reset_after, max_concurrency: this.#maxConcurrency };
        view.latest = { url: 'wss://gateway.discord.gg', shards: 1, session_start_limit };
        return view.latest;
      },
      identified: () => {
        this.remaining -= 1;
        keptUntil = 0;
      },
    };
    return view;
  }
}

let lines: LogLines;
let buckets: Buckets;
let stopping: AbortController;
/** Shards in the order in which they passed. */
let passed: number[];
let passedAt: number[];
let renewed: PromiseWithResolvers<void>;
/** Reasons of those that were stopped. */
let stopped: string[];

beforeEach(() => {
  vi.useFakeTimers({ fakeNodeBuiltins: true });
  lines = logLines();
  buckets = new Buckets();
  stopping = new AbortController();
  passed = [];
  passedAt = [];
  stopped = [];
  renewed = Promise.withResolvers();
});
afterEach(() => void vi.useRealTimers());

const gateOf = (budget: Budget) =>
  new IdentifyGate(budget.view(), buckets, { renewed: (signal) => orAborted(renewed.promise, signal) }, lines.log);

function wait(gate: IdentifyGate, shardId: number, { signal } = stopping, hasSession?: true): void {
  gate.wait(shardId, signal, hasSession).then(
    () => {
      passed.push(shardId);
      passedAt.push(Date.now());
    },
    (error: Error) => void stopped.push(error.message),
  );
}

const after = async (ms: number) => void (await vi.advanceTimersByTimeAsync(ms));

it.each([
  ['shards of one task', 1],
  ['tasks', 3],
])('%s pass one by one, each 5 s after the one before, in the order of asking', async (_, tasks) => {
  const budget = new Budget(1);
  const gates = Array.from({ length: tasks }, () => gateOf(budget));
  for (const shardId of [0, 1, 2]) wait(gates[shardId % tasks] ?? gateOf(budget), shardId);
  await after(60_000);
  expect(passed).toEqual([0, 1, 2]);
  expect(budget.remaining).toBe(997);
  const pauses = passedAt.map((at, index) => at - (passedAt[index - 1] ?? at)).slice(1);
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(LEAST_MS);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(MOST_MS);
});

it('max_concurrency buckets pass side by side', async () => {
  const gate = gateOf(new Budget(16));
  for (let shardId = 0; shardId <= 16; shardId += 1) wait(gate, shardId);
  await after(0);
  expect(passed).toHaveLength(16);
  expect(buckets.held.size).toBe(16);
  await after(MOST_MS);
  expect(passed.at(-1)).toBe(16);
});

it('a spent budget is logged once, with its time, and waited for', async () => {
  const budget = new Budget(1, 0);
  const gate = gateOf(budget);
  wait(gate, 0);
  await after(0);
  const until = Date.now() + 30_000;
  expect(gate.spentUntil).toBe(until);
  expect(gate.problem).toBe(
    `the day's IDENTIFYs are spent: shards that must IDENTIFY wait for Discord's reset at ${new Date(until).toISOString()}`,
  );
  await after(29_000);
  expect(passed).toEqual([]);
  budget.remaining = 5;
  await after(2_000);
  expect(passed).toEqual([0]);
  expect([gate.spentUntil, gate.problem]).toEqual([undefined, undefined]);
  expect(budget.remaining).toBe(4);
  expect(lines.lines).toMatchObject([{ level: 'error', total: 1_000, resetAfterMs: 30_000 }]);
});

it('a far reset is asked for each minute: it may come early', async () => {
  const budget = new Budget(1, 0);
  budget.resetAfterMs = 3_600_000;
  const gate = gateOf(budget);
  wait(gate, 0);
  await after(600_000);
  expect(budget.asked).toBeGreaterThanOrEqual(10);
  expect(budget.asked).toBeLessThanOrEqual(12);
  expect(lines.lines).toHaveLength(1);
  budget.remaining = 5;
  await after(60_000);
  expect(passed).toEqual([0]);
  expect(gate.spentUntil).toBeUndefined();
});

it('a budget that is spent, and whose reset is always over, is asked for a few times a minute', async () => {
  const budget = new Budget(1, 0);
  budget.resetAfterMs = 0;
  wait(gateOf(budget), 0);
  await after(60_000);
  expect(budget.asked).toBeGreaterThanOrEqual(8);
  expect(budget.asked).toBeLessThanOrEqual(12);
  expect(lines.lines).toHaveLength(1);
});

it('a budget is not spent after its reset, though no shard has asked since', async () => {
  const gate = gateOf(new Budget(1, 0));
  wait(gate, 0);
  await after(0);
  stopping.abort();
  await after(29_999);
  expect(gate.spentUntil).toBeDefined();
  // No shard waits any more.
  expect(gate.problem).toBeUndefined();
  expect(buckets.held.size).toBe(0);
  await after(1);
  expect(gate.spentUntil).toBeUndefined();
});

it('the budget is never overspent, though tasks in different buckets see the same last one', async () => {
  const budget = new Budget(16, 3);
  const gates = Array.from({ length: 8 }, () => gateOf(budget));
  for (const [shardId, gate] of gates.entries()) wait(gate, shardId);
  await after(20_000);
  expect(passed).toHaveLength(3);
  expect(budget.remaining).toBe(0);
  expect(gates.some(({ spentUntil }) => spentUntil !== undefined)).toBe(true);
  stopping.abort(new Error('stopped'));
  await after(60_000);
  expect(budget.remaining).toBe(0);
  expect(stopped).toHaveLength(5);
});

const REFUSED = 'Discord refused the shard (4010)';

it('a permission for a shard with a session keeps bucket and budget as long as its IDENTIFY may take', async () => {
  const budget = new Budget(2, 1);
  const [one, other] = [gateOf(budget), gateOf(budget)];
  // Counted by Discord only when it is sent, 4 s later.
  const counted = budget.view;
  budget.view = () => ({ ...counted.call(budget), identified: () => undefined });
  wait(gateOf(budget), 0, stopping, true);
  await after(0);
  wait(one, 1);
  wait(other, 2);
  await after(4_000);
  budget.remaining = 0;
  await after(LEAST_MS);
  expect(passed).toEqual([0]);
  budget.remaining = 1_000;
  await after(90_000);
  expect(passed).toHaveLength(3);
});

it.each<[string, true | undefined, number]>([
  ['without a session', undefined, 0],
  ['with a session', true, 4_000],
])('the last IDENTIFY of the day by a shard %s keeps its bucket and the one of all', async (_, hasSession, aheadMs) => {
  wait(gateOf(new Budget(2, 1)), 0, stopping, hasSession);
  const held: number[] = [];
  for (const ms of [0, aheadMs + 2_499, 1, IDENTIFY_SPACING_MS - 2_501, 1]) {
    await after(ms);
    held.push(buckets.held.size);
  }
  expect(held).toEqual([2, 2, 1, 1, 0]);
});

it('a closed gate lets none pass, those that wait included, for a minute; and rejects only by the signal', async () => {
  const budget = new Budget(1);
  const gate = gateOf(budget);
  wait(gate, 0);
  wait(gate, 1);
  await after(0);
  gate.close(REFUSED);
  // One that was refused at the same time.
  gate.close(REFUSED);
  const asked = budget.asked;
  wait(gate, 2);
  const leaving = new AbortController();
  wait(gate, 3, leaving);
  await after(59_999);
  expect([passed, stopped]).toEqual([[0], []]);
  expect(budget.asked - asked, 'by the one that had a bucket to come').toBeLessThanOrEqual(1);
  expect(gate.problem).toBe(
    `${REFUSED}. Tried again at ${new Date(Date.now() + 1).toISOString()}: no restart is needed`,
  );
  leaving.abort(new Error('stopped'));
  await after(0);
  expect(stopped).toEqual(['stopped']);
  await after(1);
  expect(passed).toHaveLength(2);
});

it('a gate that is closed again and again opens for less than 150 tries a day, and at the longest after 15 minutes', async () => {
  const gate = gateOf(new Budget(1));
  const start = Date.now();
  const triedAfter: number[] = [];
  for (let tries = 0; Date.now() - start < 86_400_000; tries += 1) {
    gate.close(REFUSED);
    const closedAt = Date.now();
    const opens = gate.untilOpen(stopping.signal).then(() => void triedAfter.push(Date.now() - closedAt));
    while (triedAfter.length === tries) await after(1_000);
    await opens;
  }
  expect(triedAfter.slice(0, 6).map((ms) => ms / 60_000)).toEqual([1, 2, 4, 8, 15, 15]);
  expect(triedAfter.length).toBeLessThan(150);
  gate.accepted();
  expect(gate.closed).toBeUndefined();
  gate.close(REFUSED);
  wait(gate, 0);
  await after(60_000);
  expect(passed).toEqual([0]);
});

it.each([
  [500, 15],
  [50, 150],
])('a gate that is closed again and again while %d of 1,000 are left opens after %d minutes', async (left, minutes) => {
  const gate = gateOf(new Budget(1, left));
  wait(gate, 0);
  await after(1);
  for (let times = 0; times < 9; times += 1) {
    await after(minutes * 60_000);
    gate.close(REFUSED);
  }
  let isOpen = false;
  void gate.untilOpen(stopping.signal).then(() => {
    isOpen = true;
  });
  await after(minutes * 60_000 - 1);
  expect(isOpen).toBe(false);
  await after(1);
  expect(isOpen).toBe(true);
});

it('one shard tries after a refusal, and the others wait for its answer, those that have a session longest', async () => {
  const gate = gateOf(new Budget(16));
  gate.close(REFUSED);
  for (const shardId of [1, 2, 3]) wait(gate, shardId);
  wait(gate, 4, stopping, true);
  await after(60_000);
  expect(passed).toHaveLength(1);
  // Another task: the buckets of those that wait are free for it.
  const other = gateOf(new Budget(16));
  for (const shardId of [17, 18, 19]) wait(other, shardId);
  await after(MOST_MS);
  expect(passed).toHaveLength(4);
  gate.close(REFUSED);
  await after(119_000);
  expect(passed, 'after the second refusal').toHaveLength(4);
  await after(2_000);
  expect(passed, 'the second').toHaveLength(5);
  await after(58_000);
  expect(passed).toHaveLength(5);
  await after(2_000);
  expect(passed, 'the third, as the second had no answer').toHaveLength(6);
  await after(58_000);
  gate.accepted();
  await after(1_000);
  expect(passed.slice(6)).toEqual([4]);
});

it('a refusal is over a minute after the gate opened, where none tried; and a try without an answer after a minute', async () => {
  const [gate, tried] = [gateOf(new Budget(16)), gateOf(new Budget(16))];
  for (const each of [gate, tried]) each.close(REFUSED);
  for (const shardId of [1, 2]) wait(tried, shardId);
  const seen: unknown[] = [];
  for (const ms of [60_000, 59_999, 1]) {
    await after(ms);
    seen.push([gate.closed !== undefined, passed.length]);
  }
  expect(seen).toEqual([
    [true, 1],
    [true, 1],
    [false, 2],
  ]);
});

it.each([
  ['the token is a new one', () => renewed.resolve()],
  ['another shard comes to READY', (gate: IdentifyGate) => gate.accepted()],
])('a closed gate opens as soon as %s', async (_, happens) => {
  const gate = gateOf(new Budget(16));
  gate.close(REFUSED);
  for (const shardId of [0, 1]) wait(gate, shardId);
  await after(30_000);
  expect(passed).toEqual([]);
  happens(gate);
  await after(0);
  expect(passed.length).toBeGreaterThan(0);
  const { nextReady } = gate;
  expect(nextReady.aborted, 'the next READY is still to come').toBe(false);
  gate.accepted();
  expect(nextReady.aborted).toBe(true);
});

it('is spaced when none of its buckets is held', async () => {
  const gate = gateOf(new Budget(2));
  await gate.spaced();
  wait(gate, 0);
  wait(gate, 1);
  await after(0);
  let spaced = false;
  void gate.spaced().then(() => {
    spaced = true;
  });
  await after(LEAST_MS);
  expect(spaced).toBe(false);
  await after(MOST_MS - LEAST_MS);
  expect(spaced).toBe(true);
  expect(buckets.held.size).toBe(0);
});
