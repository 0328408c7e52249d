// The law of the lease by examples: what a task does about one thing after the other. What holds for every order of
// things is in lease.model.test.ts.

import { describe, expect, it } from 'vitest';
import type { GroupRecord } from '../../../service/lease/group-record.ts';
import {
  type Delivery,
  type LeaseAction,
  type LeaseEvent,
  type LeaseState,
  leaseStep,
  startingLease,
} from '../../../service/lease/lease.ts';
import { groupRecord } from './records.ts';

const ME = 'me';

/** Plays the events, and keeps what was done about the last of them. */
function played(...events: LeaseEvent<string>[]): {
  state: LeaseState<string>;
  actions: readonly LeaseAction<string>[];
} {
  let state = startingLease<string>();
  let actions: readonly LeaseAction<string>[] = [];
  for (const event of events) ({ state, actions } = leaseStep(state, event, ME));
  return { state, actions };
}

const delivered = (tag: string, content: Delivery<string>['content'], group = 0): LeaseEvent<string> => ({
  kind: 'delivered',
  delivery: { group, tag, content },
});
const claim = (tag: string, group = 0) => delivered(tag, { kind: 'claim' }, group);
const record = (tag: string, fields: Partial<GroupRecord> = {}, group = 0) =>
  delivered(tag, { kind: 'record', record: groupRecord({ group, ...fields }) }, group);
const unreadable = (tag: string) => delivered(tag, { kind: 'unreadable', reason: 'it is no JSON' });
const ripe = (group = 0): LeaseEvent<string> => ({ kind: 'ripe', group });
const storing = (commit: number): LeaseEvent<string> => ({ kind: 'storing', commit });
const lost: LeaseEvent<string> = { kind: 'lost' };
const unanswered: LeaseEvent<string> = { kind: 'unanswered' };
const release: LeaseEvent<string> = { kind: 'release' };

/** As an owner that took over from epoch 3 and holds its first record. */
const OWNER = [record('old'), ripe(), storing(1), record('mine', { owner: ME, epoch: 4, commit: 1 })];

describe('a standby', () => {
  it('waits shortly for a second record when it has one, and longer for a first when it has a claim', () => {
    expect(played(record('r')).actions).toEqual([{ kind: 'await', group: 0, because: 'record' }]);
    expect(played(claim('c')).actions).toEqual([{ kind: 'await', group: 0, because: 'claim' }]);
    expect(played(claim('c'), record('r')).actions).toEqual([{ kind: 'await', group: 0, because: 'record' }]);
  });

  it('waits once for each', () => {
    expect(played(claim('c1'), claim('c2')).actions).toEqual([]);
    expect(played(record('r1'), record('r2')).actions).toEqual([]);
    expect(played(record('r1'), claim('c')).actions).toEqual([]);
  });

  it('takes over from the record, in the next epoch', () => {
    const { state, actions } = played(record('r'), ripe());
    expect(state).toMatchObject({ kind: 'owner', group: 0, epoch: 4, commit: 0, held: undefined });
    expect(actions).toEqual([
      { kind: 'consume only', group: 0 },
      { kind: 'own', group: 0, epoch: 4, record: groupRecord() },
      { kind: 'store' },
    ]);
  });

  it('takes over without sessions when only a claim is there', () => {
    expect(played(claim('c'), ripe()).actions).toContainEqual({ kind: 'own', group: 0, epoch: 1, record: undefined });
  });

  it.each([
    ['in order', [record('r1', { commit: 16 }), record('r2', { commit: 17 })]],
    ['newest first', [record('r2', { commit: 17 }), record('r1', { commit: 16 })]],
    ['of two owners', [record('r2', { epoch: 3, commit: 17 }), record('r1', { epoch: 2, commit: 99 })]],
  ])('takes over from the newest of two records (%s)', (_name, records) => {
    expect(played(...records, ripe()).actions).toContainEqual(
      expect.objectContaining({ kind: 'own', record: expect.objectContaining({ epoch: 3, commit: 17 }) }),
    );
  });

  it('gives back what came of other groups', () => {
    const { state, actions } = played(record('r0'), record('r1', {}, 1), claim('c1', 1), claim('c2', 2), ripe());
    expect(state).toMatchObject({ kind: 'owner', group: 0 });
    expect(actions.filter(({ kind }) => kind === 'give back')).toEqual([
      { kind: 'give back', tag: 'r1' },
      { kind: 'give back', tag: 'c1' },
      { kind: 'give back', tag: 'c2' },
    ]);
  });

  it('takes the group that is ripe first', () => {
    expect(played(claim('c0'), record('r1', {}, 1), ripe(1)).state).toMatchObject({ kind: 'owner', group: 1 });
  });

  it('forgets what it gathered when the connection is lost: the broker has it again', () => {
    expect(played(record('r'), lost, ripe())).toEqual({ state: startingLease(), actions: [] });
  });
});

describe('an owner', () => {
  it('acknowledges nothing until its own first record is there; then all that it found', () => {
    const found = [record('old'), record('older', { commit: 16 }), claim('c1'), ripe()];
    expect(played(...found, claim('c2')).actions).toEqual([]);
    expect(played(...found, storing(1), record('mine', { owner: ME, epoch: 4, commit: 1 })).actions).toEqual([
      { kind: 'ack', tag: 'old' },
      { kind: 'ack', tag: 'older' },
      { kind: 'ack', tag: 'c1' },
    ]);
  });

  it('acknowledges its last record when the next is delivered, and claims at once', () => {
    expect(played(...OWNER, storing(2), record('next', { owner: ME, epoch: 4, commit: 2 })).actions).toEqual([
      { kind: 'ack', tag: 'mine' },
    ]);
    expect(played(...OWNER, claim('c')).actions).toEqual([{ kind: 'ack', tag: 'c' }]);
  });

  it('acknowledges an older one of its own that comes behind a newer', () => {
    const { state, actions } = played(...OWNER, record('late', { owner: ME, epoch: 4, commit: 0 }));
    expect(actions).toEqual([{ kind: 'ack', tag: 'late' }]);
    expect(state).toMatchObject({ heldCommit: 1 });
  });

  it('acknowledges what an owner before it stored, when that is not newer than what it took over from', () => {
    expect(played(...OWNER, record('late', { epoch: 3, commit: 16 })).actions).toEqual([{ kind: 'ack', tag: 'late' }]);
  });

  it.each([
    ['a later owner stored it', { owner: 'other', epoch: 5, commit: 1 }, 6],
    ['it was behind the one taken over from', { owner: 'task-1', epoch: 3, commit: 18 }, 5],
    ['somebody took over from the same record', { owner: 'other', epoch: 4, commit: 3 }, 5],
  ])('begins anew from a record when %s', (_name, fields, epoch) => {
    const { state, actions } = played(...OWNER, record('newer', fields));
    expect(state).toMatchObject({ kind: 'owner', epoch, commit: 0, held: undefined });
    expect(actions).toEqual([
      { kind: 'disown' },
      { kind: 'own', group: 0, epoch, record: groupRecord(fields) },
      { kind: 'store' },
    ]);
    expect(
      leaseStep(state, record('mine again', { owner: ME, epoch, commit: 1 }), ME).actions.map((action) =>
        'tag' in action ? action.tag : '',
      ),
    ).toEqual(['mine', 'newer']);
  });

  it('gives back what a consumer that it cancels is still handed', () => {
    expect(played(...OWNER, record('r1', {}, 1)).actions).toEqual([{ kind: 'give back', tag: 'r1' }]);
  });

  it('is not moved by timers of before', () => {
    const { state } = played(...OWNER);
    for (const event of [ripe(), ripe(1), unanswered])
      expect(leaseStep(state, event, ME)).toEqual({ state, actions: [] });
  });
});

describe('something unreadable', () => {
  it('counts as no record, and is set aside once an own record is there', () => {
    expect(played(unreadable('?')).actions).toEqual([{ kind: 'await', group: 0, because: 'claim' }]);
    expect(played(unreadable('?'), ripe()).actions).toContainEqual({
      kind: 'own',
      group: 0,
      epoch: 1,
      record: undefined,
    });
    expect(
      played(unreadable('?'), ripe(), storing(1), record('mine', { owner: ME, epoch: 1, commit: 1 })).actions,
    ).toEqual([{ kind: 'set aside', tag: '?', reason: 'it is no JSON' }]);
  });

  it('does not hide the record behind it', () => {
    expect(played(unreadable('?'), record('r'), ripe()).actions).toContainEqual(
      expect.objectContaining({ kind: 'own', record: groupRecord() }),
    );
  });

  it('is set aside at once by an owner with its record', () => {
    expect(played(...OWNER, unreadable('?')).actions).toEqual([
      { kind: 'set aside', tag: '?', reason: 'it is no JSON' },
    ]);
  });
});

describe('an owner that has lost its connection', () => {
  it('does nothing by itself', () => {
    const { state, actions } = played(...OWNER, lost);
    expect(state).toMatchObject({ kind: 'uncertain', group: 0, epoch: 4, commit: 1 });
    expect(actions).toEqual([]);
  });

  it('goes on when its own record is delivered, and counts on', () => {
    const { state, actions } = played(...OWNER, lost, record('mine', { owner: ME, epoch: 4, commit: 1 }));
    expect(actions).toEqual([{ kind: 'regain' }, { kind: 'store' }]);
    expect(state).toMatchObject({ kind: 'owner', epoch: 4, commit: 1, heldCommit: 1 });
  });

  it('goes on when the record is still the one it took over from', () => {
    const { state, actions } = played(record('old'), ripe(), lost, record('old again'));
    expect(actions).toEqual([{ kind: 'regain' }, { kind: 'store' }]);
    expect(state).toMatchObject({ kind: 'owner', epoch: 4, held: undefined });
  });

  it('goes on when nothing but claims comes: the record is gone, and it is who is asked', () => {
    expect(played(...OWNER, lost, claim('c')).actions).toEqual([{ kind: 'await', group: 0, because: 'claim' }]);
    const { state, actions } = played(...OWNER, lost, claim('c1'), claim('c2'), ripe());
    expect(actions).toEqual([{ kind: 'regain' }, { kind: 'store' }]);
    expect(leaseStep(state, record('mine', { owner: ME, epoch: 4, commit: 2 }), ME).actions).toEqual([
      { kind: 'ack', tag: 'c1' },
      { kind: 'ack', tag: 'c2' },
    ]);
  });

  it('stands by when nothing comes: another consumer is the active one', () => {
    const { state, actions } = played(...OWNER, lost, unanswered);
    expect(actions).toEqual([{ kind: 'leave word', group: 0, epoch: 5 }, { kind: 'disown' }, { kind: 'consume all' }]);
    expect(state).toEqual(startingLease(5));
  });

  it('does not stand by when the answer came just before the deadline', () => {
    expect(played(...OWNER, lost, claim('c'), unanswered)).toMatchObject({ state: { kind: 'uncertain' }, actions: [] });
  });

  it('begins anew from the record of a later owner, and drops what it had', () => {
    const later = { owner: 'other', epoch: 5, commit: 9 };
    const { state, actions } = played(...OWNER, lost, record('theirs', later));
    expect(state).toMatchObject({ kind: 'owner', epoch: 6 });
    expect(actions).toEqual([
      { kind: 'disown' },
      { kind: 'own', group: 0, epoch: 6, record: groupRecord(later) },
      { kind: 'store' },
    ]);
  });

  it('does so too when its own record comes first', () => {
    const mine = record('mine', { owner: ME, epoch: 4, commit: 1 });
    const theirs = record('theirs', { owner: 'other', epoch: 5, commit: 9 });
    expect(played(...OWNER, lost, mine, theirs).actions.map(({ kind }) => kind)).toEqual(['disown', 'own', 'store']);
  });

  it('starts over when the connection is lost once more', () => {
    const { state } = played(...OWNER, lost, claim('c'), lost);
    expect(state).toEqual(played(...OWNER, lost).state);
  });
});

describe('an epoch', () => {
  it('is never used twice by one task, also where no record says that it was', () => {
    const { state } = played(...OWNER, lost, unanswered, claim('c'), ripe());
    expect(state).toMatchObject({ kind: 'owner', epoch: 6 });
  });
});

describe('a task that has released', () => {
  it('acknowledges nothing: the record is for whoever is next', () => {
    expect(played(...OWNER, release)).toEqual({ state: { kind: 'released' }, actions: [] });
    expect(played(record('r'), release)).toEqual({ state: { kind: 'released' }, actions: [] });
  });

  it('gives back what still comes, and stays so', () => {
    expect(played(...OWNER, release, record('r')).actions).toEqual([{ kind: 'give back', tag: 'r' }]);
    for (const event of [ripe(), lost, unanswered, storing(9)])
      expect(played(...OWNER, release, event)).toEqual({ state: { kind: 'released' }, actions: [] });
  });
});
