// Discord documents neither how many events it keeps for a RESUME nor whether it forgets what a heartbeat or a RESUME
// acknowledged, nor what it does with a client whose heartbeats lag. Every session survives each reading: a heartbeat carries
// a sequence from which the next owner can RESUME, and a living task resumes from what it has received.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { faultsOn } from '../fault.ts';
import { countOf, kill, memoryAlarm, ownerOf, resumes, stored } from '../tasks.ts';

const SHARDS = 4;
/** So that a hundred events are ten seconds of a shard. */
const SLOW = { rate: 10 * SHARDS, trafficAfterMs: 5_000 };
const { everyReading, fullRun } = faultsOn({
  tasks: 2,
  shards: SHARDS,
  simulator: { heartbeatIntervalMs: 1_000, mix: { 'command.plain': 1, 'message.text': 4 } },
});

everyReading('kill -9 of the owner: the standby asks from the stored record', {
  ...SLOW,
  async inject(stage) {
    await stored(stage);
    const owner = await ownerOf(stage);
    // Heartbeats right after events that are confirmed, and hardly in the record yet.
    const [events, heartbeats] = [stage.reader.events, countOf(stage, 'heartbeat')];
    stage.simulator.burst(10 * SHARDS);
    await stage.until('the burst is read', 10_000, () => stage.reader.events >= events + 10 * SHARDS);
    stage.simulator.sendHeartbeatRequest();
    await stage.until('heartbeats came', 10_000, () => heartbeats() >= SHARDS);
    await kill(stage, owner);
  },
});

everyReading('the broker is away, and Discord asks for another connection: sessions are resumed before it is back', {
  ...SLOW,
  async inject(stage) {
    await stage.broker.rememberQueues();
    await stage.broker.kill();
    try {
      await resumes(stage, SHARDS, () => stage.simulator.reconnect());
    } finally {
      await stage.broker.start();
    }
    await stage.ready();
    await stage.standing(2);
  },
});

fullRun('a client whose heartbeats lag is disconnected: it does not become a loop while nothing can be stored', {
  async inject(stage) {
    const closed = countOf(stage, 'laggingHeartbeat');
    const owner = await ownerOf(stage);
    stage.simulator.read({ closesLaggingHeartbeat: 50 });
    await memoryAlarm(stage, owner);
    await stage.simulator.waitFor('laggingHeartbeat', 3 * SHARDS, 60_000);
    const seen = closed();
    // Ten heartbeats of each shard.
    await sleep(10_000);
    expect(closed() - seen).toBeLessThanOrEqual(SHARDS);
    await stage.broker.memoryAlarm(false);
    await stage.ready();
    stage.simulator.read({ closesLaggingHeartbeat: undefined });
  },
});
