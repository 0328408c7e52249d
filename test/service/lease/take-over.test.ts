// What a new owner begins with, by the record it found and the shard layout now.

import { describe, expect, it } from 'vitest';
import type { GroupRecord, ShardLayout } from '../../../service/lease/group-record.ts';
import { abandonedBy, takeOver } from '../../../service/lease/take-over.ts';
import { groupRecord, resumeState } from './records.ts';

const NOW = 1_763_900_200_000;
const STORED_AT = groupRecord().storedAt;
const FOUR: ShardLayout = { shardCount: 4, shardsPerTask: 4 };
const TWO: ShardLayout = { shardCount: 4, shardsPerTask: 2 };

const taken = (record: Partial<GroupRecord> | undefined, shardLayout = FOUR, group = 0) =>
  takeOver({ group, shardLayout, record: record && groupRecord(record) }, NOW);
const withoutRecord = (headers: Record<string, unknown> | undefined) =>
  takeOver({ group: 1, shardLayout: TWO, record: undefined, claim: headers && { headers } }, NOW).lost;

it.each([
  [1, { shardCount: 8, shardsPerTask: 4 }, [4, 5, 6, 7]],
  [1, { shardCount: 6, shardsPerTask: 4 }, [4, 5]],
])('group %d of %j has the shards %j', (group, layout, shardIds) => {
  expect(taken(undefined, layout, group).shardGroup).toMatchObject({ shardIds, shardCount: layout.shardCount });
});

it('sessions are resumed, each by its shard; a shard that had none IDENTIFYs', () => {
  const sessions = { '1': resumeState({ sessionId: 's1' }), '3': resumeState({ sessionId: 's3' }) };
  const { shardGroup, lost } = taken({ sessions });
  expect([...shardGroup.sessions]).toEqual([
    [1, sessions['1']],
    [3, sessions['3']],
  ]);
  expect(shardGroup).toMatchObject({ storedAt: STORED_AT, takenOverAt: NOW });
  expect(lost).toEqual([]);
});

describe('sessions are lost', () => {
  it('when they are of another shard count', () => {
    const sessions = { '0': resumeState({ sequence: 12 }), '3': resumeState({ sessionId: 'three', shardCount: 8 }) };
    const { shardGroup, lost } = taken({ sessions }, { shardCount: 8, shardsPerTask: 8 });
    expect([...shardGroup.sessions.keys()]).toEqual([3]);
    expect(lost).toEqual([
      {
        ...{ shardId: 0, sessionId: resumeState().sessionId, lastSequence: 12, lastReceivedAt: STORED_AT, lostAt: NOW },
        reason: 'the number of shards changed from 4 to 8',
      },
    ]);
  });

  it('when their shards belong to another group', () => {
    const { shardGroup, lost } = taken(
      { sessions: { '1': resumeState(), '2': resumeState({ sessionId: 'two' }) } },
      { shardCount: 4, shardsPerTask: 2 },
    );
    expect([...shardGroup.sessions.keys()]).toEqual([1]);
    expect(lost).toMatchObject([{ shardId: 2, sessionId: 'two', reason: 'the shards were divided into other groups' }]);
  });

  it.each([
    [FOUR, [1, 2, 3]],
    [{ shardCount: 4, shardsPerTask: 2 }, []],
    [{ shardCount: 8, shardsPerTask: 4 }, []],
    [undefined, []],
  ])(
    'when they should have been stored and were not, by a task of the same shard layout: %j',
    (shardLayout, shards) => {
      const { lost } = taken({ sessions: { '0': resumeState() }, shardLayout });
      expect(lost.map(({ shardId }) => shardId)).toEqual(shards);
      if (shards.length > 0)
        expect(lost[0]).toMatchObject({ sessionId: 'unknown-task-1-3-1', lastSequence: 0, lastReceivedAt: STORED_AT });
    },
  );

  const unreadableFor = (body: string, timestamp: number | undefined, now = NOW) =>
    takeOver({ group: 1, shardLayout: TWO, record: undefined, unreadable: { body: Buffer.from(body), timestamp } }, now)
      .lost;

  it('when the record is unreadable, under ids that are the same in every process', () => {
    const lost = unreadableFor('?', 5);
    const sha1 = '5bab61eb53176449e25c2c82f172b82cb13ffb9d';
    expect(lost).toMatchObject([
      { shardId: 2, sessionId: `unreadable-${sha1}-2`, lastReceivedAt: 5_000, lostAt: NOW },
      { shardId: 3, sessionId: `unreadable-${sha1}-3`, lastReceivedAt: 5_000, lostAt: NOW },
    ]);
    expect(unreadableFor('!', 0)).toMatchObject([{ lastReceivedAt: 0 }, { lastReceivedAt: 0 }]);
    for (const timestamp of [undefined, Number.NaN, -1, 2 ** 63])
      expect(unreadableFor('!', timestamp)).toMatchObject([{ lastReceivedAt: NOW }, { lastReceivedAt: NOW }]);
  });

  it.each([
    [60_000, true],
    [60_001, undefined],
  ])('in the hand-over, when it is unreadable and was stored %d ms ago: %s', (age, inHandOver) => {
    expect(unreadableFor('?', 5, 5_000 + age).map((each) => each.inHandOver)).toEqual([inHandOver, inHandOver]);
  });

  it.each([
    [{ 'x-started-at': 1_763_900_000_000 }, '1763900000000'],
    [{ 'x-started-at': '1763900000000' }, 'unknown'],
    [{ 'x-started-at': Number.POSITIVE_INFINITY }, 'unknown'],
    [{ 'x-started-at': 1 }, '1'],
    [{ 'x-started-at': 0 }, 'unknown'],
    [{ 'x-started-at': -1 }, 'unknown'],
    [undefined, 'unknown'],
  ])('when there is no record, under ids of the first claim: %j', (headers, id) => {
    const how = { lastSequence: 0, lastReceivedAt: NOW, lostAt: NOW, reason: 'no record found' };
    expect(withoutRecord(headers)).toEqual([
      { shardId: 2, sessionId: `no-record-${id}-2`, ...how },
      { shardId: 3, sessionId: `no-record-${id}-3`, ...how },
    ]);
  });

  it.each([
    [FOUR, [1, 2, 3]],
    [{ shardCount: 8, shardsPerTask: 2 }, [1, 9]],
    [undefined, [1, 9]],
  ])('once each when their stored sessions could not be read, in any shard layout: %j', (shardLayout, shards) => {
    const faults = [1, shardLayout === FOUR ? 2 : 9].map((lostShardId) => ({ lostShardId, reason: 'x' }));
    const sessions = { '0': resumeState() };
    const { lost } = taken({ sessions, shardLayout, faults: [...faults, { reason: 'a gap' }] });
    expect(lost.map(({ shardId }) => shardId).toSorted()).toEqual(shards);
    expect(lost[0]).toMatchObject({ sessionId: 'unknown-task-1-3-1', reason: 'the stored session could not be read' });
    expect(lost[0]).not.toHaveProperty('inHandOver');
  });

  it('when the shard layout no longer has their group, those that could not be read too', () => {
    const faults = [29, 31].map((lostShardId) => ({ lostShardId, reason: 'x' }));
    const record = groupRecord({ group: 7, sessions: { '28': resumeState({ sequence: 9 }) }, faults });
    const how = { lastReceivedAt: STORED_AT, lostAt: NOW };
    const { sessionId } = resumeState();
    expect(abandonedBy(record, NOW)).toMatchObject([
      { shardId: 28, sessionId, lastSequence: 9, ...how, reason: 'the shards were divided into fewer groups' },
      ...[29, 31].map((shardId) => ({ shardId, ...how, reason: 'the stored session could not be read' })),
    ]);
  });
});
