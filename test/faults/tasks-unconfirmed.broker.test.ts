// A task dies at the worst moment: it has received hundreds of events and not one of them is confirmed, because its
// publishing connection has been silent for a while. Its lease connection was well, so that it went on storing records.
// These may say no more than what is confirmed: the next owner begins there, and Discord replays the rest.

import { expect } from 'vitest';
import type { IngestorProcess } from '../../local/ingestor-process.ts';
import { disaster } from './disaster.ts';
import type { SilentProxy } from './silent-proxy.ts';
import { health, stored, taskBehindLine } from './tasks.ts';

let behind: { readonly task: IngestorProcess; readonly line: SilentProxy } | undefined;

disaster('a task killed with hundreds of unconfirmed events: the next owner has all of them replayed', {
  tasks: 0,
  untilReady: false,
  shards: 4,
  rate: 400,
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
    line.silence(' publisher');
    await stage.until('1,000 events are unconfirmed', 60_000, async () => (await health(task)).outbox.events > 1_000);
    const { state } = (await health(task)).lease;
    await task.kill();
    await stage.ready();
    await line.stop();
    return { lease: String(state) };
  },
  bounds(_, { lease }) {
    expect(lease, 'the lease was never in doubt').toBe('owner');
  },
});
