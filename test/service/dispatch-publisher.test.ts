// What becomes of one dispatch: its messages, when it is settled, and what is counted and logged of it.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { samplePayloads } from '../../local/discord/payloads/samples.ts';
import { DispatchPublisher } from '../../service/dispatch-publisher.ts';
import { parseEvents } from '../../service/events/choice.ts';
import type { Message } from '../../service/publisher/message.ts';
import { GuildPresence } from '../../service/session/guild-presence.ts';
import type { ShardSession } from '../../service/session/session.ts';
import { NO_OPT_INS } from '../support/dispatch-context.ts';
import { logLines } from '../support/log-lines.ts';

const NOW = Date.UTC(2026, 10, 23, 22, 0, 0);

beforeEach(() => void vi.useFakeTimers({ now: NOW, toFake: ['Date'] }));
afterEach(() => void vi.useRealTimers());

function publisherOf(events = 'all') {
  const sent: { message: Message; confirm: () => void }[] = [];
  const publish = vi.fn((message: Message, confirm: () => void) => void sent.push({ message, confirm }));
  const counted: string[] = [];
  const observe = vi.fn();
  const { log, lines } = logLines();
  const metrics = { add: (name: string) => void counted.push(name), observe };
  const dispatches = new DispatchPublisher({
    ...{ choice: parseEvents(events), optIns: NO_OPT_INS, publisher: { publish }, metrics, log },
  });
  const guilds = new GuildPresence(NOW - 3_600_000);
  const session = { shardId: 3, shardCount: 4, guilds, id: 'a' } as unknown as ShardSession;
  const settle = vi.fn();
  const take = (t: string, d: unknown) => dispatches.publish({ op: 0, s: 7, t, d } as never, session, NOW, settle);
  return { counted, lines, observe, publish, sent, settle, take };
}

const sampleOf = (name: string) => {
  const { dispatch } = samplePayloads(42).find((each) => each.name === name) ?? expect.fail(`there is no ${name}`);
  return JSON.parse(JSON.stringify(dispatch.d)) as Record<string, unknown>;
};

it('an event is settled when it is confirmed, and the time since its frame is observed', () => {
  const { counted, observe, sent, settle, take } = publisherOf();
  expect(take('TYPING_START', { guild_id: '1', channel_id: '2', user_id: '3' })).toBe(true);
  expect(sent.map(({ message }) => message)).toMatchObject([
    { routingKey: 'dispatch.typing_start', headers: { 'x-shard': 3, 'x-session': 'a', 'x-sequence': 7 } },
  ]);
  expect([settle.mock.calls, observe.mock.calls]).toEqual([[], []]);
  vi.setSystemTime(NOW + 42);
  sent[0]?.confirm();
  expect([settle.mock.calls.length, observe.mock.calls, counted]).toEqual([1, [['frameToConfirm', 42]], []]);
});

it('a dispatch with two events is settled when both are confirmed', () => {
  const { observe, sent, settle, take } = publisherOf('guilds.full');
  expect(take('GUILD_CREATE', sampleOf('guild.join'))).toBe(true);
  expect(sent.map(({ message }) => message.routingKey)).toEqual(['dispatch.guild_create', 'guild.join']);
  sent[1]?.confirm();
  expect(settle).not.toHaveBeenCalled();
  sent[0]?.confirm();
  expect([settle.mock.calls.length, observe.mock.calls.length]).toEqual([1, 1]);
});

it('a dispatch that is filtered is settled at once and counted; beside an event it is not counted', () => {
  const { counted, lines, settle, take } = publisherOf('guilds.full');
  expect(take('TYPING_START', {})).toBe(false);
  expect([settle.mock.calls.length, counted]).toEqual([1, ['eventsFiltered']]);
  expect(take('GUILD_CREATE', { id: '1', unavailable: true })).toBe(true);
  expect([settle.mock.calls.length, counted, lines]).toEqual([1, ['eventsFiltered'], []]);
});

it('what cannot be read is settled at once and counted each time; the log has each type once, and 1,000 types at most', () => {
  const { counted, lines, settle, take } = publisherOf();
  for (let times = 0; times < 2; times += 1) expect(take('x'.repeat(101), {})).toBe(false);
  expect([settle.mock.calls.length, counted]).toEqual([2, ['eventsUnknown', 'eventsUnknown']]);
  expect(lines).toMatchObject([{ level: 'warn', dispatch: 'x'.repeat(100), reason: 'an unknown dispatch type' }]);
  for (let type = 0; type < 1_000; type += 1) take(`NEW_${type}`, {});
  expect([counted.length, lines.length]).toEqual([1_002, 1_000]);
  expect(lines.at(-1)).toMatchObject({ dispatch: 'NEW_998' });
});

it('an unknown field of a message is counted each time, the log has its name once, and the event is published', () => {
  const { counted, lines, sent, take } = publisherOf();
  const name = 'n'.repeat(101);
  for (let times = 0; times < 2; times += 1) take('MESSAGE_CREATE', { ...sampleOf('message.text'), [name]: 'SECRET' });
  take('MESSAGE_CREATE', { ...sampleOf('message.text'), other: 1 });
  expect([sent.length, counted]).toEqual([3, ['unknownFields', 'unknownFields', 'unknownFields']]);
  expect(lines).toMatchObject([
    { level: 'warn', dispatch: 'MESSAGE_CREATE', field: 'n'.repeat(100) },
    { level: 'warn', dispatch: 'MESSAGE_CREATE', field: 'other' },
  ]);
  expect(JSON.stringify(lines)).not.toContain('SECRET');
});

it('an event that cannot be made a message is unknown: nothing of it is published, and the log quotes nothing', () => {
  const { counted, lines, publish, settle, take } = publisherOf();
  const d = { guild_id: '1', channel_id: '2', user_id: '3', toJSON: () => expect.fail('SECRET') };
  expect(take('TYPING_START', d)).toBe(false);
  expect([publish.mock.calls, settle.mock.calls.length, counted]).toEqual([[], 1, ['eventsUnknown']]);
  expect(lines).toMatchObject([{ reason: expect.stringMatching(/^\w+: it cannot be made a message$/) }]);
});
