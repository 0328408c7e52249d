// The rules of one session: when it is kept, when it is lost, what is reported of the loss, and what its next owner gets.

import { beforeEach, describe, expect, it } from 'vitest';
import type { LostSession } from '../../../service/lost-session.ts';
import { type ResumeState, type SessionEvents, ShardSession } from '../../../service/session/session.ts';
import { NO_SESSION_EVENTS } from '../../support/no-session-events.ts';

const STATE: ResumeState = {
  sessionId: 'first',
  resumeUrl: 'wss://gateway-us-east1-b.discord.gg',
  sequence: 1,
  shardCount: 4,
  startedAt: 1_000,
};
const SECOND = { ...STATE, sessionId: 'second' };

let lost: LostSession[];
let holes: object[];
let replaced: Parameters<SessionEvents['replaced']>[0][];
let session: ShardSession;

beforeEach(() => {
  lost = [];
  holes = [];
  replaced = [];
  session = new ShardSession(3, 4, {
    ...NO_SESSION_EVENTS,
    lost: (each) => lost.push(each),
    hole: (each) => holes.push(each),
    replaced: (each) => replaced.push(each),
  });
});

describe('a session', () => {
  it('is not there before READY: nothing to resume, to receive, to store, or to lose', () => {
    expect([session.resumeState, session.resumable, session.id, session.lastReceivedAt]).toEqual(
      Array(4).fill(undefined),
    );
    expect(session.receive(1, 1_000)).toBeUndefined();
    expect(session.refused('op 9', 1_000)).toBe(false);
    expect(lost).toEqual([]);
    expect(() => session.resuming()).toThrow('expected a session before RESUME is sent');
    session.restore(STATE, 5_000);
    expect(session.refused('op 9', 9_000), 'the one before was of no session').toBe(true);
  });

  it('begins with READY, whose own sequence is settled', () => {
    session.begin(STATE);
    expect([session.resumeState, session.lastReceivedAt]).toEqual([{ ...STATE, joins: {} }, 1_000]);
    expect(session.receive(1, 1_000)).toBeUndefined();
  });

  it('is resumed here from what was received, by another process from what is confirmed; heartbeats carry what is stored', () => {
    session.begin(STATE);
    const watermark = session.receive(2, 2_000);
    session.receive(3, 2_001);
    const positions = () => [session.resumable?.sequence, session.resumeState?.sequence, session.heartbeat(0)];
    expect(positions()).toEqual([3, 1, 1]);
    watermark?.settle(2);
    expect(positions()).toEqual([3, 2, 1]);
    session.stored({ ...SECOND, sequence: 3 });
    expect(positions()).toEqual([3, 2, 1]);
    session.stored({ ...STATE, sequence: 2 });
    session.stored({ ...STATE, sequence: 1 });
    expect(positions()).toEqual([3, 2, 2]);
  });

  it('goes on from where another process stored it', () => {
    session.restore({ ...STATE, sequence: 700 }, 5_000);
    expect(session.resumeState).toEqual({ ...STATE, sequence: 700, resumes: 1, aliveUntil: 5_000, joins: {} });
    expect([session.resumable?.sequence, session.heartbeat(0)]).toEqual([700, 700]);
    // A replay, until RESUMED.
    expect(session.rejection(700, 6_000)).toBeUndefined();
    expect(session.receive(700, 6_000)).toBeUndefined();
    expect(session.receive(701, 6_000)).toBe(session.watermark);
  });

  it('stores the joins up to the confirmed sequence, and its next owner has them', () => {
    const joinedAt = (seconds: number) => new Date(STATE.startedAt + 1_000 * seconds).toISOString();
    session.begin(STATE);
    session.receive(2, 1_000)?.settle(2);
    session.receive(3, 1_000);
    expect([session.guilds.isJoin('7', 2, joinedAt(10)), session.guilds.isJoin('8', 3, joinedAt(11))]).toEqual([
      true,
      true,
    ]);
    expect(session.resumeState).toEqual({ ...STATE, sequence: 2, joins: { '7': 11_000 } });
    const next = new ShardSession(3, 4, NO_SESSION_EVENTS);
    next.restore(session.resumeState ?? expect.fail('nothing is stored'), 2_000);
    expect([next.guilds.isJoin('7', 4, joinedAt(10)), next.guilds.isJoin('8', 3, joinedAt(11))]).toEqual([false, true]);
    next.begin(SECOND);
    expect(next.resumeState?.joins).toEqual({});
  });
});

it('reports how far heartbeats may lag, once Discord has closed three connections for it', () => {
  const lagged: number[] = [];
  session = new ShardSession(3, 4, { ...NO_SESSION_EVENTS, heartbeatsLagged: (mostLag) => lagged.push(mostLag) });
  session.begin(STATE);
  session.receive(10, 5_000);
  for (const closedByDiscord of [undefined, undefined, undefined, true, true, true]) {
    expect(lagged).toEqual([]);
    session.heartbeat(5_000);
    session.disconnected(5_000, closedByDiscord);
  }
  expect(lagged).toEqual([4]);
});

describe('a refusal', () => {
  it('leaves the session for one more try; the second loses it, and reports that once', () => {
    session.begin(STATE);
    session.receive(2, 4_000)?.settle(2);
    session.receive(3, 5_000);
    expect(session.refused('op 9', 9_000)).toBe(true);
    expect([session.resumeState?.sequence, lost]).toEqual([2, []]);
    expect(session.refused('close code 4007', 10_000)).toBe(false);
    expect(lost).toEqual([
      {
        ...{ shardId: 3, sessionId: 'first', lastSequence: 2, lastReceivedAt: 5_000, lostAt: 10_000 },
        ...{ reason: 'close code 4007', inHandOver: false },
      },
    ]);
    expect(session.resumeState).toBeUndefined();
    expect(session.refused('again', 11_000)).toBe(false);
    expect(lost).toHaveLength(1);
  });

  it.each<[string, () => void]>([
    ['RESUMED', () => session.resumed()],
    ['READY', () => session.begin(SECOND)],
  ])('counts as the first again after %s', (_, happens) => {
    session.begin(STATE);
    session.refused('op 9', 9_000);
    happens();
    lost = [];
    expect(session.refused('op 9', 10_000)).toBe(true);
    expect(session.refused('op 9', 11_000)).toBe(false);
    expect(lost).toHaveLength(1);
  });

  it('reports when the session was stored, if nothing has come in since', () => {
    session.restore(STATE, 5_000);
    session.refused('op 9', 9_000);
    session.refused('op 9', 9_500);
    expect(lost).toMatchObject([{ lastSequence: 1, lastReceivedAt: 5_000, lostAt: 9_500 }]);
  });
});

describe('a session lost in a hand-over', () => {
  const TAKEN_OVER = 1_000_000_000;
  const inHandOver = () => {
    session.refused('op 9', TAKEN_OVER + 1);
    session.refused('op 9', TAKEN_OVER + 2);
    return lost.at(-1)?.inHandOver;
  };

  it.each<[string, { aliveUntil?: number; storedAt: number }, boolean]>([
    ['was connected when it was stored, just now', { storedAt: 0 }, true],
    ['was stored a minute ago', { storedAt: -60_000 }, true],
    ['was stored longer ago', { storedAt: -60_001 }, false],
    ['was closed a moment before', { storedAt: -1, aliveUntil: -500 }, true],
    ['had not been connected for longer, however often stored', { storedAt: -1, aliveUntil: -60_001 }, false],
  ])('%s', (_, { storedAt, aliveUntil }, expected) => {
    const alive = aliveUntil === undefined ? {} : { aliveUntil: TAKEN_OVER + aliveUntil };
    session.restore({ ...STATE, ...alive }, TAKEN_OVER + storedAt, TAKEN_OVER);
    expect(inHandOver()).toBe(expected);
  });

  it('is none that this process has resumed', () => {
    session.restore(STATE, TAKEN_OVER, TAKEN_OVER);
    session.resumed();
    session.disconnected(TAKEN_OVER + 1);
    expect(inHandOver()).toBe(false);
  });

  it('is known by when it was last connected, not by when it was stored', () => {
    session.begin(STATE);
    expect(session.resumeState).not.toHaveProperty('aliveUntil');
    session.disconnected(5_000);
    session.disconnected(9_000);
    expect(session.resumeState?.aliveUntil).toBe(5_000);
    const next = new ShardSession(3, 4, NO_SESSION_EVENTS);
    next.restore(session.resumeState ?? expect.fail('there is none'), 20_000, 20_000);
    expect(next.resumeState?.aliveUntil).toBe(5_000);
    next.resumed();
    expect(next.resumeState).not.toHaveProperty('aliveUntil');
  });
});

it('that is replaced is not lost: what it received last is reported, and no state remains', () => {
  session.replace('there is none', 1_000);
  expect(replaced).toEqual([]);
  session.begin(STATE);
  session.receive(2, 4_000);
  session.replace('other intents', 5_000);
  expect(replaced).toMatchObject([
    { shardId: 3, sessionId: 'first', lastSequence: 2, endedAt: 5_000, reason: 'other intents' },
  ]);
  // Unless what it received is settled, it ends as a gap.
  expect(replaced[0]?.unsettled).toMatchObject({ sessionId: 'first', lastSequence: 1, lostAt: 5_000 });
  expect([session.resumable, session.resumeState, session.heartbeat(0)]).toEqual([undefined, undefined, null]);
  session.begin(SECOND);
  expect([lost, session.id]).toEqual([[], 'second']);
});

it('is lost, and reported, when READY comes in its place', () => {
  session.begin(STATE);
  session.receive(2, 4_000)?.settle(2);
  session.begin({ ...SECOND, startedAt: 9_000 });
  expect(lost).toMatchObject([{ sessionId: 'first', lastSequence: 2, lastReceivedAt: 4_000, lostAt: 9_000 }]);
  expect(session.id).toBe('second');
});

describe('a sequence', () => {
  /** Of each, why it is rejected, or that it is received. */
  const receive = (sequences: readonly number[], at = 5_000) =>
    sequences.map((sequence) => {
      const rejection = session.rejection(sequence, at);
      if (rejection !== undefined) return rejection.how;
      return session.receive(sequence, at) === undefined ? 'replayed' : 'new';
    });

  beforeEach(() => {
    session.begin(STATE);
    receive([2, 3]);
  });

  it('beyond the next is a hole: a RESUME asks for it, and nothing is received or reported as lost', () => {
    expect(receive([6])).toEqual(['hole']);
    expect(holes).toEqual([{ first: 4, last: 5, outcome: 'resume' }]);
    expect([session.watermark.received, lost]).toEqual([3, []]);
  });

  it.each([
    [599_999, 'new'],
    [600_000, 'hole'],
  ])('beyond the next, %d ms after a RESUME for another hole: %s', (later, expected) => {
    receive([6], 5_000);
    session.disconnected(5_001);
    session.resumed();
    expect(receive([9], 5_000 + later)).toEqual([expected]);
    expect(holes.at(-1)).toEqual({ first: 4, last: 8, outcome: expected === 'hole' ? 'resume' : 'gap' });
    expect(lost).toHaveLength(expected === 'hole' ? 0 : 1);
  });

  it('that the replay has not either is reported, with its numbers; the session goes on', () => {
    receive([6]);
    session.disconnected(5_001);
    expect(receive([6, 7], 6_000)).toEqual(['new', 'new']);
    expect(lost).toEqual([
      {
        ...{ shardId: 3, sessionId: 'first', lastSequence: 3, lastReceivedAt: 5_000, lostAt: 6_000 },
        ...{ reason: 'sequences 4 to 5 did not come', missing: { first: 4, last: 5 } },
      },
    ]);
    expect([session.watermark.received, session.id]).toEqual([7, 'first']);
  });

  it('that cannot be read is asked for, and skipped when it comes again: only its own sequence is missing', () => {
    expect(session.unreadable()).toBe(false);
    session.disconnected(5_001);
    expect([session.unreadable(), session.unreadable()]).toEqual([true, true]);
    expect([receive([5], 6_000), session.unreadable()]).toEqual([['new'], false]);
    expect(holes).toEqual([{ first: 4, last: 4, outcome: 'gap' }]);
    expect(lost).toMatchObject([{ lastSequence: 3, missing: { first: 4, last: 4 } }]);
  });

  it('that cannot be decoded is given up the third time in a row, and what is behind it is asked for', () => {
    const times = (count: number) => Array.from({ length: count }, () => session.undecodable(6_000));
    expect([times(2), holes]).toEqual([[false, false], []]);
    expect([times(1), session.resumable?.sequence]).toEqual([[true], 4]);
    expect(holes).toEqual([{ first: 4, last: 4, outcome: 'gap' }]);
    expect(lost).toMatchObject([
      { lastSequence: 3, reason: 'sequence 4 cannot be decoded', missing: { first: 4, last: 4 } },
    ]);
    // Another one, and the one behind a dispatch, count from one.
    times(2);
    expect([receive([5]), times(2), times(1)]).toEqual([['new'], [false, false], [true]]);
    for (const state of [SECOND, STATE]) {
      session.begin({ ...state, sequence: 6 });
      expect(times(2)).toEqual([false, false]);
    }
  });

  it('that cannot be decoded is given up three times at most without a dispatch in between', () => {
    const givenUp = (count: number) => Array.from({ length: count }, () => session.undecodable(6_000)).filter(Boolean);
    expect(givenUp(30)).toHaveLength(3);
    expect(session.resumable?.sequence).toBe(6);
    receive([7]);
    expect(givenUp(30)).toHaveLength(3);
    session.replace('other intents', 7_000);
    expect(givenUp(30)).toHaveLength(0);
    session.begin(SECOND);
    expect(givenUp(30)).toHaveLength(3);
  });

  it('that was skipped is not taken for a RESUMED that did not arrive', () => {
    session.resuming();
    session.unreadable();
    session.disconnected(5_001);
    session.resuming();
    session.unreadable();
    session.resumed(5);
    expect(receive([6])).toEqual(['new']);
    expect(lost).toMatchObject([{ missing: { first: 4, last: 5 } }]);
  });

  it('of a hole that comes late is new, once', () => {
    receive([6]);
    receive([6, 7]);
    expect(receive([5, 4])).toEqual(['new', 'new']);
    session.disconnected(5_001);
    expect(receive([5, 4])).toEqual(['replayed', 'replayed']);
  });

  it('that came before is a replay until RESUMED, and malformed from then on', () => {
    expect(receive([3, 2, 1])).toEqual(['malformed', 'malformed', 'malformed']);
    expect(session.rejection(3, 5_000)?.reason).toBe('expected sequence 4, got 3 again');
    session.disconnected(5_001);
    expect(receive([3, 2])).toEqual(['replayed', 'replayed']);
    session.resumed();
    expect(receive([3])).toEqual(['malformed']);
    expect([holes, lost]).toEqual([[], []]);
  });

  it.each([
    [100_000, 'hole'],
    [100_001, 'malformed'],
  ])('after %d missing ones: %s', (missing, expected) => {
    expect(receive([4 + missing])).toEqual([expected]);
    if (expected === 'malformed')
      expect(session.rejection(4 + missing, 5_000)?.reason).toBe('expected sequence 4, got 100005');
    expect(receive([4])).toEqual(['new']);
  });

  describe('of RESUMED', () => {
    /** A connection ends, and the next one sends RESUME. */
    const reconnect = () => {
      session.disconnected(5_001);
      session.resuming();
    };
    const resume = (sequence?: number) => {
      reconnect();
      session.resumed(sequence);
    };
    const takeOver = (state: Partial<ResumeState> = {}) => session.restore({ ...STATE, sequence: 10, ...state }, 5_000);

    it('is the next one, if it has one', () => {
      resume(4);
      expect(receive([5])).toEqual(['new']);
      resume(undefined);
      expect(receive([6])).toEqual(['new']);
      resume(2);
      expect(receive([7])).toEqual(['new']);
      expect([holes, lost]).toEqual([[], []]);
    });

    it('that did not arrive is no hole: neither in the replay nor before the next RESUMED', () => {
      reconnect();
      expect(receive([4])).toEqual(['new']);
      // RESUMED, 5, is on the way when the connection ends; the next one comes.
      resume(6);
      expect([receive([7]), holes]).toEqual([['new'], []]);
      reconnect();
      reconnect();
      expect(receive([9])).toEqual(['new']);
      expect([holes, lost]).toEqual([[{ first: 8, last: 8, outcome: 'RESUMED' }], []]);
      session.resumed(10);
      expect(receive([11, 13])).toEqual(['new', 'hole']);
    });

    it('is not counted for a connection that ended before RESUME', () => {
      reconnect();
      session.disconnected(5_002);
      reconnect();
      expect(receive([6])).toEqual(['hole']);
    });

    it('that did not arrive explains one hole, and those of two connections two', () => {
      for (let times = 0; times < 3; times += 1) reconnect();
      expect(receive([5, 7, 9])).toEqual(['new', 'new', 'hole']);
    });

    it('that arrived is not counted when its connection ends', () => {
      resume(4);
      reconnect();
      expect(receive([6])).toEqual(['hole']);
    });

    it('explains no sequence up to one that came before', () => {
      reconnect();
      expect(receive([5])).toEqual(['hole']);
      reconnect();
      expect(receive([4, 6], 6_000)).toEqual(['new', 'new']);
      expect(holes.at(-1)).toEqual({ first: 5, last: 5, outcome: 'gap' });
    });

    it('of two connections explains a hole from the first one on, whatever came on the second one', () => {
      reconnect();
      reconnect();
      // 4 and 5 are the RESUMEDs of both.
      expect(receive([6])).toEqual(['hole']);
      reconnect();
      expect(receive([6])).toEqual(['new']);
      expect([holes.slice(1), lost]).toEqual([[{ first: 4, last: 5, outcome: 'RESUMED' }], []]);
    });

    it('is the next one also where what was skipped had none', () => {
      session.unreadable();
      session.unreadable();
      resume(4);
      expect([receive([5]), holes]).toEqual([['new'], []]);
    });

    it('of processes before and of this one explain one hole together, none that is larger, and no other', () => {
      takeOver({ resumes: 1 });
      session.resuming();
      expect(receive([12])).toEqual(['hole']);
      reconnect();
      expect(receive([11, 12], 5_001)).toEqual(['new', 'new']);
      reconnect();
      expect(receive([18, 23, 25], 5_002)).toEqual(['new', 'new', 'new']);
      expect(holes.slice(1)).toEqual([
        { first: 13, last: 17, outcome: 'gap' },
        { first: 19, last: 22, outcome: 'RESUMED' },
        { first: 24, last: 24, outcome: 'gap' },
      ]);
    });

    it('with the sequence of the last dispatch has none of its own, and hands none on', () => {
      takeOver();
      session.resuming();
      session.receive(11, 5_000);
      session.resumed(11);
      expect(session.resumeState).not.toHaveProperty('resumes');
    });

    it('of the process before, with one of this one right behind it, is no gap', () => {
      takeOver();
      session.resuming();
      session.resumed(12);
      expect(receive([13])).toEqual(['hole']);
      reconnect();
      expect(receive([13], 5_002)).toEqual(['new']);
      session.resumed(14);
      expect([holes.slice(1), lost]).toEqual([[{ first: 11, last: 12, outcome: 'RESUMED' }], []]);
    });

    it('of processes that handed the session on before they saw what is behind it are no gap', () => {
      let state: ResumeState = { ...STATE, sequence: 10 };
      // 11 did not reach the first one; 12 reached the second one, which could not know what 11 is; and so on.
      for (const sequence of [undefined, 12, 13]) {
        session.restore(state, 5_000);
        session.resuming();
        if (sequence !== undefined) session.resumed(sequence);
        session.disconnected(5_001);
        state = session.resumeState ?? state;
      }
      session.restore(state, 5_000);
      expect(receive([14])).toEqual(['hole']);
      reconnect();
      expect(receive([14], 5_002)).toEqual(['new']);
      expect([holes.slice(1), lost]).toEqual([[{ first: 11, last: 13, outcome: 'RESUMED' }], []]);
    });

    it.each([
      [{ resumes: 2 }, 11],
      [{ resumes: 2 }, undefined],
      [undefined, 4],
      [undefined, undefined],
    ])('ends what earlier ones explain (taken over: %j, its sequence: %s)', (takenOver, sequence) => {
      if (takenOver) takeOver(takenOver);
      else {
        session.resuming();
        session.disconnected(5_001);
      }
      session.resuming();
      session.resumed(sequence);
      const received = session.watermark.received;
      expect(receive([received + 2])).toEqual(['hole']);
      session.disconnected(5_002);
      expect(receive([received + 2], 5_003)).toEqual(['new']);
      expect(lost).toMatchObject([{ missing: { first: received + 1, last: received + 1 } }]);
    });

    it('is handed on until everything up to it is settled', () => {
      takeOver({ resumes: 2 });
      expect(session.resumeState).toMatchObject({ sequence: 10, resumes: 3 });
      session.resuming();
      session.rejection(11, 5_000);
      const watermark = session.receive(11, 5_000);
      session.resumed(12);
      expect(session.resumeState).toMatchObject({ sequence: 10, resumes: 4 });
      watermark?.settle(11);
      expect(session.resumeState).toMatchObject({ sequence: 12 });
      expect(session.resumeState).not.toHaveProperty('resumes');
    });
  });
});
