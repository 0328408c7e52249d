// The worst that can be done to a lease: its queue is deleted by hand while the owner is cut off from the broker. The
// standby finds an empty queue, nothing tells it of any session, and it begins new ones. But the owner lives, and has the
// old ones. When its line is back it is not the owner any more, and leaves word of them: the new owner goes on with these.

import { expect } from 'vitest';
import type { IngestorProcess } from '../../local/ingestor-process.ts';
import { leaseQueue } from '../../service/contract/names.ts';
import { asAdministrator } from './administrator.ts';
import { disaster, read } from './disaster.ts';
import type { SilentProxy } from './silent-proxy.ts';
import { ownerOf, stored, taskBehindLine } from './tasks.ts';

let behind: { readonly task: IngestorProcess; readonly line: SilentProxy } | undefined;

disaster('a lease queue deleted while its owner is cut off: the sessions go on, although another owner found nothing', {
  tasks: 0,
  untilReady: false,
  shards: 2,
  rate: 300,
  simulator: { identifyEveryMs: 0 },
  async prepare(stage) {
    behind = await taskBehindLine(stage);
    await stage.ready();
    await stage.startTask();
    await stage.standing(2);
    await stored(stage);
  },
  async happens(stage) {
    if (behind === undefined) throw new Error('not prepared');
    const { task, line } = behind;
    const resumed = stage.simulator?.count('resumed') ?? 0;
    line.silence();
    await asAdministrator(stage, async (channel) => void (await channel.deleteQueue(leaseQueue(0))));
    await stage.until('another task owns the group, with sessions of its own', 60_000, async () => {
      const reports = await stage.reports();
      return reports.some((each) => each.task !== task && each.lease.sessions === 2 && each.shard.connected === 2);
    });
    await read(stage, 300);
    const begun = stage.simulator?.count('identify') ?? 0;
    line.heal();
    await stage.until('the old owner stands by', 60_000, async () => (await task.health())?.lease.ready === true);
    await stage.simulator?.waitFor('resumed', resumed + 2, 60_000);
    const moved = (await ownerOf(stage)) !== task;
    await line.stop();
    return { moved: String(moved), begun };
  },
  bounds(_, { moved, begun }) {
    expect(moved).toBe('true');
    expect(begun, 'the other task had begun sessions of its own').toBe(4);
  },
});
