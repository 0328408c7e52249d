// 64 shards of a large bot (16 IDENTIFYs at once, a shard count that must be a multiple of 16) in four tasks, a fifth
// standing by. Every few seconds one of them, whoever it is, is killed or told to drain, and another is started in its
// place, as ECS would. Who dies when follows from the seed.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { Random } from '../../local/discord/random.ts';
import { disaster } from './disaster.ts';
import { full, lasting, stored } from './tasks.ts';

const SECONDS = lasting(120, 25) / 1_000;

disaster(`64 shards in four tasks that die at random for ${SECONDS} s`, {
  tasks: 5,
  shards: 64,
  rate: 600,
  simulator: { guilds: 200, maxConcurrency: full ? 16 : 32, shardCountMultiple: 16 },
  async happens(stage) {
    await stored(stage);
    const random = new Random(Number(process.env.FAULTS_SEED ?? 1), 21);
    const until = Date.now() + SECONDS * 1_000;
    let killed = 0;
    let drained = 0;
    while (Date.now() < until) {
      const task = stage.living[random.below(stage.living.length)];
      const gently = random.chance(0.3);
      if (gently) {
        drained += 1;
        await task?.terminate();
      } else {
        killed += 1;
        await task?.kill();
      }
      await stage.startTask();
      await sleep(500 + random.below(2_500));
    }
    await stage.ready();
    return { killed, drained };
  },
  timeoutMs: 600_000,
  bounds(_, { killed }) {
    expect(Number(killed)).toBeGreaterThan(2);
  },
});
