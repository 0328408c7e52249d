// Which shards are not connected for a reason that no release causes.

import { describe, expect, it } from 'vitest';
import type { HealthSnapshot } from '../../service/health.ts';
import { shardsWaiting } from '../../service/shards-waiting.ts';
import { HEALTHY, NOW, SHARD } from '../support/health-snapshot.ts';

const MINUTE = 60_000;
const connected = SHARD;
const connecting = { ...SHARD, state: 'connecting', connected: false, confirmedSequence: undefined };
const identifying = { ...connecting, state: 'identifying', identifyingSince: NOW - 1_000 };
const resuming = { ...connecting, confirmedSequence: 7 };
const blocked = { ...HEALTHY.broker, blocked: true };

const waiting = (given: Partial<HealthSnapshot>) => shardsWaiting({ ...HEALTHY, shardCount: 64, ...given });
const discord = (given: Partial<HealthSnapshot['discord']>) => ({ ...HEALTHY.discord, ...given });

describe('a shard waits', () => {
  const reset = { remaining: 0, spentUntil: NOW + MINUTE };
  const full = { shards: [connected, resuming], receiving: false };

  it.each<[string, number, Partial<HealthSnapshot>]>([
    ['for the first token', 2, { shards: [connecting, connecting], discord: discord({ tokenMissing: true }) }],
    ["for Discord's REST limit", 1, { shards: [connected, connecting], discord: discord({ restLimited: true }) }],
    ['until it may IDENTIFY', 1, { shards: [connected, identifying] }],
    [
      'for more IDENTIFYs',
      1,
      { shards: [{ ...identifying, identifyingSince: NOW - 600 * MINUTE }], identifies: reset },
    ],
    ['for a broker that blocks publishers', 1, { ...full, broker: blocked }],
    ['for a channel of the broker', 1, { ...full, broker: { ...HEALTHY.broker, channelOpen: false } }],
    ['for a queue that confirms nothing', 1, { ...full, broker: { ...HEALTHY.broker, stuck: ['events.guild'] } }],
  ])('%s: %d', (_, count, given) => {
    expect(waiting(given)).toBe(count);
  });

  it('at most as long as the IDENTIFYs of all shards take, and a minute', () => {
    const since = (ms: number, maxConcurrency = 1) =>
      waiting({ shards: [{ ...identifying, identifyingSince: NOW - ms }], discord: discord({ maxConcurrency }) });
    // 64 shards, 5.25 s each.
    expect(since(336_000 + MINUTE)).toBe(1);
    expect(since(336_000 + MINUTE + 1)).toBe(0);
    expect(since(21_000 + MINUTE, 16)).toBe(1);
    expect(since(21_000 + MINUTE + 1, 16)).toBe(0);
  });
});

describe('a shard is not waiting', () => {
  it.each<[string, Partial<HealthSnapshot>]>([
    ['when it is connected', { discord: discord({ tokenMissing: true, restLimited: true }) }],
    ['when it cannot reach Discord', { shards: [connecting, { ...connecting, state: 'waiting' }] }],
    ['when it had a token before', { shards: [resuming], discord: discord({ tokenMissing: true }) }],
    ['when another one is refused permanently', { shards: [identifying], discord: discord({ identifyClosed: true }) }],
    [
      'when the outbox is full although the broker takes messages: it refuses them',
      { shards: [{ ...resuming, state: 'stopped' }], receiving: false },
    ],
    ['when the broker blocks, and the outbox has room', { shards: [resuming], broker: blocked }],
  ])('%s', (_, given) => {
    expect(waiting(given)).toBe(0);
  });
});
