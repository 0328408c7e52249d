// The broker restarts under two owners and a standby. Everyone's connections end at the same moment, and with them every
// lease. Whoever comes back first would be the owner; a standby waits a little, so that each incumbent stays what it was,
// its shards stay connected, and what came meanwhile waits in its outbox.

import { expect } from 'vitest';
import { disaster } from './disaster.ts';
import { ownerOf } from './tasks.ts';

disaster('the broker restarts: the incumbents stay, and their shards never leave Discord', {
  tasks: 3,
  shards: 4,
  shardsPerTask: 2,
  rate: 500,
  async happens(stage) {
    const before = [await ownerOf(stage, 0), await ownerOf(stage, 1)];
    const ended = stage.simulator?.count('disconnect') ?? 0;
    await stage.broker.restart();
    await stage.until('every group has an owner that is certain', 120_000, async () => {
      const owners = (await stage.reports()).filter(
        ({ lease, checks }) => lease.state === 'owner' && checks.rabbitmq.channelOpen,
      );
      return owners.length === 2;
    });
    const after = [await ownerOf(stage, 0), await ownerOf(stage, 1)];
    return {
      same: String(before.every((task, group) => task === after[group])),
      disconnects: (stage.simulator?.count('disconnect') ?? 0) - ended,
    };
  },
  bounds(_, { same, disconnects }) {
    expect(same, 'the owners are who they were').toBe('true');
    expect(disconnects).toBe(0);
  },
});
