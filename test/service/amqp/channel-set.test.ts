// What a set of channels reports to the deadline for confirms, with a channel that answers when the test lets it.

import { EventEmitter } from 'node:events';
import { expect, it, vi } from 'vitest';
import { ChannelSet } from '../../../service/amqp/channel-set.ts';
import { logLines } from '../../support/log-lines.ts';

it('the deadline learns of each message, and of each confirm how many are left; a refusal is none', async () => {
  const answers: ((error: unknown) => void)[] = [];
  const channel = Object.assign(new EventEmitter(), {
    checkExchange: async () => undefined,
    publish: (...args: unknown[]) => void answers.push(args[4] as (error: unknown) => void),
  });
  const deadline = { written: vi.fn(), confirmed: vi.fn() };
  const options = { exchange: 'leases', queueArguments: {}, deadline, log: logLines().log };
  const set = await ChannelSet.open({ createConfirmChannel: async () => channel } as never, options);
  const [first, second] = ['a', 'b'].map((queue) => set.publish(queue, Buffer.from('{}'), {}));
  expect([deadline.written.mock.calls.length, set.unconfirmed]).toEqual([2, ['a', 'b']]);
  answers[0]?.(null);
  await first;
  answers[1]?.(new Error('refused'));
  await expect(second).rejects.toThrow('refused');
  expect([deadline.confirmed.mock.calls, set.unconfirmed]).toEqual([[[1]], []]);
});
