// An owner and a standby. The owner is killed with kill -9 while its outbox is full of unconfirmed messages, alone or together
// with the broker; the broker closes one of its two connections; its lease queue is deleted, or gets a message that is not a
// group record. Discord leaves the sockets of an old owner open.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { asAdministrator } from '../../local/rabbitmq/administrator.ts';
import { EXCHANGES, leaseQueue, QUEUES } from '../../service/contract/names.ts';
import { closeConnections } from '../support/broker-faults.ts';
import { type FaultStage, faultsOn, full, LARGE } from './fault.ts';
import { connectionOf, countOf, health, kill, ownerOf, stored } from './tasks.ts';

const SHARDS = 4;
const QUEUE = leaseQueue(0);
const { everyRun, fullRun } = faultsOn({ tasks: 2, shards: SHARDS, simulator: { closeOlderSocket: false } });

everyRun('the owner is killed with kill -9 during a burst: the standby resumes, and repeats at most the last second', {
  rate: full ? 1_000 : 300,
  // The events since the last record: those of a second, the burst, and more on a slow machine.
  mostRepeats: 4_000,
  async inject(stage) {
    await stored(stage);
    const owner = await ownerOf(stage);
    // Thousands of events are between Discord and the broker.
    stage.simulator.burst(2_000);
    await kill(stage, owner);
  },
});

fullRun('the lease queue is deleted: the owner stays, and stores its record again', {
  async inject(stage) {
    const owner = await ownerOf(stage);
    const disconnects = countOf(stage, 'disconnect');
    await asAdministrator(stage.broker, (channel) => channel.deleteQueue(QUEUE));
    await stage.until('the lease is confirmed again', 60_000, async () =>
      / lease is still ours/.test(owner.output) ? (await owner.health())?.lease.state === 'owner' : false,
    );
    await stage.standing(2);
    expect(disconnects()).toBe(0);
    expect(await ownerOf(stage)).toBe(owner);
    // The standby resumes from the record.
    await stored(stage);
    await kill(stage, owner);
  },
});

fullRun(
  'owner and broker are killed with kill -9 together: confirmed messages are on disk, Discord replays the others',
  {
    replayBuffer: LARGE,
    async inject(stage) {
      const owner = await ownerOf(stage);
      await stage.broker.rememberQueues();
      await Promise.all([owner.kill(), stage.broker.kill()]);
      await stage.broker.start();
      await stage.ready();
      await stage.startTask();
      await stage.standing(2);
    },
  },
);

// The broker delivers the record to the standby at once, which waits for the owner.
fullRun(
  'the lease connection is closed and the publisher connection is not: the owner gets its lease back from the standby',
  {
    rate: 500,
    async inject(stage) {
      await stored(stage);
      const owner = await ownerOf(stage);
      const disconnects = countOf(stage, 'disconnect');
      // A connection that is lost within 10 s counts as a failed attempt, and is opened again later.
      await sleep(11_000);
      await closeConnections(stage.broker, connectionOf(owner, 'lease'));
      await stage.until('the owner has the lease back', 60_000, () => owner.output.includes('the lease is still ours'));
      await stage.standing(2);
      expect(await ownerOf(stage)).toBe(owner);
      expect(disconnects()).toBe(0);
    },
  },
);

fullRun('the publisher connection is closed and the lease connection is not: the owner stays', {
  rate: 500,
  mostRepeats: 2_047,
  async inject(stage) {
    const owner = await ownerOf(stage);
    const disconnects = countOf(stage, 'disconnect');
    await closeConnections(stage.broker, connectionOf(owner, 'publisher'));
    await stage.until(
      'its channel is open again',
      60_000,
      async () => (await health(owner)).checks.rabbitmq.channelOpen,
    );
    expect(await ownerOf(stage)).toBe(owner);
    expect(disconnects()).toBe(0);
  },
});

fullRun('an unreadable record beside a valid one is dead-lettered, and the owner stays', {
  async inject(stage) {
    const owner = await ownerOf(stage);
    await publishUnreadable(stage);
    await deadLetters(stage, 1);
    expect(await ownerOf(stage)).toBe(owner);
  },
});

fullRun('only an unreadable record: it is dead-lettered, each shard reports a gap, and new sessions start', {
  gaps: SHARDS,
  async inject(stage) {
    await Promise.all(stage.living.map((task) => task.kill()));
    await asAdministrator(stage.broker, (channel) => channel.purgeQueue(QUEUE));
    await publishUnreadable(stage);
    await stage.startTask();
    await stage.ready();
    await deadLetters(stage, 2);
  },
});

async function publishUnreadable(stage: FaultStage): Promise<void> {
  const options = { persistent: true, type: 'record' };
  await asAdministrator(stage.broker, (channel) =>
    channel.publish(EXCHANGES.leases, QUEUE, Buffer.from('{"version":7}'), options),
  );
}

async function deadLetters(stage: FaultStage, count: number): Promise<void> {
  const found = () => asAdministrator(stage.broker, (channel) => channel.checkQueue(QUEUES.deadLetters));
  await stage.until('it is in dead-letters', 60_000, async () => (await found()).messageCount === count);
}
