// The simulator with unchanged clients of Discord: `@discordjs/ws`, which the ingestor uses, and the whole client of discord.js,
// which bots use.

import type { EventEmitter } from 'node:events';
import { REST } from '@discordjs/rest';
import { CompressionMethod, WebSocketManager, WebSocketShardEvents } from '@discordjs/ws';
import { Client, Events } from 'discord.js';
import { expect, onTestFinished, test } from 'vitest';
import { VARIANTS } from '../../../local/discord/payloads/variants.ts';
import type { DiscordSimulator } from '../../../local/discord/simulator.ts';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { INTENTS } from './gateway-client.ts';

function managerOf({ apiUrl, token }: DiscordSimulator, options: object) {
  const rest = new REST({ api: apiUrl, version: '10' }).setToken(token);
  const manager = new WebSocketManager({ token, intents: INTENTS, rest, shardCount: 2, ...options });
  onTestFinished(() => manager.destroy(), 40_000);
  return manager;
}

test.each([null, CompressionMethod.ZlibNative])(
  '@discordjs/ws with compression %s gets every event in order, and resumes after op 7, op 9, a close and missing heartbeat ACKs',
  async (compression) => {
    const simulator = await startSimulator({ guilds: 10, maxConcurrency: 2, heartbeatIntervalMs: 1_000 });
    const manager = managerOf(simulator, { compression });
    const received = [new Set<number>(), new Set<number>()];
    manager.on(WebSocketShardEvents.Error, () => undefined);
    manager.on(WebSocketShardEvents.Dispatch, ({ t, s }, shardId) => t !== 'RESUMED' && received[shardId]?.add(s));
    await manager.connect();
    for (const fault of [
      () => simulator.reconnect(),
      () => simulator.invalidate(undefined, { resumable: true }),
      () => simulator.close(undefined, 4000),
      () => simulator.freeze(),
    ]) {
      const resumed = simulator.count('resumed');
      simulator.burst(200);
      fault();
      simulator.burst(200);
      await simulator.waitFor('resumed', resumed + 2);
      // RESUMED has a sequence too, and is the only dispatch that a later RESUME does not replay.
      const sequences = () => simulator.sessions.reduce((sum, { sequence }) => sum + sequence, 0);
      const missing = () =>
        sequences() - simulator.count('resumed') - received.reduce((sum, { size }) => sum + size, 0);
      await expect.poll(missing, { timeout: 20_000 }).toBe(0);
    }
    for (const each of received) expect([...each]).toEqual([...each].toSorted((a, b) => a - b));
    expect([simulator.count('identify'), simulator.violations]).toEqual([2, []]);
  },
);

test('a wrong token, disallowed intents and a wrong shard count are refused as @discordjs/ws expects', async () => {
  const simulator = await startSimulator({ shardCountMultiple: 4 });
  for (const [options, message] of [
    [{ token: 'wrong', shardCount: 4 }, /authentication failed/i],
    [{ intents: 1 << 15, shardCount: 4 }, /intents/i],
    [{ shardCount: 3 }, /shard/i],
  ] as const) {
    const manager = managerOf(simulator, options);
    const error = new Promise((resolve) => manager.on(WebSocketShardEvents.Error, resolve));
    manager.connect().catch(() => undefined);
    expect(await error).toMatchObject({ message: expect.stringMatching(message) });
    await manager.destroy();
  }
  expect(new Set(simulator.violations.map(({ code }) => code))).toEqual(new Set([4004, 4014, 4010]));
});

test('discord.js becomes ready with all its guilds, and emits every kind of event', async () => {
  const intents = VARIANTS.reduce((all, variant) => all | variant.intents, 0);
  const simulator = await startSimulator({ guilds: 50, grantedIntents: intents });
  const client = new Client({ intents, rest: { api: simulator.apiUrl } });
  onTestFinished(() => client.destroy(), 40_000);
  const seen = new Map<string, number>();
  const { MessageCreate, InteractionCreate, GuildMemberAdd, GuildCreate, GuildDelete, ChannelUpdate } = Events;
  const emitted = [MessageCreate, InteractionCreate, GuildMemberAdd, GuildCreate, GuildDelete, ChannelUpdate];
  for (const event of emitted) (client as EventEmitter).on(event, () => seen.set(event, (seen.get(event) ?? 0) + 1));
  const ready = new Promise((resolve) => client.once(Events.ClientReady, resolve));
  await client.login(simulator.token);
  await ready;
  expect([client.user?.id, client.guilds.cache.size]).toEqual([simulator.world.bot.id, 50]);
  for (const { name } of VARIANTS) simulator.emit(name);
  simulator.leaveGuild(simulator.joinGuild().id);
  // discord.js emits nothing for a direct message in an unknown channel.
  const messages = VARIANTS.filter(({ dispatch, scope }) => dispatch === 'MESSAGE_CREATE' && scope === 'guild').length;
  await expect.poll(() => seen.get(MessageCreate), { timeout: 20_000 }).toBe(messages);
  await expect.poll(() => [...seen.keys()].toSorted(), { timeout: 20_000 }).toEqual(emitted.toSorted());
  expect(simulator.violations).toEqual([]);
});
