// The rules of the lease by examples: what a task does about one thing after the other. What holds in every order is in
// lease.model.test.ts.

import { describe, expect, it } from 'vitest';
import type { GroupRecord } from '../../../service/lease/group-record.ts';
import {
  type Delivery,
  isSilence,
  keepForMs,
  type LeaseAction,
  type LeaseEvent,
  type LeaseState,
  leaseStep,
  startingLease,
} from '../../../service/lease/lease.ts';
import { groupRecord } from './records.ts';

const ME = 'me';
type Event = LeaseEvent<string>;

/** Plays the events. @returns what was done about the last of them */
function played(...events: Event[]): { state: LeaseState<string>; actions: readonly LeaseAction<string>[] } {
  let state = startingLease<string>();
  let actions: readonly LeaseAction<string>[] = [];
  for (const event of events) ({ state, actions } = leaseStep(state, event, ME));
  return { state, actions };
}

const delivered = (tag: string, content: Delivery<string>['content'], group = 0): Event => ({
  kind: 'delivered',
  delivery: { group, tag, content },
});
const claim = (tag: string, group = 0, from?: string) => delivered(tag, { kind: 'claim', from }, group);
const record = (tag: string, fields: Partial<GroupRecord> = {}, group = 0) =>
  delivered(tag, { kind: 'record', record: groupRecord({ group, ...fields }) }, group);
const mine = (tag: string, commit: number, epoch = 4) => record(tag, { owner: ME, epoch, commit });
const unreadable = (tag: string) => delivered(tag, { kind: 'unreadable' });
const waited = (group = 0): Event => ({ kind: 'waited', group });
const storing: Event = { kind: 'storing' };
const lost: Event = { kind: 'lost' };
const silence: Event = { kind: 'silence' };
const giveAway: Event = { kind: 'giveAway' };
const release: Event = { kind: 'release' };

const own = (epoch: number, found?: GroupRecord, claim?: string) => ({
  kind: 'own',
  group: 0,
  epoch,
  record: found,
  claim,
});
/** Takes over again, when no more records come. */
const again = (later: GroupRecord) => [{ kind: 'stepDown', later, because: 'a later record' }, wait('record')];
const requeue = (tag: string) => ({ kind: 'requeue', tag });
/** Its owner has lost its connection, or its life. */
const LOST = record('r', { released: undefined });
const ack = (tag: string) => ({ kind: 'ack', tag });
const wait = (because: string) => ({ kind: 'wait', group: 0, because });
const KEEP = [{ kind: 'keepLease' }, { kind: 'store' }];

/** An owner that took over from epoch 3 and holds its first record. */
const OWNER = [record('old'), waited(), storing, mine('mine', 1)];
/** Of a new group. */
const EMPTY = { owner: 'the topology', epoch: 0, commit: 0, sessions: {} };
/** An owner that found no record. */
const UNFOUND = [claim('c'), waited(), storing, mine('mine', 1, 1)];
/** Stored while its owner was uncertain. */
const OLD = record('old later', { owner: 'before', epoch: 3, commit: 90 });
const THEIRS = { owner: 'other', epoch: 5, commit: 9 };

it.each<[string, Event[], object[]]>([
  // A standby
  ['a record waits for a second one', [record('r')], [wait('record')]],
  ['a claim waits for a record', [claim('c')], [wait('claim')]],
  ['a second claim does not wait again', [claim('c1'), claim('c2')], []],
  ['a record that was not released waits for a claim of its owner', [LOST, waited()], [wait('owner')]],
  [
    'without a claim of its owner, the standby takes over',
    [LOST, waited(), claim('c', 0, 'another'), waited()],
    [{ kind: 'consumeOnly', group: 0 }, own(4, groupRecord({ released: undefined })), { kind: 'store' }],
  ],
  [
    'with a claim of its owner, the group is left to it',
    [LOST, waited(), claim('c', 0, 'task-1'), waited()],
    [{ kind: 'leaveToOwner', group: 0, owner: 'task-1' }, requeue('r'), requeue('c')],
  ],
  [
    'a group is left to an owner that stores before it claims',
    [LOST, waited(), record('later', { released: undefined, commit: 18 }), waited()],
    [{ kind: 'leaveToOwner', group: 0, owner: 'task-1' }, requeue('r'), requeue('later')],
  ],
  [
    'a group is left once: the owner may have ended since',
    [claim('c', 0, 'task-1'), LOST, waited(), claim('c', 0, 'task-1'), LOST, waited()],
    [{ kind: 'consumeOnly', group: 0 }, own(4, groupRecord({ released: undefined })), { kind: 'store' }],
  ],
  [
    'a standby takes the group whose wait is over, with its first claim, and requeues what came of others',
    [claim('c0'), claim('later'), record('r1', {}, 1), claim('c1', 1), claim('c2', 2), waited()],
    [
      { kind: 'consumeOnly', group: 0 },
      ...['r1', 'c1', 'c2'].map((tag) => ({ kind: 'requeue', tag })),
      own(1, undefined, 'c0'),
      { kind: 'store' },
    ],
  ],
  [
    'a standby takes over from the empty record of a new group, behind a claim too',
    [claim('c'), record('empty', EMPTY), waited()],
    [{ kind: 'consumeOnly', group: 0 }, own(1, groupRecord(EMPTY)), { kind: 'store' }],
  ],
  ['a lost connection takes what was gathered: the broker has it again', [record('r'), lost, waited()], []],
  // An owner
  [
    'with its first record an owner acknowledges all that it found',
    [record('old'), record('older', { commit: 16 }), claim('c'), waited(), storing, mine('mine', 1)],
    ['old', 'older', 'c'].map(ack),
  ],
  ['an owner holds the newer of two deliveries of its record', [...OWNER, mine('again', 1)], [ack('mine')]],
  [
    'an uncertain owner keeps the lease when only an empty record comes',
    [...UNFOUND, lost, record('empty', EMPTY), waited()],
    KEEP,
  ],
  ['a settled owner acknowledges a record of an older epoch, however late', [...OWNER, OLD], [ack('old later')]],
  [
    'an uncertain owner keeps the lease when only a record of an older epoch comes',
    [...OWNER, lost, OLD, waited()],
    KEEP,
  ],
  [
    'an owner that is not settled takes over again from a newer record of an older epoch',
    [record('old'), waited(), storing, OLD],
    again(groupRecord({ owner: 'before', epoch: 3, commit: 90 })),
  ],
  [
    'an owner that does not reach Discord closes its shards and passes the group on',
    [...OWNER, giveAway],
    [{ kind: 'stepDown', later: undefined, because: 'Discord is unreachable' }],
  ],
  ['an uncertain owner has nothing to pass on', [...OWNER, lost, giveAway], []],
  [
    'an owner acknowledges a record of the greatest epoch: it is an old one',
    [...OWNER, record('huge', { owner: 'other', epoch: 2 ** 32 - 1 })],
    [ack('huge')],
  ],
  [
    'a standby that finds the greatest epoch goes on with the first',
    [record('huge', { epoch: 2 ** 32 - 1 }), waited()],
    [{ kind: 'consumeOnly', group: 0 }, own(1, groupRecord({ epoch: 2 ** 32 - 1 })), { kind: 'store' }],
  ],
  // Unreadable
  [
    'something unreadable alone counts as no record, and is passed on',
    [unreadable('?'), waited()],
    [{ kind: 'consumeOnly', group: 0 }, { ...own(1), unreadable: '?' }, { kind: 'store' }],
  ],
  [
    'something unreadable is dead-lettered once an own record is there',
    [unreadable('?'), waited(), storing, mine('mine', 1, 1)],
    [{ kind: 'deadLetter', tag: '?' }],
  ],
  // Uncertain
  [
    'an uncertain owner keeps the lease when only claims come: it is who is asked',
    [...OWNER, lost, claim('c'), waited()],
    KEEP,
  ],
  [
    'an uncertain owner steps down when nothing comes: another consumer is the active one',
    [...OWNER, lost, silence],
    [{ kind: 'stepDown', later: undefined, because: 'silence' }, { kind: 'consumeAll' }],
  ],
  [
    'an uncertain owner takes over again from the record of a later owner',
    [...OWNER, lost, record('theirs', THEIRS)],
    again(groupRecord(THEIRS)),
  ],
  [
    'an uncertain owner requeues what comes of another group',
    [...OWNER, lost, claim('c', 1)],
    [{ kind: 'requeue', tag: 'c' }],
  ],
  // Released
  ['a released task requeues what still comes', [...OWNER, release, claim('c')], [{ kind: 'requeue', tag: 'c' }]],
])('%s', (_title, events, actions) => {
  expect(played(...events).actions).toEqual(actions);
});

it.each([
  ['in order', [record('r1', { commit: 16 }), record('r2', { commit: 17 })]],
  ['of two owners', [record('r2', { epoch: 3, commit: 17 }), record('r1', { epoch: 2, commit: 99 })]],
])('a standby takes over from the newest of two records (%s)', (_name, records) => {
  expect(played(...records, waited()).actions).toContainEqual(own(4, groupRecord({ epoch: 3, commit: 17 })));
});

describe('an owner takes over again from a record when', () => {
  it.each([
    ['a later owner stored it', { owner: 'other', epoch: 5, commit: 1 }, 6],
    ['another task took over from the same record', { owner: 'other', epoch: 4, commit: 3 }, 5],
    ['its own name is on what it never stored', { owner: ME, epoch: 4, commit: 2 }, 5],
  ])('%s', (_name, fields, epoch) => {
    const { actions } = played(...OWNER, record('newer', fields));
    expect(actions).toEqual(again(groupRecord(fields)));
    const events = [...OWNER, record('newer', fields), waited()];
    expect(played(...events).actions).toEqual([
      { kind: 'consumeOnly', group: 0 },
      own(epoch, groupRecord(fields)),
      { kind: 'store' },
    ]);
    expect(played(...events, storing, mine('mine again', 1, epoch)).actions).toEqual([ack('mine'), ack('newer')]);
  });
});

it.each([
  [199, [wait('record')]],
  [200, []],
])('a burst of %d records begins the wait once more: %j', (count, actions) => {
  const burst = Array.from({ length: count }, (_, commit) => record(`${commit}`, { commit }));
  expect(played(...burst, record('another', { commit: 999 })).actions).toEqual(actions);
});

it.each([
  [1_000, wait('owner')],
  [1_001, { kind: 'consumeOnly', group: 0 }],
])('a standby that has waited for %d former owners then: %j', (count, action) => {
  const formerOwners = new Map(Array.from({ length: count }, (_, index) => [`task-${index}`, 1]));
  const state = { ...played(LOST).state, formerOwners } as LeaseState<string>;
  expect(leaseStep(state, waited(), ME).actions[0]).toEqual(action);
});

it('an owner acknowledges what a task of an earlier version leaves in this epoch when it steps down', () => {
  const left = record('left', { owner: 'other', epoch: 4, commit: 0 });
  expect(played(...OWNER, left).actions).toEqual([ack('left')]);
});

it('of two owners in one epoch, takes over from the other one, whatever it stored itself', () => {
  const other = { owner: 'other', epoch: 4, commit: 1 };
  const events = [...OWNER, storing, record('other', other), mine('mine', 2), waited()];
  expect(played(...events).actions).toContainEqual(own(5, groupRecord(other)));
});

it('stores in its own epoch while it is uncertain, and is the owner again with any of these', () => {
  const stored = [...OWNER, lost, storing, storing];
  expect(played(...stored).state).toMatchObject({ kind: 'uncertain', epoch: 4, commit: 3 });
  expect(played(...stored, mine('second', 2)).state).toMatchObject({ kind: 'owner', epoch: 4, commit: 3 });
});

it.each([
  [0, 7_999, false],
  [0, 8_000, true],
  [1, 82_999, false],
  [1, 83_000, true],
])('with %d shards that no other task has, no answer for %d ms means another owner: %s', (connected, ms, expected) => {
  expect(isSilence(ms, connected)).toBe(expected);
});

it('keeps a group without Discord for 30 s, then twice as long each time, and 16 minutes at most', () => {
  expect([0, 1, 5, 6].map((times) => keepForMs(times) / 1_000)).toEqual([30, 60, 960, 960]);
});

it('counts its records, and never uses an epoch twice', () => {
  expect(played(...OWNER, lost, mine('mine', 1), storing).state).toMatchObject({ epoch: 4, commit: 2 });
  expect(played(...OWNER, lost, silence, claim('c'), waited()).state).toMatchObject({ kind: 'owner', epoch: 5 });
});

it('only an owner stores', () => {
  expect(() => played(storing)).toThrow('expected only an owner to store a record, but the state is standby');
  expect(() => played(record('old'), waited(), lost, storing)).toThrow('uncertain');
  expect(() => played(...OWNER, release, storing)).toThrow('released');
});
