// How a lost session is reported, and how long it is kept for the next owner.

import { expect, it } from 'vitest';
import { GapReporter } from '../../service/gap-reporter.ts';
import type { LostSession } from '../../service/lost-session.ts';
import type { Message } from '../../service/publisher/message.ts';
import { logLines } from '../support/log-lines.ts';

const LOST: LostSession = {
  ...{ shardId: 3, sessionId: 'a', lastSequence: 7, lastReceivedAt: 1_000, lostAt: 5_000, reason: 'op 9' },
};

function reporter() {
  const sent: { message: Message; settled: () => void }[] = [];
  const counted: string[] = [];
  const lines = logLines();
  const publisher = { publish: (message: Message, settled: () => void) => void sent.push({ message, settled }) };
  const gaps = new GapReporter(publisher, { add: (name) => void counted.push(name) }, lines.log);
  return { gaps, sent, counted, lines };
}

it('counts, logs and publishes; keeps it until the broker has confirmed it', async () => {
  const { gaps, sent, counted, lines } = reporter();
  const done = gaps.report([LOST]);
  expect(counted).toEqual(['gatewayGaps']);
  expect(lines.lines).toMatchObject([{ level: 'error', shard: 3, lastSequence: 7, reason: 'op 9', inHandOver: false }]);
  expect(sent[0]?.message).toMatchObject({ type: 'gateway.gap', headers: { 'x-session': 'a', 'x-sequence': 7 } });
  const { shardId, data } = JSON.parse(String(sent[0]?.message.body));
  expect([shardId, data]).toEqual([
    3,
    { sessionId: 'a', lastSequence: 7, lostFrom: 1_000, lostUntil: 5_000, reason: 'op 9' },
  ]);
  expect(gaps.unreportedGaps).toEqual([LOST]);
  sent[0]?.settled();
  await done;
  expect(gaps.unreportedGaps).toEqual([]);
});

it('keeps a session that was ended on purpose until all of it is settled, and counts no gap', async () => {
  const { gaps, sent, counted } = reporter();
  const all = Promise.withResolvers<void>();
  const { shardId, sessionId, lastSequence, reason } = LOST;
  const replaced = { shardId, sessionId, lastSequence, reason, endedAt: 5_000 };
  gaps.eventsOf(3).replaced({ ...replaced, settled: all.promise, unsettled: LOST });
  expect(sent).toMatchObject([
    { message: { type: 'gateway.session-replaced', headers: { 'x-session': 'a', 'x-sequence': 7 } } },
  ]);
  expect(gaps.unreportedGaps).toEqual([LOST]);
  all.resolve();
  await all.promise;
  expect([gaps.unreportedGaps, counted]).toEqual([[], []]);
});

it('counts a loss in a hand-over as one', () => {
  const { gaps, counted } = reporter();
  void gaps.report([{ ...LOST, inHandOver: true }]);
  expect(counted).toEqual(['gatewayGaps', 'gapsInHandOver']);
});

it('has the last five, the newest last', () => {
  const { gaps } = reporter();
  for (let lastSequence = 1; lastSequence <= 7; lastSequence += 1) void gaps.report([{ ...LOST, lastSequence }]);
  expect(gaps.last.map(({ lastSequence }) => lastSequence)).toEqual([3, 4, 5, 6, 7]);
});

it('only publishes what another task has counted; the next owner has it after `forget`', () => {
  const { gaps, sent, counted, lines } = reporter();
  void gaps.report([], [LOST]);
  expect([sent.length, counted, lines.lines]).toEqual([1, [], []]);
  expect(gaps.unreportedGaps).toEqual([LOST]);
  gaps.forget(({ sessionId }) => sessionId !== LOST.sessionId);
  expect(gaps.unreportedGaps).toEqual([LOST]);
  gaps.forget(({ sessionId }) => sessionId === LOST.sessionId);
  expect(gaps.unreportedGaps).toEqual([]);
});

it('reports holes of a living session apart from its loss: each has its own event, and none counts as a lost session', async () => {
  const { gaps, sent, counted, lines } = reporter();
  const hole = (first: number) => ({
    ...LOST,
    lastSequence: first - 1,
    missing: { first, last: first },
    reason: `${first}`,
  });
  void gaps.report([hole(4), hole(9)]);
  expect([counted, lines.lines.map(({ level }) => level)]).toEqual([[], ['warn', 'warn']]);
  gaps.eventsOf(3).hole({ first: 4, last: 4, outcome: 'late' } as never);
  expect(counted.splice(0)).toEqual(['sequenceHoles']);
  void gaps.report([LOST]);
  expect(gaps.unreportedGaps).toEqual([hole(4), hole(9), LOST]);
  expect(new Set(sent.map(({ message }) => message.messageId)).size).toBe(3);
  sent[1]?.settled();
  await Promise.resolve();
  expect(gaps.unreportedGaps).toEqual([hole(4), LOST]);
  // Another task has the same ids.
  const next = reporter();
  void next.gaps.report([], [hole(4)]);
  expect(next.sent[0]?.message.messageId).toBe(sent[0]?.message.messageId);
});

it('logs that heartbeats of a session may lag less from now on', () => {
  const { gaps, lines } = reporter();
  gaps.eventsOf(3).heartbeatsLagged(4);
  expect(lines.lines).toMatchObject([{ level: 'warn', shard: 3, mostLag: 4 }]);
});
