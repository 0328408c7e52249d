// How much the commands of an operator take and print at once, with a broker in memory.

import { EventEmitter } from 'node:events';
import { stripVTControlCharacters } from 'node:util';
import type { ConsumeMessage } from 'amqplib';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

type Run = (args: readonly string[]) => Promise<number>;
const { isTTY } = process.stdout;
let printed: string[];

beforeEach(() => {
  printed = [];
  vi.spyOn(console, 'log').mockImplementation((text: string) => void printed.push(text));
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
});
afterEach(() => {
  process.stdout.isTTY = isTTY;
  vi.restoreAllMocks();
  vi.doUnmock('../../lib/operator/connect.ts');
  // Other files share the modules.
  vi.resetModules();
});

function message(routingKey: string, body: object): ConsumeMessage {
  const properties = { headers: {}, type: routingKey };
  return {
    fields: { routingKey },
    properties,
    content: Buffer.from(JSON.stringify(body)),
  } as unknown as ConsumeMessage;
}

/** The command, and a channel of the broker that delivers these messages. */
async function withBroker<T extends { run: Run }>(load: () => Promise<T>, messages: readonly ConsumeMessage[]) {
  const channel = Object.assign(new EventEmitter(), {
    assertQueue: vi.fn(),
    bindQueue: vi.fn(),
    checkQueue: async () => ({ messageCount: messages.length, consumerCount: 0 }),
    prefetch: vi.fn(async () => undefined),
    consume: async (_queue: string, take: (each: ConsumeMessage) => void) => {
      for (const each of messages) take(each);
      return { consumerTag: 'tag' };
    },
    cancel: vi.fn(),
    close: vi.fn(),
    ack: vi.fn(),
  });
  const model = { createChannel: async () => channel, close: async () => undefined };
  vi.resetModules();
  vi.doMock('../../lib/operator/connect.ts', async (original) => ({
    ...(await original<object>()),
    connectAsOperator: async () => model,
  }));
  const { run } = await load();
  return { channel, run };
}

it('dead-letters lists 40 kinds, the most frequent first, and counts the others', async () => {
  const types = Array.from({ length: 42 }, (_, index) => `kind.${index + 10}`);
  // The last one is the only one of its kind, the first ones come twice.
  const messages = [...types, ...types.slice(0, 40)].map((type) => message(type, {}));
  const { run } = await withBroker(() => import('../../bin/dead-letters.ts'), messages);
  expect(await run(['list'])).toBe(0);
  const [first, table = '', rest] = printed;
  expect(first).toBe('dead-letters: 82 messages, of which 82 match');
  const [head, ...lines] = table.trim().split('\n');
  expect(head).toMatch(/^reason +from +type +messages +oldest +newest$/);
  expect(lines.map((line) => line.split(/ {2,}/))).toEqual(
    types.slice(0, 40).map((type) => ['unknown', 'unknown', type, '2', 'unknown', 'unknown']),
  );
  expect(rest).toBe('and 2 more, of 2 kinds: --json has them');
  printed = [];
  const all = await withBroker(() => import('../../bin/dead-letters.ts'), messages.slice(0, 40));
  expect(await all.run(['list'])).toBe(0);
  expect(printed).toHaveLength(2);
});

it('tail takes 100 messages at a time, and shows 400 characters of the data of each on a terminal', async () => {
  // With its quotes.
  const text = (length: number) => message('member.join', { eventType: 'member.join', data: 'y'.repeat(length - 2) });
  const { channel, run } = await withBroker(() => import('../../bin/tail.ts'), [text(400), text(401)]);
  process.stdout.isTTY = true;
  const written: string[] = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((line) => written.push(String(line)) > 0);
  const running = run([]);
  await vi.waitUntil(() => written.length === 2);
  channel.emit('close');
  expect(await running).toBe(1);
  vi.mocked(process.stdout.write).mockRestore();
  const shown = written.map((line) => stripVTControlCharacters(line).trimEnd().split('  ').at(-1));
  expect(shown).toEqual([`"${'y'.repeat(398)}"`, `"${'y'.repeat(399)}…`]);
  expect(channel.prefetch.mock.calls).toEqual([[100]]);
  expect(channel.ack).toHaveBeenCalledTimes(2);
});
