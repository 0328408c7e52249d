// The group record is lost while no task runs: an operator has purged the lease queue, or deleted it. What Discord sends
// meanwhile is lost too, and only the empty queue shows it: each shard of the group reports a gap. Two groups of two shards.
// A first deployment reports no gap, and neither does an added group: the topology puts an empty record into a new queue.

import { expect } from 'vitest';
import { ManagementApi } from '../../lib/management/management-api.ts';
import { applyTopology } from '../../lib/topology/apply.ts';
import { discordTopology } from '../../lib/topology/topology.ts';
import { asAdministrator } from '../../local/rabbitmq/administrator.ts';
import { ENV, leaseQueue } from '../../service/contract/names.ts';
import { type FaultStage, faultsOn } from './fault.ts';
import { stored, sumOf } from './tasks.ts';

const { everyRun, fullRun } = faultsOn({
  ...{ tasks: 2, shards: 4, shardsPerTask: 2 },
  // A killed task loses its identify lock at once.
  simulator: { identifyEveryMs: 0 },
});

/** Kills all tasks, changes the queues, and starts new tasks. */
async function withoutTasks(stage: FaultStage, change: () => Promise<unknown>): Promise<void> {
  await stored(stage);
  await Promise.all(stage.living.map((task) => task.kill()));
  await change();
  await Promise.all([stage.startTask(), stage.startTask()]);
  await stage.ready();
}

const reasons = (stage: FaultStage, from: number) =>
  [...stage.reader.gaps.values()]
    .slice(from)
    .map(({ shardId, reason }) => `${shardId}: ${reason}`)
    .toSorted();

everyRun('the records are purged while no task runs: each shard reports a gap; the first deployment reported none', {
  gaps: 4,
  async inject(stage) {
    expect(stage.reader.gaps.size, 'a first deployment').toBe(0);
    await withoutTasks(stage, async () => {
      for (const group of [0, 1])
        await asAdministrator(stage.broker, (channel) => channel.purgeQueue(leaseQueue(group)));
      // The queues exist: the topology puts no empty record into them.
      await stage.applyTopology();
    });
    await stage.until('four gaps are reported', 60_000, () => stage.reader.gaps.size === 4);
    expect(reasons(stage, 0)).toEqual([0, 1, 2, 3].map((shard) => `${shard}: no record found`));
    expect([await sumOf(stage, 'gatewayGaps'), await sumOf(stage, 'gapsInHandOver')]).toEqual([4, 0]);
    expect(stage.verdict().announced, 'the gap events cover the missing events').toBeGreaterThan(0);
  },
});

for (const madeBy of ['the topology', 'the task'] as const)
  fullRun(`a lease queue is deleted while no task runs, and declared again by ${madeBy}: its shards report a gap`, {
    gaps: 2,
    async inject(stage) {
      const before = stage.reader.gaps.size;
      await withoutTasks(stage, async () => {
        await asAdministrator(stage.broker, (channel) => channel.deleteQueue(leaseQueue(1)));
        if (madeBy === 'the topology') await stage.applyTopology();
      });
      await stage.until('two gaps are reported', 60_000, () => stage.reader.gaps.size === before + 2);
      expect(reasons(stage, before)).toEqual([2, 3].map((shard) => `${shard}: no record found`));
    },
  });

fullRun('tasks that start after all were killed resume from the stored records', {
  async inject(stage) {
    await withoutTasks(stage, async () => await stage.applyTopology());
  },
});

faultsOn({ tasks: 1, shards: 2, shardsPerTask: 2, simulator: { shards: 4 } }).fullRun(
  'an added group reports no gap, although a task of the old shard layout has read its queue',
  {
    gaps: 2,
    // A killed task loses its identify lock at once.
    mayViolate: /^IDENTIFY too early/,
    async inject(stage) {
      await stored(stage);
      const api = new ManagementApi({ ...stage.broker, url: stage.broker.managementUrl });
      await applyTopology(api, discordTopology({ shards: { count: 4, perTask: 2 } }), { passwords: {} });
      api.close();
      // A task of the old version starts after the topology has changed, and finds the queue of a group that it does not know.
      const [first] = stage.living;
      const old = await stage.startTask();
      await first?.kill();
      await stage.ready();
      const four = { [ENV.shardCount]: '4' };
      await Promise.all([stage.startTask(four), stage.startTask(four)]);
      await stage.until('the second group has an owner', 60_000, async () => (await stage.owner(1)) !== undefined);
      await old.terminate();
      await stage.ready({ shards: 4, groups: 2 });
      await stage.until('two gaps are reported', 60_000, () => stage.reader.gaps.size === 2);
      expect(reasons(stage, 0)).toEqual([0, 1].map((shard) => `${shard}: the number of shards changed from 2 to 4`));
    },
  },
);
