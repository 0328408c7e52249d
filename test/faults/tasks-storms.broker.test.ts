// Storms from Discord over 32 shards in two tasks: op 7 to everyone at once, again and again, while the tasks are
// deployed; then op 9 that says resumable to all; then op 9 that does not, to one shard of each task: those two sessions
// are lost, which is told, and nothing else is.

import { expect } from 'vitest';
import { disastersOn, read } from './disaster.ts';
import { deploy } from './tasks.ts';

const SHARDS = 32;
const strikes = disastersOn({ tasks: 3, shards: SHARDS });

strikes('op 7 storms on all shards, and a deploy in the middle of them', {
  rate: 500,
  async happens(stage) {
    const { simulator } = stage;
    const identified = simulator?.count('identify');
    for (let storm = 1; storm <= 4; storm += 1) {
      simulator?.reconnect();
      if (storm === 2) await deploy(stage);
      else await stage.ready();
      await read(stage, 100);
    }
    expect(simulator?.count('identify')).toBe(identified);
    return { resumes: simulator?.count('resumed') ?? 0 };
  },
  bounds({ repeated }, { resumes }) {
    expect(Number(resumes)).toBeGreaterThanOrEqual(4 * SHARDS);
    expect(repeated).toBe(0);
  },
});

strikes('op 9 on all shards: the resumable are resumed, of those that are not two gaps are told', {
  rate: 500,
  gapsExpected: true,
  async happens(stage) {
    const { simulator } = stage;
    const resumed = simulator?.count('resumed') ?? 0;
    simulator?.invalidate(undefined, { resumable: true });
    await simulator?.waitFor('resumed', resumed + SHARDS, 60_000);
    const begun = simulator?.count('ready') ?? 0;
    for (const shard of [3, 20]) simulator?.invalidate(shard, { resumable: false });
    await simulator?.waitFor('ready', begun + 2, 60_000);
    await stage.ready();
    return undefined;
  },
  bounds({ gaps }) {
    expect(gaps).toBe(2);
  },
});
