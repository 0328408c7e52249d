// Discord invalidates one session so often that the day's IDENTIFYs are spent. One more would end every session and reset
// the token. So the shard waits for Discord's reset and says so, in /health and in the log, while the others go on.

import { expect } from 'vitest';
import { disaster, read } from './disaster.ts';
import { health, ownerOf } from './tasks.ts';

const SHARDS = 2;

disaster('the IDENTIFYs of the day are spent: the shard waits for the reset, and the others go on', {
  tasks: 2,
  shards: SHARDS,
  rate: 300,
  gapsExpected: true,
  // A day of half a minute.
  simulator: { dailyIdentifies: SHARDS + 1, identifyBudgetWindowMs: 30_000, identifyEveryMs: 0 },
  async happens(stage) {
    const { simulator } = stage;
    const owner = await ownerOf(stage);
    const spent = async () => (await health(owner)).identifies.spentUntil !== null;
    const ready = () => simulator?.count('ready') ?? 0;
    let invalidated = 0;
    while (!(await spent())) {
      const begun = ready();
      simulator?.invalidate(0, { resumable: false });
      invalidated += 1;
      await stage.until('shard 0 has a new session, or waits', 60_000, async () => ready() > begun || (await spent()));
    }
    const report = await health(owner);
    await read(stage, 100);
    const one = report.shards.find(({ id }) => id === 1)?.state;
    await stage.ready(undefined, 120_000);
    return { invalidated, one: one ?? 'none', status: report.status, resets: simulator?.count('tokenReset') ?? 0 };
  },
  bounds({ gaps }, { invalidated, one, status, resets }) {
    expect(gaps).toBe(invalidated);
    expect(one, 'the other shard').toBe('ready');
    expect(status).toBe('unhealthy');
    expect(resets, 'Discord was never overspent').toBe(0);
  },
});
