// What a client gets: REST, dispatches by shard and intents, and what Discord does by itself. clients.test.ts tests READY,
// guilds and op 9 with discord.js.

import { once } from 'node:events';
import { Readable } from 'node:stream';
import { GatewayIntentBits, GatewayOpcodes } from 'discord-api-types/v10';
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { GatewayClient, INTENTS } from './gateway-client.ts';

test('REST refuses another version', async () => {
  const { apiUrl, token } = await startSimulator();
  const answer = await fetch(`${apiUrl}/v9/gateway/bot`, { headers: { authorization: `Bot ${token}` } });
  expect(answer.status).toBe(404);
});

test('events go to the shard of their guild, those without a guild to shard 0, and only with their intents', async () => {
  const simulator = await startSimulator({ guilds: 2 });
  const intents = INTENTS | GatewayIntentBits.DirectMessages;
  const zero = await GatewayClient.ready(simulator, { shard: [0, 2], intents });
  const one = await GatewayClient.ready(simulator, { shard: [1, 2], intents: GatewayIntentBits.Guilds });
  const [first = '', second = ''] = simulator.guildIds;
  expect(simulator.emit('message.text', { guildId: first })).toMatchObject({ shardId: 0, sequence: 3 });
  expect(simulator.emit('message.direct')).toMatchObject({ shardId: 0, sequence: 4 });
  expect(simulator.emit('CHANNEL_UPDATE', { guildId: second })).toMatchObject({ shardId: 1, sequence: 3 });
  expect(simulator.emit('command.plain', { guildId: second })).toMatchObject({ shardId: 1, sequence: 4 });
  for (const kind of ['message.text', 'member.join'])
    expect(() => simulator.emit(kind, { guildId: second })).toThrow(/no session gets/);
  await Promise.all([zero.settled(), one.settled()]);
  expect(zero.dispatches.slice(2)).toEqual(['MESSAGE_CREATE 3', 'MESSAGE_CREATE 4']);
  expect(one.dispatches.slice(2)).toEqual(['CHANNEL_UPDATE 3', 'INTERACTION_CREATE 4']);
});

test('op 7 asks a client to reconnect, and Discord closes the connection of one that does not', async () => {
  const simulator = await startSimulator({ guilds: 1, reconnectGraceMs: 100 });
  const client = await GatewayClient.ready(simulator);
  simulator.reconnect();
  await client.opcode(GatewayOpcodes.Reconnect);
  expect(await client.closed).toBe(4000);
  await GatewayClient.resumed(simulator, client.sessionId, 2);
});

test('a frozen connection gets no heartbeat ACK; a silent one gets nothing, and the next one gets its events', async () => {
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

test('a test can change or suppress any answer', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  simulator.changeAnswer('REST', () => ({ status: 200, body: Readable.from(broken()) }));
  await expect(fetch(`${simulator.apiUrl}/v10/gateway/bot`).then((broken) => broken.text())).rejects.toThrow();
  simulator.changeAnswer('READY', () => undefined);
  const client = await GatewayClient.greeted(simulator);
  client.identify();
  await client.dispatch('GUILD_CREATE');
  expect(client.dispatches).toEqual(['GUILD_CREATE 2']);
  simulator.changeAnswer('Upgrade', () => ({ status: 520, body: 'x' }));
  const [error] = await once(new GatewayClient(simulator).socket, 'error');
  expect(String(error)).toContain('520');
});

test('a test can change a frame into several, into bytes, or into a close of one shard', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const bytes = Buffer.from([0xff, 0x00]);
  simulator.changeAnswer('Hello', (hello) => [hello, bytes]);
  const frames: Buffer[] = [];
  const socket = new WebSocket(`${simulator.gatewayUrl}?v=10&encoding=json&compress=zlib-stream`);
  socket.on('message', (data: Buffer) => frames.push(data));
  await expect.poll(() => frames).toHaveLength(2);
  expect(frames).toContainEqual(bytes);
  socket.terminate();
  simulator.changeAnswer('Hello');
  const client = await GatewayClient.ready(simulator);
  simulator.changeAnswer('Dispatch', ({ t }, to) => (to.shardId === 0 ? to.close(4008) : t));
  simulator.emit('message.text');
  expect(await client.closed).toBe(4008);
  expect(client.dispatches).not.toContain('MESSAGE_CREATE 3');
});

function* broken(): Generator<string> {
  yield '{';
  throw new Error('reset');
}
