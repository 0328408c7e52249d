// A queue stops answering: its Raft process is suspended, as if the queue had no majority. Its publishers get neither a confirm
// nor a nack. Interactions go on, the task reports the queue by name, and when the queue answers again everything arrives in
// order.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { IngestorProcess } from '../../local/ingestor-process.ts';
import { METRICS } from '../../service/contract/metrics.ts';
import { leaseQueue, QUEUES, USERS } from '../../service/contract/names.ts';
import { MOST_UNANSWERED } from '../../service/publisher/lane.ts';
import { closeConnections, permit, raft } from '../support/broker-faults.ts';
import { faultsOn, full, read } from './fault.ts';
import { connectionOf, health, metric, ownerOf, stored, waiting } from './tasks.ts';

const { everyRun, fullRun } = faultsOn({
  shards: 2,
  simulator: { mix: { 'command.plain': 1, 'button.plain': 1, 'message.text': 2 } },
});

const QUEUE = QUEUES.guildEvents;
/** Long enough at 200/s for far more messages than one channel may have unconfirmed. */
const STUCK_SECONDS = full ? 120 : 20;

const status = async (of: IngestorProcess, path = 'health') => (await fetch(`${of.url}/${path}`)).status;

/** The number of confirms of the task, by the bucket of their time. */
async function confirmTimes(task: IngestorProcess): Promise<ReadonlyMap<number, number>> {
  const bucket = new RegExp(`^${METRICS.frameToConfirm.prometheus}_bucket\\{le="([\\d.]+)"\\}$`);
  const found = [...(await task.metrics())].map(([name, count]) => [Number(bucket.exec(name)?.[1]), count] as const);
  return new Map(found.filter(([bound]) => Number.isFinite(bound)));
}

for (const [declare, rate] of [
  [everyRun, 200],
  [fullRun, 20],
] as const)
  declare(`a queue stops answering for ${STUCK_SECONDS} s at ${rate} events/s: interactions go on`, {
    rate,
    // The unconfirmed messages of the first channel, and one for each channel after it.
    mostRepeats: MOST_UNANSWERED + 10,
    async inject(stage) {
      const task = await ownerOf(stage);
      const { output } = task;
      // A burst, so that the window of unconfirmed messages has its full size.
      stage.simulator.burst(3_000);
      await read(stage, 2_500);
      await raft(stage.broker, 'suspend', QUEUE);
      const stuckAt = Date.now();
      try {
        // By then, earlier messages are confirmed.
        await sleep(1_000);
        const [before, interactions] = [await confirmTimes(task), stage.reader.perQueue.get(QUEUES.interactions) ?? 0];
        await stage.until('the task reports the queue', 30_000, async () => {
          const { problems = [] } = (await health(task)).checks.rabbitmq;
          return problems.some((problem) => problem.includes(QUEUE));
        });
        const seconds = (Date.now() - stuckAt) / 1_000;
        expect(seconds).toBeGreaterThan(9);
        expect(seconds).toBeLessThan(18);
        expect([await status(task), await status(task, 'live')], 'no restart would help').toEqual([503, 200]);
        expect(await metric(task, 'oldestUnconfirmed')).toBeGreaterThan(9);
        await sleep(Math.max(0, STUCK_SECONDS * 1_000 - (Date.now() - stuckAt)));

        const after = await confirmTimes(task);
        const confirmed = Math.max(...after.values()) - Math.max(...before.values());
        const share = (bound: number) => ((after.get(bound) ?? 0) - (before.get(bound) ?? 0)) / confirmed;
        const p95 = Math.min(...[...after.keys()].filter((bound) => share(bound) >= 0.95));
        // Half of the traffic is interactions.
        expect(confirmed).toBeGreaterThan(0.3 * rate * (STUCK_SECONDS - 2));
        expect(p95, 'milliseconds from frame to confirm').toBeLessThan(1_000);
        expect((stage.reader.perQueue.get(QUEUES.interactions) ?? 0) - interactions).toBeGreaterThan(0.9 * confirmed);
        console.log(
          `${rate}/s: reported after ${seconds.toFixed(1)} s; ${confirmed} interactions confirmed, p95 ${p95} ms`,
        );
        // RabbitMQ reports the stuck queue as empty: the task must not report that depth.
        await stage.until('the task reports the depth of the other queues only', 60_000, async () => {
          const depths = await task.metrics();
          const isKnown = (queue: string) => depths.has(`${METRICS.queueDepth.prometheus}{queue="${queue}"}`);
          return isKnown(QUEUES.interactions) && !isKnown(QUEUE);
        });
        const logged = task.output.slice(output.length);
        expect(logged.match(/"queue":"[^"]+".*a queue confirms nothing/g), logged).toHaveLength(1);
        expect(logged).toContain(`"queue":"${QUEUE}"`);
        expect(logged, 'the connection is kept').not.toContain('connected to the broker');
      } finally {
        await raft(stage.broker, 'resume', QUEUE);
      }
      await stage.until('it confirms again', 30_000, async () => (await status(task)) === 200);
      expect(task.output).toContain('the queue confirms again');
      await stage.until(
        'the outbox has no old message',
        60_000,
        async () => (await metric(task, 'oldestUnconfirmed')) < 1,
      );
    },
  });

const groups = faultsOn({ shards: 2, shardsPerTask: 1, tasks: 3 });

groups.fullRun('a lease queue stops answering for 40 s: its owner stays, and publishes events', {
  mostRepeats: 0,
  async inject(stage) {
    const [task, other] = [await ownerOf(stage, 0), await ownerOf(stage, 1)];
    const { output } = task;
    await raft(stage.broker, 'suspend', leaseQueue(0));
    const stuckAt = Date.now();
    try {
      await stage.until('the task reports it', 30_000, async () => {
        const { problems = [] } = (await health(task)).checks.rabbitmq;
        return problems.some((problem) => problem.includes("the group's lease queue has given no record back"));
      });
      expect([await status(task), await status(task, 'live'), await status(other)]).toEqual([503, 200, 200]);
      expect(await metric(task, 'oldestUnconfirmed')).toBeGreaterThan(9);
      await sleep(Math.max(0, 40_000 - (Date.now() - stuckAt)));
      expect(await metric(task, 'outboxEvents')).toBeLessThan(100);
    } finally {
      await raft(stage.broker, 'resume', leaseQueue(0));
    }
    await stage.until('the lease is confirmed again', 30_000, async () => (await status(task)) === 200);
    expect([await ownerOf(stage, 0), await ownerOf(stage, 1)]).toEqual([task, other]);
    const logged = task.output.slice(output.length);
    expect(logged).toContain('a lease queue confirms nothing, and others do');
    expect(logged, 'the connection is kept').not.toContain('connected to the broker');
  },
});

groups.fullRun('a standby without the permission to read the lease queues reports it, until it has the permission', {
  mostRepeats: 0,
  async inject(stage) {
    const owners = [await ownerOf(stage, 0), await ownerOf(stage, 1)];
    const standby = stage.living.find((task) => !owners.includes(task)) as IngestorProcess;
    const giveBack = await permit(stage.broker, USERS.ingestor, { read: '^$' });
    await closeConnections(stage.broker, connectionOf(standby, 'lease'));
    await stage.until('the standby reports it', 30_000, async () =>
      (await health(standby)).problems.includes('this standby consumes no lease queue: it could take over no group'),
    );
    expect([await status(standby), await status(standby, 'live')]).toEqual([503, 200]);
    await giveBack();
    await stage.until('it stands by', 60_000, async () => (await status(standby)) === 200);
  },
});

groups.fullRun('a drain with a stuck queue: the standby takes over, and Discord replays what was not confirmed', {
  rate: 40,
  async inject(stage) {
    await stored(stage);
    const owner = await ownerOf(stage);
    await raft(stage.broker, 'suspend', QUEUE);
    await waiting(stage, owner, 10);
    const started = Date.now();
    const code = await owner.terminate();
    // 5 s of them are the wait for missing confirms, and up to 5.25 s the spacing of the identify lock.
    expect(Date.now() - started).toBeLessThan(25_000);
    expect(code).toBe(1);
    expect(owner.output).toContain('not everything was confirmed in time');
    expect(await ownerOf(stage)).not.toBe(owner);
    await raft(stage.broker, 'resume', QUEUE);
    await stage.startTask();
    await stage.standing(3);
  },
});
