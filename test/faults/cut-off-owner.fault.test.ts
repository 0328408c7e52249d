// The owner's line to the broker falls silent: its connections stay open and nothing gets through, as on a half-open
// line. Meanwhile it receives from Discord, which leaves its sockets open although another task has resumed the sessions.
// Only one of the two may publish and store. When the line is back, the old owner steps down, and what is still in its
// outbox is at most repeated, under the same ids and in order. Or only the connection for the identify lock is silent, or
// the task is asked to end meanwhile.

import { expect } from 'vitest';
import { asAdministrator } from '../../local/rabbitmq/administrator.ts';
import { leaseQueue } from '../../service/contract/names.ts';
import { closeConnections } from '../support/broker-faults.ts';
import { eventually } from '../support/log-lines.ts';
import { type FaultStage, faultsOn, read } from './fault.ts';
import { connectionOf, countOf, health, leadsTo, metric, ownerBehindLine, standsBy, waiting } from './tasks.ts';

const SHARDS = 4;
const { everyRun, fullRun } = faultsOn({ shards: SHARDS, simulator: { closeOlderSocket: false, identifyEveryMs: 0 } });

type CutOff = Awaited<ReturnType<typeof ownerBehindLine>>;

async function anotherOwner(stage: FaultStage, { task }: CutOff): Promise<void> {
  await stage.until('another task owns the group', 90_000, async () => {
    const reports = await stage.reports();
    return reports.some(
      (each) => each.task !== task && each.lease.state === 'owner' && each.shard.connected === SHARDS,
    );
  });
}

async function healed(stage: FaultStage, { task, line }: CutOff): Promise<void> {
  line.heal();
  await standsBy(stage, task);
  // Without its line it would wait for the broker during the faults that follow.
  await task.terminate();
  await line.stop();
}

everyRun('a partition in which the old owner still hears Discord: one owner publishes, the other steps down', {
  rate: 500,
  mayReportHoles: true,
  async inject(stage) {
    const cutOff = await ownerBehindLine(stage);
    const { task, line } = cutOff;
    line.silence();
    // What the broker does by itself when heartbeats stay away, sooner.
    for (const kind of ['lease', 'publisher'] as const) await closeConnections(stage.broker, connectionOf(task, kind));
    await anotherOwner(stage, cutOff);
    const { role, shard, outbox } = await health(task);
    expect({ role, connected: shard.connected }, 'two believe to be the owner').toEqual({
      role: 'owner',
      connected: SHARDS,
    });
    expect(outbox.events, 'the old owner heard Discord').toBeGreaterThan(0);
    await read(stage, 1_000);
    await healed(stage, cutOff);
  },
});

fullRun('a silent, half-open line to the broker: heartbeats find it, and the standby takes over', {
  // What comes of a shard until then is to fit into Discord's replay buffer, on a slow machine too.
  rate: 100,
  mayReportHoles: true,
  async inject(stage) {
    const cutOff = await ownerBehindLine(stage);
    const resumes = async () => await metric(cutOff.task, 'resumes');
    const before = await resumes();
    cutOff.line.silence();
    await anotherOwner(stage, cutOff);
    expect(await resumes(), 'the sessions were not taken back').toBe(before);
    await healed(stage, cutOff);
  },
});

// Its lease connection is well, so that it goes on storing records. These may hold no more than what is confirmed: the
// next owner resumes from there, and Discord replays the rest.
fullRun('a task killed with hundreds of unconfirmed events: the next owner has all of them replayed', {
  async inject(stage) {
    const { task, line } = await ownerBehindLine(stage);
    line.silence(' publisher');
    await waiting(stage, task, 1_000);
    expect((await health(task)).lease.state, 'the lease was confirmed').toBe('owner');
    await task.kill();
    await stage.ready();
    await line.stop();
  },
});

// Two faults at once. The standby finds an empty queue, reports that, and starts sessions of its own. The old owner stores
// in its own epoch while it is uncertain: where that is the later one, the new owner goes on with the old sessions.
fullRun('a lease queue deleted while its owner is cut off: the sessions go on, although another owner found none', {
  // It could not know.
  gaps: SHARDS,
  async inject(stage) {
    const cutOff = await ownerBehindLine(stage);
    const identifies = countOf(stage, 'identify');
    cutOff.line.silence();
    await asAdministrator(stage.broker, (channel) => channel.deleteQueue(leaseQueue(0)));
    await anotherOwner(stage, cutOff);
    await read(stage, 300);
    expect(identifies(), 'the other task started sessions of its own').toBe(SHARDS);
    await leadsTo(stage, SHARDS, 'resumed', async () => {
      cutOff.line.heal();
      await stage.standing(2);
      await stage.until('one of the two owns the group', 150_000, async () => {
        const owners = (await stage.reports()).filter(({ role }) => role === 'owner');
        return owners.length === 1 && owners.every(({ lease }) => lease.state === 'owner');
      });
      // Whichever it is, it has the old sessions.
      await cutOff.task.terminate();
      await cutOff.line.stop();
    });
  },
});

fullRun('without an identify lock a shard waits for its new session, and nothing else does', {
  rate: 100,
  gaps: 1,
  async inject(stage) {
    const { task, line } = await ownerBehindLine(stage);
    const identifies = countOf(stage, 'identify');
    const commits = (await health(task)).lease.commit as number;
    line.silence(' identify');
    stage.simulator.invalidate(0, { resumable: false });
    await stage.until('the connection was tried twice', 60_000, () => /"failures":2/.test(task.output));
    await read(stage, 200);
    const { role, lease, checks } = await health(task);
    expect([role, lease.state, identifies()]).toEqual(['owner', 'owner', 0]);
    expect(lease.commit).toBeGreaterThan(commits);
    expect(checks.rabbitmq).toMatchObject({ connected: true });
    expect(task.output).not.toContain('the connection to the broker was lost');
    await leadsTo(stage, 1, 'ready', () => line.heal());
    await stage.ready();
    expect(identifies()).toBe(1);
    await task.terminate();
    await line.stop();
  },
});

fullRun('a drain whose sockets die while it closes them: the process reports it and ends with its own exit code', {
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
  },
});
