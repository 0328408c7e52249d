// What a client gets: REST, READY and guilds, dispatches by shard and intents, and what Discord does of its own accord.

import { GatewayIntentBits, GatewayOpcodes } from 'discord-api-types/v10';
import { expect, test } from 'vitest';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { GatewayClient, INTENTS } from './gateway-client.ts';

test.each([
  ['GET', '/v10/gateway/bot', undefined, 401],
  ['GET', '/v10/gateway/bot', 'Bot wrong', 401],
  ['GET', '/v10/gateway', undefined, 200],
  ['POST', '/v10/gateway/bot', undefined, 405],
  ['GET', '/v9/gateway/bot', undefined, 404],
  ['GET', '/v10/users/@me', undefined, 404],
])('%s %s with %s is %i', async (method, path, authorization, status) => {
  const simulator = await startSimulator();
  const headers = authorization === undefined ? {} : { authorization };
  const response = await fetch(`${simulator.apiUrl}${path}`, { method, headers });
  expect(response.status).toBe(status);
  if (status === 401) expect(await response.json()).toEqual({ message: '401: Unauthorized', code: 0 });
});

test('a session starts with READY, then a GUILD_CREATE for each available guild of its shard', async () => {
  const simulator = await startSimulator({ guilds: 7 });
  const ids: string[] = [];
  simulator.outage(simulator.guildIds[1] ?? '');
  for (const shard of [0, 1, 2]) {
    const client = await GatewayClient.ready(simulator, { shard: [shard, 3] });
    await client.settled();
    const [ready, ...guilds] = client.frames.filter(({ t }) => t !== null);
    expect(ready?.d).toMatchObject({ shard: [shard, 3], user: { id: simulator.world.bot.id, bot: true } });
    expect(ready?.d.resume_gateway_url).toBe(`${simulator.gatewayUrl}/resume`);
    const listed = ready?.d.guilds.map(({ id }: { id: string }) => id);
    for (const id of listed) expect(Number(BigInt(id) >> 22n) % 3).toBe(shard);
    expect(guilds.map(({ d }) => d.id)).toEqual(listed.filter((id: string) => id !== simulator.guildIds[1]));
    ids.push(...listed);
  }
  expect(ids.toSorted()).toEqual(simulator.guildIds.toSorted());
});

test('events go to the shard of their guild, those without a guild to shard 0, and only with their intents', async () => {
  const simulator = await startSimulator({ guilds: 2 });
  const intents = INTENTS | GatewayIntentBits.DirectMessages;
  const zero = await GatewayClient.ready(simulator, { shard: [0, 2], intents });
  const one = await GatewayClient.ready(simulator, { shard: [1, 2], intents: GatewayIntentBits.Guilds });
  const [first = '', second = ''] = simulator.guildIds;
  expect(simulator.emit('message.text', { guildId: first })).toMatchObject({ shardId: 0, sequence: 3 });
  expect(simulator.emit('message.direct')).toMatchObject({ shardId: 0, sequence: 4 });
  expect(simulator.emit('channel.update', { guildId: second })).toMatchObject({ shardId: 1, sequence: 3 });
  expect(simulator.emit('command.plain', { guildId: second })).toMatchObject({ shardId: 1, sequence: 4 });
  for (const kind of ['message.text', 'member.join'])
    expect(() => simulator.emit(kind, { guildId: second })).toThrow(/no session gets/);
  await Promise.all([zero.settled(), one.settled()]);
  expect(zero.dispatches.slice(2)).toEqual(['MESSAGE_CREATE 3', 'MESSAGE_CREATE 4']);
  expect(one.dispatches.slice(2)).toEqual(['CHANNEL_UPDATE 3', 'INTERACTION_CREATE 4']);
});

test('text is blanked without its intent, except in messages that name the bot', async () => {
  const marker = 'seen-4711';
  const granted = GatewayIntentBits.GuildMembers | GatewayIntentBits.MessageContent;
  const simulator = await startSimulator({ guilds: 1, marker, grantedIntents: granted });
  const blind = await GatewayClient.ready(simulator);
  const seeing = await GatewayClient.ready(simulator, { intents: INTENTS | GatewayIntentBits.MessageContent });
  for (const kind of ['message.reply', 'message.forward', 'message.files', 'message.poll', 'message.update']) {
    const { t } = simulator.emit(kind).dispatch;
    expect(JSON.stringify(await seeing.dispatch(t)), kind).toContain(marker);
    expect(JSON.stringify(await blind.dispatch(t)), kind).not.toContain(marker);
  }
  simulator.emit('message.mention');
  expect((await blind.dispatch('MESSAGE_CREATE')).d.content).toContain(marker);
});

test('joins and leaves are due to workers; outages and their ends are not', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  const before = (await client.dispatch('GUILD_CREATE')).d;
  const joined = simulator.joinGuild();
  const created = (await client.dispatch('GUILD_CREATE')).d;
  expect([created.id, Date.now() - Date.parse(created.joined_at) < 60_000]).toEqual([joined.id, true]);
  simulator.outage(before.id);
  expect((await client.dispatch('GUILD_DELETE')).d).toEqual({ id: before.id, unavailable: true });
  simulator.restore(before.id);
  expect((await client.dispatch('GUILD_CREATE')).d).toEqual(before);
  simulator.leaveGuild(joined.id);
  expect((await client.dispatch('GUILD_DELETE')).d).toEqual({ id: joined.id });
  const due = [...simulator.ledger.due()].map(({ routingKey, sequence }) => `${routingKey} ${sequence}`);
  expect(due).toEqual(['guild.join 3', 'guild.leave 6']);
  expect(() => simulator.leaveGuild(joined.id)).toThrow(/expected the id of a guild that the bot is in/);
});

test('op 7 asks a client to leave, and closes one that does not', async () => {
  const simulator = await startSimulator({ guilds: 1, reconnectGraceMs: 100 });
  const client = await GatewayClient.ready(simulator);
  simulator.reconnect();
  await client.opcode(GatewayOpcodes.Reconnect);
  expect(await client.closed).toBe(4000);
  await GatewayClient.resumed(simulator, client.sessionId, 2);
});

test('op 9 leaves the session to be resumed on the same socket, or ends it', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  simulator.invalidate(0, { resumable: true });
  expect((await client.opcode(GatewayOpcodes.InvalidSession)).d).toBe(true);
  simulator.emit('message.text');
  client.resume(client.sessionId, 2);
  await client.dispatch('RESUMED');
  expect(client.dispatches.slice(2)).toEqual(['MESSAGE_CREATE 3', 'RESUMED 4']);
  simulator.invalidate(0, { resumable: false });
  expect((await client.opcode(GatewayOpcodes.InvalidSession)).d).toBe(false);
  expect(simulator.ledger.session(client.sessionId)?.lost).toBe('invalidated');
  client.identify();
  expect((await client.dispatch('READY')).d.session_id).not.toBe(client.sessionId);
});

test('a zombie acknowledges no heartbeat; a silent connection gets nothing at all, and the next gets it', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  simulator.sendHeartbeatRequest();
  await client.opcode(GatewayOpcodes.Heartbeat);
  simulator.freeze(0);
  client.heartbeat(1);
  await simulator.waitFor('heartbeat');
  simulator.emit('message.text');
  await client.dispatch('MESSAGE_CREATE');
  simulator.freeze(0, { silent: true });
  simulator.emit('member.join');
  const again = await GatewayClient.resumed(simulator, client.sessionId, 3);
  expect(again.dispatches).toEqual(['GUILD_MEMBER_ADD 4', 'RESUMED 5']);
  expect(client.dispatches).toEqual(['READY 1', 'GUILD_CREATE 2', 'MESSAGE_CREATE 3']);
  expect(client.frames.some(({ op }) => op === GatewayOpcodes.HeartbeatAck)).toBe(false);
});

test('any answer can be another, or none', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  simulator.changeAnswer('REST', () => ({ status: 429, headers: { 'retry-after': '7' }, body: '<html>' }));
  const response = await fetch(`${simulator.apiUrl}/v10/gateway`);
  expect([response.status, response.headers.get('retry-after'), await response.text()]).toEqual([429, '7', '<html>']);
  simulator.changeAnswer('REST');
  expect((await fetch(`${simulator.apiUrl}/v10/gateway`)).status).toBe(200);
  simulator.changeAnswer('Hello', (frame) => ({ ...frame, d: null }));
  simulator.changeAnswer('READY', () => undefined);
  const client = await GatewayClient.greeted(simulator);
  client.identify();
  await client.dispatch('GUILD_CREATE');
  expect([client.frames[0]?.d, client.dispatches]).toEqual([null, ['GUILD_CREATE 2']]);
});

test('the same seed sends the same events; a mix is what it names, in its shares', async () => {
  const mix = { 'member.join': 3, 'command.plain': 1, 'guild.outage': 1, 'guild.leave': 1 };
  const traffic = async (seed: number) => {
    const simulator = await startSimulator({ seed, mix });
    const client = await GatewayClient.ready(simulator);
    simulator.burst(1_200);
    await client.next('the last', ({ s }) => s === 1_211);
    return client.frames.flatMap(({ t, d }) => (t === null || t === 'READY' || t === 'GUILD_CREATE' ? [] : { t, d }));
  };
  const [first, second, other] = await Promise.all([traffic(5), traffic(5), traffic(6)]);
  expect(second).toEqual(first);
  expect(other).not.toEqual(first);
  const share = (name: string) => Math.round(first.filter(({ t }) => t === name).length / 200);
  expect(['GUILD_MEMBER_ADD', 'INTERACTION_CREATE', 'GUILD_DELETE'].map(share)).toEqual([3, 1, 1]);
});

test('traffic comes at its rate, neither more nor less', async () => {
  const simulator = await startSimulator({ mix: { 'member.join': 1 } });
  const client = await GatewayClient.ready(simulator);
  const from = performance.now();
  simulator.startTraffic(500);
  await client.next('the last', ({ s }) => s === 511);
  simulator.stopTraffic();
  const ms = performance.now() - from;
  expect([ms > 950, ms < 5_000], `${ms} ms for a second's events`).toEqual([true, true]);
});
