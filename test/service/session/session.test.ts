// The law of one session: when it is kept, when it is lost, and what is said of the loss.

import { beforeEach, describe, expect, it } from 'vitest';
import { type LostSession, type SessionRecord, ShardSession } from '../../../service/session/session.ts';

const RECORD: SessionRecord = {
  sessionId: 'first',
  resumeUrl: 'wss://gateway-us-east1-b.discord.gg',
  sequence: 1,
  shardCount: 4,
  startedAt: 1_000,
};

let lost: LostSession[];
let session: ShardSession;

beforeEach(() => {
  lost = [];
  session = new ShardSession(3, 4, (each) => lost.push(each));
});

describe('a session', () => {
  it('is not there before READY: nothing to resume, nothing received, nothing to lose', () => {
    expect(session.record).toBeUndefined();
    expect(session.id).toBeUndefined();
    expect(session.receive(1, 1_000)).toBeUndefined();
    expect(session.refused('op 9', 1_000)).toBe(false);
    expect(lost).toEqual([]);
  });

  it('begins with READY, whose own sequence is settled', () => {
    session.begin(RECORD);
    expect(session.record).toEqual(RECORD);
    expect(session.receive(1, 1_000)).toBeUndefined();
  });

  it('is resumed from its confirmed sequence, never from what was only received', () => {
    session.begin(RECORD);
    const watermark = session.receive(2, 2_000);
    session.receive(3, 2_001);
    expect(session.record?.sequence).toBe(1);
    watermark?.settle(2);
    expect(session.record).toEqual({ ...RECORD, sequence: 2 });
  });

  it('goes on from where another process stored it', () => {
    session.restore({ ...RECORD, sequence: 700 }, 5_000);
    expect(session.record?.sequence).toBe(700);
    expect(session.startedAt).toBe(1_000);
    expect(session.receive(700, 6_000)).toBeUndefined();
    expect(session.receive(701, 6_000)).toBe(session.watermark);
  });

  it('settles what it received on its own watermark, also after another session has begun', () => {
    session.begin(RECORD);
    const before = session.receive(2, 2_000);
    session.begin({ ...RECORD, sessionId: 'second', sequence: 1, startedAt: 3_000 });
    session.receive(2, 3_001);
    before?.settle(2);
    expect(session.record).toMatchObject({ sessionId: 'second', sequence: 1 });
  });
});

describe('a refusal', () => {
  it('leaves the session for one more try, the first time', () => {
    session.begin(RECORD);
    expect(session.refused('op 9', 9_000)).toBe(true);
    expect(session.record).toEqual(RECORD);
    expect(lost).toEqual([]);
  });

  it('loses the session the second time, and says so once, with the confirmed sequence and the time of the last dispatch', () => {
    session.begin(RECORD);
    session.receive(2, 4_000)?.settle(2);
    session.receive(3, 5_000);
    session.refused('op 9', 9_000);
    expect(session.refused('close code 4007', 10_000)).toBe(false);
    expect(lost).toEqual([
      {
        shardId: 3,
        sessionId: 'first',
        lastSequence: 2,
        lastReceivedAt: 5_000,
        lostAt: 10_000,
        reason: 'close code 4007',
      },
    ]);
    expect(session.record).toBeUndefined();
    expect(session.refused('again', 11_000)).toBe(false);
    expect(lost).toHaveLength(1);
  });

  it('counts as the first again after RESUMED', () => {
    session.begin(RECORD);
    session.refused('op 9', 9_000);
    session.resumed();
    expect(session.refused('op 9', 10_000)).toBe(true);
    expect(session.refused('op 9', 11_000)).toBe(false);
    expect(lost).toHaveLength(1);
  });

  it('counts as the first again for a new session, and for one taken over', () => {
    session.begin(RECORD);
    session.refused('op 9', 9_000);
    session.begin({ ...RECORD, sessionId: 'second' });
    expect(session.refused('op 9', 10_000)).toBe(true);
    session.restore({ ...RECORD, sessionId: 'third' }, 11_000);
    expect(session.refused('op 9', 12_000)).toBe(true);
    expect(lost).toEqual([]);
  });

  it('of a session taken over says the time at which it was stored, when nothing has come in since', () => {
    session.restore({ ...RECORD, sequence: 700 }, 5_000);
    session.refused('op 9', 9_000);
    session.refused('op 9', 9_500);
    expect(lost).toMatchObject([{ sessionId: 'first', lastSequence: 700, lastReceivedAt: 5_000, lostAt: 9_500 }]);
  });
});
