// RESUME: what is replayed, how far back, for how long, and what ends a session.

import { GatewayOpcodes } from 'discord-api-types/v10';
import { expect, test } from 'vitest';
import type { DiscordSimulator } from '../../../local/discord/simulator.ts';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { GatewayClient } from './gateway-client.ts';

async function refused(simulator: DiscordSimulator, sessionId: string, sequence: number): Promise<GatewayClient> {
  const client = await GatewayClient.greeted(simulator);
  client.resume(sessionId, sequence);
  expect((await client.opcode(GatewayOpcodes.InvalidSession)).d).toBe(false);
  return client;
}

test('everything after the sequence is replayed unchanged, then RESUMED with its own sequence', async () => {
  const simulator = await startSimulator({ guilds: 2 });
  const client = await GatewayClient.ready(simulator);
  simulator.burst(50);
  await client.next('the last', ({ s }) => s === 53);
  await client.leave(simulator);
  const again = await GatewayClient.resumed(simulator, client.sessionId, 0);
  const dispatches = again.frames.filter(({ t }) => t !== null);
  expect(dispatches.slice(0, -1)).toEqual(client.frames.filter(({ t }) => t !== null));
  expect(dispatches.at(-1)).toMatchObject({ t: 'RESUMED', s: 54, d: null });
});

test('events without a connection count as sent only when they are replayed; RESUMED is never replayed', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  await client.leave(simulator);
  await (await GatewayClient.resumed(simulator, client.sessionId, 2)).leave(simulator);
  simulator.emit('message.text');
  simulator.emit('message.by-bot');
  simulator.emit('member.join');
  const due = () => [...simulator.ledger.due()].map(({ sequence, sent }) => `${sequence} ${sent}`);
  expect(due()).toEqual(['4 false', '6 false']);
  const again = await GatewayClient.resumed(simulator, client.sessionId, 1);
  const events = ['MESSAGE_CREATE 4', 'MESSAGE_CREATE 5', 'GUILD_MEMBER_ADD 6'];
  expect(again.dispatches).toEqual(['GUILD_CREATE 2', ...events, 'RESUMED 7']);
  expect(due()).toEqual(['4 true', '6 true']);
});

test('a RESUME from before the replay buffer gets op 9 with d false, and ends the session', async () => {
  const simulator = await startSimulator({ guilds: 1, replayBuffer: { events: 10, trimmedByAcknowledgement: false } });
  const client = await GatewayClient.ready(simulator);
  simulator.burst(30);
  await client.next('the last', ({ s }) => s === 32);
  await client.leave(simulator);
  const again = await GatewayClient.resumed(simulator, client.sessionId, 22);
  expect(again.dispatches).toHaveLength(11);
  await again.leave(simulator);
  await refused(simulator, client.sessionId, 22);
  expect(simulator.ledger.session(client.sessionId)?.lost).toBe('resumed from before the replay buffer');
  const unknown = await refused(simulator, client.sessionId, 33);
  unknown.identify();
  await unknown.dispatch('READY');
  expect(simulator.violations).toEqual([]);
});

test.each([false, true])(
  'the buffer drops acknowledged events when trimmedByAcknowledgement is %s',
  async (trimmed) => {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await GatewayClient.ready(simulator);
    // The change applies to existing sessions too.
    simulator.read({ replayBuffer: { events: 100, trimmedByAcknowledgement: trimmed } });
    simulator.burst(30);
    client.heartbeat(20);
    await client.settled();
    await client.leave(simulator);
    // From the sequence that a heartbeat acknowledged, and from a later one. After that, an earlier one is refused.
    for (const sequence of [20, 25]) {
      const again = await GatewayClient.resumed(simulator, client.sessionId, sequence);
      expect(again.dispatches[0]).toMatch(new RegExp(` ${sequence + 1}$`));
      await again.leave(simulator);
    }
    if (!trimmed) return void (await GatewayClient.resumed(simulator, client.sessionId, 0));
    await refused(simulator, client.sessionId, 24);
    expect(simulator.ledger.session(client.sessionId)?.lost).toBe('resumed from before an earlier RESUME');
  },
);

test('a heartbeat that is too far behind closes the connection, and the session is resumed', async () => {
  const simulator = await startSimulator({ guilds: 1, closesLaggingHeartbeat: 10 });
  const client = await GatewayClient.ready(simulator);
  simulator.burst(30);
  await client.next('the last', ({ s }) => s === 32);
  client.heartbeat(22);
  await client.settled();
  expect(simulator.count('laggingHeartbeat')).toBe(0);
  client.heartbeat(21);
  expect(await client.closed).toBe(4000);
  await GatewayClient.resumed(simulator, client.sessionId, 21);
  expect([simulator.count('laggingHeartbeat'), simulator.violations]).toEqual([1, []]);
});

test('a session without a connection is lost when the buffer drops its first unsent event', async () => {
  const simulator = await startSimulator({ guilds: 1, replayBuffer: { events: 10, trimmedByAcknowledgement: false } });
  const client = await GatewayClient.ready(simulator);
  await client.leave(simulator);
  simulator.burst(10);
  expect(simulator.count('lost')).toBe(0);
  simulator.burst(1);
  expect(simulator.ledger.session(client.sessionId)?.lost).toBe('the replay buffer was overfilled');
});

test('a RESUME beyond the last sequence is closed with 4007, and ends the session', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  await client.leave(simulator);
  const again = await GatewayClient.greeted(simulator);
  again.resume(client.sessionId, 3);
  expect(await again.closed).toBe(4007);
  await refused(simulator, client.sessionId, 2);
});

test('a session without a connection expires; a RESUME in time keeps it', async () => {
  const simulator = await startSimulator({ guilds: 2, sessionTtlMs: 1_000 });
  const gone = await GatewayClient.ready(simulator, { shard: [0, 2] });
  const back = await GatewayClient.ready(simulator, { shard: [1, 2] });
  await back.leave(simulator);
  await GatewayClient.resumed(simulator, back.sessionId, 1);
  // This one disconnects later: it would expire last.
  await gone.leave(simulator);
  await simulator.waitFor('lost');
  expect(simulator.ledger.session(gone.sessionId)?.lost).toBe('expired');
  expect(simulator.sessions.map(({ id }) => id)).toEqual([back.sessionId]);
});

test.each([
  ['client', false, [3000]],
  ['client', true, [1000, 1001]],
  ['server', false, [4000, 1000, 1011]],
  ['server', true, [4004, 4009, 4014]],
] as const)('a close by the %s ends the session: %s after %j', async (by, ends, codes) => {
  for (const code of codes) {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await GatewayClient.ready(simulator);
    if (by === 'client') await client.leave(simulator, code);
    else {
      simulator.close(0, code);
      expect(await client.closed).toBe(code);
      await simulator.waitFor('disconnect');
    }
    if (ends) await refused(simulator, client.sessionId, 1);
    else await GatewayClient.resumed(simulator, client.sessionId, 1);
    expect([code, simulator.violations]).toEqual([code, []]);
  }
});

test.each([true, false])(
  'the older socket of a resumed session is closed: %s. If not, it gets the same events',
  async (closeOlderSocket) => {
    const simulator = await startSimulator({ guilds: 1, closeOlderSocket });
    const older = await GatewayClient.ready(simulator);
    const newer = await GatewayClient.resumed(simulator, older.sessionId, 2);
    if (closeOlderSocket) expect(await older.closed).toBe(4000);
    simulator.emit('message.text');
    const { d } = await newer.dispatch('MESSAGE_CREATE');
    if (closeOlderSocket) return;
    expect((await older.dispatch('MESSAGE_CREATE')).d).toEqual(d);
    await older.leave(simulator);
    expect(simulator.sessions.map(({ attached }) => attached)).toEqual([true]);
  },
);
