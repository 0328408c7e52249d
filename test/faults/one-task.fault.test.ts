// One task without a standby. The broker is killed, closes channels, or is in memory alarm; the task gets SIGTERM, as in every
// ECS deployment, while the broker runs or is stopped. What is not confirmed waits in the outbox and is published again, in
// order.

import { expect } from 'vitest';
import type { IngestorProcess } from '../../local/ingestor-process.ts';
import { USERS } from '../../service/contract/names.ts';
import { MOST_UNANSWERED } from '../../service/publisher/lane.ts';
import { closeConnections, permit } from '../support/broker-faults.ts';
import { faultsOn, LARGE, read } from './fault.ts';
import { connectionOf, countOf, health, memoryAlarm, metric, resumes, waiting } from './tasks.ts';

const SHARDS = 2;
const { everyRun, fullRun } = faultsOn({ shards: SHARDS });

everyRun('a broker killed with kill -9 keeps confirmed messages, and gets the others again', {
  // At most the messages that were unconfirmed when the connection ended.
  mostRepeats: 3 * MOST_UNANSWERED,
  async inject({ broker }) {
    await broker.rememberQueues();
    await broker.kill();
    await broker.start();
  },
});

fullRun('a channel that the broker closes again and again is opened again when the cause is removed', {
  async inject(stage) {
    const [task] = stage.living as [IngestorProcess];
    const giveBack = await permit(stage.broker, USERS.ingestor, { write: '^(?!discord[.]events$)' });
    // A channel caches its permissions: the change takes effect with the next connection.
    await closeConnections(stage.broker, connectionOf(task, 'publisher'));
    const errors = async () => (await health(task)).checks.rabbitmq.errorCount;
    const before = await errors();
    await stage.until('the broker has closed three channels', 60_000, async () => (await errors()) >= before + 3);
    expect(task.output).toContain('ACCESS_REFUSED');
    const { rabbitmq } = (await health(task)).checks;
    await giveBack();
    expect(rabbitmq.connected, 'only channels are closed').toBe(true);
  },
});

fullRun('in a memory alarm events wait, and none is published twice although the sessions are resumed', {
  mostRepeats: 0,
  async inject(stage) {
    const [task] = stage.living;
    await memoryAlarm(stage, task);
    const before = await metric(task, 'eventsConfirmed');
    await waiting(stage, task, 500);
    // The broker may confirm messages that were published before it stops reading.
    expect((await metric(task, 'eventsConfirmed')) - before).toBeLessThan(200);
    expect((await fetch(`${task?.url}/live`)).status).toBe(200);
    await resumes(stage, SHARDS, () => stage.simulator.reconnect());
    await stage.broker.memoryAlarm(false);
  },
});

everyRun('a task that gets SIGTERM under load drains and exits with 0, and the next task resumes the sessions', {
  rate: 600,
  replayBuffer: LARGE,
  mostRepeats: 0,
  async inject(stage) {
    const identifies = countOf(stage, 'identify');
    for (let round = 1; round <= 2; round += 1) {
      const [task] = stage.living;
      expect(await task?.terminate()).toBe(0);
      expect(task?.output).toContain('"msg":"drained"');
      await stage.startTask();
      await stage.ready();
      await read(stage, 200);
    }
    expect(identifies(), 'every session was resumed').toBe(0);
  },
});

fullRun(
  'SIGTERM while the broker is stopped: the task publishes what it has when the broker is back, and exits with 0',
  {
    // Discord keeps the sessions until a broker and a task have started on a slow machine.
    rate: 100,
    async inject(stage) {
      const [task] = stage.living;
      const identifies = countOf(stage, 'identify');
      await stage.broker.stop();
      await waiting(stage, task, 100);
      const exit = task?.terminate();
      await stage.until('it drains', 30_000, () => task?.output.includes('draining') ?? false);
      await stage.broker.start();
      expect(await exit).toBe(0);
      await stage.startTask();
      await stage.ready();
      expect(identifies(), 'every session was resumed').toBe(0);
    },
  },
);

for (const [how, away, back] of [
  ['stopped', 'stop', 'start'],
  ['frozen, with open connections', 'freeze', 'thaw'],
] as const)
  fullRun(`SIGTERM while the broker is ${how}: a task that has stored everything exits within 45 s`, {
    // The last record may not be stored: then Discord replays the events of the last second.
    mostRepeats: 600,
    async inject(stage) {
      const [task] = stage.living;
      stage.simulator.stopTraffic();
      await stage.until('everything is confirmed and stored', 30_000, async () => {
        const { outbox, shards } = await health(task);
        return outbox.events === 0 && shards.every(({ confirmed, received }) => confirmed === received);
      });
      await stage.broker[away]();
      const before = Date.now();
      expect(await task?.terminate()).toBe(0);
      expect(Date.now() - before).toBeLessThan(45_000);
      await stage.broker[back]();
      await stage.startTask();
      await stage.ready();
      stage.simulator.startTraffic(300);
    },
  });
