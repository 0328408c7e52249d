// The rules of the lease by examples: what a task does about one thing after the other. What holds in every order is in
// lease.model.test.ts.

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
const claim = (tag: string, group = 0) => delivered(tag, { kind: 'claim' }, group);
const record = (tag: string, fields: Partial<GroupRecord> = {}, group = 0) =>
  delivered(tag, { kind: 'record', record: groupRecord({ group, ...fields }) }, group);
const mine = (tag: string, commit: number, epoch = 4) => record(tag, { owner: ME, epoch, commit });
const unreadable = (tag: string) => delivered(tag, { kind: 'unreadable' });
const waited = (group = 0): Event => ({ kind: 'waited', group });
const [storing, lost, unanswered, release] = (['storing', 'lost', 'unanswered', 'release'] as const).map((kind) => ({
  kind,
})) as [Event, Event, Event, Event];

const own = (epoch: number, found?: GroupRecord, claim?: string) => ({
  kind: 'own',
  group: 0,
  epoch,
  record: found,
  claim,
});
const ack = (tag: string) => ({ kind: 'ack', tag });
const wait = (because: string) => ({ kind: 'wait', group: 0, because });
const KEEP = [{ kind: 'keepLease' }, { kind: 'store' }];

/** An owner that took over from epoch 3 and holds its first record. */
const OWNER = [record('old'), waited(), storing, mine('mine', 1)];
/** Of a new group. */
const EMPTY = { owner: 'the topology', epoch: 0, commit: 0, sessions: {} };
/** An owner that found no record. */
const UNFOUND = [claim('c'), waited(), storing, mine('mine', 1, 1)];
const THEIRS = { owner: 'other', epoch: 5, commit: 9 };

it.each<[string, Event[], object[]]>([
  // A standby
  ['a record waits for a second one', [record('r')], [wait('record')]],
  ['a claim waits for a record', [claim('c')], [wait('claim')]],
  ['a record behind a claim waits as a record does', [claim('c'), record('r')], [wait('record')]],
  ['a second claim does not wait again', [claim('c1'), claim('c2')], []],
  [
    'a standby takes over from the record, in the next epoch',
    [record('r'), waited()],
    [{ kind: 'consumeOnly', group: 0 }, own(4, groupRecord()), { kind: 'store' }],
  ],
  [
    'a standby takes the group whose wait is over, and requeues what came of others',
    [claim('c0'), record('r1', {}, 1), claim('c1', 1), claim('c2', 2), waited()],
    [
      { kind: 'consumeOnly', group: 0 },
      ...['r1', 'c1', 'c2'].map((tag) => ({ kind: 'requeue', tag })),
      own(1, undefined, 'c0'),
      { kind: 'store' },
    ],
  ],
  [
    'without a record it passes the first claim on',
    [claim('c1'), claim('c2'), waited()],
    [{ kind: 'consumeOnly', group: 0 }, own(1, undefined, 'c1'), { kind: 'store' }],
  ],
  [
    'it takes over from the empty record of a new group, behind a claim too',
    [claim('c'), record('empty', EMPTY), waited()],
    [{ kind: 'consumeOnly', group: 0 }, own(1, groupRecord(EMPTY)), { kind: 'store' }],
  ],
  ['a lost connection takes what was gathered: the broker has it again', [record('r'), lost, waited()], []],
  // An owner
  [
    'with its first record it acknowledges all that it found',
    [record('old'), record('older', { commit: 16 }), claim('c'), waited(), storing, mine('mine', 1)],
    ['old', 'older', 'c'].map(ack),
  ],
  ['an owner acknowledges the one that it holds, stored twice', [...OWNER, mine('again', 1)], [ack('again')]],
  [
    'an owner acknowledges what is not newer than what it took over from',
    [...OWNER, record('late', { epoch: 3, commit: 17 })],
    [ack('late')],
  ],
  ['an owner acknowledges an empty record that comes late', [...UNFOUND, record('empty', EMPTY)], [ack('empty')]],
  [
    'so it does before its own first record is there, together with what it found',
    [claim('c'), waited(), record('empty', EMPTY), storing, mine('mine', 1, 1)],
    ['c', 'empty'].map(ack),
  ],
  ['and it keeps the lease when that is what comes', [...UNFOUND, lost, record('empty', EMPTY)], KEEP],
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
  [
    'it holds its record of that epoch, and acknowledges what it found',
    [record('huge', { epoch: 2 ** 31 }), waited(), storing, mine('mine', 1, 2 ** 31 + 1)],
    [ack('huge')],
  ],
  ['an owner requeues what comes of another group', [...OWNER, record('r1', {}, 1)], [{ kind: 'requeue', tag: 'r1' }]],
  // Unreadable
  [
    'something unreadable alone counts as no record, and its tag is passed on',
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
    'it acknowledges the claims that came before its record',
    [...OWNER, lost, claim('c'), mine('mine', 1)],
    [...KEEP, ack('c')],
  ],
  ['it keeps the lease when only claims come: it is who is asked', [...OWNER, lost, claim('c'), waited()], KEEP],
  [
    'it steps down when nothing comes: another consumer is the active one',
    [...OWNER, lost, unanswered],
    [{ kind: 'leave word', group: 0, epoch: 5 }, { kind: 'stepDown' }, { kind: 'consumeAll' }],
  ],
  ['it does not step down when the answer came just before the deadline', [...OWNER, lost, claim('c'), unanswered], []],
  [
    'it takes over from the record of a later owner',
    [...OWNER, lost, record('theirs', THEIRS)],
    [{ kind: 'stepDown' }, own(6, groupRecord(THEIRS)), { kind: 'store' }],
  ],
  ['it requeues what comes of another group', [...OWNER, lost, claim('c', 1)], [{ kind: 'requeue', tag: 'c' }]],
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
    ['it was behind the one taken over from', { owner: 'task-1', epoch: 3, commit: 18 }, 5],
    ['another task took over from the same record', { owner: 'other', epoch: 4, commit: 3 }, 5],
    ['its own name is on what it never stored', { owner: ME, epoch: 4, commit: 2 }, 5],
  ])('%s', (_name, fields, epoch) => {
    const { state, actions } = played(...OWNER, record('newer', fields));
    expect(actions).toEqual([{ kind: 'stepDown' }, own(epoch, groupRecord(fields)), { kind: 'store' }]);
    const { actions: then } = leaseStep(leaseStep(state, storing, ME).state, mine('mine again', 1, epoch), ME);
    expect(then).toEqual([ack('mine'), ack('newer')]);
  });
});

it('counts its records, and never uses an epoch twice', () => {
  expect(played(...OWNER, lost, mine('mine', 1), storing).state).toMatchObject({ epoch: 4, commit: 2 });
  expect(played(...OWNER, lost, unanswered, claim('c'), waited()).state).toMatchObject({ kind: 'owner', epoch: 6 });
});

it('acknowledges the claims that it kept the lease for, once its record is there', () => {
  const { state } = played(...OWNER, lost, claim('c1'), claim('c2'), waited(), storing);
  expect(leaseStep(state, mine('mine', 2), ME).actions).toEqual([ack('c1'), ack('c2')]);
});

it('only an owner stores', () => {
  expect(() => played(storing)).toThrow('expected only an owner to store a record, but the state is standby');
  expect(() => played(...OWNER, lost, storing)).toThrow('uncertain');
  expect(() => played(...OWNER, release, storing)).toThrow('released');
});
