// The simulator against the client that it is for: `@discordjs/ws`, with its manager and its shards, unchanged.

import { REST } from '@discordjs/rest';
import { CompressionMethod, WebSocketManager, WebSocketShardEvents } from '@discordjs/ws';
import type { GatewayDispatchPayload } from 'discord-api-types/v10';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { DiscordSimulator } from '../../../local/discord/simulator.ts';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { audit, type Read } from './audit.ts';
import { INTENTS } from './gateway-client.ts';

interface Seen {
  readonly shardId: number;
  readonly sessionId: string;
  readonly payload: GatewayDispatchPayload;
}

interface Options {
  readonly shards?: number;
  readonly compression?: CompressionMethod;
  readonly identifyCompression?: boolean;
}

async function connect(
  simulator: DiscordSimulator,
  { shards = 2, compression, identifyCompression = false }: Options = {},
) {
  const manager = new WebSocketManager({
    token: simulator.token,
    intents: INTENTS,
    rest: new REST({ api: simulator.apiUrl, version: '10' }).setToken(simulator.token),
    shardCount: shards,
    compression: compression ?? null,
    useIdentifyCompression: identifyCompression,
  });
  const seen: Seen[] = [];
  const sessionOf = new Map<number, string>();
  manager.on(WebSocketShardEvents.Dispatch, (payload, shardId) => {
    if (payload.t === 'READY') sessionOf.set(shardId, payload.d.session_id);
    seen.push({ shardId, sessionId: sessionOf.get(shardId) ?? '', payload });
  });
  manager.on(WebSocketShardEvents.Error, () => undefined);
  onTestFinished(async () => await manager.destroy(), 40_000);
  await manager.connect();
  return { manager, seen };
}

/** Every dispatch of the connected sessions has arrived, at least once. A RESUMED that was on a broken line never does. */
async function caughtUp(simulator: DiscordSimulator, seen: readonly Seen[]): Promise<void> {
  const { ledger } = simulator;
  const connected = simulator.sessions.filter(({ attached }) => attached);
  await simulator.waitUntil('everything to arrive', () => {
    const arrived = new Set(seen.map(({ sessionId, payload }) => `${sessionId} ${payload.s}`));
    return connected.every(({ id, sequence }) => {
      for (let s = 1; s <= sequence; s += 1)
        if (!arrived.has(`${id} ${s}`) && ledger.dispatchOf(id, s) !== 'RESUMED') return false;
      return true;
    });
  });
}

/** What a perfect consumer would have read. */
function readsOf({ ledger }: DiscordSimulator, seen: readonly Seen[]): Read[] {
  return seen.flatMap(({ sessionId, payload }) => {
    const routingKey = ledger.routingKeyOf(sessionId, payload.s);
    return typeof routingKey === 'string' ? [{ sessionId, sequence: payload.s, routingKey, lane: 'all' }] : [];
  });
}

describe.each([
  ['plain', {}],
  ['zlib-stream', { compression: CompressionMethod.ZlibNative }],
] as const)('%s', (_, options) => {
  test('READY, guilds, and 2,000 events arrive complete and in order', async () => {
    const simulator = await startSimulator({ guilds: 40, maxConcurrency: 2, largeGuildMembers: 300 });
    const { seen } = await connect(simulator, options);
    simulator.burst(2_000);
    await caughtUp(simulator, seen);
    for (const shardId of [0, 1]) {
      const sequences = seen.filter((each) => each.shardId === shardId).map(({ payload }) => payload.s);
      expect(sequences).toEqual(Array.from({ length: sequences.length }, (__, n) => n + 1));
    }
    expect(seen.filter(({ payload }) => payload.t === 'GUILD_CREATE').length).toBeGreaterThanOrEqual(40);
    expect(audit(simulator.ledger, readsOf(simulator, seen))).toMatchObject({
      lost: [],
      repeated: 0,
      unexpected: [],
      disordered: [],
      undeliverable: 0,
    });
    expect(simulator.violations).toEqual([]);
  });

  test('op 7, op 9 with true, a reset and a close while events flow: all resumed, nothing lost', async () => {
    const simulator = await startSimulator({ guilds: 10, maxConcurrency: 2, heartbeatIntervalMs: 100 });
    const { seen } = await connect(simulator, options);
    for (const fault of [
      () => simulator.reconnect(),
      () => simulator.invalidate(undefined, { resumable: true }),
      () => simulator.dropConnections(),
      () => simulator.close(undefined, 4000),
      // After this one the package begins a new session, although Discord would resume it.
      () => simulator.close(undefined, 4008),
    ]) {
      const back = () => simulator.count('resumed') + simulator.count('ready');
      const before = back();
      simulator.burst(200);
      fault();
      simulator.burst(200);
      await simulator.waitUntil('both shards to be back', () => back() >= before + 2);
      simulator.burst(200);
      await caughtUp(simulator, seen);
    }
    const back = simulator.sessions.filter(({ attached }) => attached);
    const { lost, unexpected, disordered } = audit(simulator.ledger, readsOf(simulator, seen));
    expect({ unexpected, disordered }).toEqual({ unexpected: [], disordered: [] });
    // Only sessions that the package threw away may miss what was on the wire.
    expect(lost.every(({ sessionId }) => !back.some(({ id }) => id === sessionId))).toBe(true);
    // A reset may also make it begin a new session: that depends on whether its socket fails or just ends.
    expect(simulator.count('resumed')).toBeGreaterThanOrEqual(6);
    expect(simulator.violations).toEqual([]);
  });
});

test('large payloads arrive compressed when IDENTIFY asks for it', async () => {
  const simulator = await startSimulator({ guilds: 5, maxConcurrency: 2, largeGuildMembers: 300 });
  const { seen } = await connect(simulator, { identifyCompression: true });
  simulator.burst(500);
  await caughtUp(simulator, seen);
  // The package inflates these beside the others, so they may be late.
  for (const shardId of [0, 1]) {
    const sequences = seen.filter((each) => each.shardId === shardId).map(({ payload }) => payload.s);
    expect(new Set(sequences).size).toBe(Math.max(...sequences));
  }
});

test('a zombie is noticed and resumed', async () => {
  const simulator = await startSimulator({ guilds: 2, heartbeatIntervalMs: 100, maxConcurrency: 2 });
  const { seen } = await connect(simulator);
  simulator.freeze(1);
  await simulator.waitFor('resumed');
  simulator.emit('message.text', { guildId: simulator.guildIds[1] ?? '' });
  await caughtUp(simulator, seen);
  expect(simulator.violations).toEqual([]);
});

test('op 9 with false makes a new session; the old one is told as lost', async () => {
  const simulator = await startSimulator({ guilds: 2, maxConcurrency: 2 });
  const { seen } = await connect(simulator);
  simulator.invalidate(0, { resumable: false });
  await simulator.waitFor('ready', 3);
  await caughtUp(simulator, seen);
  expect(simulator.ledger.lost.map(({ shardId, reason }) => [shardId, reason])).toEqual([[0, 'invalidated']]);
  expect(simulator.violations).toEqual([]);
});

test('a wrong token, disallowed intents and a bad shard count are refused for good', async () => {
  const simulator = await startSimulator({ shardCountMultiple: 4 });
  const rest = new REST({ api: simulator.apiUrl, version: '10' }).setToken(simulator.token);
  const attempt = async (token: string, intents: number, shardCount: number) => {
    const manager = new WebSocketManager({ token, intents, rest, shardCount, initialPresence: null });
    const error = new Promise<string>((resolve) =>
      manager.on(WebSocketShardEvents.Error, ({ message }) => resolve(message)),
    );
    manager.connect().catch(() => undefined);
    const told = await error;
    await manager.destroy();
    return told;
  };
  expect(await attempt('wrong', INTENTS, 4)).toMatch(/authentication failed/i);
  expect(await attempt(simulator.token, 1 << 15, 4)).toMatch(/intents/i);
  expect(await attempt(simulator.token, INTENTS, 3)).toMatch(/shard/i);
  expect(simulator.violations.map(({ code }) => code)).toEqual(expect.arrayContaining([4004, 4014, 4010]));
});
