// Two groups of two shards and a standby. The broker restarts, as in Amazon MQ's weekly maintenance, and every lease ends at the
// same moment, with its connection: the standby waits first, so that each owner stays the owner. Then a deployment changes
// SHARD_COUNT. A session belongs to its shard count: each is lost and reported by a gap. With fewer groups than before, the
// queue and the last record of a group remain; the owner of group 0 reads them. Meanwhile tasks of both shard layouts run.

import { expect } from 'vitest';
import { ENV } from '../../../service/contract/names.ts';
import { faultsOn } from '../fault.ts';
import { countOf, ownerOf, stored, sumOf } from '../tasks.ts';

const { fullRun } = faultsOn({ tasks: 3, shards: 4, shardsPerTask: 2 });

fullRun('the broker restarts: the owners stay, and their shards stay connected', {
  rate: 500,
  async inject(stage) {
    const owners = async () => [await ownerOf(stage, 0), await ownerOf(stage, 1)];
    const before = await owners();
    const disconnects = countOf(stage, 'disconnect');
    await stage.broker.restart();
    await stage.until('every group has an owner whose lease is confirmed', 120_000, async () => {
      const reports = await stage.reports();
      const confirmed = ({ lease, checks }: (typeof reports)[number]) =>
        lease.state === 'owner' && checks.rabbitmq.channelOpen;
      return reports.filter(confirmed).length === 2;
    });
    expect(await owners()).toEqual(before);
    expect(disconnects()).toBe(0);
  },
});

fullRun('from four shards in two groups to two in one: every lost session is reported, also of the removed group', {
  gaps: 4,
  async inject(stage) {
    await stored(stage);
    const old = stage.living;
    for (let index = 1; index <= 2; index += 1) await stage.startTask({ [ENV.shardCount]: '2' });
    for (const task of old) await task.terminate();
    await stage.ready({ shards: 2, groups: 1 });
    const { gaps } = stage.reader;
    await stage.until('four gaps are reported', 60_000, () => gaps.size === 4);
    expect(await sumOf(stage, 'gatewayGaps')).toBe(4);
    expect(await sumOf(stage, 'gapsInHandOver'), 'planned').toBe(0);
    expect(await sumOf(stage, 'shardsConfigured'), 'two for each task').toBe(4);
    expect(new Set([...gaps.values()].map(({ reason }) => reason))).toEqual(
      new Set(['the number of shards changed from 4 to 2', 'the shards were divided into fewer groups']),
    );
  },
});

fullRun('from two shards to four while a standby of the old shard layout runs: the two lost sessions are reported', {
  gaps: 2,
  async inject(stage) {
    await stored(stage);
    const old = stage.living;
    const before = stage.reader.gaps.size;
    const younger = [await stage.startTask(), await stage.startTask()];
    // The new tasks own the second group at once, although an owner of the old layout has read its queue.
    await stage.until('the second group has an owner', 60_000, async () => {
      const owner = await stage.owner(1);
      return owner !== undefined && younger.includes(owner);
    });
    for (const task of old) await task.terminate();
    await stage.ready();
    await stage.until('two more gaps are reported', 60_000, () => stage.reader.gaps.size === before + 2);
  },
});
