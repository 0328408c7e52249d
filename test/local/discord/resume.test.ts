// Sessions that outlive their connections: what is replayed, how far back, for how long, and for whom.

import { GatewayCloseCodes, GatewayOpcodes } from 'discord-api-types/v10';
import { describe, expect, test } from 'vitest';
import type { DiscordSimulator } from '../../../local/discord/simulator.ts';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { GatewayClient } from './gateway-client.ts';

async function resumed(simulator: DiscordSimulator, sessionId: string, sequence: number): Promise<GatewayClient> {
  const client = await GatewayClient.greeted(simulator);
  client.resume(sessionId, sequence);
  await client.dispatch('RESUMED');
  return client;
}

async function refused(simulator: DiscordSimulator, sessionId: string, sequence: number): Promise<GatewayClient> {
  const client = await GatewayClient.greeted(simulator);
  client.resume(sessionId, sequence);
  expect((await client.opcode(GatewayOpcodes.InvalidSession)).d).toBe(false);
  return client;
}

describe('replay', () => {
  test('everything after the sequence comes again as it was, in order, then RESUMED with a sequence of its own', async () => {
    const simulator = await startSimulator({ guilds: 2 });
    const client = await GatewayClient.ready(simulator);
    simulator.burst(50);
    await client.next(({ s }) => s === 53);
    await client.drop();
    const again = await resumed(simulator, client.session.id, 20);
    expect(again.dispatches.slice(0, -1)).toEqual(client.dispatches.filter(({ s }) => Number(s) > 20));
    expect(again.dispatches.at(-1)).toMatchObject({ t: 'RESUMED', s: 54, d: null });
    expect(simulator.violations).toEqual([]);
  });

  test('what happens while nobody is connected is replayed, and counts in the ledger from then on', async () => {
    const simulator = await startSimulator({ guilds: 2 });
    const client = await GatewayClient.ready(simulator);
    await client.next(({ s }) => s === 3);
    await client.drop();
    await simulator.waitFor('disconnect');
    const missed = [simulator.emit('message.text'), simulator.emit('member.join')];
    expect([...simulator.ledger.due()].map(({ sequence, sent }) => [sequence, sent])).toEqual([
      [4, false],
      [5, false],
    ]);
    const again = await resumed(simulator, client.session.id, 3);
    expect(again.dispatches.map(({ t, s }) => [t, s])).toEqual([
      ['MESSAGE_CREATE', 4],
      ['GUILD_MEMBER_ADD', 5],
      ['RESUMED', 6],
    ]);
    expect(again.dispatches[1]?.d).toEqual(missed[1]?.dispatch.d);
    expect([...simulator.ledger.due()].map(({ sent }) => sent)).toEqual([true, true]);
  });

  test('a RESUMED is never replayed: its sequence stays empty', async () => {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await GatewayClient.ready(simulator);
    await client.drop();
    await (await resumed(simulator, client.session.id, 2)).drop();
    const again = await resumed(simulator, client.session.id, 1);
    expect(again.dispatches.map(({ t, s }) => [t, s])).toEqual([
      ['GUILD_CREATE', 2],
      ['RESUMED', 4],
    ]);
  });

  test('READY can be replayed too', async () => {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await GatewayClient.ready(simulator);
    await client.drop();
    const again = await resumed(simulator, client.session.id, 0);
    expect(again.dispatches[0]).toEqual(client.dispatches[0]);
  });

  test('new events follow the replay on the new connection', async () => {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await GatewayClient.ready(simulator);
    await client.drop();
    const again = await resumed(simulator, client.session.id, 2);
    const { sequence } = simulator.emit('message.text');
    expect((await again.dispatch('MESSAGE_CREATE')).s).toBe(sequence);
  });
});

describe('how far back', () => {
  test('a sequence that the buffer no longer reaches gets op 9 with false, and the session is lost', async () => {
    const simulator = await startSimulator({ guilds: 1, replayBufferEvents: 10 });
    const client = await GatewayClient.ready(simulator);
    simulator.burst(30);
    await client.next(({ s }) => s === 32);
    await client.drop();
    await refused(simulator, client.session.id, 21);
    expect(simulator.ledger.lost).toEqual([
      expect.objectContaining({
        sessionId: client.session.id,
        reason: 'resumed from before the replay buffer',
        lastSequence: 32,
        lastSent: 32,
      }),
    ]);
    await refused(simulator, client.session.id, 32);
    expect(simulator.violations).toEqual([]);
  });

  test('the oldest kept sequence still resumes', async () => {
    const simulator = await startSimulator({ guilds: 1, replayBufferEvents: 10 });
    const client = await GatewayClient.ready(simulator);
    simulator.burst(30);
    await client.next(({ s }) => s === 32);
    await client.drop();
    const again = await resumed(simulator, client.session.id, 22);
    expect(again.sequences).toEqual([23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33]);
  });

  test('more than the buffer holds while nobody is connected loses the session at once', async () => {
    const simulator = await startSimulator({ guilds: 1, replayBufferEvents: 10 });
    const client = await GatewayClient.ready(simulator);
    await client.next(({ s }) => s === 2);
    await client.drop();
    await simulator.waitFor('disconnect');
    simulator.burst(10);
    expect(simulator.ledger.lost).toEqual([]);
    simulator.burst(5);
    expect(simulator.ledger.lost).toEqual([
      expect.objectContaining({ reason: 'the replay buffer was overfilled', lastSequence: 13, lastSent: 2 }),
    ]);
    await refused(simulator, client.session.id, 2);
  });

  test('a sequence that was never sent is 4007, and ends the session', async () => {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await GatewayClient.ready(simulator);
    await client.drop();
    const again = await GatewayClient.greeted(simulator);
    again.resume(client.session.id, 3);
    expect((await again.closed).code).toBe(GatewayCloseCodes.InvalidSeq);
    expect(simulator.violations[0]?.sentence).toBe('RESUME says 3, but this session only came to 2');
    await refused(simulator, client.session.id, 2);
  });

  test('by default heartbeats trim nothing; when they do, they trim up to their sequence', async () => {
    for (const trimReplayOnHeartbeat of [false, true]) {
      const simulator = await startSimulator({ guilds: 1, trimReplayOnHeartbeat });
      const client = await GatewayClient.ready(simulator);
      simulator.burst(20);
      await client.next(({ s }) => s === 22);
      client.heartbeat(15);
      client.heartbeat(10);
      await client.settled();
      await client.drop();
      if (trimReplayOnHeartbeat) {
        expect((await resumed(simulator, client.session.id, 15)).sequences.slice(0, 2)).toEqual([16, 17]);
        await refused(simulator, client.session.id, 14);
      } else {
        expect((await resumed(simulator, client.session.id, 14)).sequences[0]).toBe(15);
      }
    }
  });
});

describe('for how long', () => {
  test('a session without a connection expires; with one it does not', async () => {
    const simulator = await startSimulator({ guilds: 2, sessionTtlMs: 150 });
    const gone = await GatewayClient.ready(simulator, { shard: [0, 2] });
    const stays = await GatewayClient.ready(simulator, { shard: [1, 2] });
    await gone.drop();
    await simulator.waitFor('lost');
    expect(simulator.ledger.lost).toEqual([expect.objectContaining({ sessionId: gone.session.id, reason: 'expired' })]);
    await refused(simulator, gone.session.id, 2);
    await stays.settled();
    expect(simulator.sessions.map(({ id }) => id)).toEqual([stays.session.id]);
  });

  test('a RESUME in time stops the clock', async () => {
    const simulator = await startSimulator({ guilds: 1, sessionTtlMs: 300 });
    const client = await GatewayClient.ready(simulator);
    await client.drop();
    const again = await resumed(simulator, client.session.id, 1);
    const from = performance.now();
    await simulator.waitUntil('longer than a session lives', () => performance.now() - from > 400);
    await again.settled();
    expect(simulator.ledger.lost).toEqual([]);
  });

  test.each([1000, 1001])('a client that closes with %i ends its session', async (code) => {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await GatewayClient.ready(simulator);
    await client.close(code);
    await simulator.waitFor('lost');
    expect(simulator.ledger.lost[0]?.reason).toBe(`closed by the client with ${code}`);
    await refused(simulator, client.session.id, 1);
  });

  test.each([4200, 4000, 3000])('a client that closes with %i keeps it', async (code) => {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await GatewayClient.ready(simulator);
    await client.close(code);
    await resumed(simulator, client.session.id, 1);
  });

  test('forgotten sessions are lost: those without a connection at once, the others when theirs ends', async () => {
    const simulator = await startSimulator({ guilds: 2 });
    const without = await GatewayClient.ready(simulator, { shard: [0, 2] });
    const connected = await GatewayClient.ready(simulator, { shard: [1, 2] });
    await without.drop();
    await simulator.waitFor('disconnect');
    simulator.forgetSessions();
    expect(simulator.ledger.lost.map(({ sessionId }) => sessionId)).toEqual([without.session.id]);
    await connected.settled();
    await connected.drop();
    await refused(simulator, connected.session.id, 1);
    expect(simulator.ledger.lost.map(({ reason }) => reason)).toEqual(['forgotten', 'forgotten']);
  });
});

describe('for whom', () => {
  test('the older socket of a resumed session is closed', async () => {
    const simulator = await startSimulator({ guilds: 1 });
    const older = await GatewayClient.ready(simulator);
    const newer = await resumed(simulator, older.session.id, 1);
    expect((await older.closed).code).toBe(4000);
    simulator.emit('message.text');
    await newer.dispatch('MESSAGE_CREATE');
    expect(simulator.sessions.map(({ attached }) => attached)).toEqual([true]);
    expect(simulator.violations).toEqual([]);
  });

  test('or left open, and then both get what happens', async () => {
    const simulator = await startSimulator({ guilds: 1, closeOlderSocket: false });
    const older = await GatewayClient.ready(simulator);
    const newer = await resumed(simulator, older.session.id, 1);
    simulator.emit('message.text');
    const [a, b] = [await older.dispatch('MESSAGE_CREATE'), await newer.dispatch('MESSAGE_CREATE')];
    expect(a).toEqual(b);
    await older.drop();
    simulator.emit('message.text');
    expect((await newer.dispatch('MESSAGE_CREATE')).s).toBe(Number(b.s) + 1);
    expect(simulator.ledger.lost).toEqual([]);
  });

  test('the address of the RESUME is seen', async () => {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await GatewayClient.ready(simulator);
    const addresses: boolean[] = [];
    simulator.events.on('resume', ({ byResumeUrl }) => addresses.push(byResumeUrl));
    await client.drop();
    await (await resumed(simulator, client.session.id, 1)).drop();
    const proper = await GatewayClient.greeted(simulator, { url: client.session.resumeUrl });
    proper.resume(client.session.id, 1);
    await proper.dispatch('RESUMED');
    expect(addresses).toEqual([false, true]);
  });

  test('a session of another shard count is resumed as it is', async () => {
    const simulator = await startSimulator({ guilds: 6 });
    const two = await GatewayClient.ready(simulator, { shard: [1, 2] });
    const three = await GatewayClient.ready(simulator, { shard: [1, 3] });
    await two.drop();
    const again = await resumed(simulator, two.session.id, 1);
    expect(again.dispatches.filter(({ t }) => t === 'GUILD_CREATE')).toHaveLength(3);
    expect(three.dispatches[0]?.d.guilds).toHaveLength(2);
  });

  test('an unknown session gets op 9 with false, and may IDENTIFY on the same socket', async () => {
    const simulator = await startSimulator({ guilds: 1 });
    const client = await refused(simulator, 'no-such-session', 5);
    client.identify();
    await client.dispatch('READY');
    expect(simulator.violations).toEqual([]);
    expect([simulator.count('resume'), simulator.count('refused')]).toEqual([1, 1]);
  });
});
