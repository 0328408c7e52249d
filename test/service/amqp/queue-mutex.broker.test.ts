// The mutex of exclusive queues on the real broker: two tasks are two connections.

import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BrokerConnection } from '../../../service/amqp/connection.ts';
import { QueueMutex } from '../../../service/amqp/queue-mutex.ts';
import { identifyQueue } from '../../../service/contract/names.ts';
import { makeVhost, manage, type Vhost } from '../../support/broker.ts';
import { fixedLogin, makeUser, type User } from '../../support/broker-client.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';

let vhost: Vhost;
let lines: LogLines;
const users: User[] = [];
const connections: BrokerConnection[] = [];

beforeEach(async () => {
  vhost = await makeVhost('mutex');
  lines = logLines();
});

afterEach(async () => {
  await Promise.all(connections.splice(0).map((connection) => connection.close()));
  await Promise.all(users.splice(0).map((user) => user.remove()));
  await vhost.remove();
});

/** A task: a connection with a user of its own, so that it can be cut by itself. */
async function task(): Promise<{ mutex: QueueMutex; user: User; connection: BrokerConnection }> {
  const user = await makeUser(vhost);
  users.push(user);
  const connection = new BrokerConnection({ name: 'task', login: fixedLogin(user.url), log: lines.log });
  connections.push(connection);
  const mutex = new QueueMutex(connection, identifyQueue, lines.log);
  connection.start();
  await once(connection, 'open', { signal: AbortSignal.timeout(20_000) });
  return { mutex, user, connection };
}

const unaborted = new AbortController().signal;
const queues = async () =>
  ((await manage('GET', `/api/queues/${encodeURIComponent(vhost.vhost)}`)) as { name: string }[]).map(
    ({ name }) => name,
  );

/** Acquires; its name is in `order` when it has. */
function waiting(mutex: QueueMutex, name: string, order: string[], bucket = 0, signal = unaborted) {
  return mutex.acquire(bucket, signal).then((release) => {
    order.push(name);
    return release;
  });
}

describe('between two tasks', () => {
  it('one holds the bucket, and the other gets it when it is released', async () => {
    const [one, two] = [await task(), await task()];
    const order: string[] = [];
    const release = await waiting(one.mutex, 'one', order);
    const second = waiting(two.mutex, 'two', order);
    // Another bucket is free.
    const other = await two.mutex.acquire(1, unaborted);
    expect(order).toEqual(['one']);
    release();
    (await second)();
    other();
    expect(order).toEqual(['one', 'two']);
    await eventually('no queue is left', async () => (await queues()).length === 0);
  });
});

describe('within one task', () => {
  it('waiters of a bucket get it one after the other, in their order', async () => {
    const { mutex } = await task();
    const order: string[] = [];
    const waiters = ['a', 'b', 'c'].map((name) => waiting(mutex, name, order));
    for (const [index, waiter] of waiters.entries()) {
      const release = await waiter;
      expect(order).toEqual(['a', 'b', 'c'].slice(0, index + 1));
      expect(await queues()).toEqual([identifyQueue(0)]);
      release();
    }
  });

  it('the next holder keeps the bucket although the one before has just released it', async () => {
    const [one, two] = [await task(), await task()];
    for (let round = 0; round < 10; round += 1) {
      const first = one.mutex.acquire(0, unaborted);
      const second = one.mutex.acquire(0, unaborted);
      (await first)();
      const release = await second;
      // Were the queue deleted under the second holder, the other task could have it.
      const soon = AbortSignal.timeout(60);
      await expect(two.mutex.acquire(0, soon)).rejects.toThrow();
      release();
    }
  });
});

describe('the signal', () => {
  it('ends a wait for another task, and for another waiter of this one; the bucket goes to those who still wait', async () => {
    const [one, two] = [await task(), await task()];
    const order: string[] = [];
    const release = await one.mutex.acquire(0, unaborted);
    const aborts = [new AbortController(), new AbortController()];
    const waiters = aborts.map(({ signal }, index) => waiting(two.mutex, `waiter ${index}`, order, 0, signal));
    const last = waiting(two.mutex, 'last', order);
    for (const [index, abort] of aborts.entries()) {
      const rejected = expect(waiters[index]).rejects.toThrow();
      abort.abort();
      await rejected;
    }
    release();
    (await last)();
    expect(order).toEqual(['last']);
  });

  it('ends a wait for a connection', async () => {
    const connection = new BrokerConnection({ name: 'never', login: fixedLogin(vhost.url()), log: lines.log });
    const mutex = new QueueMutex(connection, identifyQueue, lines.log);
    await expect(mutex.acquire(0, AbortSignal.timeout(20))).rejects.toThrow();
  });
});
