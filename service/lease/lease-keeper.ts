// Carries out the law of the lease (lease.ts) on a broker connection of its own: consumes the lease queues, claims,
// stores the session record, gives it back at the end. Taking over and giving up are the caller's work; they are done
// one after the other, and nothing is stored while they are under way. The channels are in lease-footing.ts.
//
// Races of carrying it out, and what makes them harmless:
// - The connection or a channel is lost while queues are being consumed: one footing at a time, and a lost one is closed
//   as a whole, so that no forgotten consumer holds a record.
// - The task becomes an owner while a consumer of another group is on its way: it is cancelled as soon as it is there.
// - The line is silent and nobody has noticed: no shard connects before the broker has answered (`certain`). Otherwise the
//   old owner and the new one would take the sessions from each other in turns.
// - A standby drains: it is retired before anything else, so that nothing comes to it that it would only pass on.
// - The last record is not confirmed: the one before is not acknowledged, and the next owner has a little replayed.
// - A queue is deleted under everybody: the owner is back before the standbys, who wait, and stores its record anew.
// - A session begins and its task dies before storing it: stored at once, the moment is short; should it be, the next owner
//   finds no session where there must have been one, and tells a gap (take-over.ts).

import { Buffer } from 'node:buffer';
import { hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChannelModel } from 'amqplib';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { backoffMs } from '../wait.ts';
import { type GroupContents, type GroupRecord, parseGroupRecord, type UnreadableRecord } from './group-record.ts';
import { type LeaseAction, type LeaseEvent, type LeaseState, leaseStep, startingLease } from './lease.ts';
import { LeaseFooting, type Tag } from './lease-footing.ts';
import { LeftoverGroups, STARTED_AT } from './leftover-groups.ts';

export interface LeaseKeeperOptions {
  readonly connection: {
    readonly blocked: boolean;
    on(event: 'open', listener: (model: ChannelModel) => void): unknown;
    on(event: 'lost', listener: () => void): unknown;
  };
  readonly groups: number;
  /** The owner's name in records: unique to this process. */
  readonly me: string;
  readonly log: Log;
  /** What is to be stored now. */
  readonly contents: () => GroupContents;
  /** Take the group over. */
  readonly own: (
    group: number,
    record: GroupRecord | undefined,
    unreadable: UnreadableRecord | undefined,
  ) => Promise<void>;
  readonly disown: () => Promise<void>;
  /** A record of a group that is of no division any more: resolves when what was lost with it is told. */
  readonly abandon: (record: GroupRecord) => Promise<void>;
  readonly committed: () => void;
  readonly timing?: Partial<LeaseTiming>;
}

export interface LeaseTiming {
  /** How long a claim waits for a record behind it. */
  readonly claimGraceMs: number;
  /** How long a record waits for a second one. */
  readonly recordGraceMs: number;
  /** How long an owner that lost its connection waits for an answer to its claim. */
  readonly answerMs: number;
  /** How much longer a standby waits after a lost connection, so that the incumbent usually stays. */
  readonly patienceMs: number;
  readonly commitEveryMs: number;
  /** RabbitMQ takes an unacknowledged message away after 30 minutes. */
  readonly renewEveryMs: number;
}

const TIMING: LeaseTiming = {
  claimGraceMs: 1_000,
  recordGraceMs: 25,
  answerMs: 2_000,
  patienceMs: 2_000,
  commitEveryMs: 1_000,
  renewEveryMs: 300_000,
};

/** After a channel or consumer was lost and the connection was not. */
const STAND_AGAIN_MS = 200;
const CLOSE_DEADLINE_MS = 2_000;
const RELEASE_DEADLINE_MS = 3_000;
/** A tick may come a little early; it is none to leave out. */
const TICK_JITTER_MS = 100;

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #timing: LeaseTiming;
  #state: LeaseState<Tag> = startingLease();
  #model: ChannelModel | undefined;
  /** What the lease stands on; none until the first queue is to be consumed, and after a loss. */
  #footing: LeaseFooting | undefined;
  /** The connection on which a footing is looked for. */
  #settling: ChannelModel | undefined;
  /** Calls the waiting for an answer off. */
  #answered: () => void = () => undefined;
  /** Resolved with each change of the state's kind. */
  #change = Promise.withResolvers<void>();
  /** Takeovers and their ends, in order. */
  #work: Promise<void> = Promise.resolve();
  /** Takeovers begun and not done: until then the contents are somebody else's, and are not stored. */
  #takingOver = 0;
  #retired = false;
  #storing: Promise<void> | undefined;
  #storeAgain = false;
  #stored = '';
  #storedAt = 0;
  #storedSessions = 0;
  #ticker: NodeJS.Timeout | undefined;
  #ownedSince: number | undefined;
  readonly #startedAt = Date.now();
  readonly #leftovers: LeftoverGroups;
  /** When it last claimed or swept. */
  #lookedAt = Date.now();

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    const { groups, abandon, log } = options;
    this.#leftovers = new LeftoverGroups({ from: groups, startedAt: this.#startedAt, abandon, log });
    let opened = false;
    options.connection.on('open', (model) => {
      this.#model = model;
      // The first time nobody has lost anything, so nobody is to be preferred.
      this.#settle(opened ? this.#patienceMs : 0);
      opened = true;
    });
    options.connection.on('lost', () => {
      this.#model = undefined;
      this.#lose();
    });
  }

  get role(): 'owner' | 'standby' | 'released' {
    if (this.#state.kind === 'released') return 'released';
    return this.#state.kind === 'standby' ? 'standby' : 'owner';
  }

  /** For /health. */
  get detail(): Readonly<Record<string, unknown>> {
    const { kind } = this.#state;
    if (this.#state.kind === 'standby') {
      const waitsFor = this.#footing?.groups ?? [];
      return { state: kind, waitsFor, ready: waitsFor.length === this.#options.groups };
    }
    if (this.#state.kind === 'released') return { state: kind };
    const { epoch, commit } = this.#state;
    return {
      state: kind,
      epoch,
      commit,
      sessions: this.#storedSessions,
      storedAt: this.#storedAt === 0 ? null : new Date(this.#storedAt).toISOString(),
      ownedSince: this.#ownedSince === undefined ? null : new Date(this.#ownedSince).toISOString(),
    };
  }

  get group(): number | undefined {
    return this.#state.kind === 'owner' || this.#state.kind === 'uncertain' ? this.#state.group : undefined;
  }

  start(): void {
    this.#ticker ??= setInterval(() => this.#tick(), this.#timing.commitEveryMs).unref();
  }

  /**
   * Resolves when the lease is ours beyond doubt: the broker has answered, just now, on the connection that holds it.
   * As long as it is not ours, it waits. @throws when the signal aborts
   */
  async certain(signal: AbortSignal): Promise<void> {
    while (true) {
      signal.throwIfAborted();
      const footing = this.#footing;
      if (this.#state.kind !== 'owner' || footing === undefined) {
        await orAborted(this.#change.promise, signal);
        continue;
      }
      // A broker that blocks publishers has said so itself, and may not read what else is asked.
      if (this.#options.connection.blocked) return;
      const proven = await orAborted(
        footing.prove().then(
          () => true,
          () => false,
        ),
        signal,
      );
      if (proven && this.#footing === footing && this.role === 'owner') return;
      if (this.#footing === footing) await sleep(STAND_AGAIN_MS, undefined, { signal });
    }
  }

  /** A session has begun, of which nobody else knows: it is stored at once. This is rare: Discord counts IDENTIFYs. */
  storeNow(): void {
    this.#storeAgain = true;
    this.#tick();
  }

  /** From now on it takes nothing over: a standby goes at once, an owner stays until `release`. */
  async retire(): Promise<void> {
    this.#retired = true;
    if (this.#state.kind === 'standby') await this.#leave();
    await this.#work;
  }

  /** Stores the last record and gives the lease to whoever is next. The shards must be closed before. */
  async release(): Promise<void> {
    clearInterval(this.#ticker);
    await this.#work;
    // A broker that blocks publishers, or is silent, is not waited for: the next owner has a second more replayed.
    const stored = !this.#options.connection.blocked && (await inTime(this.#storeLast(), RELEASE_DEADLINE_MS));
    // The last record is with the broker: the one before may go, and the last is the next owner's.
    if (stored && this.#state.kind === 'owner' && this.#state.heldCommit < this.#state.commit && this.#state.held)
      this.#footing?.answer(this.#state.held.tag, 'ack');
    await this.#leave();
  }

  async #storeLast(): Promise<boolean> {
    await this.#storing;
    return await this.#store(true);
  }

  async #leave(): Promise<void> {
    this.#state = leaseStep(this.#state, { kind: 'release' }, this.#options.me).state;
    const footing = this.#footing;
    this.#footing = undefined;
    await Promise.race([footing?.close(), sleep(CLOSE_DEADLINE_MS, undefined, { ref: false })]);
  }

  get #sender() {
    return { appId: this.#options.me, headers: { [STARTED_AT]: this.#startedAt } };
  }

  /** So that the incumbent usually stays. */
  get #patienceMs(): number {
    return this.#state.kind === 'standby' ? this.#timing.patienceMs : 0;
  }

  /** Looks for a footing on the present connection, unless that is being done. */
  #settle(afterMs: number): void {
    const model = this.#model;
    if (model === undefined || this.#settling === model) return;
    this.#settling = model;
    void this.#untilSettled(model, afterMs).finally(() => {
      if (this.#settling === model) this.#settling = undefined;
    });
  }

  async #untilSettled(model: ChannelModel, afterMs: number): Promise<void> {
    await sleep(afterMs, undefined, { ref: false });
    for (let failures = 1; this.#model === model && this.#state.kind !== 'released'; failures += 1) {
      try {
        await this.#stand(model);
      } catch (error) {
        if (this.#model === model)
          this.#options.log.warn({ reason: errorMessage(error) }, 'cannot consume the lease queues; trying again');
        this.#lose();
      }
      if (this.#footing !== undefined) return;
      await sleep(backoffMs(failures), undefined, { ref: false });
    }
  }

  async #stand(model: ChannelModel): Promise<void> {
    const footing: LeaseFooting = await LeaseFooting.open(
      model,
      {
        deliver: (group, tag) => this.#deliver(footing, group, tag),
        lost: (reason) => {
          if (this.#footing === footing && this.#model === model)
            this.#options.log.warn({ reason }, 'a channel of the lease was lost');
          this.#loseFooting(footing);
        },
      },
      this.#options.log,
    );
    this.#footing = footing;
    if (this.#state.kind === 'uncertain') await this.#ask(footing, this.#state.group);
    else await this.#consumeAll(footing);
  }

  /** Asks whether the group is still ours. */
  async #ask(footing: LeaseFooting, group: number): Promise<void> {
    await footing.consume(group);
    // While the broker blocks publishers the claim does not arrive, and nobody is to conclude anything from silence.
    void this.#claim(footing, group).then((claimed) => {
      if (!claimed || this.#footing !== footing || this.#state.kind !== 'uncertain') return;
      this.#answered = footing.after(this.#timing.answerMs, () => this.#step({ kind: 'unanswered' }));
    });
  }

  async #consumeAll(footing: LeaseFooting): Promise<void> {
    footing.keepOnly(() => true);
    for (let group = 0; group < this.#options.groups; group += 1) {
      const begun = await footing.consume(group);
      // It may have become an owner meanwhile: the rest is not wanted any more.
      if (this.#state.kind !== 'standby' || this.#footing !== footing) return;
      if (begun) void this.#claim(footing, group);
    }
  }

  /** Never throws. @returns whether the broker has it */
  async #claim(footing: LeaseFooting, group: number): Promise<boolean> {
    try {
      await footing.publish(group, { type: 'claim', body: Buffer.from('{}'), ...this.#sender });
      return true;
    } catch (error) {
      if (this.#footing !== footing || this.#options.connection.blocked) return false;
      this.#options.log.warn({ group, reason: errorMessage(error) }, 'cannot claim a shard group; trying again');
      this.#loseFooting(footing);
      return false;
    }
  }

  #deliver(footing: LeaseFooting, group: number, tag: Tag): void {
    if (this.#footing !== footing) return;
    const { content: body, properties } = tag.message;
    if (this.#leftovers.includes(group)) {
      void this.#leftovers.clearAway(footing, group, tag);
      return;
    }
    this.#answered();
    if (properties.type === 'claim') {
      this.#step({ kind: 'delivered', delivery: { group, tag, content: { kind: 'claim' } } });
      return;
    }
    const record = parseGroupRecord(body);
    if (typeof record !== 'string') {
      this.#step({ kind: 'delivered', delivery: { group, tag, content: { kind: 'record', record } } });
      return;
    }
    this.#options.log.error(
      { group, reason: record },
      'a session record cannot be read: it goes to dead-letters, and unless there is another its sessions are lost',
    );
    this.#step({ kind: 'delivered', delivery: { group, tag, content: { kind: 'unreadable', reason: record } } });
  }

  #loseFooting(footing: LeaseFooting): void {
    if (this.#footing !== footing) return;
    this.#lose();
    this.#settle(Math.max(STAND_AGAIN_MS, this.#patienceMs));
  }

  #lose(): void {
    const footing = this.#footing;
    this.#footing = undefined;
    void footing?.close();
    this.#step({ kind: 'lost' });
  }

  #step(event: LeaseEvent<Tag>): void {
    const { kind } = this.#state;
    const { state, actions } = leaseStep(this.#state, event, this.#options.me);
    // Retired, it takes nothing over any more: that is for somebody else.
    if (this.#retired && (state.kind === 'standby' || actions.some((action) => action.kind === 'own'))) {
      for (const action of actions) if (action.kind === 'disown' || action.kind === 'leave word') this.#act(action);
      void this.#leave();
      return;
    }
    this.#state = state;
    for (const action of actions) this.#act(action);
    if (state.kind === kind) return;
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  #act(action: LeaseAction<Tag>): void {
    const { log } = this.#options;
    const footing = this.#footing;
    switch (action.kind) {
      case 'ack':
      case 'give back':
      case 'set aside':
        footing?.answer(action.tag, action.kind);
        break;
      case 'await': {
        const { group, because } = action;
        const { claimGraceMs, recordGraceMs } = this.#timing;
        footing?.after(because === 'claim' ? claimGraceMs : recordGraceMs, () => this.#step({ kind: 'ripe', group }));
        break;
      }
      case 'consume only':
        footing?.keepOnly((group) => group === action.group || this.#leftovers.includes(group));
        break;
      case 'consume all':
        if (footing !== undefined)
          this.#consumeAll(footing).catch((error: unknown) => {
            log.warn({ reason: errorMessage(error) }, 'cannot consume the lease queues; trying again');
            this.#loseFooting(footing);
          });
        break;
      case 'own': {
        const { group, epoch, record } = action;
        this.#ownedSince = Date.now();
        log.info(
          { group, epoch, sessions: Object.keys(record?.sessions ?? {}).length, from: record?.owner },
          'owner of the shard group',
        );
        const unreadable = record === undefined ? this.#foundUnreadable() : undefined;
        this.#takingOver += 1;
        this.#enqueue(() =>
          this.#options.own(group, record, unreadable).finally(() => {
            this.#takingOver -= 1;
          }),
        );
        this.#sweep();
        break;
      }
      case 'regain':
        log.info({ group: this.group }, 'the lease is still ours');
        this.#sweep();
        break;
      case 'leave word':
        void this.#leaveWord(action.group, action.epoch);
        break;
      case 'disown':
        log.warn('another task is the owner of the shard group now: standing by');
        this.#enqueue(() => this.#options.disown());
        break;
      case 'store':
        this.#storeAgain = true;
        this.#enqueue(async () => this.#tick());
        break;
    }
  }

  #foundUnreadable(): UnreadableRecord | undefined {
    if (this.#state.kind !== 'owner') return undefined;
    const delivery = this.#state.found.find(({ content }) => content.kind === 'unreadable');
    if (delivery === undefined) return undefined;
    const { content, properties } = delivery.tag.message;
    return { id: hash('sha1', content, 'hex'), storedAt: 1_000 * Number(properties.timestamp) || Date.now() };
  }

  /** Never throws: who is the owner now has this task's last record, unless its queue was deleted. */
  async #leaveWord(group: number, epoch: number): Promise<void> {
    // Not while a takeover is under way: the contents are not this owner's.
    if (this.#footing === undefined || this.#takingOver > 0) return;
    try {
      await this.#publishRecord(
        this.#footing,
        { group, epoch, commit: 0, storedAt: Date.now() },
        this.#options.contents(),
      );
    } catch (error) {
      this.#options.log.debug({ reason: errorMessage(error) }, 'cannot leave word of the sessions');
    }
  }

  async #publishRecord(
    footing: LeaseFooting,
    head: Pick<GroupRecord, 'group' | 'epoch' | 'commit' | 'storedAt'>,
    contents: GroupContents,
  ): Promise<void> {
    const record: GroupRecord = { version: 1, owner: this.#options.me, ...head, ...contents };
    const body = Buffer.from(JSON.stringify(record));
    const timestamp = Math.floor(head.storedAt / 1_000);
    await footing.publish(head.group, { type: 'record', body, timestamp, ...this.#sender });
  }

  /** The owner of the first group looks after those that the present division has no more. */
  #sweep(): void {
    if (this.#footing !== undefined && this.group === 0) void this.#leftovers.lookFor(this.#footing);
  }

  /** In order, and an error in one is said and does not stop the next. */
  #enqueue(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      this.#options.log.error({ reason: errorMessage(error) }, 'taking over or giving up the shard group failed');
    });
  }

  #tick(): void {
    this.#lookAgain();
    if (this.#storing !== undefined || this.#state.kind !== 'owner') return;
    // What is published now would only lie in the socket.
    if (this.#options.connection.blocked) return;
    if (!this.#storeAgain && Date.now() - this.#storedAt < this.#timing.commitEveryMs - TICK_JITTER_MS) return;
    this.#storing = this.#store(false).then((stored) => {
      this.#storing = undefined;
      // Asked for while it was under way. A failure waits for the next tick.
      if (stored && this.#storeAgain) this.#tick();
    });
  }

  /** Now and then: a queue may have been emptied by hand, or left by another division, and nobody was told. */
  #lookAgain(): void {
    const footing = this.#footing;
    if (footing === undefined || Date.now() - this.#lookedAt < this.#timing.renewEveryMs) return;
    this.#lookedAt = Date.now();
    if (this.#state.kind === 'owner') this.#sweep();
    if (this.#state.kind === 'standby') for (const group of footing.groups) void this.#claim(footing, group);
  }

  /** Stores the record when it has changed, or is due, or must be. Never throws. @returns whether the broker has it */
  async #store(mustBe: boolean): Promise<boolean> {
    const footing = this.#footing;
    if (this.#state.kind !== 'owner' || footing === undefined || this.#takingOver > 0) return false;
    const { group, epoch } = this.#state;
    const contents = this.#options.contents();
    const text = JSON.stringify({ epoch, ...contents });
    const storedAt = Date.now();
    const due = storedAt - this.#storedAt >= this.#timing.renewEveryMs;
    if (text === this.#stored && !due && !mustBe && !this.#storeAgain) return false;
    this.#storeAgain = false;
    const commit = this.#state.commit + 1;
    this.#step({ kind: 'storing', commit });
    try {
      await this.#publishRecord(footing, { group, epoch, commit, storedAt }, contents);
      this.#stored = text;
      this.#storedAt = storedAt;
      this.#storedSessions = Object.keys(contents.sessions).length;
      this.#options.committed();
      return true;
    } catch (error) {
      // The next tick tries again, also when nothing has changed since the last record that was stored.
      this.#storeAgain = true;
      if (this.#footing === footing)
        this.#options.log.warn({ reason: errorMessage(error) }, 'cannot store the session record');
      return false;
    }
  }
}

async function inTime(promise: Promise<boolean>, ms: number): Promise<boolean> {
  return await Promise.race([promise, sleep(ms, false, { ref: false })]);
}

async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
