// The broker is in memory alarm: it reads nothing from publishers, and closes nothing. The events wait in the outbox until
// its high mark; then the shards close, resumably. The lease stays where it is, as it has its own connection. When the
// alarm ends everything leaves, and the shards resume.

import { expect } from 'vitest';
import { ENV } from '../../service/contract/names.ts';
import { disaster } from './disaster.ts';
import { health, ownerOf } from './tasks.ts';

disaster('a broker in memory alarm: the shards close at the mark, resume after it, and no lease changes hands', {
  tasks: 2,
  shards: 2,
  rate: 500,
  env: { [ENV.outboxMaxEvents]: '2000' },
  async happens(stage) {
    const owner = await ownerOf(stage);
    await stage.broker.memoryAlarm(true);
    await stage.until('the shards are closed', 60_000, async () => {
      const { shards, checks } = await health(owner);
      return checks.rabbitmq.blocked && shards.every(({ state }) => state === 'stopped');
    });
    await stage.broker.memoryAlarm(false);
    await stage.ready();
    return { same: String((await ownerOf(stage)) === owner) };
  },
  bounds({ repeated }, { same }) {
    expect(same).toBe('true');
    expect(repeated).toBe(0);
  },
});
