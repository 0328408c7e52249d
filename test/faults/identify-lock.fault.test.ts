// The connection for the identify lock reaches a node that does not answer, when a shard needs a new session. That shard waits;
// the lease and all other events go on. When the node answers, or another is reached, the shard IDENTIFYs.

import { expect } from 'vitest';
import { faultsOn, read } from './fault.ts';
import { countOf, health, leadsTo, ownerBehindLine } from './tasks.ts';

faultsOn({ shards: 2, tasks: 2 }).everyRun(
  'without an identify lock a shard waits for its new session, and nothing else does',
  {
    rate: 100,
    gaps: 1,
    async inject(stage) {
      const { task, line } = await ownerBehindLine(stage);
      const identifies = countOf(stage, 'identify');
      const commits = (await health(task)).lease.commit as number;
      line.silence(' identify');
      stage.simulator.invalidate(0, { resumable: false });
      await stage.until('the connection was tried twice', 60_000, () => /"failures":2/.test(task.output));
      await read(stage, 200);
      const { role, lease, checks } = await health(task);
      expect([role, lease.state, identifies()]).toEqual(['owner', 'owner', 0]);
      expect(lease.commit).toBeGreaterThan(commits);
      expect(checks.rabbitmq).toMatchObject({ connected: true });
      expect(task.output).not.toContain('the connection to the broker was lost');
      await leadsTo(stage, 1, 'ready', () => line.heal());
      await stage.ready();
      expect(identifies()).toBe(1);
      await task.terminate();
      await line.stop();
      await stage.startTask();
      await stage.standing(2);
    },
  },
);
