// The broker is away for longer than the outbox can hold (its marks are set low). At the high mark the shards close with
// a code that keeps their sessions, and Discord's replay buffer holds what comes next. When the broker is back the outbox
// empties, and below the low mark the shards resume.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { ENV } from '../../service/contract/names.ts';
import { disaster } from './disaster.ts';
import { health, lasting, ownerOf } from './tasks.ts';

const AWAY_MS = lasting(180, 15);

disaster(`the broker is away for ${AWAY_MS / 1_000} s and the outbox holds 1,000 events: the rest waits at Discord`, {
  tasks: 2,
  shards: 4,
  rate: 200,
  env: { [ENV.outboxMaxEvents]: '1000' },
  simulator: { replayBufferEvents: 100_000 },
  async happens(stage) {
    const owner = await ownerOf(stage);
    const since = Date.now();
    await stage.broker.stop();
    await stage.until('the shards are closed', 60_000, async () => {
      const { shards, outbox } = await health(owner);
      return !outbox.receiving && shards.every(({ state }) => state === 'stopped');
    });
    const { outbox } = await health(owner);
    const live = (await fetch(`${owner.url}/live`)).status;
    await sleep(Math.max(0, AWAY_MS - (Date.now() - since)));
    await stage.broker.start();
    await stage.ready(undefined, 180_000);
    return { largest: outbox.events, live };
  },
  settleMs: 240_000,
  timeoutMs: 600_000,
  bounds(_, { largest, live }) {
    expect(largest, 'it stopped receiving at the mark').toBeLessThan(2_000);
    expect(live, 'nobody restarts the task for it').toBe(200);
  },
});
