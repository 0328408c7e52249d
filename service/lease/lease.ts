// The law of the lease on one page, and its rules without clock or socket: what a task does about each thing that the
// broker delivers, or fails to. A group's lease queue is a quorum queue with one active consumer. Holding its unacknowledged
// record is the lease. Of a record, `epoch` counts the owners and `commit` what this owner stored.
//
// States
//   standby:   consumes every group's queue. What is delivered of a group is gathered for a moment. Then → owner of the first
//              group whose wait is over, from its newest record; what was delivered of other groups is requeued. A record
//              that was not released waits a moment longer for a claim of its own owner, which may only have lost its
//              connection: where that comes the standby requeues all, once, and consumes again later
//   owner:     holds the newest of its own records. Until the first of them is delivered it acknowledges nothing: the next
//              owner finds what this one found. Then it is *settled*, and acknowledges all but its newest. Channels lost →
//              uncertain. Discord unreachable for `unreachableMs` → standby, and another standby takes the group
//   uncertain: was owner, and cannot know whether it still is. It keeps its shards, publishes, and (settled) stores records in
//              its own epoch, so that the next owner finds the newest positions. It asks by consuming again and by a claim. Its
//              own record, or only claims and records that are not later → owner again. A later owner's record → owner from
//              that record. Silence → standby
//   released:  has requeued its record, or had none; final
//
// Epochs: a record of an older epoch never makes a settled owner step down: it is acknowledged. So an owner that is cut off,
// or was frozen, can store what it likes. A record of the same epoch and another owner, or of a later epoch: the owner takes
// over again, from that, in the epoch after both. Before it is settled, also from a newer record of an older epoch: that
// lay in the queue before its own, and is a later position of the owner before it.
//
// Proofs
// - Of ownership: a record that was stored after the question is delivered back. This needs a majority of the broker's nodes;
//   a read does not, and a node without a majority answers it. Every record is watched, and one is stored before a shard
//   connects to Discord. While the broker blocks publishers none can be stored: an owner stays certain.
// - Of another owner: its record. Silence is one only if the claim was confirmed on this connection (so this is the majority),
//   and the broker had the time to take the record from the connection before: see `isSilence`.
// - None is possible without a connection to the broker, nor while an isolated node has the record: see connect-permission.ts.
//
// Races, and what makes them harmless:
// - Claim before record: the wait of gathering. Still no record after it: a new owner IDENTIFYs, and reports that a record
//   is missing, as a new group begins with an empty one (contract/lease-record.ts), which is older than every owner's.
// - Many records: an uncertain owner stored one a second. The wait begins again with each, the newest by (epoch, commit)
//   wins, and all are acknowledged once the new owner is settled.
// - Old owner and new owner at once (a cut lease connection, a partition, a record that is moved while the old consumer's
//   channel stays open): both publish the same events under the same ids, each in order. What the old one stores is
//   acknowledged and not delivered back to it, by which it finds out.
// - Crash between storing the new record and acknowledging the old: two records, see above.
// - Crash between taking over and the first own record: nothing was acknowledged, so nothing is missing.
// - Unreadable record: dead-lettered by the same rule, and what remains counts as no record.
// - Queue emptied by hand: the owner stores again within minutes; if there is none, a standby's next claim makes it the owner.
// - Queue deleted while its owner was cut off, and another was there first: it found nothing, and reported it.

import { FIRST_EPOCH } from '../contract/lease-record.ts';
import { CONSUMER_DISCONNECTED_TIMEOUT_MS } from '../contract/limits.ts';
import { epochAfter, type GroupRecord, isLater, isNewer } from './group-record.ts';

export const TIMING = {
  /** How long a claim waits for a record behind it. */
  claimWaitMs: 1_000,
  /** How long a record waits for another one; a majority's confirms come in bursts. */
  recordWaitMs: 25,
  /** From a record's confirm to its delivery. A queue's new leader needs this long to find its consumers again. */
  proofMs: 5_000,
  /** From the claim's confirm: the broker takes the record from an unreachable consumer; and 5 s for the queue's new leader. */
  silenceMs: CONSUMER_DISCONNECTED_TIMEOUT_MS + 5_000,
  /** As much longer unless Discord has closed all shards: the nodes notice an isolated one after 45–75 s (net tick). */
  unnoticedMs: 75_000,
  /** How long a record that was not released waits for a claim of its owner: after a loss that takes up to 0.3 s. */
  ownerWaitMs: 400,
  /** How much longer a standby waits after a lost connection, or for an owner that is back, so that the owner usually stays. */
  standbyDelayMs: 2_000,
  /** The longest pause of an owner that cannot consume, as after a start of all nodes: shorter than a standby's. */
  retryMs: 1_500,
  /** A standby stores nothing: by its claims a node that confirms nothing is noticed. */
  standbyClaimMs: 10_000,
  commitEveryMs: 1_000,
  /** An unchanged record is stored again: a lease queue that was emptied by hand has one within minutes. */
  renewEveryMs: 300_000,
  /** How long an owner does not reach Discord before it gives the group away: see `keepForMs`. */
  unreachableMs: 30_000,
  longestUnreachableMs: 16 * 60_000,
};

/**
 * Whether it means that another task is the owner.
 * @param ms since the claim was confirmed on this connection, without an answer
 * @param untaken shards of the group whose sessions no other task has resumed, as far as Discord shows
 */
export function isSilence(ms: number, untaken: number, { silenceMs, unnoticedMs } = TIMING): boolean {
  return ms >= silenceMs + (untaken > 0 ? unnoticedMs : 0);
}

/**
 * For how long an owner that does not reach Discord keeps its group: twice as long each time, so that tasks do not go on
 * giving it to each other while Discord is away from all of them.
 * @param timesGivenAway since this task last reached Discord
 */
export function keepForMs(timesGivenAway: number, { unreachableMs, longestUnreachableMs } = TIMING): number {
  return Math.min(longestUnreachableMs, unreachableMs * 2 ** timesGivenAway);
}

/** What was delivered from a lease queue. `D` is whatever the caller needs to answer it. */
export interface Delivery<D> {
  readonly group: number;
  readonly tag: D;
  readonly content:
    | RecordContent
    /** `from`: the task that claims, as records name it. */
    | { readonly kind: 'claim'; readonly from: string | undefined }
    | { readonly kind: 'unreadable' };
}
type RecordContent = { readonly kind: 'record'; readonly record: GroupRecord };
type RecordDelivery<D> = Delivery<D> & { readonly content: RecordContent };

interface Standby<D> {
  readonly kind: 'standby';
  /** By group: what was delivered of it and is not answered. */
  readonly gathered: ReadonlyMap<number, readonly Delivery<D>[]>;
  /** Of its last ownership: a task never uses one again. */
  readonly epoch: number;
  /** By group, owner and epoch: who was waited for, from which commit on, or whom the group was left to. Once for each. */
  readonly formerOwners: ReadonlyMap<string, number | 'back'>;
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
  readonly tookOverFrom: Pick<GroupRecord, 'epoch' | 'commit'>;
  /** A record of this epoch was delivered back. */
  readonly settled: boolean;
}

export type LeaseState<D> = Standby<D> | Owner<D> | { readonly kind: 'released' };

export type LeaseEvent<D> =
  | { readonly kind: 'delivered'; readonly delivery: Delivery<D> }
  /** The wait for more of this group is over. */
  | { readonly kind: 'waited'; readonly group: number }
  /** The lease connection, its channel or the consumer is gone, and with it every delivery. */
  | { readonly kind: 'lost' }
  /** Consumed again and claimed, and nothing was delivered in time: see `isSilence`. */
  | { readonly kind: 'silence' }
  /** The owner's next record is about to be published. */
  | { readonly kind: 'storing' }
  /** This task does not reach Discord, and another one may. What it holds is to be requeued by closing its channels. */
  | { readonly kind: 'giveAway' }
  | { readonly kind: 'release' };

export type LeaseAction<D> =
  | { readonly kind: 'ack' | 'requeue' | 'deadLetter'; readonly tag: D }
  /** Wait for more of this group, from now on. */
  | { readonly kind: 'wait'; readonly group: number; readonly because: 'claim' | 'record' | 'owner' }
  /** Consume no more of this group's queue for a while: its owner is back. */
  | { readonly kind: 'leaveToOwner'; readonly group: number; readonly owner: string }
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
  /** Close the shards. Of the outbox, drop what the later record's sessions have replayed to their new owner. */
  | {
      readonly kind: 'stepDown';
      readonly later: GroupRecord | undefined;
      readonly because: 'a later record' | 'silence' | 'Discord is unreachable';
    };

type LeaseStep<D> = { readonly state: LeaseState<D>; readonly actions: readonly LeaseAction<D>[] };

export const startingLease = <D>(epoch = 0, formerOwners: Standby<D>['formerOwners'] = new Map()): LeaseState<D> => ({
  kind: 'standby',
  gathered: new Map(),
  epoch,
  formerOwners,
});

type Input<D> = Exclude<LeaseEvent<D>, { kind: 'release' | 'storing' }>;

/** The owner that the task is, certainly or not. */
export function ownerIn<D>(state: LeaseState<D>): Owner<D> | undefined {
  return state.kind === 'owner' || state.kind === 'uncertain' ? state : undefined;
}

/** An uncertain owner that is not settled may not have seen all that lay in the queue, and would hide it. */
export function mayStore<D>(state: LeaseState<D>): state is Owner<D> {
  return state.kind === 'owner' || (state.kind === 'uncertain' && state.settled);
}

/** So many of one burst at most begin the wait again: whoever may write to the queue may write without an end. */
const LONGEST_BURST = 200;
/** Beyond these a standby waits for none: names in a queue may be anything. */
const MOST_FORMER_OWNERS = 1_000;

/**
 * @param me the owner's name in records; unique to this process
 * @throws when a record is to be stored by a task that is not the owner
 */
export function leaseStep<D>(state: LeaseState<D>, event: LeaseEvent<D>, me: string): LeaseStep<D> {
  if (event.kind === 'release') return { state: { kind: 'released' }, actions: [] };
  if (event.kind === 'storing') {
    if (!mayStore(state)) throw new Error(`expected only an owner to store a record, but the state is ${state.kind}`);
    return step({ ...state, commit: state.commit + 1 });
  }
  switch (state.kind) {
    case 'standby':
      return standbyStep(state, event, me);
    case 'owner':
      return ownerStep(state, event, me);
    case 'uncertain':
      return uncertainStep(state, event, me);
    case 'released':
      return event.kind === 'delivered' ? step(state, { kind: 'requeue', tag: event.delivery.tag }) : step(state);
  }
}

function standbyStep<D>(state: Standby<D>, event: Input<D>, me: string): LeaseStep<D> {
  const { epoch, gathered, formerOwners } = state;
  switch (event.kind) {
    case 'lost':
      return step(startingLease(epoch, formerOwners));
    case 'delivered': {
      const { delivery } = event;
      const { group } = delivery;
      const before = gathered.get(group) ?? [];
      const next: LeaseState<D> = { ...state, gathered: new Map(gathered).set(group, [...before, delivery]) };
      // A record waits shorter than a claim: only for other records, not for a first.
      if (isRecord(delivery) && before.length < LONGEST_BURST)
        return step(next, { kind: 'wait', group, because: 'record' });
      return before.length === 0 ? step(next, { kind: 'wait', group, because: 'claim' }) : step(next);
    }
    case 'waited': {
      const { group } = event;
      const found = gathered.get(group);
      if (found === undefined) return step(state);
      const records = found.filter(isRecord).map(({ content }) => content.record);
      const record = records.find((each) => !records.some((other) => precedes(other, each, me)));
      const waiting = record && waitForOwner(state, record, found, me);
      if (waiting !== undefined) return waiting;
      const others = [...gathered].flatMap(([each, deliveries]) => (each === group ? [] : deliveries));
      return become(
        { group, epoch: nextEpoch(epoch, record), found },
        record,
        { kind: 'consumeOnly', group },
        ...others.map(({ tag }) => ({ kind: 'requeue', tag }) as const),
      );
    }
    case 'silence':
    case 'giveAway':
      return step(state);
  }
}

/** @returns nothing when the owner of this record is not, or no longer, waited for */
function waitForOwner<D>(
  state: Standby<D>,
  { group, owner, epoch, commit, released }: GroupRecord,
  found: readonly Delivery<D>[],
  me: string,
): LeaseStep<D> | undefined {
  if (released === true || owner === me || epoch === FIRST_EPOCH) return undefined;
  const formerOwner = JSON.stringify([group, owner, epoch]);
  const before = state.formerOwners.get(formerOwner);
  if (before === 'back' || state.formerOwners.size > MOST_FORMER_OWNERS) return undefined;
  const claims = found.some(({ content }) => content.kind === 'claim' && content.from === owner);
  // It may store before it claims.
  const isBack = claims || (before !== undefined && commit > before);
  const formerOwners = new Map(state.formerOwners).set(formerOwner, isBack ? 'back' : commit);
  if (!isBack)
    return before !== undefined
      ? undefined
      : step({ ...state, formerOwners }, { kind: 'wait', group, because: 'owner' });
  const gathered = new Map(state.gathered);
  gathered.delete(group);
  return step(
    { ...state, gathered, formerOwners },
    { kind: 'leaveToOwner', group, owner },
    ...found.map(({ tag }) => ({ kind: 'requeue', tag }) as const),
  );
}

/** Of two owners in one epoch, this task knows what it stored itself. */
function precedes(a: GroupRecord, b: GroupRecord, me: string): boolean {
  const isOther = a.epoch === b.epoch && (a.owner === me) !== (b.owner === me);
  return isOther ? b.owner === me : isNewer(a, b);
}

function become<D>(
  { group, epoch, found }: Pick<Owner<D>, 'group' | 'epoch' | 'found'>,
  record: GroupRecord | undefined,
  ...before: readonly LeaseAction<D>[]
): LeaseStep<D> {
  const tookOverFrom = record ?? { epoch: 0, commit: 0 };
  const first = (kind: 'unreadable' | 'claim') => found.find(({ content }) => content.kind === kind)?.tag;
  const unreadable = record ? undefined : first('unreadable');
  const claim = record || unreadable !== undefined ? undefined : first('claim');
  return step(
    { kind: 'owner', group, epoch, commit: 0, held: undefined, found, tookOverFrom, settled: false },
    ...before,
    { kind: 'own', group, epoch, record, unreadable, claim },
    { kind: 'store' },
  );
}

function ownerStep<D>(state: Owner<D>, event: Input<D>, me: string): LeaseStep<D> {
  const { group, held } = state;
  if (event.kind === 'lost') return step({ ...state, kind: 'uncertain', held: undefined, found: [] });
  if (event.kind === 'giveAway') return standBy(state, 'Discord is unreachable');
  if (event.kind !== 'delivered') return step(state);
  const { delivery } = event;
  // A consumer that is being cancelled may still get something of another group.
  if (delivery.group !== group) return step(state, { kind: 'requeue', tag: delivery.tag });
  if (isRecord(delivery)) {
    const { record } = delivery.content;
    const found = held === undefined ? state.found : [held];
    if (supersedes(state, record, me)) return takeOverAgain(state, record, [...found, delivery]);
    // What is delivered is stored (a quorum queue delivers only what its majority has): what was found may go. The same
    // one again: the broker had moved it to another consumer and back, and an answer to the former delivery is ignored.
    if (isOwn(state, record, me) && (held === undefined || record.commit >= held.content.record.commit))
      return step({ ...state, held: delivery, found: [], settled: true }, ...found.map(remove));
  }
  return held === undefined ? step({ ...state, found: [...state.found, delivery] }) : step(state, remove(delivery));
}

function uncertainStep<D>(state: Owner<D>, event: Input<D>, me: string): LeaseStep<D> {
  const { group } = state;
  const ownerAgain = (holding: Partial<Owner<D>>, ...actions: readonly LeaseAction<D>[]) =>
    step({ ...state, ...holding, kind: 'owner' }, { kind: 'keepLease' }, { kind: 'store' }, ...actions);
  if (event.kind === 'lost') return step({ ...state, found: [] });
  // A late timer: the answer is there.
  if (event.kind === 'silence')
    return state.found.length > 0 ? step(state) : standBy(state, event.kind, { kind: 'consumeAll' });
  // Nothing that is later came during the wait: the record is gone, and this task is who is asked.
  if (event.kind === 'waited') return state.found.length > 0 ? ownerAgain({}) : step(state);
  if (event.kind === 'giveAway') return step(state);
  const { delivery } = event;
  if (delivery.group !== group) return step(state, { kind: 'requeue', tag: delivery.tag });
  const found = [...state.found, delivery];
  if (isRecord(delivery)) {
    const { record } = delivery.content;
    if (supersedes(state, record, me)) return takeOverAgain(state, record, found);
    if (isOwn(state, record, me))
      return ownerAgain({ held: delivery, found: [], settled: true }, ...state.found.map(remove));
  }
  const next = { ...state, found };
  return state.found.length > 0 ? step(next) : step(next, { kind: 'wait', group, because: 'claim' });
}

/** Without having seen a record of another owner. */
function standBy<D>(
  { epoch }: Owner<D>,
  because: 'silence' | 'Discord is unreachable',
  ...then: readonly LeaseAction<D>[]
): LeaseStep<D> {
  return step(startingLease(epoch), { kind: 'stepDown', later: undefined, because }, ...then);
}

/** From a record of which this task knows nothing, or a newer one: they come in bursts, too. */
function takeOverAgain<D>({ group, epoch }: Owner<D>, later: GroupRecord, found: readonly Delivery<D>[]): LeaseStep<D> {
  return step(
    { kind: 'standby', gathered: new Map([[group, found]]), epoch, formerOwners: new Map() },
    { kind: 'stepDown', later, because: 'a later record' },
    { kind: 'wait', group, because: 'record' },
  );
}

/** @param epoch of its last ownership; 0 for none */
function nextEpoch(epoch: number, record: GroupRecord | undefined): number {
  return epochAfter(record && (epoch === 0 || isLater(record.epoch, epoch)) ? record.epoch : epoch);
}

/** What it has never stored is not its own, whatever name is on it. */
function isOwn<D>({ epoch, commit }: Owner<D>, record: GroupRecord, me: string): boolean {
  return record.owner === me && record.epoch === epoch && record.commit <= commit;
}

/** Whether the owner has to take over again, from this record. */
function supersedes<D>(state: Owner<D>, record: GroupRecord, me: string): boolean {
  if (isOwn(state, record, me) || record.epoch === FIRST_EPOCH) return false;
  // Commit 0 of an epoch is what a task of an earlier version leaves when it steps down.
  if (record.epoch === state.epoch) return record.commit > 0 || !state.settled;
  if (isLater(record.epoch, state.epoch)) return true;
  return !state.settled && isNewer(record, state.tookOverFrom);
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
