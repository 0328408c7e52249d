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
let inHandOver: boolean[];
let session: ShardSession;

beforeEach(() => {
  lost = [];
  inHandOver = [];
  session = new ShardSession(3, 4, (each, handedOver) => {
    lost.push(each);
    inHandOver.push(handedOver);
  });
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

describe('a session lost in a hand-over', () => {
  const MINUTE = 60_000;
  const TAKEN_OVER = 1_000_000_000;
  const refusedTwice = () => {
    session.refused('op 9', TAKEN_OVER + 1);
    session.refused('op 9', TAKEN_OVER + 2);
    return inHandOver;
  };

  it.each([
    [0, true],
    [MINUTE, true],
    [MINUTE + 1, false],
  ])('is one that was stored at most a minute before it was taken over: %d ms, %s', (age, expected) => {
    session.restore(RECORD, TAKEN_OVER - age, TAKEN_OVER);
    expect(refusedTwice()).toEqual([expected]);
  });

  it('is none that its owner itself had not connected for longer, however often it stored it', () => {
    session.restore({ ...RECORD, aliveUntil: TAKEN_OVER - MINUTE - 1 }, TAKEN_OVER - 1, TAKEN_OVER);
    expect(refusedTwice()).toEqual([false]);
  });

  it('is one that its owner closed a moment before', () => {
    session.restore({ ...RECORD, aliveUntil: TAKEN_OVER - 500 }, TAKEN_OVER - 1, TAKEN_OVER);
    expect(refusedTwice()).toEqual([true]);
  });

  it.each(['resumed', 'begun'] as const)('is none that this process has %s', (how) => {
    session.restore(RECORD, TAKEN_OVER, TAKEN_OVER);
    if (how === 'resumed') session.resumed();
    else session.begin({ ...RECORD, sessionId: 'second' });
    session.disconnected(TAKEN_OVER + 1);
    expect(refusedTwice()).toEqual([false]);
  });

  it('is known by a record that says since when it has not been connected, whoever stores it', () => {
    session.begin(RECORD);
    expect(session.record).not.toHaveProperty('aliveUntil');
    session.disconnected(5_000);
    session.disconnected(9_000);
    expect(session.record?.aliveUntil).toBe(5_000);
    const next = new ShardSession(3, 4, () => undefined);
    if (session.record) next.restore(session.record, 20_000, 20_000);
    expect(next.record?.aliveUntil).toBe(5_000);
    next.resumed();
    expect(next.record).not.toHaveProperty('aliveUntil');
  });

  it('stored by a version that does not know that, counts as alive when it was stored', () => {
    session.restore(RECORD, 20_000, 30_000);
    expect(session.record?.aliveUntil).toBe(20_000);
  });
});
