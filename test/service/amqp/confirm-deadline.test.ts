// When a connection that confirms nothing is asked, kept and given up. Times in seconds: 5 of silence, 5 for a claim.

import { EventEmitter } from 'node:events';
import type { ChannelModel } from 'amqplib';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ConfirmDeadline, type FailingConnection, publishClaim } from '../../../service/amqp/confirm-deadline.ts';
import { type LogLines, logLines } from '../../support/log-lines.ts';

class Connection extends EventEmitter implements FailingConnection<number> {
  blocked = false;
  readonly failures: string[] = [];
  opened = 0;

  open(): void {
    this.opened += 1;
    this.emit('open', this.opened);
  }

  fail(reason: string): void {
    this.failures.push(reason);
    this.emit('lost', new Error(reason));
  }

  setBlocked(blocked: boolean): void {
    this.blocked = blocked;
    if (!blocked) this.emit('unblocked');
  }
}

let lines: LogLines;
let connection: Connection;
let deadline: ConfirmDeadline<number>;
/** Of the connection to which it went. */
let claims: (PromiseWithResolvers<void> & { readonly model: number })[];
let stuck: number;

beforeEach(() => {
  vi.useFakeTimers({ fakeNodeBuiltins: true });
  lines = logLines();
  connection = new Connection();
  [claims, stuck] = [[], 0];
  deadline = new ConfirmDeadline({
    connection,
    claim: (model) => {
      const claim = { model, ...Promise.withResolvers<void>() };
      claims.push(claim);
      return claim.promise;
    },
    onStuck: () => {
      stuck += 1;
    },
    log: lines.log,
  });
});

afterEach(() => void vi.useRealTimers());

const seconds = async (count: number) => await vi.advanceTimersByTimeAsync(count * 1_000);
const settled = async () => await vi.advanceTimersByTimeAsync(0);

/** Something is written and nothing confirmed. @returns after how many seconds the connection fails */
async function untilFailure(): Promise<number> {
  const before = connection.failures.length;
  connection.open();
  deadline.written();
  for (let waited = 1; waited < 300; waited += 1) {
    await seconds(1);
    if (connection.failures.length > before) return waited;
  }
  throw new Error('it does not fail');
}

it('after 4.5 s without a confirm a claim is asked for, and after 4.5 s without its confirm the connection fails', async () => {
  connection.open();
  deadline.written();
  await seconds(4.4);
  expect(claims).toHaveLength(0);
  await seconds(0.2);
  expect(claims).toHaveLength(1);
  await seconds(4.3);
  expect(connection.failures).toEqual([]);
  await seconds(0.2);
  expect(connection.failures).toEqual(['nothing was confirmed for 4.5 s; a claim was not confirmed within 4.5 s']);
  expect([stuck, deadline.stuck]).toEqual([0, false]);
});

it('with nothing written nothing is asked, nor when all of it was confirmed', async () => {
  connection.open();
  await seconds(600);
  deadline.written();
  await seconds(4);
  deadline.written();
  deadline.confirmed(0);
  await seconds(600);
  expect(claims).toHaveLength(0);
});

it('each confirm begins the time again while something is left; a later message does not', async () => {
  connection.open();
  for (let times = 0; times < 5; times += 1) {
    deadline.written();
    await seconds(4);
    deadline.confirmed(1);
  }
  expect(claims).toHaveLength(0);
  await seconds(4);
  deadline.written();
  await seconds(0.6);
  expect(claims).toHaveLength(1);
});

it('a connection after one that was given up is asked at once, and each waits twice as long, up to 60 s', async () => {
  const waited: number[] = [];
  for (let times = 0; times < 8; times += 1) waited.push(await untilFailure());
  expect(waited).toEqual([9, 2, 4, 8, 16, 32, 60, 60]);
  connection.open();
  deadline.written();
  deadline.confirmed(0);
  connection.emit('lost');
  expect(await untilFailure()).toBe(9);
});

it('one that confirms its first claim is no longer suspected, and no queue of it is stuck', async () => {
  await untilFailure();
  connection.open();
  claims.at(-1)?.resolve();
  await settled();
  expect(stuck).toBe(0);
  connection.emit('lost');
  expect(await untilFailure()).toBe(9);
});

it('the channels that end with the connection given up are no confirm', async () => {
  expect(await untilFailure()).toBe(9);
  deadline.confirmed(0);
  expect(await untilFailure()).toBe(2);
});

it('a confirmed claim keeps the connection: a queue is stuck, which is reported once, and asked again each 4.5 s', async () => {
  connection.open();
  deadline.written();
  for (let times = 1; times <= 3; times += 1) {
    await seconds(4.6);
    expect(claims).toHaveLength(times);
    claims.at(-1)?.resolve();
    await settled();
    expect([deadline.stuck, stuck]).toEqual([true, 1]);
  }
  deadline.confirmed(1);
  expect(deadline.stuck).toBe(false);
  await seconds(4.6);
  claims.at(-1)?.resolve();
  await settled();
  expect([deadline.stuck, stuck]).toEqual([true, 2]);
  // Now the node is without a majority, too.
  await seconds(9.1);
  expect(connection.failures).toHaveLength(1);
  expect(deadline.stuck).toBe(false);
});

it('a claim that is refused proves no majority', async () => {
  connection.open();
  deadline.written();
  await seconds(4.6);
  claims[0]?.reject(new Error('no queue takes it'));
  await settled();
  expect(connection.failures).toEqual(['nothing was confirmed for 4.5 s; no queue takes it']);
});

it('a confirm during a claim ends the asking, whatever becomes of that claim', async () => {
  connection.open();
  deadline.written();
  await seconds(4.6);
  deadline.confirmed(1);
  claims[0]?.reject(new Error('too late'));
  await seconds(4.3);
  expect([claims.length, connection.failures.length]).toEqual([1, 0]);
  await seconds(0.2);
  claims[0]?.resolve();
  expect(claims).toHaveLength(2);
  await seconds(4.6);
  expect(connection.failures).toHaveLength(1);
});

it('while the broker blocks publishers nothing is asked or given up; then the time begins again', async () => {
  connection.open();
  deadline.written();
  await seconds(4);
  connection.setBlocked(true);
  deadline.written();
  await seconds(600);
  expect(claims).toHaveLength(0);
  connection.setBlocked(false);
  await seconds(4.4);
  expect(claims).toHaveLength(0);
  await seconds(0.2);
  expect(claims).toHaveLength(1);
  connection.setBlocked(true);
  await seconds(600);
  expect(connection.failures).toEqual([]);
  connection.setBlocked(false);
  await seconds(9.1);
  expect(connection.failures).toHaveLength(1);
});

it('a connection lost meanwhile takes its claim and its messages with it', async () => {
  connection.open();
  deadline.written();
  await seconds(4.6);
  connection.emit('lost');
  claims[0]?.reject(new Error('the channel was closed'));
  connection.open();
  await seconds(600);
  expect([claims.length, connection.failures]).toEqual([1, []]);
  deadline.written();
  await seconds(4.6);
  expect(claims.map(({ model }) => model)).toEqual([1, 2]);
});

it('what is written before the listener of the connection has run counts', async () => {
  deadline.written();
  connection.open();
  await seconds(9.1);
  expect(connection.failures).toHaveLength(1);
});

it.each<[string, boolean, Error | null, string]>([
  ['confirmed', false, null, 'resolved'],
  ['refused', false, new Error('nacked'), 'nacked'],
  ['returned, and then confirmed', true, null, 'no queue takes a claim of ingestor.lease.7'],
])('a claim that is %s, and its channel is closed', async (_, returned, error, expected) => {
  const close = vi.fn(async () => undefined);
  const channel = Object.assign(new EventEmitter(), {
    close,
    publish: (...[, queue, , options, confirmed]: [string, string, Buffer, object, (error: Error | null) => void]) => {
      expect([queue, options]).toMatchObject(['ingestor.lease.7', { mandatory: true, persistent: true }]);
      if (returned) channel.emit('return');
      confirmed(error);
    },
  });
  const model = { createConfirmChannel: async () => channel } as unknown as ChannelModel;
  const outcome = await publishClaim(model, 7).then(
    () => 'resolved',
    ({ message }: Error) => message,
  );
  expect([outcome, close.mock.calls.length]).toEqual([expected, 1]);
});
