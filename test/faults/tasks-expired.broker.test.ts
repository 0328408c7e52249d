// The only task dies and nobody takes its place for longer than Discord keeps the sessions. The next task finds the
// record, is refused by Discord, and may not pretend that nothing happened: each lost session is told with its last
// confirmed sequence, the time and the reason, before the new one's events.

import { expect } from 'vitest';
import { METRICS } from '../../service/contract/metrics.ts';
import { disaster } from './disaster.ts';
import { ownerOf, stored } from './tasks.ts';

disaster('sessions that expired while no task was there are told as gaps, and new ones begin', {
  tasks: 1,
  shards: 4,
  rate: 400,
  gapsExpected: true,
  simulator: { sessionTtlMs: 2_000 },
  async happens(stage) {
    await stored(stage);
    const lost = stage.simulator?.count('lost') ?? 0;
    await (await ownerOf(stage)).kill();
    await stage.simulator?.waitFor('lost', lost + 4, 30_000);
    await stage.startTask();
    await stage.ready();
    await stage.until('four gaps are told', 60_000, () => stage.reader.gaps.size === 4);
    const told = [...stage.reader.gaps].every(([sessionId, { lastSequence, shardId }]) => {
      const session = stage.simulator?.ledger.session(sessionId);
      return session?.shardId === shardId && session.lost !== undefined && lastSequence <= session.lastSequence;
    });
    const figures = await stage.living[0]?.metrics();
    return { told: String(told), inHandOver: figures?.get(METRICS.gapsInHandOver.prometheus) ?? 0 };
  },
  bounds({ gaps, announced }, { told, inHandOver }) {
    expect(gaps).toBe(4);
    // They were alive when they were last stored, seconds before: for all that can be known it is the new task's fault.
    expect(inHandOver).toBe(4);
    expect(told, 'each names its session and shard').toBe('true');
    expect(announced, 'what fell into the gap is announced, not silently missing').toBeGreaterThan(0);
  },
});
