// One of the two connections of an owner is cut while the other lives. Without the lease connection the record goes to
// the standby at once, and for a moment both hear Discord and publish: the same events under the same ids, each in order,
// until the old owner asks, gets no answer and steps down. Without the publishing connection the lease stays, and what
// was on the way is published again.

import { expect } from 'vitest';
import { closeConnections } from '../support/connections.ts';
import { disastersOn } from './disaster.ts';
import { connectionOf, ownerOf, stored } from './tasks.ts';

const strikes = disastersOn({ tasks: 2, shards: 4, simulator: { closeOlderSocket: false } });

strikes('the lease connection is cut and the publisher lives: the standby takes over, the old owner steps down', {
  rate: 500,
  async happens(stage) {
    await stored(stage);
    const old = await ownerOf(stage);
    await closeConnections(stage.broker, connectionOf(old, 'lease'));
    await stage.until('the old owner stands by', 60_000, async () => (await old.health())?.lease.state === 'standby');
    await stage.ready();
    await stage.standing(2);
    return { moved: String((await ownerOf(stage)) !== old), old: old.ended ? 'dead' : 'alive' };
  },
  bounds(_, { moved, old }) {
    expect(moved).toBe('true');
    expect(old).toBe('alive');
  },
});

strikes('the publishing connection is cut and the lease lives: the owner stays', {
  rate: 500,
  async happens(stage) {
    const owner = await ownerOf(stage);
    const ended = stage.simulator?.count('disconnect') ?? 0;
    await closeConnections(stage.broker, connectionOf(owner, 'publisher'));
    await stage.until('its channel is open again', 60_000, async () => {
      const report = await owner.health();
      return report?.checks.rabbitmq.channelOpen === true;
    });
    return {
      same: String((await ownerOf(stage)) === owner),
      disconnects: (stage.simulator?.count('disconnect') ?? 0) - ended,
    };
  },
  bounds({ repeated }, { same, disconnects }) {
    expect(same).toBe('true');
    expect(disconnects).toBe(0);
    expect(repeated).toBeLessThan(2_048);
  },
});
