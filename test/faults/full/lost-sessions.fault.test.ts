// Sessions that Discord has ended. They expire while no task runs: the next task reads the record, Discord refuses the RESUMEs,
// and the task reports each lost session before the events of the new one. Or Discord invalidates one so often that the day's
// IDENTIFYs are spent; one more would end every session and reset the token, so the shard waits until they are reset.

import { expect } from 'vitest';
import { faultsOn, read } from '../fault.ts';
import { countOf, health, leadsTo, metric, ownerOf, stored } from '../tasks.ts';

const expiring = faultsOn({ shards: 4, simulator: { sessionTtlMs: 2_000 } });

expiring.fullRun('sessions that expire while no task runs are reported as gaps, and new ones start', {
  gaps: 4,
  async inject(stage) {
    const { gaps } = stage.reader;
    await stored(stage);
    const owner = await ownerOf(stage);
    await leadsTo(stage, 4, 'lost', () => owner.kill());
    await stage.startTask();
    await stage.ready();
    await stage.until('four gaps are reported', 60_000, () => gaps.size === 4);
    for (const [sessionId, { lastSequence, shardId }] of gaps) {
      const session = stage.simulator.ledger.session(sessionId);
      expect(session?.lost).toBeDefined();
      expect(session?.shardId).toBe(shardId);
      expect(lastSequence).toBeLessThanOrEqual(session?.lastSequence ?? -1);
    }
    // They were stored seconds ago: the task cannot know that the hand-over is not the cause.
    expect(await metric(stage.living[0], 'gapsInHandOver')).toBe(4);
    expect(stage.verdict().announced, 'the gap events cover the missing events').toBeGreaterThan(0);
  },
});

const SHARDS = 2;
// A day of 30 s.
const budget = { dailyIdentifies: SHARDS + 1, identifyBudgetWindowMs: 30_000, identifyEveryMs: 0 };

faultsOn({ tasks: 2, shards: SHARDS, simulator: budget }).fullRun(
  'the IDENTIFYs of the day are spent: the shard waits for the reset, and the others go on',
  {
    gaps: 2,
    async inject(stage) {
      const { simulator } = stage;
      const owner = await ownerOf(stage);
      const spent = async () => (await health(owner)).identifies.spentUntil !== null;
      while (!(await spent())) {
        const ready = countOf(stage, 'ready');
        simulator.invalidate(0, { resumable: false });
        await stage.until('shard 0 has a new session, or waits', 60_000, async () => ready() > 0 || (await spent()));
      }
      const { shards, status } = await health(owner);
      await read(stage, 100);
      expect(shards.find(({ id }) => id === 1)?.state).toBe('ready');
      expect(status).toBe('unhealthy');
      await stage.ready();
      expect(simulator.count('tokenReset'), 'no IDENTIFY beyond the daily limit').toBe(0);
    },
  },
);
