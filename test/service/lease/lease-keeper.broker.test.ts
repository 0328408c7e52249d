// The rules of the lease carried out on the real broker. The waits are short here; what they are for is in lease.ts.

import type { Options } from 'amqplib';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { emptyRecord } from '../../../service/contract/lease-record.ts';
import { EXCHANGES, LEASE_QUEUE_ARGUMENTS, leaseQueue } from '../../../service/contract/names.ts';
import { makeVhost, manage, type Vhost } from '../../support/broker.ts';
import { type BrokerClient, brokerClient, makeUser, type User } from '../../support/broker-client.ts';
import { eventually } from '../../support/log-lines.ts';
import { owner, ready, sequenceOf, startTask, stored, type Task } from './keeper-tasks.ts';
import { groupRecord, resumeState } from './records.ts';

let vhost: Vhost;
let broker: BrokerClient;
type TaskOfUser = Task & { readonly user: User };
const tasks: TaskOfUser[] = [];

beforeEach(async () => {
  vhost = await makeVhost('lease');
  broker = await brokerClient(vhost.url());
});

afterEach(async () => {
  const made = tasks.splice(0);
  await Promise.all(made.map(({ connection }) => connection.close()));
  await Promise.all(made.map(({ user }) => user.remove()));
  await broker.close();
  await vhost.remove();
});

const topology = async () => void (await broker.channel.assertExchange(EXCHANGES.leases, 'direct'));

/** A task of its own user. */
async function task(shardLayout?: { shardCount: number; shardsPerTask: number }): Promise<TaskOfUser> {
  const user = await makeUser(vhost);
  const made = Object.assign(startTask(`task-${tasks.length + 1}`, user.url, shardLayout), { user });
  tasks.push(made);
  return made;
}

/** An owner with a stored record, and a standby. */
async function pair(): Promise<[TaskOfUser, TaskOfUser]> {
  await topology();
  const one = await task();
  await owner(one);
  await stored(one);
  const two = await task();
  await ready(two);
  return [one, two];
}

const options = { durable: true, arguments: LEASE_QUEUE_ARGUMENTS };
const recordIn = async (group: number, record: object, properties: Options.Publish = {}) =>
  await sent(group, Buffer.from(JSON.stringify(record)), { type: 'record', ...properties });

/** Puts a message into the lease queue of the group, as whoever may write there can. */
async function sent(group: number, body: Buffer, properties: Options.Publish): Promise<void> {
  await topology();
  await broker.channel.assertQueue(leaseQueue(group), options);
  await broker.channel.bindQueue(leaseQueue(group), EXCHANGES.leases, leaseQueue(group));
  const channel = await broker.model.createConfirmChannel();
  channel.publish(EXCHANGES.leases, leaseQueue(group), body, properties);
  await channel.waitForConfirms();
  await channel.close();
}

it('a group without a record reports a gap, under the id of the first claim; one with the empty record reports none', async () => {
  await topology();
  const one = await task();
  await owner(one);
  expect(one.lost).toMatchObject([
    { shardId: 0, sessionId: expect.stringMatching(/^no-record-\d{13}-0$/), reason: 'no record found' },
  ]);
  await one.keeper.release();
  await broker.channel.purgeQueue(leaseQueue(0));
  await recordIn(0, emptyRecord(0, 'topology', Date.now()));
  const two = await task();
  await owner(two);
  expect([two.lost, two.keeper.detail.epoch]).toEqual([[], 1]);
});

it('one bad session of a record is lost, and the others are resumed', async () => {
  const layout = { shardCount: 2, shardsPerTask: 2 };
  const session = resumeState({ shardCount: 2 });
  const { shardLayout: _, unreportedGaps: __, ...record } = groupRecord();
  const sessions = { '0': { ...session, resumeUrl: null }, '1': { ...session, sequence: 1e300 } };
  await recordIn(0, { ...record, division: layout, untoldGaps: ['?'], sessions });
  const one = await task(layout);
  await owner(one);
  expect([...(one.taken[0]?.sessions ?? [])]).toEqual([[0, { ...session, resumeUrl: '' }]]);
  expect(one.lost).toMatchObject([{ shardId: 1, reason: 'the stored session could not be read' }]);
  const errors = one.lines.lines.filter(({ level }) => level === 'error');
  expect(errors).toMatchObject([{ shard: 1, reason: expect.stringContaining('sequence') }, { group: 0 }]);
});

it('whatever is put into its queue, an owner stays the owner, and its record is what the next one finds', async () => {
  const [one, two] = await pair();
  const { shardLayout: _, unreportedGaps: __, ...good } = groupRecord({ owner: 'thief' });
  const large = 'x'.repeat(1_000_000);
  const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, id) => [id, resumeState()]));
  const odd: readonly [object, Options.Publish?][] = [
    [{ ...good, group: 7, untoldGaps: [] }],
    [{ ...good, epoch: Number.MAX_SAFE_INTEGER, untoldGaps: [] }],
    [{ ...good, epoch: 2 ** 32 - 1, untoldGaps: [] }],
    [{ ...good, epoch: 0, untoldGaps: [] }],
    [{ ...good, owner: large, untoldGaps: [] }],
    [{ ...good, epoch: 99, sessions: many, untoldGaps: [] }],
    [{ ...good, epoch: 99, division: { shardCount: 1e9, shardsPerTask: 1 }, untoldGaps: [] }],
    [{ version: 2 }],
    [{}, { type: undefined as never }],
    [{}, { type: 'other' }],
    [{}, { type: 'record', contentEncoding: 'gzip' }],
    [{ large }, { type: 'claim' }],
    [{}, { type: 'claim', timestamp: 2 ** 52, headers: { 'x-started-at': { valueOf: 'x', toString: 'y' } } }],
    [[], { type: 'claim', headers: { 'x-started-at': 2 ** 52, deep: { deep: { deep: [{ deep: [] }] } } } }],
  ];
  for (const [body, properties] of odd) await recordIn(0, body, properties);
  await sent(0, Buffer.from('['.repeat(1_000_000)), { type: 'record' });
  await sent(0, Buffer.alloc(0), { type: 'record' });
  one.sequence = 77;
  const left = async () => (await broker.channel.checkQueue(leaseQueue(0))).messageCount;
  const { storedAt } = one.keeper.detail;
  await eventually('it stores on', () => one.keeper.detail.storedAt !== storedAt);
  await eventually('nothing waits', async () => (await left()) === 0);
  expect([one.happened, one.keeper.role]).toEqual([['own 0'], 'owner']);
  // Nothing of it is passed over in silence.
  const lines = one.lines.lines.filter(({ group, level }) => group === 0 && (level === 'error' || level === 'warn'));
  expect(lines.length).toBeGreaterThanOrEqual(13);
  for (const line of lines) expect(JSON.stringify(line).length).toBeLessThan(600);
  await one.user.dropConnections();
  await owner(two);
  expect([sequenceOf(two), two.lost]).toEqual([77, []]);
});

it('the group that a shard layout no longer has is reported, and an empty record is held until it comes back', async () => {
  const layout = { shardCount: 2, shardsPerTask: 1 };
  const { shardLayout: _, unreportedGaps: __, ...record } = groupRecord({ group: 1 });
  const sessions = { '1': resumeState({ shardCount: 2 }), '9': null };
  await recordIn(1, { ...record, untoldGaps: [], sessions }, { headers: { 'x-started-at': { valueOf: 'x' } } });
  await recordIn(0, emptyRecord(0, 'topology', Date.now()));
  const one = await task();
  await eventually('it is reported', () => one.lost.length === 2);
  expect(one.lost.map(({ shardId }) => shardId)).toEqual([1, 9]);
  // An older task, or something odd, gets nothing.
  await sent(1, Buffer.from('{}'), { type: 'claim', headers: { 'x-started-at': 2 ** 52 } });
  await sent(1, Buffer.from('{}'), { type: 'claim', headers: { 'x-started-at': 1 } });
  await eventually('the claims are taken', async () => {
    const { messageCount, consumerCount } = await broker.channel.checkQueue(leaseQueue(1));
    expect(consumerCount).toBe(1);
    return messageCount === 0;
  });
  const two = await task(layout);
  await eventually('the second group is back', () => two.keeper.group === 1 && two.happened.length > 0);
  expect([two.lost, two.keeper.detail.epoch]).toEqual([[], 5]);
});

it('the standby takes over when the connection of the owner is cut, and the old owner steps down; and back', async () => {
  const [one, two] = await pair();
  expect(one.taken.map(({ sessions }) => sessions.size)).toEqual([0]);
  expect([two.keeper.role, two.happened]).toEqual(['standby', []]);
  const { storedAt } = one.keeper.detail;
  one.sequence = 10;
  await eventually('it is stored', () => one.keeper.detail.storedAt !== storedAt);
  await one.user.dropConnections();
  await owner(two);
  expect(sequenceOf(two)).toBe(10);
  await eventually('the first has stepped down', () => one.happened.length === 2);
  await two.user.dropConnections();
  await eventually('the first owns again', () => one.happened.length === 3);
  expect(one.happened).toEqual(['own 0', 'step down', 'own 0']);
});

it('without the topology a task retries, with longer pauses; it owns as soon as the topology is there', async () => {
  const one = await task();
  const warnings = () => one.lines.lines.filter(({ level }) => level === 'warn');
  await eventually('it has failed twice', () => warnings().length >= 2);
  expect(warnings()[0]).toMatchObject({ err: { message: expect.stringContaining('NOT_FOUND') } });
  await topology();
  await owner(one);
  // One try after the other: were each to start another, they would double.
  expect(warnings().length).toBeLessThanOrEqual(4);
  expect(one.happened).toEqual(['own 0']);
});

it('an owner that loses its group while it drains does not take it back', async () => {
  const [one, two] = await pair();
  await one.keeper.retire();
  await one.user.dropConnections();
  await owner(two);
  await eventually('the first has released', () => one.keeper.role === 'released');
  expect(one.happened).toEqual(['own 0', 'step down']);
  await one.keeper.release();
  expect(two.keeper.role).toBe('owner');
});

it('a queue whose binding is missing gets it again, which is logged as an error, and the owner stays', async () => {
  await topology();
  const one = await task();
  await owner(one);
  await stored(one);
  await broker.channel.unbindQueue(leaseQueue(0), EXCHANGES.leases, leaseQueue(0));
  const { storedAt } = one.keeper.detail;
  one.sequence = 10;
  await eventually('it is stored', () => one.storedSequence === 10 && one.keeper.detail.storedAt !== storedAt);
  const errors = one.lines.lines.filter(({ level }) => level === 'error');
  // A record and a claim may find it missing at the same time, and again until it is there.
  expect(errors.length).toBeGreaterThan(0);
  expect(errors.length).toBeLessThanOrEqual(5);
  for (const error of errors)
    expect(error).toMatchObject({ queue: leaseQueue(0), msg: expect.stringContaining('declaring it again') });
  expect([one.happened, one.keeper.role]).toEqual([['own 0'], 'owner']);
});

it('writes no metadata where the queue is there: it may not declare, and owns', async () => {
  await recordIn(0, emptyRecord(0, 'topology', Date.now()));
  const user = await makeUser(vhost);
  await manage('PUT', `/api/permissions/${encodeURIComponent(vhost.vhost)}/${user.username}`, {
    ...{ configure: '^$', write: '.*', read: '.*' },
  });
  const one = Object.assign(startTask('task-1', user.url), { user });
  tasks.push(one);
  await owner(one);
  await stored(one);
});

it('an owner without Discord passes the group on, once, with what it has stored', async () => {
  const [one, two] = await pair();
  one.sequence = 10;
  one.unreachableSince = Date.now();
  await owner(two);
  expect(sequenceOf(two)).toBe(10);
  await ready(one);
  expect(one.happened).toEqual(['own 0', 'step down']);
  expect(one.lines.lines.filter(({ because }) => because === 'Discord is unreachable')).toHaveLength(1);
});

it('a shard connects only with a record that has come back', async () => {
  const [one, two] = await pair();
  const end = { resumable: true, endedAt: undefined, unproven: 0, perhapsTaken: true };
  one.sequence = 10;
  expect(await one.keeper.confirmLease(AbortSignal.timeout(10_000), end)).toBe('proven');
  expect(one.storedSequence).toBe(10);
  const waits = two.keeper.confirmLease(AbortSignal.timeout(300), end);
  await expect(waits).rejects.toThrow();
});
