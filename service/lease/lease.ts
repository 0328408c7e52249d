// The law of the lease, without clock or socket: what a task does about each thing that the broker delivers or fails
// to. A group's lease queue has one active consumer; holding its unacknowledged record is the lease.
//
//   standby:   consumes every group's queue. Whatever comes of a group is gathered for a moment, because a claim may be
//              delivered before the record, and two records may be there after a crash in mid-commit. Then → owner of
//              the first group that is ripe, from its newest record; what came of other groups is given back
//   owner:     holds the newest of its own records. Until the first of them is there it acknowledges nothing: whoever
//              is next finds what it found. Then claims are acked: they only ask whether anybody is there.
//              Lease connection or consumer lost → uncertain
//   uncertain: was owner, and cannot know whether it still is. Keeps what it has, and asks by consuming again and
//              publishing a claim. Its own record, an earlier one, or a claim with no record behind it → owner again.
//              A record of a later owner → owner anew, from that record. No answer in time → somebody else is the
//              active consumer → standby; it leaves word of its sessions, and everything unconfirmed is dropped, as the
//              other has it replayed
//   released:  has given its record back, or had none; for ever
//
// Races, and what makes them harmless:
// - Claim before record: the grace of gathering. Still no record after it: a new owner IDENTIFYs.
// - Two records: the newest by (epoch, commit) wins; the others are acked once the new owner's own record is delivered.
// - A newer one that comes late (after the grace, or because another consumer gave it back only now), and a record that
//   another owner stored meanwhile: newer than what this one took over from, so it begins anew from that.
// - Old owner and new owner at once (a cut lease connection, a partition): both publish the same events under the same
//   ids, each in order; only the new one can store a record; the old one steps down when it can ask.
// - Crash between storing the new record and acking the old: two records, see above.
// - Crash between taking over and the first own record: nothing was acknowledged, so nothing is missing.
// - Unreadable record: set aside into dead-letters, by the same rule, and what remains counts as no record.
// - Queue deleted, and another was there first: it found nothing and began new sessions. The word that the old owner
//   leaves is of a later epoch than that, so that it goes on with the old ones. An owner that found a record is in that
//   epoch itself, and has stored in it: for it the word is old.
// - Queue emptied by hand: the owner stores again within minutes; if there is none, a standby's next claim fills it.

import { type GroupRecord, isNewer } from './group-record.ts';

/** What came out of a lease queue. `D` is whatever the caller needs to answer it. */
export interface Delivery<D> {
  readonly group: number;
  readonly tag: D;
  readonly content:
    | { readonly kind: 'claim' }
    | { readonly kind: 'record'; readonly record: GroupRecord }
    | { readonly kind: 'unreadable'; readonly reason: string };
}

type Position = Pick<GroupRecord, 'epoch' | 'commit'>;

export type LeaseState<D> =
  | {
      readonly kind: 'standby';
      /** By group: what came of it and is not answered. */
      readonly gathered: ReadonlyMap<number, readonly Delivery<D>[]>;
      /** Of its last ownership: a task never uses one again. */
      readonly epoch: number;
    }
  | {
      readonly kind: 'owner';
      readonly group: number;
      readonly epoch: number;
      /** The last stored. */
      readonly commit: number;
      /** The newest own record that was delivered: the lease itself. None until the first comes back. */
      readonly held: Delivery<D> | undefined;
      readonly heldCommit: number;
      /** What it found in the queue: to be answered when an own record is held. */
      readonly found: readonly Delivery<D>[];
      /** What it took over from. */
      readonly basis: Position;
    }
  | {
      readonly kind: 'uncertain';
      readonly group: number;
      readonly epoch: number;
      readonly commit: number;
      readonly found: readonly Delivery<D>[];
      readonly basis: Position;
    }
  | { readonly kind: 'released' };

export type LeaseEvent<D> =
  | { readonly kind: 'delivered'; readonly delivery: Delivery<D> }
  /** The grace of this group is over. */
  | { readonly kind: 'ripe'; readonly group: number }
  /** The lease connection, its channel or the consumer is gone, and with it every delivery. */
  | { readonly kind: 'lost' }
  /** Consumed again and claimed, and nothing was delivered in time. */
  | { readonly kind: 'unanswered' }
  /** A record with this number is about to be published. */
  | { readonly kind: 'storing'; readonly commit: number }
  | { readonly kind: 'release' };

export type LeaseAction<D> =
  | { readonly kind: 'ack'; readonly tag: D }
  /** To the queue again, for the next consumer. */
  | { readonly kind: 'give back'; readonly tag: D }
  /** To the dead letters: it is unreadable. */
  | { readonly kind: 'set aside'; readonly tag: D; readonly reason: string }
  /** Say `ripe` after the grace. */
  | { readonly kind: 'await'; readonly group: number; readonly because: 'record' | 'claim' }
  /** Consume this group only. */
  | { readonly kind: 'consume only'; readonly group: number }
  | { readonly kind: 'consume all' }
  /** Take the group over: resume what the record says, IDENTIFY the rest. */
  | { readonly kind: 'own'; readonly group: number; readonly epoch: number; readonly record: GroupRecord | undefined }
  /** The lease is still ours: go on. */
  | { readonly kind: 'regain' }
  /** Store a record now. */
  | { readonly kind: 'store' }
  /** Store what is known of the sessions, as commit 0 of this epoch, for an owner that may know less. */
  | { readonly kind: 'leave word'; readonly group: number; readonly epoch: number }
  /** Another task is the owner: close the shards, drop the outbox. */
  | { readonly kind: 'disown' };

export interface LeaseStep<D> {
  readonly state: LeaseState<D>;
  readonly actions: readonly LeaseAction<D>[];
}

export const startingLease = <D>(epoch = 0): LeaseState<D> => ({ kind: 'standby', gathered: new Map(), epoch });

type Standby<D> = Extract<LeaseState<D>, { kind: 'standby' }>;
type Owner<D> = Extract<LeaseState<D>, { kind: 'owner' }>;
type Uncertain<D> = Extract<LeaseState<D>, { kind: 'uncertain' }>;
type EventInLife<D> = Exclude<LeaseEvent<D>, { kind: 'release' }>;

/** @param me the owner's name in records; unique to this process */
export function leaseStep<D>(state: LeaseState<D>, event: LeaseEvent<D>, me: string): LeaseStep<D> {
  if (event.kind === 'release') return { state: { kind: 'released' }, actions: [] };
  switch (state.kind) {
    case 'standby':
      return standbyStep(state, event);
    case 'owner':
      return ownerStep(state, event, me);
    case 'uncertain':
      return uncertainStep(state, event, me);
    case 'released':
      return event.kind === 'delivered' ? same(state, { kind: 'give back', tag: event.delivery.tag }) : same(state);
  }
}

function standbyStep<D>(state: Standby<D>, event: EventInLife<D>): LeaseStep<D> {
  const { epoch } = state;
  if (event.kind === 'lost') return { state: startingLease(epoch), actions: [] };
  if (event.kind === 'delivered') {
    const { delivery } = event;
    const { group } = delivery;
    const before = state.gathered.get(group) ?? [];
    const next: LeaseState<D> = {
      kind: 'standby',
      epoch,
      gathered: new Map(state.gathered).set(group, [...before, delivery]),
    };
    // A record ripens sooner than a claim: it only waits for a second record, not for a first.
    if (isRecord(delivery) && !before.some(isRecord)) return same(next, { kind: 'await', group, because: 'record' });
    return before.length === 0 ? same(next, { kind: 'await', group, because: 'claim' }) : same(next);
  }
  if (event.kind !== 'ripe') return same(state);
  const found = state.gathered.get(event.group);
  if (found === undefined) return same(state);
  const others = [...state.gathered].flatMap(([group, deliveries]) => (group === event.group ? [] : deliveries));
  const record = found
    .filter(isRecord)
    .map(({ content }) => content.record)
    .reduce<GroupRecord | undefined>((best, each) => (best && !isNewer(each, best) ? best : each), undefined);
  return become({ group: event.group, record, epoch: 1 + Math.max(epoch, record?.epoch ?? 0), found }, [
    { kind: 'consume only', group: event.group },
    ...others.map(({ tag }) => ({ kind: 'give back', tag }) as const),
  ]);
}

function become<D>(
  {
    group,
    record,
    epoch,
    found,
  }: {
    readonly group: number;
    readonly record: GroupRecord | undefined;
    readonly epoch: number;
    readonly found: readonly Delivery<D>[];
  },
  before: readonly LeaseAction<D>[],
): LeaseStep<D> {
  const basis = record ?? { epoch: 0, commit: 0 };
  return {
    state: { kind: 'owner', group, epoch, commit: 0, held: undefined, heldCommit: 0, found, basis },
    actions: [...before, { kind: 'own', group, epoch, record }, { kind: 'store' }],
  };
}

function ownerStep<D>(state: Owner<D>, event: EventInLife<D>, me: string): LeaseStep<D> {
  const { group, epoch, commit, held, basis } = state;
  if (event.kind === 'storing') return same({ ...state, commit: Math.max(commit, event.commit) });
  if (event.kind === 'lost') return same({ kind: 'uncertain', group, epoch, commit, found: [], basis });
  if (event.kind !== 'delivered') return same(state);
  const { delivery } = event;
  const found = [...state.found, ...(held ? [held] : []), delivery];
  // A consumer that is being cancelled may still be handed something of another group.
  if (delivery.group !== group) return same(state, { kind: 'give back', tag: delivery.tag });
  if (isRecord(delivery)) {
    const { record } = delivery.content;
    if (supersedes(state, record, me))
      return become({ group, record, epoch: 1 + Math.max(epoch, record.epoch), found }, [{ kind: 'disown' }]);
    // What is delivered is stored (a quorum queue delivers only what its majority has): what was found may go.
    if (isOwn(state, record, me) && (held === undefined || record.commit > state.heldCommit))
      return {
        state: { ...state, held: delivery, heldCommit: record.commit, found: [] },
        actions: found.slice(0, -1).map(answer),
      };
  }
  return held === undefined ? same({ ...state, found }) : same(state, answer(delivery));
}

function uncertainStep<D>(state: Uncertain<D>, event: EventInLife<D>, me: string): LeaseStep<D> {
  const { group, epoch, commit, basis } = state;
  const again = (owner: Partial<Owner<D>>, actions: readonly LeaseAction<D>[] = []): LeaseStep<D> => ({
    state: {
      ...{ kind: 'owner', group, epoch, commit, held: undefined, heldCommit: 0, found: [], basis },
      ...owner,
    },
    actions: [{ kind: 'regain' }, { kind: 'store' }, ...actions],
  });
  if (event.kind === 'lost') return same({ ...state, found: [] });
  // A late timer: the answer is there.
  if (event.kind === 'unanswered' && state.found.length > 0) return same(state);
  if (event.kind === 'unanswered') {
    const last = epoch + 1;
    return {
      state: startingLease(last),
      actions: [{ kind: 'leave word', group, epoch: last }, { kind: 'disown' }, { kind: 'consume all' }],
    };
  }
  // Nothing but claims came during the grace: the record is gone, and we are who is asked.
  if (event.kind === 'ripe' && state.found.length > 0) return again({ found: state.found });
  if (event.kind !== 'delivered') return same(state);
  const { delivery } = event;
  if (delivery.group !== group) return same(state, { kind: 'give back', tag: delivery.tag });
  const found = [...state.found, delivery];
  if (!isRecord(delivery))
    return state.found.length > 0
      ? same({ ...state, found })
      : same({ ...state, found }, { kind: 'await', group, because: 'claim' });
  const { record } = delivery.content;
  if (supersedes(state, record, me))
    return become({ group, record, epoch: 1 + Math.max(epoch, record.epoch), found }, [{ kind: 'disown' }]);
  if (!isOwn(state, record, me)) return again({ found });
  return again({ held: delivery, heldCommit: record.commit }, state.found.map(answer));
}

function isOwn<D>({ epoch }: Owner<D> | Uncertain<D>, record: GroupRecord, me: string): boolean {
  return record.owner === me && record.epoch === epoch;
}

/** Whether the owner has to begin anew from this record: it knows nothing of what is in it. */
function supersedes<D>(state: Owner<D> | Uncertain<D>, record: GroupRecord, me: string): boolean {
  return isNewer(record, state.basis) && !isOwn(state, record, me);
}

/** What is to become of something that has been replaced by a record of its own. */
function answer<D>({ tag, content }: Delivery<D>): LeaseAction<D> {
  return content.kind === 'unreadable' ? { kind: 'set aside', tag, reason: content.reason } : { kind: 'ack', tag };
}

function isRecord<D>(
  delivery: Delivery<D>,
): delivery is Delivery<D> & { readonly content: { readonly kind: 'record'; readonly record: GroupRecord } } {
  return delivery.content.kind === 'record';
}

function same<D>(state: LeaseState<D>, ...actions: readonly LeaseAction<D>[]): LeaseStep<D> {
  return { state, actions };
}
