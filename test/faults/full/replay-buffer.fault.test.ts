// Discord does not document how many events it keeps for a RESUME, whether it drops those that a heartbeat or a RESUME
// acknowledged, and what it does with a client whose heartbeats lag. No session is lost with any reading: a heartbeat has a
// sequence from which the next owner can RESUME, and a running task resumes from its last received sequence.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { faultsOn } from '../fault.ts';
import { countOf, kill, memoryAlarm, ownerOf, resumes, stored } from '../tasks.ts';

const SHARDS = 4;
/** A hundred events take ten seconds of a shard. */
const SLOW = { rate: 10 * SHARDS, trafficAfterMs: 5_000 };
const { everyReading, fullRun } = faultsOn({
  tasks: 2,
  shards: SHARDS,
  simulator: { heartbeatIntervalMs: 1_000, mix: { 'command.plain': 1, 'message.text': 4 } },
});

everyReading('kill -9 of the owner: the standby resumes from the stored record', {
  ...SLOW,
  async inject(stage) {
    await stored(stage);
    const owner = await ownerOf(stage);
    // Heartbeats directly after confirmed events, which may not be in the record yet.
    const [events, heartbeats] = [stage.reader.events, countOf(stage, 'heartbeat')];
    stage.simulator.burst(10 * SHARDS);
    await stage.until('the burst is read', 10_000, () => stage.reader.events >= events + 10 * SHARDS);
    stage.simulator.sendHeartbeatRequest();
    await stage.until('every shard has sent a heartbeat', 10_000, () => heartbeats() >= SHARDS);
    await kill(stage, owner);
  },
});

everyReading('op 7 while the broker is down: sessions are resumed before it is back', {
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

fullRun('Discord disconnects a client whose heartbeats lag: no reconnect loop while nothing can be stored', {
  async inject(stage) {
    const closed = countOf(stage, 'laggingHeartbeat');
    const owner = await ownerOf(stage);
    stage.simulator.read({ closesLaggingHeartbeat: 50 });
    await memoryAlarm(stage, owner);
    await stage.simulator.waitFor('laggingHeartbeat', 3 * SHARDS, 60_000);
    const seen = closed();
    // Ten heartbeats from each shard.
    await sleep(10_000);
    expect(closed() - seen).toBeLessThanOrEqual(SHARDS);
    await stage.broker.memoryAlarm(false);
    await stage.ready();
    stage.simulator.read({ closesLaggingHeartbeat: undefined });
  },
});
