// The broker confirms nothing until the outbox (with a low limit) is full: it is in memory alarm, is stopped, or a queue is
// full. At the high mark the shards close with a code that keeps their sessions, and Discord's replay buffer holds the next
// events. Below the low mark the shards resume, and the order is kept.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { ENV, QUEUES } from '../../service/contract/names.ts';
import { fill } from '../support/broker-faults.ts';
import { type FaultStage, faultsOn, LARGE } from './fault.ts';
import { health, metric, ownerOf, stored, waiting } from './tasks.ts';

const { everyRun, fullRun } = faultsOn({
  tasks: 2,
  shards: 4,
  env: { [ENV.outboxMaxEvents]: '1000' },
  simulator: {
    replayBuffer: LARGE,
    mix: { 'command.plain': 1, 'button.plain': 1, 'message.text': 4 },
  },
});

async function closedAtTheMark(stage: FaultStage): Promise<void> {
  const owner = await ownerOf(stage);
  await stage.until('the shards are closed', 60_000, async () => {
    const { shards, outbox } = await health(owner);
    return !outbox.receiving && shards.every(({ state }) => state === 'stopped');
  });
  const { outbox, problems } = await health(owner);
  expect(outbox.events, 'the shards are closed at the high mark').toBeLessThan(2_000);
  expect(problems).toContainEqual(expect.stringContaining('the shards are closed until the outbox is half empty'));
  expect((await fetch(`${owner.url}/live`)).status, 'no restart would help').toBe(200);
}

everyRun('a broker in memory alarm: the shards close at the high mark, resume after the alarm, and the owner stays', {
  rate: 500,
  mostRepeats: 0,
  async inject(stage) {
    const owner = await ownerOf(stage);
    await stage.broker.memoryAlarm(true);
    await closedAtTheMark(stage);
    expect((await health(owner)).problems).toContain('RabbitMQ takes no messages: it is short of memory or disk');
    await stage.broker.memoryAlarm(false);
    await stage.ready();
    expect(await ownerOf(stage), 'the lease has its own connection').toBe(owner);
  },
});

fullRun('the broker is stopped for 180 s and the outbox holds 1,000 events: Discord replays the others', {
  // The simulator replays what it kept each time that the outbox is half empty, and needs a processor for it.
  rate: 100,
  async inject(stage) {
    const away = sleep(180_000);
    await stage.broker.stop();
    await closedAtTheMark(stage);
    await away;
    await stage.broker.start();
    await stage.ready(undefined, 180_000);
  },
});

// The standby resumes, gets the events of the killed task again, and its messages are refused too.
fullRun('a full queue refuses, the task is killed, the queue is emptied: nothing is lost and the order is kept', {
  async inject(stage) {
    const refused = async () => (await metric(await stage.owner(), 'publishErrors')) > 0;
    await stored(stage);
    const owner = await ownerOf(stage);
    const lift = await fill(stage.broker, QUEUES.interactions, 100);
    stage.reader.pause();
    await stage.until('the owner is refused', 60_000, refused);
    expect((await health(owner)).problems.join()).toMatch(/the queue interactions/);
    // Long enough to store a record, in which the sequence must not be later than that of a refused message.
    await waiting(stage, owner, 500);
    await owner.kill();
    await stage.until('the next owner is refused', 60_000, refused);
    await waiting(stage, await ownerOf(stage), 0);
    stage.reader.resume();
    await lift();
  },
});
