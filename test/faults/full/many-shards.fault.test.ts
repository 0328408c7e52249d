// The shards of a large bot: deployments under load, op 7 and op 9 to all shards, and tasks that end at random. Each task hands
// its group over, and its sessions are resumed.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { Random } from '../../../local/discord/random.ts';
import { faultsOn, read, seed } from '../fault.ts';
import { countOf, deploy, leadsTo, resumes, stored } from '../tasks.ts';

const SHARDS = 32;
const { fullRun } = faultsOn({ tasks: 3, shards: SHARDS });

fullRun('a deployment hands every session over: nothing is lost, nothing is repeated', {
  rate: 1_000,
  mostRepeats: 0,
  async inject(stage) {
    const identifies = countOf(stage, 'identify');
    expect(await deploy(stage), 'every task drained').toEqual([0, 0, 0]);
    expect(identifies(), 'every session was resumed').toBe(0);
  },
});

fullRun('op 7 to all shards again and again, and a deployment meanwhile', {
  rate: 500,
  mostRepeats: 0,
  // When a connection ends before RESUMED arrives, its sequence is missing: the simulator does not replay RESUMED.
  mayReportHoles: true,
  async inject(stage) {
    for (const meanwhile of ['nothing', 'a deploy', 'nothing', 'nothing']) {
      await resumes(stage, SHARDS, async () => {
        stage.simulator.reconnect();
        if (meanwhile === 'a deploy') await deploy(stage);
      });
      await read(stage, 100);
    }
  },
});

fullRun('op 9 with d true to all shards, with d false to two: every session is resumed, or reported by a gap', {
  rate: 500,
  gaps: 2,
  async inject(stage) {
    const { simulator } = stage;
    await leadsTo(stage, SHARDS, 'resumed', () => simulator.invalidate(undefined, { resumable: true }));
    await leadsTo(stage, 2, 'ready', () => {
      for (const shard of [3, 20]) simulator.invalidate(shard, { resumable: false });
    });
    await stage.ready();
  },
});

const CHAOS_SECONDS = 120;
// The simulator allows 16 IDENTIFYs at once, and requires a shard count that is a multiple of 16.
const large = faultsOn({
  tasks: 5,
  shards: 64,
  simulator: { guilds: 200, maxConcurrency: 16, shardCountMultiple: 16 },
});

large.fullRun(`64 shards in four tasks that end at random for ${CHAOS_SECONDS} s, each replaced as ECS would`, {
  rate: 600,
  async inject(stage) {
    await stored(stage);
    const random = new Random(seed, 21);
    const until = Date.now() + CHAOS_SECONDS * 1_000;
    let killed = 0;
    while (Date.now() < until) {
      const task = stage.living[random.below(stage.living.length)];
      if (random.chance(0.3)) await task?.terminate();
      else {
        killed += 1;
        await task?.kill();
      }
      await stage.startTask();
      await sleep(500 + random.below(2_500));
    }
    await stage.ready();
    expect(killed).toBeGreaterThan(2);
  },
});
