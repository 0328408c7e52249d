// SHARD_COUNT changes with a deploy. A session belongs to its shard count, so none of the old ones can go on: each is told
// as a gap, and new ones begin. With fewer groups than before, a group's queue and its last record remain, which nobody of
// the new division would look at: the owner of group 0 does. Meanwhile tasks of both divisions stand side by side.

import { expect } from 'vitest';
import { METRICS } from '../../service/contract/metrics.ts';
import { ENV } from '../../service/contract/names.ts';
import { disastersOn } from './disaster.ts';
import { stored } from './tasks.ts';

const strikes = disastersOn({ tasks: 2, shards: 4, shardsPerTask: 2 });

strikes('from four shards in two groups to two in one: every session is told, of the group that is gone too', {
  rate: 300,
  gapsExpected: true,
  async happens(stage) {
    await stored(stage);
    const old = stage.living;
    const env = { [ENV.shardCount]: '2' };
    await stage.startTask(env);
    await stage.startTask(env);
    for (const task of old) await task.terminate();
    await stage.ready({ shards: 2, groups: 1 });
    await stage.until('four gaps are told', 60_000, () => stage.reader.gaps.size === 4);
    const figures = await Promise.all(stage.living.map((task) => task.metrics()));
    const sum = (name: string) => figures.reduce((total, each) => total + (each.get(name) ?? Number.NaN), 0);
    return {
      reasons: [...new Set([...stage.reader.gaps.values()].map(({ reason }) => reason))].sort().join('; '),
      counted: sum(METRICS.gatewayGaps.prometheus),
      inHandOver: sum(METRICS.gapsInHandOver.prometheus),
      configured: sum(METRICS.shardsConfigured.prometheus),
    };
  },
  bounds({ gaps }, { reasons, counted, inHandOver, configured }) {
    expect(gaps).toBe(4);
    expect(counted).toBe(4);
    expect(inHandOver, 'planned').toBe(0);
    expect(configured, 'two of each task').toBe(4);
    expect(reasons).toBe('the number of shards changed from 4 to 2; the shards were divided into fewer groups');
  },
});

strikes('from two shards to four while a standby of the old division is there: the two sessions are told', {
  rate: 300,
  gapsExpected: true,
  async happens(stage) {
    await stored(stage);
    const old = stage.living;
    const before = stage.reader.gaps.size;
    const younger = [await stage.startTask(), await stage.startTask()];
    // The queue of the second group is theirs at once, although the owner of the old division looked after it.
    await stage.until('the second group has an owner', 60_000, async () => {
      const owner = await stage.owner(1);
      return owner !== undefined && younger.includes(owner);
    });
    for (const task of old) await task.terminate();
    await stage.ready();
    await stage.until('two more gaps are told', 60_000, () => stage.reader.gaps.size === before + 2);
    return undefined;
  },
  bounds({ gaps }) {
    expect(gaps).toBe(2);
  },
});
