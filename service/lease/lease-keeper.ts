// Carries out the rules of the lease (lease.ts) on a broker connection of its own: consumes the lease queues, claims, has
// the group record stored (record-writer.ts), and hands the group over at the end. Taking over and stepping down are done one
// after the other, and nothing is stored while they are under way.
//
// Races of carrying it out, and what makes them harmless:
// - The connection or a channel is lost while queues are being consumed: one set of channels at a time, and a lost one is
//   closed as a whole, so that no forgotten consumer holds a record.
// - The task becomes an owner while a consumer of another group is being started: it is cancelled as soon as it is there.
// - The connection is dead and nothing has noticed, or its node has no majority: no shard connects before a record that it
//   stores has come back (lease-proof.ts). A standby stores none: by its claims the node is noticed (confirm-deadline.ts).
// - A standby drains: it is retired before anything else, so that nothing comes to it that it would only pass on.
// - The last record is not confirmed: the one before is not acknowledged, and the next owner has a little replayed.
// - A queue is deleted: the owner is back before the standbys, who wait, and stores its record again. While no owner lives,
//   the next one finds no record, and reports a gap (take-over.ts).
// - A session starts and its task dies before storing it: stored at once, the moment is short; should it be, the next owner
//   finds no session where there must have been one, and reports a gap (take-over.ts).

import type { ConnectionEvents } from '../connection-events.ts';
import { leaseQueue } from '../contract/names.ts';
import type { LastEnd } from '../last-end.ts';
import type { Metrics } from '../metrics.ts';
import { backoffMs, orAfter } from '../wait.ts';
import { Claims } from './claims.ts';
import { connectPermission } from './connect-permission.ts';
import { DeliveryReader } from './delivery-reader.ts';
import { KeptChannels } from './kept-channels.ts';
import {
  isSilence,
  type LeaseAction,
  type LeaseEvent,
  type LeaseState,
  leaseStep,
  mayStore,
  startingLease,
  TIMING,
} from './lease.ts';
import { type LeaseChannels, type QueueMessage, type Sender, STARTED_AT } from './lease-channels.ts';
import { LeaseProof, type Ownership } from './lease-proof.ts';
import { LeftoverGroups } from './leftover-groups.ts';
import { Patience } from './patience.ts';
import { RecordWriter } from './record-writer.ts';
import { ShardHandover, type ShardHandoverOptions } from './shard-handover.ts';

export interface LeaseKeeperOptions<Model> extends ShardHandoverOptions {
  readonly connection: ConnectionEvents<Model> & { readonly blocked: boolean; fail(reason: string): void };
  /** No connection to the broker is open, this one or another. */
  readonly brokerAway: () => boolean;
  readonly openChannels: (model: Model) => Promise<LeaseChannels>;
  /** The owner's name in records: unique to this process. */
  readonly me: string;
  readonly metrics: Pick<Metrics, 'add'>;
  readonly timing?: Partial<typeof TIMING>;
}

/** A group that was given away is waited for again after this time: if no other task has taken it, it is still ours. */
const GIVEN_AWAY_MS = 5_000;
const LOOK_FOR_SILENCE_MS = 1_000;
const ANSWER_MS = 2_000;
const CLOSE_DEADLINE_MS = 2_000;
const RELEASE_DEADLINE_MS = 3_000;

export class LeaseKeeper<Model> {
  readonly #options: LeaseKeeperOptions<Model>;
  readonly #timing: typeof TIMING;
  readonly #sender: Sender;
  readonly #shards: ShardHandover;
  readonly #writer: RecordWriter;
  readonly #proof: LeaseProof;
  readonly #patience: Patience;
  readonly #claims: Claims;
  readonly #reader: DeliveryReader;
  readonly #leftovers: LeftoverGroups;
  #state: LeaseState<QueueMessage> = startingLease();
  readonly #kept: KeptChannels<Model>;
  #retired = false;
  #timers: readonly NodeJS.Timeout[] = [];
  #ownedSince = 0;
  #unprovenSince: number | undefined;
  #givingAway = false;
  /** By group: the newest. An earlier one is over when another begins. */
  readonly #waits = new Map<number, object>();

  constructor(options: LeaseKeeperOptions<Model>) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    const { connection, log, me, metrics } = options;
    const startedAt = Date.now();
    this.#sender = { appId: me, headers: { [STARTED_AT]: startedAt } };
    this.#shards = new ShardHandover(options);
    this.#writer = new RecordWriter({
      owned: () => this.#owned,
      contents: () => this.#shards.contents,
      onStoring: () => this.#step({ kind: 'storing' }),
      onStored: (commit) => {
        metrics.add('leaseCommits');
        this.#proof.watch(commit);
      },
      sender: this.#sender,
      renewEveryMs: this.#timing.renewEveryMs,
      log,
    });
    this.#proof = new LeaseProof({
      owner: () => this.#ownership,
      connection,
      store: () => this.#writer.storeNow(),
      withinMs: this.#timing.proofMs,
    });
    this.#claims = new Claims({
      ...{ connection, sender: this.#sender, groups: this.#groups.length, log },
      turns: this.#timing.renewEveryMs / this.#timing.standbyClaimMs,
    });
    this.#reader = new DeliveryReader(me, log);
    this.#patience = new Patience(this.#timing.patienceMs, this.#timing.longestPatienceMs);
    const abandon = this.#shards.abandon.bind(this.#shards);
    this.#leftovers = new LeftoverGroups({
      ...{ from: this.#groups.length, startedAt, me, abandon, log },
    });
    this.#kept = new KeptChannels({
      ...{ connection, log },
      open: options.openChannels,
      isOver: () => this.#state.kind === 'released',
      consume: (channels) => this.#consume(channels),
      onLost: () => this.#step({ kind: 'lost' }),
      delayMs: (failures) => this.#delayMs(failures),
    });
  }

  get role(): 'owner' | 'standby' | 'released' {
    return this.#state.kind === 'uncertain' ? 'owner' : this.#state.kind;
  }

  get group(): number | undefined {
    return this.#state.kind === 'owner' || this.#state.kind === 'uncertain' ? this.#state.group : undefined;
  }

  /** Whose queue is to confirm a claim: another one each time, as one may be stuck; the own one is asked by records. */
  groupToClaim(): number {
    return this.#claims.nextGroup(this.group);
  }

  /** For how long an owner has stored records, or was uncertain, and none has come back; 0 otherwise. */
  get unprovenMs(): number {
    return this.#unprovenSince === undefined ? 0 : Date.now() - this.#unprovenSince;
  }

  /** For /health. */
  get detail(): Readonly<Record<string, unknown>> {
    const state = this.#state;
    if (state.kind === 'released') return { state: state.kind };
    if (state.kind === 'standby') {
      const waitsFor = this.#groups.filter((group) => this.#channels?.consumes(leaseQueue(group)));
      return { state: state.kind, waitsFor, ready: waitsFor.length === this.#groups.length };
    }
    const { kind, epoch, commit } = state;
    const { sessions, storedAt } = this.#writer.last;
    return { state: kind, epoch, commit, sessions, storedAt: iso(storedAt), ownedSince: iso(this.#ownedSince) };
  }

  start(): void {
    if (this.#timers.length > 0) throw new Error('expected the lease keeper to be started once');
    const { commitEveryMs, renewEveryMs, standbyClaimMs } = this.#timing;
    this.#timers = [
      setInterval(() => this.#tick(), commitEveryMs).unref(),
      setInterval(
        () => this.#channels && this.role === 'standby' && this.#claims.next(this.#channels),
        standbyClaimMs,
      ).unref(),
      // Another shard layout may have left groups, and no event reports that.
      setInterval(() => this.#consumeLeftovers(), renewEveryMs).unref(),
    ];
  }

  /** Resolves when a shard may connect to Discord. @throws when the signal aborts */
  async confirmLease(signal: AbortSignal, end: LastEnd): Promise<'proven' | 'unproven'> {
    const { brokerAway } = this.#options;
    return await connectPermission({ isProven: (each) => this.#proof.isProven(each), brokerAway }, end, signal);
  }

  /** Only this process knows of the session: it is stored at once. This is rare: Discord counts IDENTIFYs. */
  onSessionStarted(): void {
    this.#writer.storeNow();
  }

  /** From now on it takes nothing over: a standby goes at once, an owner stays until `release`. */
  async retire(): Promise<void> {
    this.#retired = true;
    if (this.#state.kind === 'standby') await this.#leave();
    await this.#shards.done;
  }

  /** Stores the last record and leaves the lease to the next owner. The shards must be closed before. */
  async release(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#shards.done;
    // A broker that blocks publishers, or is silent, is not waited for: the next owner has a second more replayed.
    const { blocked } = this.#options.connection;
    const stored = !blocked && (await orAfter(this.#writer.storeLast(), RELEASE_DEADLINE_MS, () => false));
    // The last record is with the broker: the one before may go, and the last is the next owner's.
    if (this.#state.kind === 'owner' || this.#state.kind === 'uncertain') {
      const { held, group, epoch, commit } = this.#state;
      if (!stored)
        this.#options.log.error(
          { group, epoch, commit, storedAt: iso(this.#writer.last.storedAt) },
          'the last group record is not stored: the next owner goes on from the one before',
        );
      else if (held !== undefined && held.content.record.commit < commit) held.tag.ack();
    }
    await this.#leave();
  }

  async #leave(): Promise<void> {
    this.#state = leaseStep(this.#state, { kind: 'release' }, this.#options.me).state;
    await orAfter(Promise.resolve(this.#channels?.close()), CLOSE_DEADLINE_MS, () => undefined);
  }

  get #groups(): number[] {
    const { shardCount, shardsPerTask } = this.#options.shardLayout;
    return Array.from({ length: Math.ceil(shardCount / shardsPerTask) }, (_, group) => group);
  }

  /** What may be stored. While the broker blocks publishers it would only lie in the socket. */
  get #owned() {
    const [state, channels] = [this.#state, this.#channels];
    if (!mayStore(state) || channels === undefined) return undefined;
    return this.#shards.underWay || this.#options.connection.blocked ? undefined : { ...state, channels };
  }

  get #ownership(): Ownership | undefined {
    const [state, channels] = [this.#state, this.#channels];
    if (state.kind !== 'owner' || channels === undefined) return undefined;
    const { epoch, commit } = state;
    return { epoch, commit, held: state.held?.content.record.commit ?? 0, channels };
  }

  get #channels(): LeaseChannels | undefined {
    return this.#kept.current;
  }

  /** Standbys wait, so that the owner usually stays; and who has just given its group away, so that another task takes it. */
  #delayMs(failures: number): number {
    const { retryMs, standbyDelayMs } = this.#timing;
    const delayMs = this.#givingAway ? GIVEN_AWAY_MS : standbyDelayMs;
    this.#givingAway = false;
    const backoff = (longestMs?: number) => (failures === 0 ? 0 : backoffMs(failures, Math.random, longestMs));
    return this.#state.kind === 'standby' ? delayMs + backoff() : backoff(retryMs);
  }

  async #consume(channels: LeaseChannels): Promise<void> {
    if (this.#state.kind !== 'uncertain') return await this.#consumeAll(channels);
    const { group } = this.#state;
    await this.#consumeGroup(channels, group);
    // While the broker blocks publishers, or has no majority, the claim is not confirmed, and no answer means nothing.
    void this.#claims.claim(channels, group).then((claimed) => {
      if (claimed) this.#awaitAnswer(channels, Date.now());
    });
  }

  #awaitAnswer(channels: LeaseChannels, claimedAt: number): void {
    channels.after(Math.min(LOOK_FOR_SILENCE_MS, this.#timing.silenceMs), () => {
      if (this.#state.kind !== 'uncertain') return;
      const { untaken } = this.#options.shards;
      if (isSilence(Date.now() - claimedAt, untaken, this.#timing)) this.#step({ kind: 'silence' });
      else this.#awaitAnswer(channels, claimedAt);
    });
  }

  async #consumeAll(channels: LeaseChannels): Promise<void> {
    for (const group of this.#groups) {
      // It may become an owner meanwhile, or be released.
      if (this.role !== 'standby') return;
      // A queue that does not answer keeps no other group from its standby.
      const consuming = this.#consumeGroup(channels, group);
      const started = await orAfter(consuming, ANSWER_MS, () => false);
      if (started && this.role === 'standby') void this.#claims.claim(channels, group);
    }
  }

  #consumeGroup(channels: LeaseChannels, group: number): Promise<boolean> {
    return channels.consume(leaseQueue(group), (message) => {
      const content = this.#reader.read(group, message, this.role === 'owner');
      this.#step({ kind: 'delivered', delivery: { group, tag: message, content } });
    });
  }

  #step(event: LeaseEvent<QueueMessage>): void {
    const before = this.#ownership;
    this.#advance(event);
    const state = this.#state;
    const isOwner = state.kind === 'owner' || state.kind === 'uncertain';
    const cameBack = isOwner && state.held !== undefined && this.#ownership?.held !== before?.held;
    // Heartbeats carry what a record has that was delivered back: the next owner finds it.
    if (cameBack) this.#options.shards.stored(state.held.content.record.sessions);
    if (cameBack || !isOwner) this.#unprovenSince = undefined;
    if (isOwner && (state.held?.content.record.commit ?? 0) < state.commit) this.#unprovenSince ??= Date.now();
    this.#proof.changed();
  }

  #advance(event: LeaseEvent<QueueMessage>): void {
    const { state, actions } = leaseStep(this.#state, event, this.#options.me);
    // Retired, it takes nothing over any more: that is for another task.
    if (this.#retired && (state.kind === 'standby' || actions.some(({ kind }) => kind === 'own'))) {
      for (const action of actions) if (action.kind === 'stepDown') this.#act(action);
      void this.#leave();
      return;
    }
    this.#state = state;
    for (const action of actions) this.#act(action);
  }

  #act(action: LeaseAction<QueueMessage>): void {
    const { log, metrics } = this.#options;
    const channels = this.#channels;
    switch (action.kind) {
      case 'ack':
      case 'requeue':
      case 'deadLetter':
        action.tag[action.kind]();
        break;
      case 'wait': {
        const { group, because } = action;
        const { claimWaitMs, recordWaitMs, incumbentWaitMs } = this.#timing;
        const waitMs = { claim: claimWaitMs, record: recordWaitMs, incumbent: incumbentWaitMs };
        const wait = {};
        this.#waits.set(group, wait);
        channels?.after(waitMs[because], () => {
          if (this.#waits.get(group) === wait) this.#step({ kind: 'waited', group });
        });
        break;
      }
      case 'leaveToOwner': {
        const { group, owner } = action;
        log.info({ group, owner }, 'the owner of the shard group is back: it is left to it');
        channels?.cancel(leaseQueue(group));
        channels?.after(this.#timing.standbyDelayMs, () => {
          if (this.role === 'standby') this.#act({ kind: 'consumeAll' });
        });
        break;
      }
      case 'consumeOnly':
        for (const group of this.#groups) if (group !== action.group) channels?.cancel(leaseQueue(group));
        break;
      case 'consumeAll':
        if (channels !== undefined)
          this.#consumeAll(channels).catch((err: unknown) => {
            log.warn(
              { err },
              'cannot consume the lease queues (if one is missing or refused: apply the topology); retrying',
            );
            void channels.close();
          });
        break;
      case 'own': {
        const { group, epoch, record, unreadable, claim } = action;
        const { owner: from, sessions = {} } = record ?? {};
        log.info({ group, epoch, sessions: Object.keys(sessions).length, from }, 'owner of the shard group');
        this.#ownedSince = Date.now();
        this.#shards.takeOver({ group, record, unreadable, claim });
        this.#consumeLeftovers();
        break;
      }
      case 'keepLease':
        log.info({ group: this.group }, 'the lease is still ours');
        this.#consumeLeftovers();
        break;
      case 'stepDown': {
        const { because, later } = action;
        log.warn({ because, by: later?.owner, epoch: later?.epoch }, 'gave the shard group up: standing by');
        metrics.add('leaseLosses');
        this.#shards.stepDown(later);
        break;
      }
      case 'store':
        void this.#shards.done.then(() => this.#writer.storeNow());
        break;
    }
  }

  #tick(): void {
    this.#writer.tick();
    const { connected, unreachableSince } = this.#options.shards;
    if (connected > 0) this.#patience.reset();
    if (this.#patience.isOver(unreachableSince) && !this.#givingAway && !this.#retired) void this.#giveAway();
  }

  /** Discord does not answer this task, and may answer another. Without a broker no other can take the group. */
  async #giveAway(): Promise<void> {
    const channels = this.#ownership?.channels === this.#channels ? this.#channels : undefined;
    if (channels === undefined) return;
    this.#givingAway = true;
    const stored = await orAfter(this.#writer.storeLast(), RELEASE_DEADLINE_MS, () => false);
    if (!stored || this.#state.kind !== 'owner' || this.#channels !== channels) {
      this.#givingAway = false;
      // The one that says it is released may be stored late.
      this.#writer.storeNow();
      return;
    }
    this.#patience.grow();
    this.#step({ kind: 'giveAway' });
    await channels.close();
  }

  /** The owner of the first group looks after those that the shard layout no longer has. */
  #consumeLeftovers(): void {
    const { kind } = this.#state;
    if (this.#channels !== undefined && kind === 'owner' && this.group === 0)
      void this.#leftovers.consume(this.#channels);
  }
}

/** Unix ms; 0 for never. */
const iso = (ms: number): string | null => (ms === 0 ? null : new Date(ms).toISOString());
