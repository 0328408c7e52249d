// The rules of the lease, without clock or socket: what a task does about each thing that the broker delivers or fails
// to. A group's lease queue has one active consumer; holding its unacknowledged record is the lease.
//
//   standby:   consumes every group's queue. What comes of a group is gathered for a moment, because a claim may be
//              delivered before the record, and two records may be there after a crash between storing one and
//              acknowledging the other. Then → owner of the first group whose wait is over, from its newest record;
//              what came of other groups is requeued
//   owner:     holds the newest of its own records. Until the first of them is there it acknowledges nothing: the
//              next owner finds what this one found. Then claims are acknowledged: they only ask whether the lease is held.
//              Lease connection or consumer lost → uncertain
//   uncertain: was owner, and cannot know whether it still is. It keeps what it has, and asks by consuming again and
//              publishing a claim. Its own record, an earlier one, or a claim with no record behind it → owner again.
//              A record of a later owner → owner from that record. No answer in time → another task is the active
//              consumer → standby; it leaves word of its sessions, and everything unconfirmed is dropped, as the
//              other has it replayed
//   released:  has requeued its record, or had none; indefinitely
//
// Races, and what makes them harmless:
// - Claim before record: the wait of gathering. Still no record after it: a new owner IDENTIFYs, and reports that a record
//   is missing, as a new group begins with an empty one (contract/lease-record.ts).
// - That empty one comes late: it is older than every owner's.
// - Two records: the newest by (epoch, commit) wins; the others are acknowledged once the new owner's own is delivered.
// - A newer one that comes late (after the wait, or because another consumer requeued it only now), and a record that
//   another owner stored meanwhile: newer than what this one took over from, so it takes over again, from that.
// - Old owner and new owner at once (a cut lease connection, a partition): both publish the same events under the same
//   ids, each in order; only the new one can store a record; the old one steps down when it can ask.
// - Crash between storing the new record and acknowledging the old: two records, see above.
// - Crash between taking over and the first own record: nothing was acknowledged, so nothing is missing.
// - Unreadable record: dead-lettered by the same rule, and what remains counts as no record.
// - Queue deleted, and another was there first: it found nothing and began new sessions. The word that the old owner
//   leaves is of a later epoch than that, so that it goes on with the old ones. An owner that found a record is in that
//   epoch itself, and has stored in it: for it the word is old.
// - Queue emptied by hand: the owner stores again within minutes; if there is none, a standby's next claim fills it.

import { epochAfter, type GroupRecord, isLater, isNewer } from './group-record.ts';

/** What came out of a lease queue. `D` is whatever the caller needs to answer it. */
export interface Delivery<D> {
  readonly group: number;
  readonly tag: D;
  readonly content: RecordContent | { readonly kind: 'claim' | 'unreadable' };
}
interface RecordContent {
  readonly kind: 'record';
  readonly record: GroupRecord;
}
type RecordDelivery<D> = Omit<Delivery<D>, 'content'> & { readonly content: RecordContent };

interface Standby<D> {
  readonly kind: 'standby';
  /** By group: what came of it and is not answered. */
  readonly gathered: ReadonlyMap<number, readonly Delivery<D>[]>;
  /** Of its last ownership: a task never uses one again. */
  readonly epoch: number;
}

interface Owner<D> {
  readonly kind: 'owner' | 'uncertain';
  readonly group: number;
  readonly epoch: number;
  /** The last stored. */
  readonly commit: number;
  /** The newest own record that was delivered: the lease itself. None until the first comes back, and while uncertain. */
  readonly held: RecordDelivery<D> | undefined;
  /** What it found in the queue: to be answered when an own record is held. */
  readonly found: readonly Delivery<D>[];
  /** What it took over from. */
  readonly basis: Pick<GroupRecord, 'epoch' | 'commit'>;
}

export type LeaseState<D> = Standby<D> | Owner<D> | { readonly kind: 'released' };

export type LeaseEvent<D> =
  | { readonly kind: 'delivered'; readonly delivery: Delivery<D> }
  /** The wait for more of this group is over. */
  | { readonly kind: 'waited'; readonly group: number }
  /** The lease connection, its channel or the consumer is gone, and with it every delivery. */
  | { readonly kind: 'lost' }
  /** Consumed again and claimed, and nothing was delivered in time. */
  | { readonly kind: 'unanswered' }
  /** The owner's next record is about to be published. */
  | { readonly kind: 'storing' }
  | { readonly kind: 'release' };

export type LeaseAction<D> =
  | { readonly kind: 'ack' | 'requeue' | 'deadLetter'; readonly tag: D }
  /** Wait for more of this group. */
  | { readonly kind: 'wait'; readonly group: number; readonly because: 'claim' | 'record' }
  /** Consume no other group's queue. */
  | { readonly kind: 'consumeOnly'; readonly group: number }
  /** Consume every group's queue. */
  | { readonly kind: 'consumeAll' }
  /** Take the group over: resume the record's sessions, IDENTIFY the rest. */
  | {
      readonly kind: 'own';
      readonly group: number;
      readonly epoch: number;
      readonly record: GroupRecord | undefined;
      /** Found instead of a record: something unreadable, or else only claims, of which this is the first. */
      readonly unreadable: D | undefined;
      readonly claim: D | undefined;
    }
  /** This task is still the owner. */
  | { readonly kind: 'keepLease' }
  /** Store a record now. */
  | { readonly kind: 'store' }
  /** Store what is known of the sessions, as commit 0 of this epoch, for an owner that may know less. */
  | { readonly kind: 'leave word'; readonly group: number; readonly epoch: number }
  /** Another task is the owner: close the shards, drop the outbox. */
  | { readonly kind: 'stepDown' };

export interface LeaseStep<D> {
  readonly state: LeaseState<D>;
  readonly actions: readonly LeaseAction<D>[];
}

export const startingLease = <D>(epoch = 0): LeaseState<D> => ({ kind: 'standby', gathered: new Map(), epoch });

type Input<D> = Exclude<LeaseEvent<D>, { kind: 'release' | 'storing' }>;

/**
 * @param me the owner's name in records; unique to this process
 * @throws when a record is to be stored by a task that is not the owner
 */
export function leaseStep<D>(state: LeaseState<D>, event: LeaseEvent<D>, me: string): LeaseStep<D> {
  if (event.kind === 'release') return { state: { kind: 'released' }, actions: [] };
  if (event.kind === 'storing') {
    if (state.kind !== 'owner')
      throw new Error(`expected only an owner to store a record, but the state is ${state.kind}`);
    return step({ ...state, commit: state.commit + 1 });
  }
  switch (state.kind) {
    case 'standby':
      return standbyStep(state, event);
    case 'owner':
      return ownerStep(state, event, me);
    case 'uncertain':
      return uncertainStep(state, event, me);
    case 'released':
      return event.kind === 'delivered' ? step(state, { kind: 'requeue', tag: event.delivery.tag }) : step(state);
  }
}

function standbyStep<D>(state: Standby<D>, event: Input<D>): LeaseStep<D> {
  const { epoch, gathered } = state;
  switch (event.kind) {
    case 'lost':
      return step(startingLease(epoch));
    case 'delivered': {
      const { delivery } = event;
      const { group } = delivery;
      const before = gathered.get(group) ?? [];
      const next: LeaseState<D> = { ...state, gathered: new Map(gathered).set(group, [...before, delivery]) };
      // A record waits shorter than a claim: only for a second record, not for a first.
      if (isRecord(delivery) && !before.some(isRecord)) return step(next, { kind: 'wait', group, because: 'record' });
      return before.length === 0 ? step(next, { kind: 'wait', group, because: 'claim' }) : step(next);
    }
    case 'waited': {
      const { group } = event;
      const found = gathered.get(group);
      if (found === undefined) return step(state);
      const records = found.filter(isRecord).map(({ content }) => content.record);
      const record = records.find((each) => !records.some((other) => isNewer(other, each)));
      const others = [...gathered].flatMap(([each, deliveries]) => (each === group ? [] : deliveries));
      return become(
        { group, epoch: nextEpoch(epoch, record), found },
        record,
        { kind: 'consumeOnly', group },
        ...others.map(({ tag }) => ({ kind: 'requeue', tag }) as const),
      );
    }
    case 'unanswered':
      return step(state);
  }
}

function become<D>(
  { group, epoch, found }: Pick<Owner<D>, 'group' | 'epoch' | 'found'>,
  record: GroupRecord | undefined,
  ...before: readonly LeaseAction<D>[]
): LeaseStep<D> {
  const basis = record ?? { epoch: 0, commit: 0 };
  const first = (kind: 'unreadable' | 'claim') => found.find(({ content }) => content.kind === kind)?.tag;
  const unreadable = record ? undefined : first('unreadable');
  const claim = record || unreadable !== undefined ? undefined : first('claim');
  return step(
    { kind: 'owner', group, epoch, commit: 0, held: undefined, found, basis },
    ...before,
    { kind: 'own', group, epoch, record, unreadable, claim },
    { kind: 'store' },
  );
}

function ownerStep<D>(state: Owner<D>, event: Input<D>, me: string): LeaseStep<D> {
  const { group, held } = state;
  if (event.kind === 'lost') return step({ ...state, kind: 'uncertain', held: undefined, found: [] });
  if (event.kind !== 'delivered') return step(state);
  const { delivery } = event;
  // A consumer that is being cancelled may still get something of another group.
  if (delivery.group !== group) return step(state, { kind: 'requeue', tag: delivery.tag });
  if (isRecord(delivery)) {
    const { record } = delivery.content;
    const found = held === undefined ? state.found : [held];
    if (supersedes(state, record, me)) return takeOverAgain(state, record, [...found, delivery]);
    // What is delivered is stored (a quorum queue delivers only what its majority has): what was found may go.
    if (isOwn(state, record, me) && (held === undefined || record.commit > held.content.record.commit))
      return step({ ...state, held: delivery, found: [] }, ...found.map(remove));
  }
  return held === undefined ? step({ ...state, found: [...state.found, delivery] }) : step(state, remove(delivery));
}

function uncertainStep<D>(state: Owner<D>, event: Input<D>, me: string): LeaseStep<D> {
  const { group, epoch } = state;
  const ownerAgain = (holding: Pick<Owner<D>, 'held' | 'found'>, ...actions: readonly LeaseAction<D>[]) =>
    step({ ...state, ...holding, kind: 'owner' }, { kind: 'keepLease' }, { kind: 'store' }, ...actions);
  if (event.kind === 'lost') return step({ ...state, found: [] });
  if (event.kind === 'unanswered') {
    // A late timer: the answer is there.
    if (state.found.length > 0) return step(state);
    const last = epochAfter(epoch);
    const word: LeaseAction<D> = { kind: 'leave word', group, epoch: last };
    return step(startingLease(last), word, { kind: 'stepDown' }, { kind: 'consumeAll' });
  }
  // Nothing but claims came during the wait: the record is gone, and this task is who is asked.
  if (event.kind === 'waited') return state.found.length > 0 ? ownerAgain(state) : step(state);
  const { delivery } = event;
  if (delivery.group !== group) return step(state, { kind: 'requeue', tag: delivery.tag });
  const found = [...state.found, delivery];
  if (!isRecord(delivery)) {
    const next = { ...state, found };
    return state.found.length > 0 ? step(next) : step(next, { kind: 'wait', group, because: 'claim' });
  }
  const { record } = delivery.content;
  if (supersedes(state, record, me)) return takeOverAgain(state, record, found);
  if (!isOwn(state, record, me)) return ownerAgain({ held: undefined, found });
  return ownerAgain({ held: delivery, found: [] }, ...state.found.map(remove));
}

/** From a record of which this task knows nothing. */
function takeOverAgain<D>(
  { group, epoch }: Owner<D>,
  record: GroupRecord,
  found: readonly Delivery<D>[],
): LeaseStep<D> {
  return become({ group, epoch: nextEpoch(epoch, record), found }, record, { kind: 'stepDown' });
}

/** @param epoch of its last ownership; 0 for none */
function nextEpoch(epoch: number, record: GroupRecord | undefined): number {
  return epochAfter(record && (epoch === 0 || isLater(record.epoch, epoch)) ? record.epoch : epoch);
}

/** What it has never stored is not its own, whatever name is on it. */
function isOwn<D>({ epoch, commit }: Owner<D>, record: GroupRecord, me: string): boolean {
  return record.owner === me && record.epoch === epoch && record.commit <= commit;
}

/** Whether the owner knows nothing of what is in this record, and has to take over again, from it. */
function supersedes<D>(state: Owner<D>, record: GroupRecord, me: string): boolean {
  return isNewer(record, state.basis) && !isOwn(state, record, me);
}

/** For something that has been replaced by a record of this owner. */
function remove<D>({ tag, content }: Delivery<D>): LeaseAction<D> {
  return { kind: content.kind === 'unreadable' ? 'deadLetter' : 'ack', tag };
}

function isRecord<D>(delivery: Delivery<D>): delivery is RecordDelivery<D> {
  return delivery.content.kind === 'record';
}

function step<D>(state: LeaseState<D>, ...actions: readonly LeaseAction<D>[]): LeaseStep<D> {
  return { state, actions };
}
