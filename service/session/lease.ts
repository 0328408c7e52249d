// The law of the lease, without clock or socket: what a task does about each thing that the broker delivers or fails
// to. A group's lease queue has one active consumer; holding its unacknowledged record is the lease.
//
//   standby:   consumes every group's queue. A record → gathering; a claim alone → gathering, as there is no record
//   gathering: something of a group came; what lies behind it in the queue is awaited for a moment, because a claim may
//              be delivered before the record, and two records may be there after a crash in mid-commit. Then → owner
//              of the first group that is ripe, from its newest record; what came of other groups is given back
//   owner:     holds the newest of its own records, and whatever it took over from until the first of these is
//              delivered. Later claims are acked: they only ask whether anybody is there.
//              Lease connection or consumer lost → uncertain
//   uncertain: was owner, and cannot know whether it still is. Keeps what it has, and asks by consuming again and
//              publishing a claim. Its own record, or a claim with no record behind it → owner again.
//              A record of a later owner → owner anew, from that record. No answer in time → somebody else is the
//              active consumer → standby, and everything unconfirmed is dropped, as the other has it replayed
//   released:  has given its record back, or had none; for ever
//
// Races, and what makes them harmless:
// - Claim before record: the grace of gathering. Still no record after it: a new owner IDENTIFYs.
// - Two records: the newest by (epoch, commit) wins; the others are acked once the new owner's own record is delivered.
// - Crash before the first own record: what made it an owner, claims too, is still unacknowledged, so the queue is
//   never empty and the next in line takes over. Should it be (purged by hand), a standby's next claim fills it.
// - Old owner and new owner at once (a cut lease connection, a partition): both publish the same events under the same
//   ids, each in order; only the new one can store a record; the old one steps down when it can ask.
// - Crash between storing the new record and acking the old: two records, see above.
// - Unreadable record: set aside into dead-letters, and what remains counts as no record.

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

interface Gathering<D> {
  readonly records: readonly (Delivery<D> & { readonly content: { readonly kind: 'record' } })[];
  readonly others: readonly Delivery<D>[];
}

export type LeaseState<D> =
  | { readonly kind: 'standby'; readonly gathering: ReadonlyMap<number, Gathering<D>> }
  | {
      readonly kind: 'owner';
      readonly group: number;
      readonly epoch: number;
      /** The last stored. */
      readonly commit: number;
      /** The newest own record that was delivered: the lease itself. None until the first comes back. */
      readonly held: Delivery<D> | undefined;
      readonly heldCommit: number;
      /** What it took over from, records and claims, to be acked when an own record is held. */
      readonly stale: readonly Delivery<D>[];
    }
  | {
      readonly kind: 'uncertain';
      readonly group: number;
      readonly epoch: number;
      readonly commit: number;
      readonly claims: readonly Delivery<D>[];
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
  /** To the dead letters. */
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
  /** Another task is the owner: close the shards, drop the outbox. */
  | { readonly kind: 'disown' };

export interface LeaseStep<D> {
  readonly state: LeaseState<D>;
  readonly actions: readonly LeaseAction<D>[];
}

export const startingLease = <D>(): LeaseState<D> => ({ kind: 'standby', gathering: new Map() });

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

function standbyStep<D>(
  state: Extract<LeaseState<D>, { kind: 'standby' }>,
  event: Exclude<LeaseEvent<D>, { kind: 'release' }>,
): LeaseStep<D> {
  if (event.kind === 'lost') return { state: { kind: 'standby', gathering: new Map() }, actions: [] };
  if (event.kind === 'delivered') {
    const { delivery } = event;
    const { group, content } = delivery;
    const known = state.gathering.get(group);
    const gathering = new Map(state.gathering);
    const { records, others } = known ?? { records: [], others: [] };
    const actions: LeaseAction<D>[] = [];
    if (content.kind === 'unreadable') actions.push({ kind: 'set aside', tag: delivery.tag, reason: content.reason });
    if (content.kind === 'record') gathering.set(group, { records: [...records, { ...delivery, content }], others });
    else gathering.set(group, { records, others: content.kind === 'claim' ? [...others, delivery] : others });
    // A record ripens sooner than a claim: it only waits for a second record, not for a first.
    if (content.kind === 'record' && records.length === 0) actions.push({ kind: 'await', group, because: 'record' });
    else if (known === undefined) actions.push({ kind: 'await', group, because: 'claim' });
    return { state: { kind: 'standby', gathering }, actions };
  }
  if (event.kind !== 'ripe') return same(state);
  const chosen = state.gathering.get(event.group);
  if (chosen === undefined) return same(state);
  const giveBack: LeaseAction<D>[] = [];
  for (const [group, { records, others }] of state.gathering)
    if (group !== event.group)
      giveBack.push(...[...records, ...others].map(({ tag }) => ({ kind: 'give back', tag }) as const));
  const newest = chosen.records.reduce<(typeof chosen.records)[number] | undefined>(
    (best, each) => (best === undefined || isNewer(each.content.record, best.content.record) ? each : best),
    undefined,
  );
  return become(
    event.group,
    newest?.content.record,
    [...chosen.records, ...chosen.others],
    [{ kind: 'consume only', group: event.group }, ...giveBack],
  );
}

/** A new owner: what it took over from stays unacknowledged until its own first record is held. */
function become<D>(
  group: number,
  record: GroupRecord | undefined,
  stale: readonly Delivery<D>[],
  before: readonly LeaseAction<D>[],
): LeaseStep<D> {
  const epoch = (record?.epoch ?? 0) + 1;
  return {
    state: { kind: 'owner', group, epoch, commit: 0, held: undefined, heldCommit: 0, stale },
    actions: [...before, { kind: 'own', group, epoch, record }, { kind: 'store' }],
  };
}

function ownerStep<D>(
  state: Extract<LeaseState<D>, { kind: 'owner' }>,
  event: Exclude<LeaseEvent<D>, { kind: 'release' }>,
  me: string,
): LeaseStep<D> {
  const { group, epoch, commit } = state;
  if (event.kind === 'storing') return same({ ...state, commit: Math.max(commit, event.commit) });
  if (event.kind === 'lost') return same({ kind: 'uncertain', group, epoch, commit, claims: [] });
  if (event.kind !== 'delivered') return same(state);
  const { delivery } = event;
  const { content, tag } = delivery;
  // A consumer that is being cancelled may still be handed something of another group.
  if (delivery.group !== group) return same(state, { kind: 'give back', tag });
  if (content.kind === 'claim')
    return state.held === undefined
      ? same({ ...state, stale: [...state.stale, delivery] })
      : same(state, { kind: 'ack', tag });
  if (content.kind === 'unreadable') return same(state, { kind: 'set aside', tag, reason: content.reason });
  const { record } = content;
  if (record.epoch > epoch)
    return become(group, record, [...state.stale, ...(state.held ? [state.held] : []), delivery], [{ kind: 'disown' }]);
  if (record.owner !== me || record.epoch !== epoch) {
    if (state.held !== undefined) return same(state, { kind: 'ack', tag });
    return same({ ...state, stale: [...state.stale, delivery] });
  }
  // What is delivered is stored (a quorum queue delivers only what its majority has): the ones before may go.
  if (record.commit <= state.heldCommit && state.held !== undefined) return same(state, { kind: 'ack', tag });
  const before = [...state.stale, ...(state.held ? [state.held] : [])];
  return {
    state: { ...state, held: delivery, heldCommit: record.commit, stale: [] },
    actions: before.map((each) => ({ kind: 'ack', tag: each.tag })),
  };
}

function uncertainStep<D>(
  state: Extract<LeaseState<D>, { kind: 'uncertain' }>,
  event: Exclude<LeaseEvent<D>, { kind: 'release' }>,
  me: string,
): LeaseStep<D> {
  const { group, epoch, commit, claims } = state;
  const regain = (held: Delivery<D> | undefined, heldCommit: number, stale: readonly Delivery<D>[]): LeaseStep<D> => ({
    state: { kind: 'owner', group, epoch, commit, held, heldCommit, stale },
    actions: [{ kind: 'regain' }, { kind: 'store' }],
  });
  if (event.kind === 'lost') return same({ ...state, claims: [] });
  if (event.kind === 'unanswered')
    return { state: startingLease(), actions: [{ kind: 'disown' }, { kind: 'consume all' }] };
  // Nothing but claims came during the grace: the record is gone, and we are who is asked.
  if (event.kind === 'ripe') return regain(undefined, 0, claims);
  if (event.kind !== 'delivered') return same(state);
  const { delivery } = event;
  const { content, tag } = delivery;
  if (delivery.group !== group) return same(state, { kind: 'give back', tag });
  if (content.kind === 'unreadable')
    return same(state, { kind: 'set aside', tag, reason: content.reason }, { kind: 'await', group, because: 'claim' });
  if (content.kind === 'claim')
    return same({ ...state, claims: [...claims, delivery] }, { kind: 'await', group, because: 'claim' });
  const { record } = content;
  if (record.epoch > epoch) return become(group, record, [...claims, delivery], [{ kind: 'disown' }]);
  if (record.owner === me && record.epoch === epoch) return regain(delivery, record.commit, claims);
  return regain(undefined, 0, [...claims, delivery]);
}

function same<D>(state: LeaseState<D>, ...actions: readonly LeaseAction<D>[]): LeaseStep<D> {
  return { state, actions };
}
