// The mutex of exclusive queues on the real broker: two tasks are two connections.

import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { BrokerConnection } from '../../../service/amqp/connection.ts';
import { QueueMutex } from '../../../service/amqp/queue-mutex.ts';
import { identifyQueue } from '../../../service/contract/names.ts';
import { makeVhost, manage, type Vhost } from '../../support/broker.ts';
import { fixedLogin, makeUser, type User } from '../../support/broker-client.ts';
import { closedPort } from '../../support/fake-servers.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';
import { turnsUntil } from '../../support/turns.ts';
import { amqpPeer, handshakeThen, method } from './amqp-peer.ts';

let vhost: Vhost;
let lines: LogLines;
const users: User[] = [];
const mutexes: QueueMutex[] = [];

beforeEach(async () => {
  vhost = await makeVhost('mutex');
  lines = logLines();
});

afterEach(async () => {
  await Promise.all(mutexes.splice(0).map((mutex) => mutex.close()));
  await Promise.all(users.splice(0).map((user) => user.remove()));
  await vhost.remove();
});

interface Task {
  readonly mutex: QueueMutex;
  readonly user: User;
  /** That it has opened so far. */
  readonly connections: readonly BrokerConnection[];
}

/** A user of its own, so that its connections can be counted and cut. @param url where it connects @default - the broker's */
async function task(url?: (url: string) => string): Promise<Task> {
  const user = await makeUser(vhost);
  users.push(user);
  const own: BrokerConnection[] = [];
  const connect = () => {
    const login = fixedLogin(url?.(user.url) ?? user.url);
    const connection = new BrokerConnection({ name: 'task', login, log: lines.log });
    own.push(connection);
    return connection;
  };
  const mutex = new QueueMutex(connect, identifyQueue, lines.log);
  mutexes.push(mutex);
  return { mutex, user, connections: own };
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
    const port = await closedPort();
    const { mutex } = await task(() => `amqp://a:b@127.0.0.1:${port}/`);
    await expect(mutex.acquire(0, AbortSignal.timeout(20))).rejects.toThrow();
  });
});

describe('its connection', () => {
  it('is open only while a bucket is held or asked for', async () => {
    const [one, two] = [await task(), await task()];
    expect([one.connections.length, one.mutex.holds]).toEqual([0, false]);
    const first = await one.mutex.acquire(0, unaborted);
    const second = await one.mutex.acquire(1, unaborted);
    const abort = new AbortController();
    const waiter = two.mutex.acquire(0, abort.signal);
    await eventually(
      'both are connected',
      async () => (await two.user.connections()) + (await one.user.connections()) === 2,
    );
    expect([one.mutex.holds, two.mutex.holds]).toEqual([true, false]);
    first();
    (await waiter)();
    await eventually('nothing is left of the other', async () => (await two.user.connections()) === 0);
    // The other bucket is still held.
    expect([await one.user.connections(), await queues()]).toEqual([1, [identifyQueue(1)]]);
    second();
    expect(one.mutex.holds).toBe(false);
    await eventually(
      'nothing is left',
      async () => (await one.user.connections()) === 0 && (await queues()).length === 0,
    );
    (await one.mutex.acquire(0, unaborted))();
    expect(one.connections).toHaveLength(2);
  });

  it('is opened again after a loss, and with it goes what was held', async () => {
    const { mutex, user, connections } = await task();
    const release = await mutex.acquire(0, unaborted);
    await eventually('the broker knows it', async () => (await user.connections()) === 1);
    const next = mutex.acquire(0, unaborted);
    await user.dropConnections();
    await eventually('the loss is noticed', () => !mutex.holds);
    release();
    (await next)();
    expect([connections.length, connections[0]?.reconnects]).toEqual([1, 1]);
  });

  it('a bucket that is given up while the broker is asked is free for the next waiter', async () => {
    const { mutex } = await task();
    const other = await mutex.acquire(1, unaborted);
    for (let round = 0; round < 20; round += 1) {
      const abort = new AbortController();
      const given = mutex.acquire(0, abort.signal);
      setTimeout(() => abort.abort(), round / 4);
      await given.then(
        (release) => release(),
        () => undefined,
      );
      const release = await mutex.acquire(0, unaborted);
      expect((await queues()).toSorted()).toEqual([identifyQueue(0), identifyQueue(1)]);
      release();
    }
    other();
    await eventually('no queue is left', async () => (await queues()).length === 0);
  });
});

it('a refusal is logged once, however often it comes, and so is its end', async () => {
  const { mutex, user } = await task();
  const permissions = (configure: string) =>
    manage('PUT', `/api/permissions/${encodeURIComponent(vhost.vhost)}/${user.username}`, {
      ...{ configure, write: '.*', read: '.*' },
    });
  await permissions('^$');
  const waiter = mutex.acquire(0, unaborted);
  await lines.line('cannot ask for the identify lock');
  await permissions('.*');
  (await waiter)();
  const { failures } = await lines.line('the identify lock can be asked for again');
  expect(failures).toBeGreaterThanOrEqual(1);
  expect(lines.lines.filter(({ msg }) => msg.startsWith('cannot ask'))).toHaveLength(1);
});

it('a node that does not answer a declare is left for another after 10 s, and again; the signal ends it at once', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
  onTestFinished(() => void vi.useRealTimers());
  let declares = 0;
  const channelOpenOk = method(1, 20, 11, Buffer.alloc(4));
  const answer = handshakeThen(Buffer.alloc(0), (socket, chunk) => {
    if (chunk === 4) socket.write(channelOpenOk);
    if (chunk === 5) declares += 1;
  });
  const peer = await amqpPeer(answer);
  const { mutex } = await task(() => peer.url);
  const abort = new AbortController();
  const waiter = mutex.acquire(0, abort.signal);
  for (const times of [1, 2]) {
    // The pause before another connection passes.
    await turnsUntil(() => vi.advanceTimersByTime(1) && declares === times);
    await vi.advanceTimersByTimeAsync(9_900);
    expect(peer.open()).toBe(1);
    await vi.advanceTimersByTimeAsync(200);
    await turnsUntil(() => peer.open() === 0);
  }
  abort.abort();
  await expect(waiter).rejects.toThrow();
});
