// The owner's way to the broker falls silent: both connections stay open and nothing gets through, as on a half-open
// line. Only heartbeats can tell. The broker notices, and gives the record to the standby; the owner notices too, and
// must not take the sessions back, although it hears Discord well. When the line is back it finds itself a standby.

import { expect } from 'vitest';
import type { IngestorProcess } from '../../local/ingestor-process.ts';
import { disaster } from './disaster.ts';
import type { SilentProxy } from './silent-proxy.ts';
import { ownerOf, taskBehindLine } from './tasks.ts';

let behind: { readonly task: IngestorProcess; readonly line: SilentProxy } | undefined;

disaster('a silent, half-open line to the broker: heartbeats find it, and the standby takes over', {
  tasks: 0,
  untilReady: false,
  shards: 4,
  rate: 200,
  async prepare(stage) {
    behind = await taskBehindLine(stage);
    await stage.ready();
    await stage.startTask();
    await stage.standing(2);
  },
  async happens(stage) {
    if (behind === undefined) throw new Error('not prepared');
    const { task, line } = behind;
    const resumed = stage.simulator?.count('resumed') ?? 0;
    line.silence();
    await stage.until('another task owns the group', 90_000, async () => {
      const reports = await stage.reports();
      return reports.some((each) => each.task !== task && each.lease.state === 'owner' && each.shard.connected === 4);
    });
    const resumes = (stage.simulator?.count('resumed') ?? 0) - resumed;
    line.heal();
    await stage.until('the old owner stands by', 90_000, async () => (await task.health())?.lease.ready === true);
    const moved = (await ownerOf(stage)) !== task;
    await line.stop();
    return { moved: String(moved), resumes };
  },
  bounds(_, { moved, resumes }) {
    expect(moved).toBe('true');
    expect(resumes, 'the sessions changed hands once, and were not taken back').toBe(4);
  },
});
