// The rules of the lease carried out on the real broker. The waits are short here; what they are for is in lease.ts.

import type { ChannelModel } from 'amqplib';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ChannelSet } from '../../../service/amqp/channel-set.ts';
import { BrokerConnection } from '../../../service/amqp/connection.ts';
import { EXCHANGES, LEASE_QUEUE_ARGUMENTS } from '../../../service/contract/names.ts';
import { LeaseKeeper } from '../../../service/lease/lease-keeper.ts';
import type { ShardGroup } from '../../../service/lease/take-over.ts';
import { makeVhost, type Vhost } from '../../support/broker.ts';
import { type BrokerClient, brokerClient, fixedLogin, makeUser, type User } from '../../support/broker-client.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';
import { resumeState } from './records.ts';

const TIMING = { claimWaitMs: 200, recordWaitMs: 10, answerMs: 400, standbyDelayMs: 600, commitEveryMs: 50 };

interface Task {
  readonly user: User;
  readonly keeper: LeaseKeeper<ChannelModel>;
  readonly lines: LogLines;
  /** What happened, in order: 'own 0', 'step down'. */
  readonly happened: string[];
  readonly taken: ShardGroup[];
  /** What it has to store. */
  sequence: number;
}

let vhost: Vhost;
let broker: BrokerClient;
const tasks: Task[] = [];
const connections: BrokerConnection[] = [];

beforeEach(async () => {
  vhost = await makeVhost('lease');
  broker = await brokerClient(vhost.url());
});

afterEach(async () => {
  await Promise.all(connections.splice(0).map((each) => each.close()));
  await Promise.all(tasks.splice(0).map(({ user }) => user.remove()));
  await broker.close();
  await vhost.remove();
});

const topology = async () => void (await broker.channel.assertExchange(EXCHANGES.leases, 'direct'));

/** A task of its own connection and user, so that it can be cut by itself. */
async function task(): Promise<Task> {
  const me = `task-${tasks.length + 1}`;
  const user = await makeUser(vhost);
  const lines = logLines();
  const { log } = lines;
  const connection = new BrokerConnection({ name: me, login: fixedLogin(user.url), log });
  const keeper: Task['keeper'] = new LeaseKeeper({
    ...{ connection, me, log, timing: TIMING, metrics: { add: () => undefined } },
    shardLayout: { shardCount: 1, shardsPerTask: 1 },
    openChannels: (model: ChannelModel) =>
      ChannelSet.open(model, { exchange: EXCHANGES.leases, queueArguments: LEASE_QUEUE_ARGUMENTS, log }),
    gaps: { unreportedGaps: [], report: async () => undefined },
    shards: {
      get sessions() {
        return { [String(keeper.group)]: resumeState({ shardCount: 1, sequence: made.sequence }) };
      },
      own(group) {
        const [shardId = -1] = group.shardIds;
        made.happened.push(`own ${shardId}`);
        made.taken.push(group);
        made.sequence = group.sessions.get(shardId)?.sequence ?? 1;
      },
      stepDown: async () => void made.happened.push('step down'),
    },
  });
  const made: Task = { user, keeper, lines, happened: [], taken: [], sequence: 0 };
  tasks.push(made);
  connections.push(connection);
  connection.start();
  keeper.start();
  return made;
}

const owner = async (of: Task) => void (await eventually('it is the owner', () => of.happened.length > 0));
const ready = async (of: Task) => void (await eventually('it stands by', () => of.keeper.detail.ready === true));
const isStored = ({ state, commit, storedAt }: LeaseKeeper<ChannelModel>['detail']) =>
  state === 'owner' && Number(commit) > 0 && storedAt !== null;
const stored = async (of: Task) => void (await eventually('its record is stored', () => isStored(of.keeper.detail)));
const sequenceOf = (of: Task, shard = 0) => of.taken[0]?.sessions.get(shard)?.sequence;

/** An owner with a stored record, and a standby. */
async function pair(): Promise<[Task, Task]> {
  await topology();
  const one = await task();
  await owner(one);
  await stored(one);
  const two = await task();
  await ready(two);
  return [one, two];
}

it('the first who asks owns a group that had no owner, without sessions; another stands by', async () => {
  const [one, two] = await pair();
  expect(one.taken.map(({ sessions }) => sessions.size)).toEqual([0]);
  expect([two.keeper.role, two.happened]).toEqual(['standby', []]);
});

it('the standby takes over when the connection of the owner is cut, and the old owner steps down; and back', async () => {
  const [one, two] = await pair();
  const commit = Number(one.keeper.detail.commit);
  one.sequence = 10;
  await eventually('it is stored', () => Number(one.keeper.detail.commit) > commit);
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

it('a standby that retires goes at once, and takes nothing over', async () => {
  const [one, two] = await pair();
  await two.keeper.retire();
  expect(two.keeper.role).toBe('released');
  const three = await task();
  await ready(three);
  await one.user.dropConnections();
  await owner(three);
  expect(two.happened).toEqual([]);
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
