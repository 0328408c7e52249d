// The lease queues, as a task consumes and claims them: on one set of channels at a time, opened with the connection, and
// again whenever it is lost while the connection lives. A standby consumes every group's queue, an uncertain owner only its
// own, and asks by a claim. Reads what is delivered; what to do about it is for the keeper.

import { Buffer } from 'node:buffer';
import type { ConnectionEvents } from '../connection-events.ts';
import { leaseQueue } from '../contract/names.ts';
import type { Log } from '../log.ts';
import { orAfter, sleep } from '../wait.ts';
import { readRecord } from './faults.ts';
import type { GroupRecord } from './group-record.ts';
import {
  type Delivery,
  isSilence,
  type LeaseAction,
  type LeaseEvent,
  type LeaseState,
  ownerIn,
  type TIMING,
} from './lease.ts';
import type { LeaseChannels, QueueMessage, Sender } from './lease-channels.ts';

export interface LeaseQueuesOptions<Model> {
  readonly connection: ConnectionEvents<Model> & { readonly blocked: boolean };
  readonly openChannels: (model: Model) => Promise<LeaseChannels>;
  /** How many groups there are. */
  readonly groups: number;
  readonly sender: Sender;
  readonly timing: typeof TIMING;
  readonly state: () => LeaseState<QueueMessage>;
  /** Shards of the group whose sessions no other task has resumed, as far as Discord shows. */
  readonly untaken: () => number;
  /** How long to wait before channels are opened again, ms: after a loss, and after so many attempts in a row that failed. */
  readonly pauseMs: (failures: number) => number;
  readonly onEvent: (event: LeaseEvent<QueueMessage>) => void;
  readonly log: Log;
}

/** After a channel or consumer was lost and the connection was not. */
const REOPEN_DELAY_MS = 200;
const LOOK_FOR_SILENCE_MS = 1_000;
const ANSWER_MS = 2_000;

export class LeaseQueues<Model> {
  readonly #options: LeaseQueuesOptions<Model>;
  #model: Model | undefined;
  #channels: LeaseChannels | undefined;
  /** By group: the newest. An earlier one is over when another begins. */
  readonly #waits = new Map<number, object>();
  #lastClaimed = -1;
  /** Owner and epoch of another owner's record that was logged last: a task that is uncertain stores one a second. */
  #loggedOwner = '';

  constructor(options: LeaseQueuesOptions<Model>) {
    this.#options = options;
    const { connection, pauseMs } = options;
    let first = true;
    connection.on('open', (model) => {
      this.#model = model;
      // The first time no task has lost anything, so none is preferred.
      void this.#keepOpen(model, first ? 0 : pauseMs(0));
      first = false;
    });
    connection.on('lost', () => {
      this.#model = undefined;
      void this.close();
    });
  }

  get channels(): LeaseChannels | undefined {
    return this.#channels;
  }

  /** Groups whose queue is consumed. */
  get consumed(): number[] {
    return this.#groups.filter((group) => this.#channels?.consumes(leaseQueue(group)));
  }

  get consumesAll(): boolean {
    return this.consumed.length === this.#options.groups;
  }

  consumeAll(): void {
    const channels = this.#channels;
    if (channels === undefined) return;
    this.#consumeAll(channels).catch((err: unknown) => {
      this.#logFailure(err);
      void channels.close();
    });
  }

  consumeOnly(group: number): void {
    for (const each of this.#groups) if (each !== group) this.#channels?.cancel(leaseQueue(each));
  }

  /** Leaves the group to its owner for a while. */
  leave(group: number): void {
    this.#channels?.cancel(leaseQueue(group));
    this.#channels?.after(this.#options.timing.standbyDelayMs, () => this.consumeAll());
  }

  /** Waits for more of the group, from now on. */
  wait({ group, because }: Extract<LeaseAction<never>, { kind: 'wait' }>): void {
    const { onEvent, timing } = this.#options;
    const waitMs = { claim: timing.claimWaitMs, record: timing.recordWaitMs, owner: timing.ownerWaitMs };
    const wait = {};
    this.#waits.set(group, wait);
    this.#channels?.after(waitMs[because], () => {
      if (this.#waits.get(group) === wait) onEvent({ kind: 'waited', group });
    });
  }

  /**
   * Claims some groups, others each time, so that all are claimed between two renewals: a standby stores nothing, and by this
   * it notices a broker that confirms nothing, and a queue that was emptied.
   */
  claimSome(): void {
    const { renewEveryMs, standbyClaimMs } = this.#options.timing;
    const channels = this.#channels;
    if (channels === undefined || !this.#isStandby) return;
    for (let left = Math.ceil(this.#options.groups / (renewEveryMs / standbyClaimMs)); left > 0; left -= 1)
      void this.#claim(channels, this.nextGroup());
  }

  /** Another one each time. @param owned left out, if there are others */
  nextGroup(owned?: number): number {
    const { groups } = this.#options;
    this.#lastClaimed = (this.#lastClaimed + 1) % groups;
    if (this.#lastClaimed === owned) this.#lastClaimed = (this.#lastClaimed + 1) % groups;
    return this.#lastClaimed;
  }

  async close(): Promise<void> {
    await this.#channels?.close();
  }

  get #groups(): number[] {
    return Array.from({ length: this.#options.groups }, (_, group) => group);
  }

  get #isStandby(): boolean {
    return this.#options.state().kind === 'standby';
  }

  async #keepOpen(model: Model, firstPauseMs: number): Promise<void> {
    const { log, onEvent, openChannels, pauseMs, state } = this.#options;
    let failures = 0;
    for (let ms = firstPauseMs; ; ms = Math.max(REOPEN_DELAY_MS, pauseMs(failures))) {
      await sleep(ms);
      if (this.#model !== model || state().kind === 'released') return;
      try {
        const channels = await openChannels(model);
        this.#channels = channels;
        // A queue without majority does not answer.
        await Promise.race([this.#consume(channels), channels.lost]);
        failures = 0;
        const err = await channels.lost;
        if (err !== undefined && this.#model === model) log.warn({ err }, 'a channel of the lease was lost');
      } catch (err) {
        failures += 1;
        if (this.#model === model) this.#logFailure(err);
      }
      void this.close();
      this.#channels = undefined;
      onEvent({ kind: 'lost' });
    }
  }

  #logFailure(err: unknown): void {
    this.#options.log.warn(
      { err },
      'cannot consume the lease queues (if one is missing or refused: apply the topology); retrying',
    );
  }

  async #consume(channels: LeaseChannels): Promise<void> {
    const state = this.#options.state();
    if (state.kind !== 'uncertain') return await this.#consumeAll(channels);
    await this.#consumeGroup(channels, state.group);
    // While the broker blocks publishers, or has no majority, the claim is not confirmed, and no answer means nothing.
    void this.#claim(channels, state.group).then((claimed) => {
      if (claimed) this.#awaitAnswer(channels, Date.now());
    });
  }

  #awaitAnswer(channels: LeaseChannels, claimedAt: number): void {
    const { onEvent, state, timing, untaken } = this.#options;
    channels.after(Math.min(LOOK_FOR_SILENCE_MS, timing.silenceMs), () => {
      if (state().kind !== 'uncertain') return;
      if (isSilence(Date.now() - claimedAt, untaken(), timing)) onEvent({ kind: 'silence' });
      else this.#awaitAnswer(channels, claimedAt);
    });
  }

  async #consumeAll(channels: LeaseChannels): Promise<void> {
    for (const group of this.#groups) {
      // It may become an owner meanwhile, or be released.
      if (!this.#isStandby) return;
      // A queue that does not answer keeps no other group from its standby.
      const started = await orAfter(this.#consumeGroup(channels, group), ANSWER_MS, () => false);
      if (started && this.#isStandby) void this.#claim(channels, group);
    }
  }

  #consumeGroup(channels: LeaseChannels, group: number): Promise<boolean> {
    return channels.consume(leaseQueue(group), (message) => {
      const content = this.#read(group, message);
      this.#options.onEvent({ kind: 'delivered', delivery: { group, tag: message, content } });
    });
  }

  /** Never throws. @returns whether the broker has confirmed it */
  async #claim(channels: LeaseChannels, group: number): Promise<boolean> {
    const { connection, log, sender } = this.#options;
    try {
      await channels.publish(leaseQueue(group), Buffer.from('{}'), { ...sender, type: 'claim' });
      return true;
    } catch (err) {
      if (channels.ended || connection.blocked) return false;
      log.warn({ group, err }, 'cannot claim a shard group; retrying');
      await channels.close();
      return false;
    }
  }

  #read(group: number, message: QueueMessage): Delivery<never>['content'] {
    const { type, appId } = message;
    if (type === 'claim') return { kind: 'claim', from: typeof appId === 'string' ? appId : undefined };
    const record = readRecord(this.#options.log, group, message);
    if (record === undefined) return { kind: 'unreadable' };
    this.#logOtherOwner(record);
    return { kind: 'record', record };
  }

  #logOtherOwner({ group, owner: from, epoch, commit }: GroupRecord): void {
    const { log, sender, state } = this.#options;
    const owner = JSON.stringify([from, epoch]);
    if (ownerIn(state()) === undefined || from === sender.appId || owner === this.#loggedOwner) return;
    this.#loggedOwner = owner;
    log.warn(
      { group, from, epoch, commit },
      'a record of another owner is in the queue of the shard group (logged once for each owner and epoch)',
    );
  }
}
