// A partition: the owner is cut off from the broker, which has given it up, and still hears Discord, which does not close
// its sockets although the new owner has resumed the sessions. Two processes hear the same events. Only one of them can
// publish and store; when the partition ends the other finds that it is not the owner any more, and what it still has in
// its outbox is at most said twice, under the same ids and in order.

import { expect } from 'vitest';
import type { IngestorProcess } from '../../local/ingestor-process.ts';
import { closeConnections } from '../support/connections.ts';
import { disaster, read } from './disaster.ts';
import type { SilentProxy } from './silent-proxy.ts';
import { connectionOf, health, ownerOf, taskBehindLine } from './tasks.ts';

let behind: { readonly task: IngestorProcess; readonly line: SilentProxy } | undefined;

disaster('a partition in which the old owner still hears Discord: one owner publishes, the other steps down', {
  tasks: 0,
  untilReady: false,
  shards: 4,
  rate: 500,
  simulator: { closeOlderSocket: false },
  async prepare(stage) {
    behind = await taskBehindLine(stage);
    await stage.ready();
    await stage.startTask();
    await stage.standing(2);
  },
  async happens(stage) {
    if (behind === undefined) throw new Error('not prepared');
    const { task, line } = behind;
    line.silence();
    // What the broker does by itself when heartbeats stay away, sooner.
    await closeConnections(stage.broker, connectionOf(task, 'lease'));
    await closeConnections(stage.broker, connectionOf(task, 'publisher'));
    await stage.until('there are two who believe to be the owner', 60_000, async () => {
      const owners = (await stage.reports()).filter(({ role, shard }) => role === 'owner' && shard.connected === 4);
      return owners.length === 2;
    });
    const { outbox } = await health(task);
    await read(stage, 1_000);
    line.heal();
    await stage.until('the old owner stands by', 90_000, async () => (await task.health())?.lease.ready === true);
    const moved = (await ownerOf(stage)) !== task;
    await line.stop();
    return { moved: String(moved), heardMeanwhile: outbox.events };
  },
  bounds(_, { moved, heardMeanwhile }) {
    expect(moved).toBe('true');
    expect(heardMeanwhile, 'the old owner heard Discord').toBeGreaterThan(0);
  },
});
