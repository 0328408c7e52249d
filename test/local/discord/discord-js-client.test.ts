// The whole client of discord.js, as bots use it, logs in to the simulator and lives there: nothing about it tells the
// client that this is not Discord.

import type { EventEmitter } from 'node:events';
import { Client, Events } from 'discord.js';
import { expect, onTestFinished, test } from 'vitest';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { INTENTS } from './gateway-client.ts';

test('it becomes ready with all its guilds, and emits what happens in them', async () => {
  const simulator = await startSimulator({ guilds: 50, heartbeatIntervalMs: 200 });
  const client = new Client({ intents: INTENTS, rest: { api: simulator.apiUrl } });
  onTestFinished(async () => await client.destroy(), 40_000);
  const seen = new Map<string, number>();
  const emitted = [
    Events.MessageCreate,
    Events.InteractionCreate,
    Events.GuildMemberAdd,
    Events.GuildCreate,
    Events.GuildDelete,
    Events.GuildUnavailable,
    Events.ChannelUpdate,
    Events.GuildRoleUpdate,
    Events.ThreadCreate,
  ];
  for (const event of emitted) (client as EventEmitter).on(event, () => seen.set(event, (seen.get(event) ?? 0) + 1));
  const ready = new Promise((resolve) => client.once(Events.ClientReady, resolve));
  await client.login(simulator.token);
  await ready;
  expect([client.user?.id, client.guilds.cache.size]).toEqual([simulator.world.bot.id, 50]);
  simulator.burst(3_000);
  simulator.reconnect();
  await simulator.waitFor('resumed');
  simulator.emit('message.text');
  const due = [...simulator.ledger.due()];
  const messages = due.filter(({ routingKey }) => routingKey === 'message.create').length;
  await simulator.waitUntil('the messages to arrive', () => (seen.get(Events.MessageCreate) ?? 0) >= messages);
  for (const event of emitted) expect([event, seen.get(event) ?? 0]).not.toEqual([event, 0]);
  expect(simulator.violations).toEqual([]);
});
