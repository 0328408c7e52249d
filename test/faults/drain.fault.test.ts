// A task is asked to end while the broker confirms nothing: one queue is stuck, or the line to the broker is silent and then
// dies. It gives the lease away after a few seconds, and reports what it could not publish, to its last line.

import { expect } from 'vitest';
import { QUEUES } from '../../service/contract/names.ts';
import { raft } from '../support/broker-faults.ts';
import { eventually } from '../support/log-lines.ts';
import { faultsOn } from './fault.ts';
import { ownerBehindLine, ownerOf, stored, waiting } from './tasks.ts';

const { everyRun } = faultsOn({ shards: 2, tasks: 2 });

everyRun('a drain with a stuck queue: the lease goes to the standby, which has replayed what was not confirmed', {
  rate: 40,
  async inject(stage) {
    await stored(stage);
    const owner = await ownerOf(stage);
    await raft(stage.broker, 'suspend', QUEUES.guildEvents);
    await waiting(stage, owner, 20);
    const started = Date.now();
    const code = await owner.terminate();
    // Of them 5 s are patience, and 5.25 s the identify lock's spacing at most.
    expect(Date.now() - started).toBeLessThan(25_000);
    expect(code).toBe(1);
    expect(owner.output).toContain('not everything was confirmed in time');
    expect(await ownerOf(stage)).not.toBe(owner);
    await raft(stage.broker, 'resume', QUEUES.guildEvents);
    await stage.startTask();
    await stage.standing(2);
  },
});

everyRun('a drain whose sockets die while it closes them: the process reports it and ends with its own exit code', {
  rate: 40,
  async inject(stage) {
    const { task, line } = await ownerBehindLine(stage);
    line.silence();
    await waiting(stage, task, 20);
    const exit = task.terminate();
    await eventually('it closes its connections', async () => (await task.health()) === undefined, 60_000);
    await line.stop();
    expect(await exit).toBe(1);
    for (const text of ['the last group record is not stored', 'not everything was confirmed in time'])
      expect(task.output).toContain(text);
    await stage.ready();
    await stage.startTask();
    await stage.standing(2);
  },
});
