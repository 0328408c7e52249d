// Records for the tests of this room.

import type { GroupRecord, ResumeState } from '../../../service/lease/group-record.ts';

/** As a record has one. */
export const GAP = { shardId: 1, sessionId: 'gone', lastSequence: 5, lastReceivedAt: 1, lostAt: 2, reason: 'op 9' };

export function resumeState(fields: Partial<ResumeState> = {}): ResumeState {
  return {
    sessionId: '6f0a8d5a3c1e4b1f',
    resumeUrl: 'wss://gateway-us-east1-b.discord.gg',
    sequence: 4711,
    shardCount: 4,
    startedAt: 1_763_900_000_000,
    ...fields,
  };
}

export function groupRecord(fields: Partial<GroupRecord> = {}): GroupRecord {
  return {
    version: 1,
    group: 0,
    owner: 'task-1',
    epoch: 3,
    commit: 17,
    storedAt: 1_763_900_100_000,
    released: true,
    shardLayout: undefined,
    sessions: { '0': resumeState(), '1': resumeState({ sessionId: 'another', sequence: 0 }) },
    unreportedGaps: [],
    ...fields,
  };
}
