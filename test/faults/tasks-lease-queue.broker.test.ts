// What people can do to a lease queue: delete it under its owner, or put something into it that is no session record. The
// owner declares the queue anew and stays; an unreadable record is kept in dead-letters. Where the only record is
// unreadable, nobody can know the sessions: new ones begin, and a gap is told for each shard.

import { expect } from 'vitest';
import type { Stage } from '../../local/stage.ts';
import { EXCHANGES, leaseQueue, QUEUES } from '../../service/contract/names.ts';
import { asAdministrator, depth } from './administrator.ts';
import { disastersOn } from './disaster.ts';
import { ownerOf, stored } from './tasks.ts';

const QUEUE = leaseQueue(0);
const strikes = disastersOn({ tasks: 2, shards: 2 });

strikes('the lease queue is deleted by hand: the owner stays, and its record is there again', {
  rate: 400,
  async happens(stage) {
    const owner = await ownerOf(stage);
    const ended = stage.simulator?.count('disconnect') ?? 0;
    await asAdministrator(stage, async (channel) => void (await channel.deleteQueue(QUEUE)));
    await stage.until('the owner is certain again', 60_000, async () =>
      / lease is still ours/.test(owner.output) ? (await owner.health())?.lease.state === 'owner' : false,
    );
    await stage.standing(2);
    const disconnects = (stage.simulator?.count('disconnect') ?? 0) - ended;
    const same = (await ownerOf(stage)) === owner;
    // The proof that the record is there: somebody else goes on with it.
    await stored(stage);
    await owner.kill();
    await stage.ready();
    await stage.startTask();
    return { same: String(same), disconnects };
  },
  bounds(_, { same, disconnects }) {
    expect(same).toBe('true');
    expect(disconnects).toBe(0);
  },
});

strikes('an unreadable record beside a good one goes to dead-letters, and nobody is disturbed', {
  rate: 400,
  async happens(stage) {
    const owner = await ownerOf(stage);
    await publishNonsense(stage);
    await stage.until('it is in dead-letters', 60_000, async () => (await depth(stage, QUEUES.deadLetters)) === 1);
    return { same: String((await ownerOf(stage)) === owner) };
  },
  bounds(_, { same }) {
    expect(same).toBe('true');
  },
});

strikes('an unreadable record alone: it is kept, a gap is told for each shard, and new sessions begin', {
  rate: 400,
  gapsExpected: true,
  async happens(stage) {
    await Promise.all(stage.living.map((task) => task.kill()));
    await asAdministrator(stage, async (channel) => void (await channel.purgeQueue(QUEUE)));
    await publishNonsense(stage);
    await stage.startTask();
    await stage.ready();
    await stage.until('it is in dead-letters', 60_000, async () => (await depth(stage, QUEUES.deadLetters)) === 2);
    return undefined;
  },
  bounds({ gaps }) {
    expect(gaps).toBe(2);
  },
});

async function publishNonsense(stage: Stage): Promise<void> {
  await asAdministrator(stage, async (channel) => {
    channel.publish(EXCHANGES.leases, QUEUE, Buffer.from('{"version":7}'), { persistent: true, type: 'record' });
  });
}
