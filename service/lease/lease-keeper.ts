// Carries out the rules of the lease (lease.ts) for one task: answers what its lease queues deliver (lease-queues.ts), has the
// group record stored (record-writer.ts) and the lease proven (lease-proof.ts), has the shards taken over and given up
// (shard-handover.ts), and hands the group over at the end. Nothing is stored while the shards are taken over or given up.
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
import type { LastEnd } from '../last-end.ts';
import type { Metrics } from '../metrics.ts';
import { backoffMs, orAfter } from '../wait.ts';
import { connectPermission } from './connect-permission.ts';
import {
  keepForMs,
  type LeaseAction,
  type LeaseEvent,
  type LeaseState,
  leaseStep,
  mayStore,
  ownerIn,
  startingLease,
  TIMING,
} from './lease.ts';
import { type LeaseChannels, type QueueMessage, STARTED_AT } from './lease-channels.ts';
import { LeaseProof } from './lease-proof.ts';
import { LeaseQueues } from './lease-queues.ts';
import { LeftoverGroups } from './leftover-groups.ts';
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

/** A group that was given away is consumed again after this time: if no other task has taken it over, this one does. */
const GIVEN_AWAY_MS = 5_000;
const CLOSE_DEADLINE_MS = 2_000;
const RELEASE_DEADLINE_MS = 3_000;

export class LeaseKeeper<Model> {
  readonly #options: LeaseKeeperOptions<Model>;
  readonly #timing: typeof TIMING;
  readonly #queues: LeaseQueues<Model>;
  readonly #handover: ShardHandover;
  readonly #writer: RecordWriter;
  readonly #proof: LeaseProof;
  readonly #leftovers: LeftoverGroups;
  #state: LeaseState<QueueMessage> = startingLease();
  #retired = false;
  #givingAway = false;
  /** Since Discord was last reached. */
  #timesGivenAway = 0;
  #timers: readonly NodeJS.Timeout[] = [];

  constructor(options: LeaseKeeperOptions<Model>) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    const { connection, log, me, metrics, openChannels, shards } = options;
    const { shardCount, shardsPerTask } = options.shardLayout;
    const groups = Math.ceil(shardCount / shardsPerTask);
    const startedAt = Date.now();
    const sender = { appId: me, headers: { [STARTED_AT]: startedAt } };
    this.#queues = new LeaseQueues({
      ...{ connection, openChannels, groups, sender, log },
      timing: this.#timing,
      state: () => this.#state,
      untaken: () => shards.untaken,
      pauseMs: (failures) => this.#pauseMs(failures),
      onEvent: (event) => this.#step(event),
    });
    this.#handover = new ShardHandover(options);
    this.#writer = new RecordWriter({
      owned: () => this.#owned,
      contents: () => this.#handover.contents,
      onStoring: () => this.#step({ kind: 'storing' }),
      onStored: (commit) => {
        metrics.add('leaseCommits');
        this.#proof.watch(commit);
      },
      ...{ sender, log },
      renewEveryMs: this.#timing.renewEveryMs,
    });
    this.#proof = new LeaseProof(connection, () => this.#writer.storeNow(), this.#timing.proofMs);
    const abandon = this.#handover.abandon.bind(this.#handover);
    this.#leftovers = new LeftoverGroups({ from: groups, ...{ startedAt, me, abandon, log } });
  }

  get role(): 'owner' | 'standby' | 'released' {
    return this.#state.kind === 'uncertain' ? 'owner' : this.#state.kind;
  }

  get group(): number | undefined {
    return ownerIn(this.#state)?.group;
  }

  /** Whose queue is to confirm a claim: another one each time, as one may be stuck. Records ask this task's own. */
  groupToClaim(): number {
    return this.#queues.nextGroup(this.group);
  }

  /** For how long an owner has stored records, or was uncertain, and none has come back; 0 otherwise. */
  get unprovenMs(): number {
    return this.#proof.unprovenMs;
  }

  /** For /health. */
  get detail(): Readonly<Record<string, unknown>> {
    const owner = ownerIn(this.#state);
    if (owner !== undefined) {
      const { kind, epoch, commit } = owner;
      const { sessions, storedAt } = this.#writer.last;
      return {
        state: kind,
        epoch,
        commit,
        sessions,
        storedAt: iso(storedAt),
        ownedSince: iso(this.#handover.takenOverAt),
      };
    }
    const { kind } = this.#state;
    if (kind === 'released') return { state: kind };
    return { state: kind, waitsFor: this.#queues.consumed, ready: this.#queues.consumesAll };
  }

  start(): void {
    if (this.#timers.length > 0) throw new Error('expected the lease keeper to be started once');
    const { commitEveryMs, renewEveryMs, standbyClaimMs } = this.#timing;
    this.#timers = [
      setInterval(() => this.#tick(), commitEveryMs).unref(),
      setInterval(() => this.#queues.claimSome(), standbyClaimMs).unref(),
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

  /** From now on it takes no group over: a standby releases at once, an owner stays one until `release`. */
  async retire(): Promise<void> {
    this.#retired = true;
    if (this.#state.kind === 'standby') await this.#leave();
    await this.#handover.done;
  }

  /** Stores the last record and leaves the lease to the next owner. The shards must be closed before. */
  async release(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#handover.done;
    // A broker that blocks publishers, or is silent, is not waited for: the next owner has a second more replayed.
    const { blocked } = this.#options.connection;
    const stored = !blocked && (await orAfter(this.#writer.storeLast(), RELEASE_DEADLINE_MS, () => false));
    // The last record is with the broker: the one before may go, and the last is the next owner's.
    const owner = ownerIn(this.#state);
    if (owner !== undefined) {
      const { held, group, epoch, commit } = owner;
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
    this.#proof.changed(undefined);
    await orAfter(this.#queues.close(), CLOSE_DEADLINE_MS, () => undefined);
  }

  /** What may be stored. While the broker blocks publishers it would only lie in the socket. */
  get #owned() {
    const [state, { channels }] = [this.#state, this.#queues];
    if (!mayStore(state) || channels === undefined) return undefined;
    return this.#handover.underWay || this.#options.connection.blocked ? undefined : { ...state, channels };
  }

  /** Standbys wait, so that the owner usually stays; and who has just given its group away, so that another task takes it. */
  #pauseMs(failures: number): number {
    const { retryMs, standbyDelayMs } = this.#timing;
    const delayMs = this.#givingAway ? GIVEN_AWAY_MS : standbyDelayMs;
    this.#givingAway = false;
    const backoff = (longestMs?: number) => (failures === 0 ? 0 : backoffMs(failures, Math.random, longestMs));
    return this.#state.kind === 'standby' ? delayMs + backoff() : backoff(retryMs);
  }

  #step(event: LeaseEvent<QueueMessage>): void {
    this.#advance(event);
    const owner = ownerIn(this.#state);
    if (owner === undefined) return void this.#proof.changed(undefined);
    const { kind, epoch, commit, held } = owner;
    const channels = kind === 'owner' ? this.#queues.channels : undefined;
    const record = held?.content.record;
    const cameBack = this.#proof.changed({ epoch, commit, held: record?.commit ?? 0, channels });
    // Heartbeats carry what a record has that was delivered back: the next owner finds it.
    if (cameBack && record !== undefined) this.#options.shards.stored(record.sessions);
  }

  #advance(event: LeaseEvent<QueueMessage>): void {
    const { state, actions } = leaseStep(this.#state, event, this.#options.me);
    // Retired, it leaves groups to other tasks.
    if (this.#retired && (state.kind === 'standby' || actions.some(({ kind }) => kind === 'own'))) {
      for (const action of actions) if (action.kind === 'stepDown') this.#act(action);
      return void this.#leave();
    }
    this.#state = state;
    for (const action of actions) this.#act(action);
  }

  #act(action: LeaseAction<QueueMessage>): void {
    const { log, metrics } = this.#options;
    switch (action.kind) {
      case 'ack':
      case 'requeue':
      case 'deadLetter':
        action.tag[action.kind]();
        break;
      case 'wait':
        this.#queues.wait(action);
        break;
      case 'leaveToOwner': {
        const { group, owner } = action;
        log.info({ group, owner }, 'the owner of the shard group is back: it is left to it');
        this.#queues.leave(group);
        break;
      }
      case 'consumeOnly':
        this.#queues.consumeOnly(action.group);
        break;
      case 'consumeAll':
        this.#queues.consumeAll();
        break;
      case 'own': {
        const { group, epoch, record, unreadable, claim } = action;
        const { owner: from, sessions = {} } = record ?? {};
        log.info({ group, epoch, sessions: Object.keys(sessions).length, from }, 'owner of the shard group');
        this.#handover.takeOver({ group, record, unreadable, claim });
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
        this.#handover.stepDown(later);
        break;
      }
      case 'store':
        void this.#handover.done.then(() => this.#writer.storeNow());
        break;
    }
  }

  #tick(): void {
    this.#writer.tick();
    const { connected, unreachableSince } = this.#options.shards;
    if (connected > 0) this.#timesGivenAway = 0;
    if (unreachableSince === undefined || this.#givingAway || this.#retired || this.#state.kind !== 'owner') return;
    if (Date.now() - unreachableSince >= keepForMs(this.#timesGivenAway, this.#timing)) void this.#giveAway();
  }

  /** Discord does not answer this task, and may answer another. Without a broker no other can take the group. */
  async #giveAway(): Promise<void> {
    const { channels } = this.#queues;
    if (channels === undefined) return;
    this.#givingAway = true;
    const stored = await orAfter(this.#writer.storeLast(), RELEASE_DEADLINE_MS, () => false);
    if (!stored || this.#state.kind !== 'owner' || this.#queues.channels !== channels) {
      this.#givingAway = false;
      // The record that is marked as released may be stored late: this one follows it.
      this.#writer.storeNow();
      return;
    }
    this.#timesGivenAway += 1;
    this.#step({ kind: 'giveAway' });
    await channels.close();
  }

  /** The owner of the first group looks after those that the shard layout no longer has. */
  #consumeLeftovers(): void {
    const { channels } = this.#queues;
    if (channels !== undefined && this.#state.kind === 'owner' && this.group === 0)
      void this.#leftovers.consume(channels);
  }
}

/** Unix ms; 0 for never. */
const iso = (ms: number): string | null => (ms === 0 ? null : new Date(ms).toISOString());
