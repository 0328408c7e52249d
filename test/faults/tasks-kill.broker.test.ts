// Tasks that die without a word. The owner is killed with kill -9 while its outbox is full of what the broker has not
// confirmed; then a task and the broker at once, so that nobody is left who remembers but the broker's disk.

import { expect } from 'vitest';
import { disastersOn } from './disaster.ts';
import { ownerOf, stored } from './tasks.ts';

const RATE = 1_000;
const strikes = disastersOn({ tasks: 2, shards: 4 });

strikes('a task killed with kill -9 in mid-batch: the standby resumes, and repeats at most the last second', {
  rate: RATE,
  async happens(stage) {
    await stored(stage);
    const owner = await ownerOf(stage);
    // In the middle of a batch: thousands are on the way between Discord and the broker.
    stage.simulator?.burst(2_000);
    await owner.kill();
    await stage.ready();
    await stage.startTask();
    return undefined;
  },
  bounds({ repeated }) {
    // What came since the last commit: a second, the burst, and a machine that is slow.
    expect(repeated).toBeLessThan(2 * RATE + 2_000);
  },
});

strikes('a task and the broker killed with kill -9 together: what was confirmed is on disk, the rest is replayed', {
  rate: 300,
  async happens(stage) {
    const owner = await ownerOf(stage);
    await stage.standing(2);
    await stage.broker.rememberQueues();
    await Promise.all([owner.kill(), stage.broker.kill()]);
    await stage.broker.start();
    await stage.ready();
    return undefined;
  },
});
