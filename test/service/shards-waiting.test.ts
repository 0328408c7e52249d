// Which shards are not connected for a reason that no release can be blamed for, and which are.

import { describe, expect, it } from 'vitest';
import { shardsWaiting } from '../../service/shards-waiting.ts';

type Given = Parameters<typeof shardsWaiting>[0];

const NOW = 1_763_900_000_000;
const MINUTE = 60_000;
const connected = { state: 'ready', connected: true, confirmedSequence: 7, identifyingSince: undefined };
const identifying = {
  state: 'identifying',
  connected: false,
  confirmedSequence: undefined,
  identifyingSince: NOW - 1_000,
};
const connecting = { ...identifying, state: 'connecting', identifyingSince: undefined };
const resuming = { ...connecting, confirmedSequence: 7 };

const WELL: Given = {
  now: NOW,
  role: 'owner',
  shardCount: 64,
  receiving: true,
  shards: [connected, connected],
  discord: { tokenMissing: false, restLimited: false, identifyClosed: false, maxConcurrency: 1 },
  identifies: { remaining: 900, spentUntil: undefined },
  broker: { channelOpen: true, blocked: false },
};

const waiting = (given: Partial<Given>) => shardsWaiting({ ...WELL, ...given });
const discord = (given: Partial<Given['discord']>): Given['discord'] => ({ ...WELL.discord, ...given });

describe('a shard that waits for what no release can hurry', () => {
  it.each<[string, number, Partial<Given>]>([
    ['for the first token', 2, { shards: [connecting, connecting], discord: discord({ tokenMissing: true }) }],
    [
      "for Discord's REST, which asked for it",
      1,
      { shards: [connected, connecting], discord: discord({ restLimited: true }) },
    ],
    ['for its turn to IDENTIFY', 1, { shards: [connected, identifying] }],
    [
      "for the reset of the day's IDENTIFYs, however long",
      1,
      {
        shards: [connected, { ...identifying, identifyingSince: NOW - 600 * MINUTE }],
        identifies: { remaining: 0, spentUntil: NOW + MINUTE },
      },
    ],
    [
      'for a broker that blocks publishers, while the outbox is full',
      2,
      { shards: [resuming, resuming], receiving: false, broker: { channelOpen: true, blocked: true } },
    ],
  ])('%s: %d', (_, count, given) => {
    expect(waiting(given)).toBe(count);
  });

  it('is given as much time as the turns of all shards take, and a minute', () => {
    const since = (ms: number, maxConcurrency = 1) =>
      waiting({ shards: [{ ...identifying, identifyingSince: NOW - ms }], discord: discord({ maxConcurrency }) });
    // 64 shards, 5.25 s each.
    expect(since(336_000 + MINUTE - 1)).toBe(1);
    expect(since(336_000 + MINUTE + 1)).toBe(0);
    expect(since(21_000 + MINUTE - 1, 16)).toBe(1);
    expect(since(21_000 + MINUTE + 1, 16)).toBe(0);
  });
});

describe('a shard is not waiting', () => {
  it.each<[string, Partial<Given>]>([
    ['when it is connected', { discord: discord({ tokenMissing: true, restLimited: true }) }],
    ['when it cannot reach Discord', { shards: [connecting, { ...connecting, state: 'waiting' }] }],
    ['when it has a session to resume', { shards: [resuming, { ...resuming, state: 'waiting' }] }],
    ['when it had a token before', { shards: [resuming], discord: discord({ tokenMissing: true }) }],
    ['when another one was refused for good', { shards: [identifying], discord: discord({ identifyClosed: true }) }],
    ['when it is refused for good', { shards: [{ ...connecting, state: 'failed' }] }],
    [
      'when the outbox is full although the broker takes messages: it refuses them',
      { shards: [{ ...resuming, state: 'stopped' }], receiving: false },
    ],
    [
      'when the broker blocks, and the outbox has room',
      { shards: [resuming], broker: { channelOpen: true, blocked: true } },
    ],
  ])('%s', (_, given) => {
    expect(waiting(given)).toBe(0);
  });
});
