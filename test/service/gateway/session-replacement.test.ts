// When a session with other intents is ended. Time, the identify gate and the connection are fake.

import { GatewayIntentBits } from 'discord-api-types/v10';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Mutex } from '../../../service/gateway/mutex.ts';
import { SessionReplacement } from '../../../service/gateway/session-replacement.ts';
import type { ShardOptions } from '../../../service/gateway/shard-options.ts';
import { orAborted } from '../../../service/wait.ts';
import { logLines } from '../../support/log-lines.ts';

const { Guilds, GuildMembers } = GatewayIntentBits;

beforeEach(() => void vi.useFakeTimers({ fakeNodeBuiltins: true }));
afterEach(() => void vi.useRealTimers());

const after = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Of a task that asks for Guilds. */
function shardOf({ resumable = { intents: GuildMembers } as { intents?: number }, replacing = new Mutex() } = {}) {
  const ended = new AbortController();
  const { signal } = ended;
  const passes: (() => void)[] = [];
  const wait = vi.fn(async (_id: number, until: AbortSignal, _hasSession?: boolean) => {
    const passed = Promise.withResolvers<void>();
    passes.push(passed.resolve);
    await orAborted(passed.promise, until);
  });
  const { log, lines } = logLines();
  const options = {
    id: 3,
    session: { resumable },
    intents: Guilds,
    gate: { replacing, wait },
    log,
  } as unknown as ShardOptions;
  const isProven = vi.fn(async () => true);
  const endSession = vi.fn(() => true);
  const replacement = new SessionReplacement(options, isProven);
  return {
    ...{ replacement, endSession, ended, isProven, lines, signal, wait },
    resumed: async () => {
      void replacement.resumed({ endSession }, signal);
      await after(0);
    },
    pass: async () => {
      passes.shift()?.();
      await after(0);
    },
  };
}

it.each([{ intents: Guilds }, {}])('a session stays whose record has %j', async (resumable) => {
  const { endSession, lines, replacement, resumed, wait } = shardOf({ resumable });
  await resumed();
  expect([wait.mock.calls, endSession.mock.calls, lines, replacement.takeReason()]).toEqual([[], [], [], undefined]);
});

it('one with other intents is ended when its shard may IDENTIFY, and a reason is given once', async () => {
  const { endSession, isProven, pass, replacement, resumed, signal, wait } = shardOf();
  await resumed();
  expect([wait.mock.calls, isProven.mock.calls]).toEqual([[[3, signal, true]], []]);
  await pass();
  expect([isProven.mock.calls, endSession.mock.calls.length]).toEqual([[[signal]], 1]);
  expect(replacement.takeReason()).toBe('intents changed from GuildMembers to Guilds');
  expect(replacement.takeReason()).toBeUndefined();
});

it('it may IDENTIFY for 4 s after that, and once; later it waits again, as a shard without a session', async () => {
  const { pass, replacement, resumed, signal, wait } = shardOf();
  const identifies = async () => {
    const calls = wait.mock.calls.length;
    let may = false;
    void replacement.toIdentify(signal).then(() => {
      may = true;
    });
    await after(0);
    expect(may).toBe(wait.mock.calls.length === calls);
    await pass();
    expect(may).toBe(true);
    return wait.mock.calls.slice(calls);
  };
  for (const [ms, waits] of [
    [4_000, []],
    [4_001, [[3, signal]]],
  ] as const) {
    await resumed();
    await pass();
    await after(ms);
    expect(await identifies()).toEqual(waits);
    expect(await identifies()).toEqual([[3, signal]]);
    replacement.release();
  }
});

it('without a proof it stays, and asks again after a second, then at the gate', async () => {
  const { endSession, isProven, pass, resumed, signal, wait } = shardOf();
  isProven.mockResolvedValueOnce(false);
  await resumed();
  await pass();
  await after(999);
  expect(wait).toHaveBeenCalledTimes(1);
  await after(1);
  expect(wait.mock.calls.slice(1)).toEqual([[3, signal, true]]);
  expect([isProven.mock.calls.length, endSession.mock.calls.length]).toEqual([1, 0]);
  await pass();
  expect([isProven.mock.calls.length, endSession.mock.calls.length]).toEqual([2, 1]);
});

it('shards replace their sessions one after another: the next when the one before is released', async () => {
  const replacing = new Mutex();
  const [first, second] = [shardOf({ replacing }), shardOf({ replacing })];
  await first.resumed();
  await second.resumed();
  await first.pass();
  await after(60_000);
  expect([first.endSession.mock.calls.length, second.wait.mock.calls.length]).toEqual([1, 0]);
  first.replacement.release();
  await after(0);
  expect(second.wait).toHaveBeenCalledTimes(1);
});

it.each<[string, (shard: ReturnType<typeof shardOf>) => void]>([
  ['at the gate', ({ ended }) => ended.abort()],
  [
    'while it asks for the proof',
    ({ ended, isProven }) => {
      isProven.mockImplementationOnce(async () => {
        ended.abort();
        return true;
      });
    },
  ],
  ['before its session is ended', ({ endSession }) => void endSession.mockReturnValueOnce(false)],
])('a connection that ends %s keeps its session, and the next shard has its turn', async (_, ends) => {
  const replacing = new Mutex();
  const [first, second] = [shardOf({ replacing }), shardOf({ replacing })];
  await first.resumed();
  await second.resumed();
  ends(first);
  await first.pass();
  expect(first.replacement.takeReason()).toBeUndefined();
  expect(second.wait).toHaveBeenCalledTimes(1);
});
