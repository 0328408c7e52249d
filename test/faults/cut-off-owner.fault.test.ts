// The owner's connections to the broker become half-open: they stay open, and no data passes. The owner still receives events,
// because Discord leaves its sockets open although another task has resumed the sessions. Only one of the two may publish and
// store. When data passes again, the old owner steps down, and publishes what is in its outbox with the same ids and in
// order, so that it is at most repeated. In other tests only the connection for the identify lock is half-open, or the task
// gets SIGTERM meanwhile.

import { expect } from 'vitest';
import { asAdministrator } from '../../local/rabbitmq/administrator.ts';
import { leaseQueue } from '../../service/contract/names.ts';
import { closeConnections } from '../support/broker-faults.ts';
import { eventually } from '../support/log-lines.ts';
import { type FaultStage, faultsOn, read } from './fault.ts';
import { connectionOf, countOf, health, leadsTo, metric, ownerBehindProxy, standsBy, waiting } from './tasks.ts';

const SHARDS = 4;
const { everyRun, fullRun } = faultsOn({ shards: SHARDS, simulator: { closeOlderSocket: false, identifyEveryMs: 0 } });

type CutOff = Awaited<ReturnType<typeof ownerBehindProxy>>;

async function anotherOwner(stage: FaultStage, { task }: CutOff): Promise<void> {
  await stage.until('another task owns the group', 90_000, async () => {
    const reports = await stage.reports();
    return reports.some(
      (each) => each.task !== task && each.lease.state === 'owner' && each.shard.connected === SHARDS,
    );
  });
}

async function healed(stage: FaultStage, { task, proxy }: CutOff): Promise<void> {
  proxy.heal();
  await standsBy(stage, task);
  // The task ends with its proxy: it would only wait for the broker during the next faults.
  await task.terminate();
  await proxy.stop();
}

everyRun('the owner is cut off from the broker, not from Discord: one owner publishes, the old one steps down', {
  mayReportHoles: true,
  async inject(stage) {
    const cutOff = await ownerBehindProxy(stage);
    const { task, proxy } = cutOff;
    proxy.silence();
    // The broker closes them itself, later, when it misses heartbeats.
    for (const kind of ['lease', 'publisher'] as const) await closeConnections(stage.broker, connectionOf(task, kind));
    await anotherOwner(stage, cutOff);
    const { role, shard, outbox } = await health(task);
    expect({ role, connected: shard.connected }, 'the old owner does not know that it is cut off').toEqual({
      role: 'owner',
      connected: SHARDS,
    });
    expect(outbox.events, 'the old owner still receives events').toBeGreaterThan(0);
    await read(stage, 300);
    await healed(stage, cutOff);
  },
});

fullRun('half-open connections to the broker: AMQP heartbeats detect them, and the standby takes over', {
  // So few events that those until then fit into Discord's replay buffer, on a slow machine too.
  rate: 100,
  mayReportHoles: true,
  async inject(stage) {
    const cutOff = await ownerBehindProxy(stage);
    const resumes = async () => await metric(cutOff.task, 'resumes');
    const before = await resumes();
    cutOff.proxy.silence();
    await anotherOwner(stage, cutOff);
    expect(await resumes(), 'the old owner does not resume the sessions').toBe(before);
    await healed(stage, cutOff);
  },
});

// The lease connection works, so the owner still stores records. They may contain only confirmed sequences: the next owner
// resumes from them, and Discord replays the rest.
fullRun('a task killed with hundreds of unconfirmed events: the next owner gets all of them by RESUME', {
  async inject(stage) {
    const { task, proxy } = await ownerBehindProxy(stage);
    proxy.silence(' publisher');
    await waiting(stage, task, 1_000);
    expect((await health(task)).lease.state, 'the lease was confirmed').toBe('owner');
    await task.kill();
    await stage.ready();
    await proxy.stop();
  },
});

// Two faults at once. The standby finds an empty queue, reports gaps, and starts new sessions. The old owner still stores
// records in its own epoch: where that epoch is the later one, the old sessions win.
fullRun('a lease queue deleted while its owner is cut off: the old sessions are resumed in the end', {
  // Reported by the standby, which could not know the sessions.
  gaps: SHARDS,
  // Either of the two gets the queue in the end. The old owner may be the other one: then it does not receive what Discord
  // sends to the resumed connections only, RESUMED itself, and goes on until the broker is silent for long enough.
  mayReportHoles: true,
  async inject(stage) {
    const cutOff = await ownerBehindProxy(stage);
    const identifies = countOf(stage, 'identify');
    cutOff.proxy.silence();
    await asAdministrator(stage.broker, (channel) => channel.deleteQueue(leaseQueue(0)));
    await anotherOwner(stage, cutOff);
    await read(stage, 300);
    expect(identifies(), 'the other task started new sessions').toBe(SHARDS);
    await leadsTo(stage, SHARDS, 'resumed', async () => {
      cutOff.proxy.heal();
      await stage.standing(2);
      await stage.until('one of the two owns the group', 150_000, async () => {
        const owners = (await stage.reports()).filter(({ role }) => role === 'owner');
        return owners.length === 1 && owners.every(({ lease }) => lease.state === 'owner');
      });
      // Either of the two has the old sessions.
      await cutOff.task.terminate();
      await cutOff.proxy.stop();
    });
  },
});

fullRun('without an identify lock a shard waits for its new session, and the other shards go on', {
  rate: 100,
  gaps: 1,
  async inject(stage) {
    const { task, proxy } = await ownerBehindProxy(stage);
    const identifies = countOf(stage, 'identify');
    const commits = (await health(task)).lease.commit as number;
    proxy.silence(' identify');
    stage.simulator.invalidate(0, { resumable: false });
    await stage.until('two connection attempts failed', 60_000, () => /"failures":2/.test(task.output));
    await read(stage, 200);
    const { role, lease, checks } = await health(task);
    expect([role, lease.state, identifies()]).toEqual(['owner', 'owner', 0]);
    expect(lease.commit).toBeGreaterThan(commits);
    expect(checks.rabbitmq).toMatchObject({ connected: true });
    expect(task.output).not.toContain('the connection to the broker was lost');
    await leadsTo(stage, 1, 'ready', () => proxy.heal());
    await stage.ready();
    expect(identifies()).toBe(1);
    await task.terminate();
    await proxy.stop();
  },
});

fullRun('sockets to the broker break during a drain: the process logs it and exits with code 1', {
  rate: 40,
  async inject(stage) {
    const { task, proxy } = await ownerBehindProxy(stage);
    proxy.silence();
    await waiting(stage, task, 20);
    const exit = task.terminate();
    await eventually('it closes its connections', async () => (await task.health()) === undefined, 60_000);
    await proxy.stop();
    expect(await exit).toBe(1);
    for (const text of ['the last group record is not stored', 'not everything was confirmed in time'])
      expect(task.output).toContain(text);
    await stage.ready();
  },
});
