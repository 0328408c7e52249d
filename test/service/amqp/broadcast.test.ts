// What a task takes and sends of the messages between tasks, with a broker that does what the test tells it.

import { EventEmitter } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Broadcast } from '../../../service/amqp/broadcast.ts';
import { logLines } from '../../support/log-lines.ts';
import { FakeChannel } from './fake-channel.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true }));
afterEach(() => void vi.useRealTimers());

function broadcastOf() {
  const [receiving, publishing] = [new EventEmitter(), Object.assign(new EventEmitter(), { blocked: false })];
  const received = new FakeChannel();
  const sent: FakeChannel[] = [];
  const createChannel = vi.fn(async () => {
    sent.push(new FakeChannel());
    return sent.at(-1);
  });
  const [onOpen, onMessage, { log, lines }] = [vi.fn(), vi.fn(), logLines()];
  const broadcast = new Broadcast({
    ...{ receiving: receiving as never, publishing: publishing as never, onOpen, onMessage, log },
    ...{ exchange: 'tasks', queue: 'mine', routingKeys: ['all', 'me'] },
  });
  const opens = {
    receiving: async () => {
      receiving.emit('open', { createConfirmChannel: async () => received });
      await turn();
    },
    publishing: () => void publishing.emit('open', { createChannel }),
  };
  return { broadcast, createChannel, lines, onMessage, onOpen, opens, publishing, received, sent };
}

/** Both connections are open. */
async function opened() {
  const made = broadcastOf();
  made.opens.publishing();
  await made.opens.receiving();
  return made;
}

const body = Buffer.from('{}');
const message = (content = body) => ({ fields: {}, properties: {}, content });

it.each([['receiving' as const], ['publishing' as const]])(
  'messages are sent once both connections are open; the last one to open is that for %s',
  async (last) => {
    const { broadcast, createChannel, onOpen, opens, received, sent } = broadcastOf();
    await opens[last === 'receiving' ? 'publishing' : 'receiving']();
    broadcast.publish('all', body);
    await turn();
    expect(createChannel).not.toHaveBeenCalled();
    onOpen.mockClear();
    await opens[last]();
    expect(onOpen).toHaveBeenCalledTimes(1);
    broadcast.publish('all', body);
    await turn();
    expect(received.bindQueue.mock.calls).toEqual([
      ['mine', 'tasks', 'all'],
      ['mine', 'tasks', 'me'],
    ]);
    expect(sent.map(({ publish }) => publish.mock.calls)).toEqual([
      [['tasks', 'all', body, { contentType: 'application/json' }]],
    ]);
  },
);

it('its queue is gone with the task, and holds a thousand messages, 4 MiB and a minute at most', async () => {
  const { received } = await opened();
  const bounds = { 'x-max-length': 1_000, 'x-max-length-bytes': 4_194_304, 'x-message-ttl': 60_000 };
  expect(received.assertQueue.mock.calls).toEqual([
    [
      'mine',
      {
        exclusive: true,
        durable: false,
        arguments: { 'x-queue-type': 'classic', 'x-overflow': 'drop-head', ...bounds },
      },
    ],
  ]);
});

it('at most 20 messages are taken in 0.2 s, and none of more than 64 KiB', async () => {
  const { onMessage, received } = await opened();
  expect(received.prefetch.mock.calls).toEqual([[20]]);
  received.deliver(message(Buffer.alloc(65_536)));
  received.deliver(message(Buffer.alloc(65_537)));
  expect(onMessage.mock.calls.map(([{ length }]) => length)).toEqual([65_536]);
  await vi.advanceTimersByTimeAsync(199);
  expect(received.ack).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(received.ack).toHaveBeenCalledTimes(2);
});

it('nothing is sent while the broker blocks publishers, and nothing of more than 64 KiB', async () => {
  const { broadcast, publishing, sent } = await opened();
  for (const [blocked, size] of [
    [true, 1],
    [false, 65_537],
    [false, 65_536],
  ] as const) {
    publishing.blocked = blocked;
    broadcast.publish('all', Buffer.alloc(size));
  }
  await turn();
  expect(sent.map(({ publish }) => publish.mock.calls.map(([, , { length }]) => length))).toEqual([[65_536]]);
});

it('a channel that is closed, cannot be opened or cannot be written is replaced, and so is a lost connection', async () => {
  const { broadcast, createChannel, opens, publishing, sent } = await opened();
  const publish = async () => {
    broadcast.publish('all', body);
    await turn();
  };
  await publish();
  await publish();
  expect(sent).toHaveLength(1);
  sent[0]?.emit('close');
  await publish();
  expect(sent).toHaveLength(2);
  sent[1]?.publish.mockImplementationOnce(() => {
    throw new Error('the channel has closed');
  });
  await publish();
  createChannel.mockRejectedValueOnce(new Error('no channel'));
  await publish();
  await publish();
  expect([createChannel.mock.calls.length, sent.length]).toEqual([4, 3]);
  publishing.emit('lost', new Error('away'));
  await publish();
  expect(sent).toHaveLength(3);
  opens.publishing();
  await publish();
  expect(sent.map((channel) => channel.publish.mock.calls.length)).toEqual([2, 2, 1, 1]);
});

it('the end waits a second at most for what was sent, and nothing is sent after it', async () => {
  const { broadcast, createChannel, sent } = await opened();
  broadcast.publish('all', body);
  await turn();
  sent[0]?.close.mockReturnValueOnce(new Promise(() => undefined));
  let closed = false;
  const closing = broadcast.close().then(() => {
    closed = true;
  });
  broadcast.publish('all', body);
  await vi.advanceTimersByTimeAsync(999);
  expect([closed, sent[0]?.close.mock.calls.length]).toEqual([false, 1]);
  await vi.advanceTimersByTimeAsync(1);
  await closing;
  expect([createChannel.mock.calls.length, sent[0]?.publish.mock.calls.length]).toEqual([1, 1]);
});
