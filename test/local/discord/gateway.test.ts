// The main way of a client: address, HELLO, IDENTIFY, READY, guilds, dispatches, heartbeats. By a client that does
// nothing by itself, so that each step is seen.

import { type APIGatewayBotInfo, GatewayIntentBits, GatewayOpcodes } from 'discord-api-types/v10';
import { describe, expect, test } from 'vitest';
import { shardOf } from '../../../local/discord/payloads/snowflake.ts';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { GatewayClient, INTENTS } from './gateway-client.ts';

describe('GET /gateway/bot', () => {
  const ask = (url: string, authorization?: string) =>
    fetch(url, { headers: { ...(authorization !== undefined && { authorization }) } });

  test('gives address, recommended shards and the budget as it is now', async () => {
    const simulator = await startSimulator({ guilds: 2_500, maxConcurrency: 16, dailyIdentifies: 100 });
    const answer = async () => {
      const response = await ask(`${simulator.apiUrl}/v10/gateway/bot`, `Bot ${simulator.token}`);
      return (await response.json()) as APIGatewayBotInfo;
    };
    expect(await answer()).toEqual({
      url: simulator.gatewayUrl,
      shards: 3,
      session_start_limit: { total: 100, remaining: 100, reset_after: expect.any(Number), max_concurrency: 16 },
    });
    await GatewayClient.ready(simulator, { shard: [0, 3] });
    expect((await answer()).session_start_limit.remaining).toBe(99);
  });

  test.each([undefined, 'Bot wrong', 'Bearer x'])(
    'answers 401 in the shape of Discord to %s',
    async (authorization) => {
      const simulator = await startSimulator();
      const response = await ask(`${simulator.apiUrl}/v10/gateway/bot`, authorization);
      expect([response.status, await response.json()]).toEqual([401, { message: '401: Unauthorized', code: 0 }]);
    },
  );

  test('other routes, versions and methods are refused', async () => {
    const simulator = await startSimulator();
    expect((await ask(`${simulator.apiUrl}/v10/users/@me`)).status).toBe(404);
    expect((await ask(`${simulator.apiUrl}/v9/gateway/bot`)).status).toBe(404);
    expect((await fetch(`${simulator.apiUrl}/v10/gateway/bot`, { method: 'POST' })).status).toBe(405);
    expect(await (await ask(`${simulator.apiUrl}/v10/gateway`)).json()).toEqual({ url: simulator.gatewayUrl });
  });

  test('fails and is unreachable when it is told to', async () => {
    const simulator = await startSimulator();
    const url = `${simulator.apiUrl}/v10/gateway/bot`;
    simulator.failRest(503);
    expect((await ask(url)).status).toBe(503);
    simulator.failRest();
    simulator.refuseConnections(true);
    await expect(ask(url)).rejects.toThrow();
    expect((await new GatewayClient(simulator).closed).code).toBe(1006);
    simulator.refuseConnections(false);
    await GatewayClient.ready(simulator);
  });
});

describe('a session', () => {
  test('begins with READY, then a GUILD_CREATE for each guild of its shard', async () => {
    const simulator = await startSimulator({ guilds: 9 });
    const client = await GatewayClient.ready(simulator, { shard: [1, 3] });
    const ready = client.dispatches[0]?.d;
    expect(ready).toMatchObject({ v: 10, shard: [1, 3], user: { id: simulator.world.bot.id, bot: true } });
    expect(ready.resume_gateway_url).toMatch(/^ws:\/\/127\.0\.0\.1:\d+/);
    expect(ready.application.id).toBe(simulator.world.applicationId);
    const expected = simulator.guildIds.filter((id) => shardOf(id, 3) === 1);
    expect(expected).toHaveLength(3);
    expect(ready.guilds).toEqual(expected.map((id) => ({ id, unavailable: true })));
    await client.settled();
    expect(client.dispatches.map(({ t, d }) => [t, d.id])).toEqual([
      ['READY', undefined],
      ...expected.map((id) => ['GUILD_CREATE', id]),
    ]);
    expect(client.sequences).toEqual([1, 2, 3, 4]);
    expect(simulator.violations).toEqual([]);
  });

  test('every guild is on exactly one shard, whatever the count', async () => {
    const simulator = await startSimulator({ guilds: 25 });
    for (const count of [1, 2, 7]) {
      const seen: string[] = [];
      for (let id = 0; id < count; id += 1) {
        const client = await GatewayClient.ready(simulator, { shard: [id, count] });
        const [ready] = client.dispatches;
        seen.push(...(ready?.d.guilds ?? []).map((guild: { id: string }) => guild.id));
        await client.close(1000);
      }
      expect(seen.toSorted()).toEqual(simulator.guildIds.toSorted());
    }
  });

  test('without a shard it is [0, 1]', async () => {
    const simulator = await startSimulator({ guilds: 3 });
    const client = await GatewayClient.greeted(simulator);
    client.identify({ shard: undefined });
    expect((await client.dispatch('READY')).d).toMatchObject({ shard: [0, 1], guilds: { length: 3 } });
  });

  test('events go to the shard of their guild, those without a guild to shard 0', async () => {
    const simulator = await startSimulator({ guilds: 4 });
    const zero = await GatewayClient.ready(simulator, {
      shard: [0, 2],
      intents: INTENTS | GatewayIntentBits.DirectMessages,
    });
    const one = await GatewayClient.ready(simulator, { shard: [1, 2] });
    const [first = '', second = ''] = simulator.guildIds;
    const a = simulator.emit('message.text', { guildId: first });
    const b = simulator.emit('message.text', { guildId: second });
    const direct = simulator.emit('message.direct');
    expect([a.shardId, b.shardId, direct.shardId]).toEqual([0, 1, 0]);
    expect((await zero.dispatch('MESSAGE_CREATE')).s).toBe(a.sequence);
    expect((await zero.dispatch('MESSAGE_CREATE')).d).not.toHaveProperty('guild_id');
    expect((await one.dispatch('MESSAGE_CREATE')).d.id).toBe((b.dispatch.d as { id: string }).id);
  });

  test('two sessions of one shard both get its events, each with its own sequences', async () => {
    const simulator = await startSimulator({ guilds: 1 });
    const first = await GatewayClient.ready(simulator);
    simulator.emit('member.join');
    const second = await GatewayClient.ready(simulator);
    simulator.emit('message.text');
    const got = [await first.dispatch('MESSAGE_CREATE'), await second.dispatch('MESSAGE_CREATE')];
    expect(got.map(({ s }) => s)).toEqual([4, 3]);
    expect(got[0]?.d).toEqual(got[1]?.d);
  });

  test('intents decide what comes', async () => {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await GatewayClient.ready(simulator, { intents: GatewayIntentBits.Guilds });
    for (const kind of ['message.text', 'member.join', 'typing', 'presence', 'reaction', 'message.direct'])
      expect(() => simulator.emit(kind)).toThrow(/no session gets/);
    simulator.emit('command.plain');
    simulator.emit('channel.update');
    await client.settled();
    expect(client.dispatches.map(({ t }) => t)).toEqual([
      'READY',
      'GUILD_CREATE',
      'INTERACTION_CREATE',
      'CHANNEL_UPDATE',
    ]);
    const none = await GatewayClient.ready(simulator, { intents: 0 });
    await none.settled();
    expect(none.dispatches.map(({ t }) => t)).toEqual(['READY']);
  });

  test('content is blanked without its intent, and left when the simulator is told to leave it', async () => {
    const marker = 'seen-4711';
    const blanking = await startSimulator({ guilds: 1, marker });
    const blind = await GatewayClient.ready(blanking);
    blanking.emit('message.reply');
    blanking.emit('message.update');
    blanking.emit('message.mention');
    expect(JSON.stringify(await blind.dispatch('MESSAGE_CREATE'))).not.toContain(marker);
    expect(JSON.stringify(await blind.dispatch('MESSAGE_UPDATE'))).not.toContain(marker);
    expect((await blind.dispatch('MESSAGE_CREATE')).d.content).toContain(marker);
    const leaving = await startSimulator({ guilds: 1, marker, blankContent: false });
    const seeing = await GatewayClient.ready(leaving);
    leaving.emit('message.reply');
    const reply = await seeing.dispatch('MESSAGE_CREATE');
    expect([reply.d.content, reply.d.referenced_message.content].every((text) => text.includes(marker))).toBe(true);
  });

  test('a bot that was granted the MessageContent intent reads everything', async () => {
    const granted = GatewayIntentBits.GuildMembers | GatewayIntentBits.MessageContent;
    const simulator = await startSimulator({ guilds: 1, marker: 'seen-4712', grantedIntents: granted });
    const client = await GatewayClient.ready(simulator, { intents: INTENTS | GatewayIntentBits.MessageContent });
    simulator.emit('message.text');
    expect((await client.dispatch('MESSAGE_CREATE')).d.content).toContain('seen-4712');
  });

  test('READY can be late', async () => {
    const simulator = await startSimulator({ guilds: 1, readyDelayMs: 150 });
    const client = await GatewayClient.greeted(simulator);
    const asked = performance.now();
    client.identify();
    await client.dispatch('READY');
    expect(performance.now() - asked).toBeGreaterThan(140);
  });
});

describe('heartbeats', () => {
  test('the interval is told, each is acknowledged, and one that lags behind is fine', async () => {
    const simulator = await startSimulator({ guilds: 3, heartbeatIntervalMs: 1_234 });
    const client = new GatewayClient(simulator);
    expect((await client.opcode(GatewayOpcodes.Hello)).d.heartbeat_interval).toBe(1_234);
    for (const sequence of [null, 57]) {
      client.heartbeat(sequence);
      await client.opcode(GatewayOpcodes.HeartbeatAck);
    }
    client.identify();
    await client.dispatch('READY');
    for (const sequence of [4, 1, 0, null, 4]) {
      client.heartbeat(sequence);
      await client.opcode(GatewayOpcodes.HeartbeatAck);
    }
    expect(simulator.violations).toEqual([]);
    expect(simulator.count('heartbeat')).toBe(5);
  });

  test('the gateway can ask for one', async () => {
    const simulator = await startSimulator();
    const client = await GatewayClient.ready(simulator);
    simulator.sendHeartbeatRequest(0);
    expect((await client.opcode(GatewayOpcodes.Heartbeat)).d).toBeNull();
  });
});

describe('guilds', () => {
  test('a join is a GUILD_CREATE with the time of now, due to workers; a leave a GUILD_DELETE', async () => {
    const now = Date.UTC(2027, 0, 2, 3, 4, 5);
    const simulator = await startSimulator({ guilds: 1, clock: () => now });
    const client = await GatewayClient.ready(simulator);
    await client.dispatch('GUILD_CREATE');
    const joined = simulator.joinGuild();
    const created = await client.dispatch('GUILD_CREATE');
    expect(created.d).toMatchObject({
      id: joined.id,
      unavailable: false,
      joined_at: '2027-01-02T03:04:05.000000+00:00',
    });
    simulator.leaveGuild(joined.id);
    const deleted = await client.dispatch('GUILD_DELETE');
    expect(deleted.d).toEqual({ id: joined.id });
    expect([...simulator.ledger.due()].map(({ routingKey, sequence }) => [routingKey, sequence])).toEqual([
      ['guild.join', created.s],
      ['guild.leave', deleted.s],
    ]);
    expect(() => simulator.leaveGuild(joined.id)).toThrow(/expected the id of a guild that the bot is in/);
    simulator.joinGuild(joined.id);
    expect((await client.dispatch('GUILD_CREATE')).d.id).toBe(joined.id);
  });

  test('an outage and its end are not due, and the guild comes back with its old time of joining', async () => {
    const simulator = await startSimulator({ guilds: 2 });
    const client = await GatewayClient.ready(simulator);
    const [id = ''] = simulator.guildIds;
    const before = (await client.next(({ t, d }) => t === 'GUILD_CREATE' && d.id === id)).d;
    simulator.outage(id);
    expect((await client.dispatch('GUILD_DELETE')).d).toEqual({ id, unavailable: true });
    simulator.restore(id);
    expect((await client.dispatch('GUILD_CREATE')).d).toEqual(before);
    expect([...simulator.ledger.due()]).toEqual([]);
  });

  test('a guild that is out of order stands in READY, and its GUILD_CREATE comes when it is back', async () => {
    const simulator = await startSimulator({ guilds: 2 });
    const [id = ''] = simulator.guildIds;
    simulator.outage(id);
    const client = await GatewayClient.ready(simulator);
    expect(client.dispatches[0]?.d.guilds).toHaveLength(2);
    await client.settled();
    expect(client.dispatches).toHaveLength(2);
    simulator.restore(id);
    expect((await client.dispatch('GUILD_CREATE')).d.id).toBe(id);
  });

  test('the first guild can be too large for a message of the broker', async () => {
    const simulator = await startSimulator({ guilds: 2, largeGuildMembers: 2_000 });
    const client = await GatewayClient.ready(simulator);
    const [large, small] = [await client.dispatch('GUILD_CREATE'), await client.dispatch('GUILD_CREATE')];
    expect(Buffer.byteLength(JSON.stringify(large.d))).toBeGreaterThan(524_288);
    expect(Buffer.byteLength(JSON.stringify(small.d))).toBeLessThan(20_000);
  });
});
