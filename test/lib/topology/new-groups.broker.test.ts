// The empty group record: the lease queue of a new shard group begins with it, so that a queue without a record is one that
// has lost it. On the real broker, with applications that fail in the middle, that meet each other, and that meet an owner.

import { describe, expect } from 'vitest';
import { EXCHANGES, leaseQueue } from '../../../service/contract/names.ts';
import { type GroupRecord, parseGroupRecord } from '../../../service/lease/group-record.ts';
import { sharedBroker } from '../../support/broker.ts';
import type { OwnVhost } from '../../support/own-vhost.ts';
import { apply, applyWithAnswer, failed, ofGroups, onBroker } from './on-broker.ts';

/** @returns the queues that got one */
const applied = async (own: OwnVhost, shardGroups = 1) => {
  const { steps, notes } = await apply(own, ofGroups(own, shardGroups));
  expect(notes).toEqual([]);
  return steps.flatMap(({ target }) => (target.type === 'empty record' ? [target.queue] : []));
};

/** What is in the lease queue of the group, which stays there. */
async function recordsOf(own: OwnVhost, group: number): Promise<(GroupRecord | string)[]> {
  const connection = await own.connect();
  const channel = await connection.createChannel();
  const records: (GroupRecord | string)[] = [];
  const { messageCount } = await channel.checkQueue(leaseQueue(group));
  const all = Promise.withResolvers<void>();
  if (messageCount === 0) all.resolve();
  await channel.consume(leaseQueue(group), (message) => {
    if (message === null) return;
    expect(message.properties).toMatchObject({ type: 'record', deliveryMode: 2, contentType: 'application/json' });
    records.push(parseGroupRecord(message.content, group));
    if (records.length === messageCount) all.resolve();
  });
  await all.promise;
  // With the connection they go back.
  await connection.close();
  return records;
}

const EMPTY = { owner: 'topology', epoch: 0, commit: 0, sessions: {}, unreportedGaps: [], shardLayout: undefined };

describe(`on RabbitMQ ${sharedBroker().version}`, () => {
  onBroker(
    'each group of a first deployment begins with one, and an added group; applied again, with no other',
    async ({ own }) => {
      expect(await applied(own, 2)).toEqual([leaseQueue(0), leaseQueue(1)]);
      expect(await applied(own, 2)).toEqual([]);
      expect(await applied(own, 3)).toEqual([leaseQueue(2)]);
      for (const group of [0, 1, 2]) expect(await recordsOf(own, group)).toMatchObject([{ ...EMPTY, group }]);
    },
  );

  onBroker('a queue that was deleted, or purged, gets none when it is made again', async ({ own }) => {
    await applied(own, 2);
    await own.api.delete('queues', own.vhost, leaseQueue(1));
    await own.api.delete('queues', own.vhost, leaseQueue(0), 'contents');
    expect(await applied(own, 2)).toEqual([]);
    expect([await recordsOf(own, 0), await recordsOf(own, 1)]).toEqual([[], []]);
    // Not even after the group was not wanted for a while.
    await own.api.delete('queues', own.vhost, leaseQueue(1));
    await applied(own, 1);
    expect(await applied(own, 2)).toEqual([]);
    expect(await recordsOf(own, 1)).toEqual([]);
    // Nor with its vhost.
    await own.api.delete('vhosts', own.vhost);
    expect(await applied(own, 2)).toEqual([]);
  });

  for (const [what, pattern, answer, reason] of [
    ['the broker fails', /publish/, [503, ''], /failed at POST/],
    ['no queue takes it', /publish/, [200, '{"routed":false}'], /reached no queue \(?/],
    ['the answer is a page', /publish/, [200, '<html>'], /is not RabbitMQ's management API/],
    ['a step before it fails', /bindings.*lease/, [503, ''], /failed at POST/],
  ] as const)
    onBroker(`an application that fails before it is stored (${what}) is continued by the next`, async ({ own }) => {
      expect(await failed(applyWithAnswer(own, ofGroups(own, 2), pattern, answer))).toMatch(reason);
      expect(await recordsOf(own, 0)).toEqual([]);
      expect(await applied(own, 2)).toEqual([leaseQueue(0), leaseQueue(1)]);
      expect(await applied(own, 2)).toEqual([]);
      for (const group of [0, 1]) expect(await recordsOf(own, group)).toMatchObject([{ ...EMPTY, group }]);
    });

  onBroker('two applications at once leave records that mean the same', async ({ own }) => {
    // RabbitMQ itself may fail at two that make the same user.
    await Promise.allSettled([applied(own, 2), applied(own, 2)]);
    await applied(own, 2);
    for (const group of [0, 1]) {
      const records = await recordsOf(own, group);
      expect(records.length).toBeGreaterThan(0);
      for (const record of records) expect(record).toMatchObject({ ...EMPTY, group });
    }
    expect(await applied(own, 2)).toEqual([]);
  });

  onBroker('where there is a message already, it is left out', async ({ own }) => {
    await failed(applyWithAnswer(own, own.topology(), /publish/, [503, '']));
    const channel = await (await own.connect()).createConfirmChannel();
    channel.publish(EXCHANGES.leases, leaseQueue(0), Buffer.from('x'), { persistent: true, type: 'record' });
    await channel.waitForConfirms();
    const messages = async () => (await own.api.find('queues', own.vhost, leaseQueue(0)))?.messages;
    await expect.poll(messages, { timeout: 30_000 }).toBe(1);
    const { notes } = await apply(own);
    expect(notes).toEqual([`queue ${leaseQueue(0)} gets no empty group record: it has messages`]);
    expect(await applied(own)).toEqual([]);
  });
});
