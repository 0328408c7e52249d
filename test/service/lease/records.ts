// Session records for the tests of this room.

import type { GroupRecord } from '../../../service/lease/group-record.ts';
import type { SessionRecord } from '../../../service/session/session.ts';

export function sessionRecord(fields: Partial<SessionRecord> = {}): SessionRecord {
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
    sessions: { '0': sessionRecord(), '1': sessionRecord({ sessionId: 'another', sequence: 0 }) },
    untoldGaps: [],
    ...fields,
  };
}
