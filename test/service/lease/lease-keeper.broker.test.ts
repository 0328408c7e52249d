// The law of the lease carried out on the real broker. The graces are short here; what they are for is in lease.ts.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BrokerConnection } from '../../../service/amqp/connection.ts';
import { EXCHANGES, leaseQueue } from '../../../service/contract/names.ts';
import type { GroupRecord } from '../../../service/lease/group-record.ts';
import { LeaseKeeper } from '../../../service/lease/lease-keeper.ts';
import { makeVhost, type Vhost } from '../../support/broker.ts';
import { type BrokerClient, brokerClient, fixedLogin, makeUser, type User } from '../../support/broker-client.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';
import { sessionRecord } from './records.ts';

const TIMING = { claimGraceMs: 200, recordGraceMs: 10, answerMs: 400, patienceMs: 600, commitEveryMs: 50 };

interface Task {
  readonly name: string;
  readonly user: User;
  readonly connection: BrokerConnection;
  readonly keeper: LeaseKeeper;
  readonly lines: LogLines;
  /** What happened, in order: 'own 0', 'disown'. */
  readonly told: string[];
  readonly records: (GroupRecord | undefined)[];
  /** What it has to store. */
  sequence: number;
}

let vhost: Vhost;
let broker: BrokerClient;
const tasks: Task[] = [];

beforeEach(async () => {
  vhost = await makeVhost('lease');
  broker = await brokerClient(vhost.url());
});

afterEach(async () => {
  await Promise.all(tasks.map(({ connection }) => connection.close()));
  await Promise.all(tasks.splice(0).map(({ user }) => user.remove()));
  await broker.close();
  await vhost.remove();
});

const topology = async () => void (await broker.channel.assertExchange(EXCHANGES.leases, 'direct'));

/** A task of its own connection and user, so that it can be cut by itself. */
async function task(groups = 1): Promise<Task> {
  const name = `task-${tasks.length + 1}`;
  const user = await makeUser(vhost);
  const lines = logLines();
  const connection = new BrokerConnection({ name, login: fixedLogin(user.url), log: lines.log });
  const told: string[] = [];
  const records: (GroupRecord | undefined)[] = [];
  const keeper = new LeaseKeeper({
    connection,
    groups,
    me: name,
    log: lines.log,
    contents: () => ({
      sessions: { [String(keeper.group)]: sessionRecord({ sequence: made.sequence }) },
      untoldGaps: [],
    }),
    own: async (group, record) => {
      told.push(`own ${group}`);
      records.push(record);
      made.sequence = record?.sessions[String(group)]?.sequence ?? 1;
    },
    disown: async () => void told.push('disown'),
    abandon: async () => undefined,
    committed: () => undefined,
    timing: TIMING,
  });
  const made: Task = { name, user, connection, keeper, lines, told, records, sequence: 0 };
  tasks.push(made);
  connection.start();
  keeper.start();
  return made;
}

const owner = async (of: Task) => void (await eventually(`${of.name} is the owner`, () => of.told.length > 0));
/** The broker has a record of everything that the task has to store. */
const stored = async (of: Task) =>
  void (await eventually('its record is stored', () => of.keeper.detail.state === 'owner' && isStored(of)));
const isStored = ({ keeper }: Task) => Number(keeper.detail.commit) > 0 && keeper.detail.storedAt !== null;
const sequenceOf = (record: GroupRecord | undefined, group = 0) => record?.sessions[String(group)]?.sequence;

describe('a group', () => {
  it('that nobody had is owned by the first who asks, without sessions', async () => {
    await topology();
    const one = await task();
    await owner(one);
    expect(one.records).toEqual([undefined]);
    const two = await task();
    await eventually('the second stands by', () => two.keeper.detail.ready === true);
    expect(two.keeper.role).toBe('standby');
  });

  it('is handed over with the last record, when its owner releases it', async () => {
    await topology();
    const one = await task();
    await owner(one);
    await stored(one);
    const two = await task();
    await eventually('the second stands by', () => two.keeper.detail.ready === true);
    one.sequence = 4711;
    await one.keeper.retire();
    await one.keeper.release();
    await owner(two);
    expect(sequenceOf(two.records[0])).toBe(4711);
    expect(two.records[0]).toMatchObject({ owner: 'task-1', group: 0 });
    expect(one.keeper.role).toBe('released');
  });

  it('goes to the standby when the connection of its owner is cut, and the old owner gives it up', async () => {
    await topology();
    const one = await task();
    await owner(one);
    one.sequence = 10;
    await stored(one);
    const two = await task();
    await eventually('the second stands by', () => two.keeper.detail.ready === true);
    await one.user.dropConnections();
    await owner(two);
    expect(sequenceOf(two.records[0])).toBeGreaterThanOrEqual(1);
    await eventually('the first has given up', () => one.told.includes('disown'));
    expect(one.told).toEqual(['own 0', 'disown']);
    // And back again.
    await two.user.dropConnections();
    await eventually('the first owns again', () => one.told.length === 3);
    expect(one.records[1]).toMatchObject({ owner: 'task-2' });
  });

  it('stays where it is when all connections are cut at once', async () => {
    await topology();
    const one = await task();
    await owner(one);
    await stored(one);
    const two = await task();
    await eventually('the second stands by', () => two.keeper.detail.ready === true);
    await Promise.all([one.user.dropConnections(), two.user.dropConnections()]);
    await one.lines.line('the lease is still ours');
    await eventually('both are back', () => two.keeper.detail.ready === true && one.keeper.detail.state === 'owner');
    expect(one.told).toEqual(['own 0']);
    expect(two.told).toEqual([]);
  });

  it('stays where it is when its queue is deleted by hand, and the record is stored anew', async () => {
    await topology();
    const one = await task();
    await owner(one);
    await stored(one);
    const two = await task();
    await eventually('the second stands by', () => two.keeper.detail.ready === true);
    const commit = Number(one.keeper.detail.commit);
    await broker.channel.deleteQueue(leaseQueue(0));
    await one.lines.line('the lease is still ours');
    await eventually('it is stored anew', () => Number(one.keeper.detail.commit) > commit);
    await eventually('the second stands by again', () => two.keeper.detail.ready === true);
    expect(two.told).toEqual([]);
    await one.user.dropConnections();
    await owner(two);
    expect(two.records[0]).toMatchObject({ owner: 'task-1', epoch: 1 });
  });
});

describe('several groups', () => {
  it('are owned by as many tasks, one each; the group of a task that goes is taken by the one that stood by', async () => {
    await topology();
    const three = [await task(2), await task(2), await task(2)];
    await eventually('two own', () => three.filter(({ told }) => told.length > 0).length === 2);
    const owners = three.filter(({ keeper }) => keeper.role === 'owner');
    const [standby] = three.filter(({ keeper }) => keeper.role === 'standby');
    expect(owners.flatMap(({ told }) => told).toSorted()).toEqual(['own 0', 'own 1']);
    const [gone] = owners;
    if (gone === undefined || standby === undefined) throw new Error('two own and one stands by');
    await stored(gone);
    await eventually('the third stands by for both', () => standby.keeper.detail.ready === true);
    await gone.keeper.retire();
    await gone.keeper.release();
    await owner(standby);
    expect(standby.told).toEqual(gone.told);
  });
});

describe('without the topology', () => {
  it('a task waits and says so, ever more rarely, on one footing; it owns as soon as the topology is there', async () => {
    const one = await task();
    await eventually('it has said so twice', () => one.lines.lines.filter(({ level }) => level === 'warn').length >= 2);
    const warnings = one.lines.lines.filter(({ level }) => level === 'warn');
    expect(warnings[0]).toMatchObject({ reason: expect.stringContaining('NOT_FOUND') });
    await topology();
    await owner(one);
    // One try after the other: were each to start another, they would double.
    expect(one.lines.lines.filter(({ level }) => level === 'warn').length).toBeLessThanOrEqual(5);
    expect(one.told).toEqual(['own 0']);
  });
});

describe('something unreadable in the queue', () => {
  it('is said, does not stop the takeover, and is not there for the next owner', async () => {
    await topology();
    const queue = leaseQueue(0);
    await broker.channel.assertQueue(queue, {
      arguments: { 'x-queue-type': 'quorum', 'x-single-active-consumer': true },
    });
    await broker.channel.bindQueue(queue, EXCHANGES.leases, queue);
    broker.channel.publish(EXCHANGES.leases, queue, Buffer.from('{"version": 9}'), { type: 'record' });
    const one = await task();
    await owner(one);
    expect(await one.lines.line('a session record cannot be read')).toMatchObject({ level: 'error', group: 0 });
    await stored(one);
    const two = await task();
    await eventually('the second stands by', () => two.keeper.detail.ready === true);
    await one.keeper.retire();
    await one.keeper.release();
    await owner(two);
    expect(two.records[0]).toMatchObject({ owner: 'task-1' });
    expect(two.lines.text).not.toContain('cannot be read');
  });
});

describe('a task that retires', () => {
  it('goes at once when it stands by, and takes nothing over any more', async () => {
    await topology();
    const one = await task();
    await owner(one);
    await stored(one);
    const two = await task();
    await eventually('the second stands by', () => two.keeper.detail.ready === true);
    await two.keeper.retire();
    expect(two.keeper.role).toBe('released');
    const three = await task();
    await eventually('the third stands by', () => three.keeper.detail.ready === true);
    await one.user.dropConnections();
    await owner(three);
    expect(two.told).toEqual([]);
  });

  it('does not take its group back when it lost it while it drained', async () => {
    await topology();
    const one = await task();
    await owner(one);
    await stored(one);
    const two = await task();
    await eventually('the second stands by', () => two.keeper.detail.ready === true);
    await one.keeper.retire();
    await one.user.dropConnections();
    await owner(two);
    await eventually('the first has given up', () => one.keeper.role === 'released');
    expect(one.told).toEqual(['own 0', 'disown']);
    await one.keeper.release();
    expect(two.keeper.role).toBe('owner');
  });
});
