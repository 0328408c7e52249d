// What a new owner begins with, by the record it found and the division of the shards now.

import { describe, expect, it } from 'vitest';
import type { GroupRecord } from '../../../service/lease/group-record.ts';
import { abandonedBy, takeOver } from '../../../service/lease/take-over.ts';
import { groupRecord, sessionRecord } from './records.ts';

const NOW = 1_763_900_200_000;

function taken(
  given:
    | { group?: number; shardCount?: number; shardsPerTask?: number; sessions?: GroupRecord['sessions'] }
    | 'no record',
) {
  const { group = 0, shardCount = 4, shardsPerTask = 4, sessions = {} } = given === 'no record' ? {} : given;
  const record = given === 'no record' ? undefined : groupRecord({ group, sessions });
  return takeOver({ group, shardCount, shardsPerTask, record }, NOW);
}

describe('the shards of a group', () => {
  it.each([
    [{ group: 0, shardCount: 1, shardsPerTask: 16 }, [0]],
    [{ group: 0, shardCount: 4, shardsPerTask: 4 }, [0, 1, 2, 3]],
    [{ group: 1, shardCount: 8, shardsPerTask: 4 }, [4, 5, 6, 7]],
    [{ group: 1, shardCount: 6, shardsPerTask: 4 }, [4, 5]],
    [{ group: 5, shardCount: 6, shardsPerTask: 1 }, [5]],
  ])('%j: %j', (given, shardIds) => {
    expect(taken(given)).toMatchObject({ shardIds, shardCount: given.shardCount });
  });
});

describe('sessions', () => {
  it('are all resumed when nothing has changed', () => {
    const sessions = Object.fromEntries([0, 1, 2, 3].map((id) => [String(id), sessionRecord({ sessionId: `s${id}` })]));
    const { sessions: resumed, lost, storedAt } = taken({ sessions });
    expect([...resumed.keys()]).toEqual([0, 1, 2, 3]);
    expect(resumed.get(2)).toEqual(sessions['2']);
    expect(lost).toEqual([]);
    expect(storedAt).toBe(groupRecord().storedAt);
  });

  it('are missing for the shards that had none: these IDENTIFY', () => {
    const { sessions, lost } = taken({ sessions: { '1': sessionRecord() } });
    expect([...sessions.keys()]).toEqual([1]);
    expect(lost).toEqual([]);
  });

  it('are none without a record, and nothing is lost then', () => {
    expect(taken('no record')).toMatchObject({ shardIds: [0, 1, 2, 3], lost: [], untold: [], storedAt: NOW });
    expect(taken('no record').sessions.size).toBe(0);
  });

  it('of another shard count are lost, each with its numbers and the reason', () => {
    const { sessions, lost } = taken({
      shardCount: 8,
      shardsPerTask: 8,
      sessions: { '0': sessionRecord({ sequence: 12 }), '3': sessionRecord({ sessionId: 'three', sequence: 34 }) },
    });
    expect(sessions.size).toBe(0);
    expect(lost).toMatchObject([
      { shardId: 0, lastSequence: 12, lostAt: NOW, lastReceivedAt: groupRecord().storedAt },
      { shardId: 3, sessionId: 'three', lastSequence: 34, reason: 'the number of shards changed from 4 to 8' },
    ]);
  });

  it('of shards that belong to another group now are lost', () => {
    const { sessions, lost } = taken({
      group: 0,
      shardCount: 4,
      shardsPerTask: 2,
      sessions: { '1': sessionRecord({ sessionId: 'one' }), '2': sessionRecord({ sessionId: 'two' }) },
    });
    expect([...sessions.keys()]).toEqual([1]);
    expect(lost).toMatchObject([{ shardId: 2, sessionId: 'two', reason: 'the shards were divided into other groups' }]);
  });

  it('lost before and not told for sure are handed on', () => {
    const untold = {
      shardId: 1,
      sessionId: 'gone',
      lastSequence: 5,
      lastReceivedAt: 1,
      lostAt: 2,
      reason: 'op 9',
    };
    const record = groupRecord({ sessions: {}, untoldGaps: [untold] });
    expect(takeOver({ group: 0, shardCount: 4, shardsPerTask: 4, record }, NOW).untold).toEqual([untold]);
  });

  it('of a record that nobody can read are told for each shard, under names that are the same whoever finds it', () => {
    const unreadable = { id: 'abc', storedAt: 5 };
    const given = { group: 1, shardCount: 4, shardsPerTask: 2, record: undefined, unreadable };
    const { lost, sessions } = takeOver(given, NOW);
    expect(sessions.size).toBe(0);
    expect(lost).toMatchObject([
      { shardId: 2, sessionId: 'unreadable-abc-2', lastReceivedAt: 5, lostAt: NOW },
      { shardId: 3, sessionId: 'unreadable-abc-3', lastReceivedAt: 5, lostAt: NOW },
    ]);
    expect(takeOver(given, NOW + 1).lost.map(({ sessionId }) => sessionId)).toEqual(
      lost.map(({ sessionId }) => sessionId),
    );
  });

  it('of a record that this process cannot read are lost with the hand-over when it was just stored', () => {
    const found = (age: number) => {
      const { lost, lostInHandOver } = takeOver(
        {
          ...{ group: 1, shardCount: 4, shardsPerTask: 2, record: undefined },
          unreadable: { id: 'abc', storedAt: NOW - age },
        },
        NOW,
      );
      return { lost: lost.length, inHandOver: lostInHandOver.length };
    };
    expect(found(60_000)).toEqual({ lost: 0, inHandOver: 2 });
    expect(found(60_001)).toEqual({ lost: 2, inHandOver: 0 });
  });

  it('given up on purpose, or missing from the record, are not lost with the hand-over', () => {
    const sessions = { '0': sessionRecord(), '3': sessionRecord({ shardCount: 8 }) };
    const record = groupRecord({ sessions, storedAt: NOW, division: { shardCount: 4, shardsPerTask: 2 } });
    const taken = takeOver({ group: 0, shardCount: 4, shardsPerTask: 2, record }, NOW);
    expect(taken.lost).toHaveLength(2);
    expect(taken.lostInHandOver).toEqual([]);
  });

  it('that should have been stored and were not are told, as long as the division is the same', () => {
    const sessions = { '0': sessionRecord() };
    const divided = (division: GroupRecord['division']) =>
      takeOver(
        { group: 0, shardCount: 4, shardsPerTask: 4, record: groupRecord({ sessions, division }) },
        NOW,
      ).lost.map(({ shardId }) => shardId);
    expect(divided({ shardCount: 4, shardsPerTask: 4 })).toEqual([1, 2, 3]);
    expect(divided({ shardCount: 4, shardsPerTask: 2 })).toEqual([]);
    expect(divided({ shardCount: 8, shardsPerTask: 4 })).toEqual([]);
    expect(divided(undefined)).toEqual([]);
  });
});

describe('a record of a group that is no more', () => {
  it('gives up each of its sessions', () => {
    const record = groupRecord({ group: 7, sessions: { '28': sessionRecord({ sequence: 9 }) } });
    expect(abandonedBy(record, NOW)).toMatchObject([
      { shardId: 28, lastSequence: 9, lastReceivedAt: record.storedAt, lostAt: NOW },
    ]);
  });
});
