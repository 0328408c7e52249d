// What the gateway does of its own accord: op 7, op 9, close codes, broken and half-open connections, silence.

import { GatewayOpcodes } from 'discord-api-types/v10';
import { describe, expect, test } from 'vitest';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { GatewayClient } from './gateway-client.ts';

test('op 7 asks a client to leave, and closes one that does not', async () => {
  const simulator = await startSimulator({ guilds: 1, reconnectGraceMs: 100 });
  const client = await GatewayClient.ready(simulator);
  simulator.reconnect();
  expect((await client.opcode(GatewayOpcodes.Reconnect)).d).toBeNull();
  simulator.emit('message.text');
  await client.dispatch('MESSAGE_CREATE');
  expect((await client.closed).code).toBe(4000);
  const again = await GatewayClient.greeted(simulator);
  again.resume(client.session.id, 2);
  await again.dispatch('MESSAGE_CREATE');
});

test('only the connections of the named shard are concerned', async () => {
  const simulator = await startSimulator({ guilds: 2 });
  const zero = await GatewayClient.ready(simulator, { shard: [0, 2] });
  const one = await GatewayClient.ready(simulator, { shard: [1, 2] });
  simulator.close(1, 4000);
  expect((await one.closed).code).toBe(4000);
  await zero.settled();
});

test('op 9 with true leaves the session, to be resumed on the same socket', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  await client.dispatch('GUILD_CREATE');
  simulator.invalidate(0, { resumable: true });
  expect((await client.opcode(GatewayOpcodes.InvalidSession)).d).toBe(true);
  const missed = simulator.emit('message.text');
  client.resume(client.session.id, 2);
  expect((await client.dispatch('MESSAGE_CREATE')).s).toBe(missed.sequence);
  await client.dispatch('RESUMED');
  expect(simulator.ledger.lost).toEqual([]);
});

test('op 9 with false ends the session', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  simulator.emit('message.text');
  simulator.invalidate(0, { resumable: false });
  expect((await client.opcode(GatewayOpcodes.InvalidSession)).d).toBe(false);
  expect(simulator.ledger.lost).toEqual([
    expect.objectContaining({ reason: 'invalidated', lastSequence: 3, lastSent: 3, shardId: 0 }),
  ]);
  expect(() => simulator.emit('message.text')).toThrow(/no session gets message.text/);
  client.identify();
  expect((await client.dispatch('READY')).d.session_id).not.toBe(client.session.id);
});

describe('close codes of the gateway', () => {
  const KEEPS = [4000, 4002, 4003, 4005, 4008, 1000, 1001, 1011];
  const ENDS = [4001, 4004, 4007, 4009, 4010, 4011, 4012, 4013, 4014];

  test.each(KEEPS)('%i keeps the session', async (code) => {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await GatewayClient.ready(simulator);
    simulator.close(0, code);
    expect((await client.closed).code).toBe(code);
    const again = await GatewayClient.greeted(simulator);
    again.resume(client.session.id, 1);
    await again.dispatch('RESUMED');
    expect(simulator.violations).toEqual([]);
  });

  test.each(ENDS)('%i ends the session', async (code) => {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await GatewayClient.ready(simulator);
    simulator.close(0, code);
    expect((await client.closed).code).toBe(code);
    await simulator.waitFor('lost');
    const again = await GatewayClient.greeted(simulator);
    again.resume(client.session.id, 1);
    expect((await again.opcode(GatewayOpcodes.InvalidSession)).d).toBe(false);
  });
});

test('a broken connection is 1006 for the client, and its session stays', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  const ends: unknown[] = [];
  simulator.events.on('disconnect', ({ code, by, shardId }) => ends.push({ code, by, shardId }));
  simulator.dropConnections();
  expect((await client.closed).code).toBe(1006);
  await simulator.waitFor('disconnect');
  expect(ends).toEqual([{ code: 1006, by: 'network', shardId: 0 }]);
  expect(simulator.sessions).toHaveLength(1);
});

test('who ended a connection is told', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const ends: unknown[] = [];
  simulator.events.on('disconnect', ({ code, by }) => ends.push([code, by]));
  await (await GatewayClient.ready(simulator)).close(4200);
  const second = await GatewayClient.ready(simulator);
  simulator.close(0, 4008);
  await second.closed;
  await (await GatewayClient.ready(simulator)).drop();
  await simulator.waitFor('disconnect', 3);
  expect(ends).toEqual([
    [4200, 'client'],
    [4008, 'server'],
    [1006, 'network'],
  ]);
});

test('a zombie acknowledges no heartbeat but still sends dispatches', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  simulator.freeze(0);
  client.heartbeat(1);
  simulator.emit('message.text');
  await client.dispatch('MESSAGE_CREATE');
  await simulator.waitFor('heartbeat');
  simulator.thaw(0);
  await client.settled();
  expect(client.frames.filter(({ op }) => op === GatewayOpcodes.HeartbeatAck)).toHaveLength(1);
});

test('a silent connection gets nothing until it thaws, and then everything, once', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  await client.dispatch('GUILD_CREATE');
  simulator.freeze(0, { silent: true });
  simulator.burst(20);
  client.heartbeat(1);
  expect(client.sequences).toEqual([1, 2]);
  expect([...simulator.ledger.due()].some(({ sent }) => sent)).toBe(false);
  simulator.thaw(0);
  await client.next(({ s }) => s === 22);
  await client.opcode(GatewayOpcodes.HeartbeatAck);
  expect(client.sequences).toEqual(Array.from({ length: 22 }, (_, n) => n + 1));
});

test('a silent connection does not keep its session from being resumed elsewhere', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  simulator.freeze(0, { silent: true });
  const missed = simulator.emit('message.text');
  const again = await GatewayClient.greeted(simulator);
  again.resume(client.session.id, 2);
  expect((await again.dispatch('MESSAGE_CREATE')).s).toBe(missed.sequence);
  expect([1006, 4000]).toContain((await client.closed).code);
});

test('HELLO, READY and the answer to RESUME can be held back', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  await client.drop();
  simulator.hold('resumed');
  const resuming = await GatewayClient.greeted(simulator);
  resuming.resume(client.session.id, 1);
  await resuming.settled();
  expect(resuming.dispatches).toEqual([]);
  simulator.hold('ready');
  const identifying = await GatewayClient.greeted(simulator);
  identifying.identify();
  await identifying.settled();
  expect([identifying.dispatches, simulator.count('identify')]).toEqual([[], 2]);
  simulator.hold('hello');
  const connecting = new GatewayClient(simulator);
  connecting.socket.on('open', () => connecting.heartbeat(null));
  await connecting.opcode(GatewayOpcodes.HeartbeatAck);
  expect(connecting.frames).toHaveLength(1);
  for (const what of ['hello', 'ready', 'resumed'] as const) simulator.release(what);
  await GatewayClient.ready(simulator);
});

test('a wait that is in vain says what has happened so far', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  await GatewayClient.ready(simulator);
  await expect(simulator.waitFor('resumed', 1, 50)).rejects.toThrow(
    /waited 50 ms for 'resumed' 1 times: so far identify 1, ready 1; 1 connections; violations: none/,
  );
});
