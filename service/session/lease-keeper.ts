// Carries out the law of the lease (lease.ts) on a broker connection of its own: consumes the lease queues, claims,
// stores the session record, gives it back at the end. One channel carries at most ten consumers (Amazon MQ's default
// on RabbitMQ 4). Taking over and giving up are the caller's work; they are done one after the other.

import { Buffer } from 'node:buffer';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage } from 'amqplib';
import { backoffMs } from '../backoff.ts';
import { EXCHANGES, LEASE_QUEUE_ARGUMENTS, leaseQueue } from '../contract.ts';
import { DeadlineError, messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import { type GroupRecord, parseGroupRecord } from './group-record.ts';
import { type LeaseAction, type LeaseEvent, type LeaseState, leaseStep, startingLease } from './lease.ts';

export interface LeaseKeeperOptions {
  readonly connection: {
    on(event: 'open', listener: (model: ChannelModel) => void): unknown;
    on(event: 'lost', listener: () => void): unknown;
  };
  readonly groups: number;
  /** The owner's name in records: unique to this process. */
  readonly me: string;
  readonly log: Log;
  /** What is to be stored now. */
  readonly contents: () => Pick<GroupRecord, 'sessions' | 'untoldGaps'>;
  /** Take the group over. */
  readonly own: (group: number, record: GroupRecord | undefined) => Promise<void>;
  /** The lease is uncertain: receive on, but connect no shard again until it is certain. */
  readonly doubt: () => void;
  readonly regain: () => void;
  readonly disown: () => Promise<void>;
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

const CONSUMERS_PER_CHANNEL = 10;
const CONFIRM_DEADLINE_MS = 10_000;

interface Tag {
  readonly channel: Channel;
  readonly message: ConsumeMessage;
}

/** One opening of the lease connection: what belongs to it is void when it is lost. */
interface Footing {
  readonly model: ChannelModel;
  readonly publish: ConfirmChannel;
  readonly consumers: Map<number, { readonly channel: Channel; readonly consumerTag: string }>;
  readonly timers: Set<NodeJS.Timeout>;
  answerTimer: NodeJS.Timeout | undefined;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #timing: LeaseTiming;
  #state: LeaseState<Tag> = startingLease();
  #footing: Footing | undefined;
  #model: ChannelModel | undefined;
  /** Takeovers and their ends, in order. */
  #work: Promise<void> = Promise.resolve();
  #storing: Promise<void> | undefined;
  #storeAgain = false;
  #stored = '';
  #storedAt = 0;
  #ticker: NodeJS.Timeout | undefined;
  #ownedSince: number | undefined;
  #claimedAt = Date.now();
  /** Takeovers begun and not done: until then the contents are somebody else's, and are not stored. */
  #takingOver = 0;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    let opened = false;
    options.connection.on('open', (model) => {
      this.#model = model;
      // The first time nobody has lost anything, so nobody is to be preferred.
      const patience = opened && this.#state.kind === 'standby' ? this.#timing.patienceMs : 0;
      opened = true;
      void this.#settle(model, patience);
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
    if (this.#state.kind !== 'owner' && this.#state.kind !== 'uncertain') return { state: kind };
    const { epoch, commit } = this.#state;
    return {
      state: kind,
      epoch,
      commit,
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

  /** Stores the last record and gives the lease to whoever is next. The shards must be closed before. */
  async release(): Promise<void> {
    clearInterval(this.#ticker);
    await this.#work;
    await this.#storing;
    const state = this.#state;
    if (state.kind === 'owner' && this.#footing !== undefined) {
      await this.#store(true);
      // The last record is with the broker: the one before may go, and the last is the next owner's.
      if (this.#state.kind === 'owner' && this.#state.heldCommit < this.#state.commit && this.#state.held !== undefined)
        this.#answer(this.#state.held.tag, 'ack');
    }
    this.#step({ kind: 'release' });
    const footing = this.#footing;
    this.#footing = undefined;
    if (footing === undefined) return;
    for (const timer of footing.timers) clearTimeout(timer);
    clearTimeout(footing.answerTimer);
    const channels = new Set([...footing.consumers.values()].map(({ channel }) => channel));
    await Promise.all([...channels].map((channel) => channel.close().catch(() => undefined)));
  }

  /** After the connection has opened (or a channel was lost): queues, consumers, claims. Again until it holds. */
  async #settle(model: ChannelModel, patienceMs: number): Promise<void> {
    await sleep(patienceMs, undefined, { ref: false });
    for (let failures = 1; this.#model === model && this.#state.kind !== 'released'; failures += 1) {
      try {
        await this.#stand(model);
        return;
      } catch (error) {
        this.#options.log.warn({ reason: messageOf(error) }, 'cannot consume the lease queues; trying again');
        this.#lose();
        await sleep(backoffMs(failures), undefined, { ref: false });
      }
    }
  }

  async #stand(model: ChannelModel): Promise<void> {
    const publish = await model.createConfirmChannel();
    const footing: Footing = { model, publish, consumers: new Map(), timers: new Set(), answerTimer: undefined };
    this.#watch(footing, publish);
    this.#footing = footing;
    const state = this.#state;
    if (state.kind === 'uncertain') {
      await this.#consume(footing, state.group, await this.#channel(footing));
      await this.#claim(footing, state.group);
      this.#awaitAnswer(footing);
    } else await this.#consumeAll(footing);
  }

  async #consumeAll(footing: Footing): Promise<void> {
    let channel: Channel | undefined;
    const groups = Array.from({ length: this.#options.groups }, (_, group) => group);
    for (const [index, group] of groups.entries()) {
      if (footing.consumers.has(group)) continue;
      if (channel === undefined || index % CONSUMERS_PER_CHANNEL === 0) channel = await this.#channel(footing);
      await this.#consume(footing, group, channel);
      // It may have become an owner meanwhile: the rest is not wanted any more.
      if (this.#state.kind !== 'standby' || this.#footing !== footing) return;
      await this.#claim(footing, group);
    }
  }

  async #channel(footing: Footing): Promise<Channel> {
    const channel = await footing.model.createChannel();
    this.#watch(footing, channel);
    return channel;
  }

  /** A lost channel is a lost lease connection: whatever was held by it is given back by the broker. */
  #watch(footing: Footing, channel: Channel): void {
    channel.on('error', (error) =>
      this.#options.log.warn({ reason: messageOf(error) }, 'the broker closed a channel of the lease'),
    );
    channel.on('close', () => {
      if (this.#footing === footing) this.#loseFooting(footing);
    });
  }

  async #consume(footing: Footing, group: number, channel: Channel): Promise<void> {
    const queue = leaseQueue(group);
    await channel.assertQueue(queue, { durable: true, arguments: { ...LEASE_QUEUE_ARGUMENTS } });
    await channel.bindQueue(queue, EXCHANGES.leases, queue);
    const { consumerTag } = await channel.consume(queue, (message) => {
      if (this.#footing !== footing) return;
      // The broker cancels a consumer when its queue is deleted or moves: as good as a lost channel.
      if (message === null) this.#loseFooting(footing);
      else this.#deliver(footing, group, channel, message);
    });
    footing.consumers.set(group, { channel, consumerTag });
  }

  #deliver(footing: Footing, group: number, channel: Channel, message: ConsumeMessage): void {
    clearTimeout(footing.answerTimer);
    const tag = { channel, message };
    if (message.properties.type === 'claim') {
      this.#step({ kind: 'delivered', delivery: { group, tag, content: { kind: 'claim' } } });
      return;
    }
    const record = parseGroupRecord(message.content);
    const content =
      typeof record === 'string'
        ? ({ kind: 'unreadable', reason: record } as const)
        : ({ kind: 'record', record } as const);
    this.#step({ kind: 'delivered', delivery: { group, tag, content } });
  }

  async #claim(footing: Footing, group: number): Promise<void> {
    await this.#publish(footing, group, 'claim', Buffer.from('{}'));
  }

  #awaitAnswer(footing: Footing): void {
    // The answer may have come while the claim was on its way.
    if (this.role !== 'owner' || this.#state.kind === 'owner') return;
    footing.answerTimer = setTimeout(() => {
      if (this.#footing === footing) this.#step({ kind: 'unanswered' });
    }, this.#timing.answerMs);
  }

  #loseFooting(footing: Footing): void {
    this.#lose();
    // The connection may still be there: on it again, not too fast.
    if (this.#model === footing.model)
      void sleep(200, undefined, { ref: false }).then(() => {
        if (this.#model === footing.model && this.#footing === undefined) void this.#settle(footing.model, 0);
      });
  }

  #lose(): void {
    const footing = this.#footing;
    this.#footing = undefined;
    if (footing !== undefined) {
      for (const timer of footing.timers) clearTimeout(timer);
      clearTimeout(footing.answerTimer);
      footing.publish.close().catch(() => undefined);
      for (const { channel } of footing.consumers.values()) channel.close().catch(() => undefined);
    }
    if (this.#state.kind === 'owner') this.#options.doubt();
    this.#step({ kind: 'lost' });
  }

  #step(event: LeaseEvent<Tag>): void {
    const { state, actions } = leaseStep(this.#state, event, this.#options.me);
    this.#state = state;
    for (const action of actions) this.#act(action);
  }

  #act(action: LeaseAction<Tag>): void {
    const { log } = this.#options;
    switch (action.kind) {
      case 'ack':
      case 'give back':
        this.#answer(action.tag, action.kind);
        break;
      case 'set aside':
        log.error(
          { reason: action.reason },
          'a session record cannot be read: it is kept in dead-letters, and its sessions are lost',
        );
        this.#answer(action.tag, action.kind);
        break;
      case 'await':
        this.#ripen(action);
        break;
      case 'consume only':
        for (const [group, { channel, consumerTag }] of this.#footing?.consumers ?? []) {
          if (group === action.group) continue;
          this.#footing?.consumers.delete(group);
          channel.cancel(consumerTag).catch(() => undefined);
        }
        break;
      case 'consume all':
        this.#returnToStandby();
        break;
      case 'own': {
        const { group, epoch, record } = action;
        this.#ownedSince = Date.now();
        log.info(
          { group, epoch, sessions: Object.keys(record?.sessions ?? {}).length, from: record?.owner },
          'owner of the shard group',
        );
        this.#takingOver += 1;
        this.#enqueue(async () => {
          // Uncertain again by now? Then nothing connects until that is settled.
          if (this.#state.kind === 'owner') this.#options.regain();
          await this.#options.own(group, record).finally(() => {
            this.#takingOver -= 1;
          });
        });
        break;
      }
      case 'regain':
        log.info({ group: this.group }, 'the lease is still ours');
        this.#options.regain();
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

  #ripen({ group, because }: Extract<LeaseAction<Tag>, { kind: 'await' }>): void {
    const footing = this.#footing;
    if (footing === undefined) return;
    const { claimGraceMs, recordGraceMs } = this.#timing;
    const timer = setTimeout(
      () => {
        footing.timers.delete(timer);
        if (this.#footing === footing) this.#step({ kind: 'ripe', group });
      },
      because === 'claim' ? claimGraceMs : recordGraceMs,
    );
    footing.timers.add(timer);
  }

  #returnToStandby(): void {
    const footing = this.#footing;
    if (footing === undefined) return;
    this.#consumeAll(footing).catch((error: unknown) => {
      this.#options.log.warn({ reason: messageOf(error) }, 'cannot consume the lease queues; trying again');
      if (this.#footing === footing) this.#loseFooting(footing);
    });
  }

  /** In order, and an error in one is said and does not stop the next. */
  #enqueue(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      this.#options.log.error({ reason: messageOf(error) }, 'taking over or giving up the shard group failed');
    });
  }

  #answer({ channel, message }: Tag, how: 'ack' | 'give back' | 'set aside'): void {
    try {
      if (how === 'ack') channel.ack(message);
      else channel.nack(message, false, how === 'give back');
    } catch (error) {
      // The channel has closed, and the broker has given the message back by itself.
      this.#options.log.debug({ reason: messageOf(error) }, 'an answer came too late');
    }
  }

  #tick(): void {
    this.#claimAgain();
    if (this.#storing !== undefined || this.#state.kind !== 'owner' || this.#footing === undefined) return;
    this.#storing = this.#store(false).finally(() => {
      this.#storing = undefined;
    });
  }

  /** A standby asks again now and then, in case a queue was emptied by hand and nobody was told. */
  #claimAgain(): void {
    const footing = this.#footing;
    const due = Date.now() - this.#claimedAt >= this.#timing.renewEveryMs;
    if (this.#state.kind !== 'standby' || footing === undefined || !due) return;
    this.#claimedAt = Date.now();
    for (const group of footing.consumers.keys())
      this.#claim(footing, group).catch((error: unknown) => {
        this.#options.log.warn({ reason: messageOf(error) }, 'cannot claim a shard group; trying again later');
      });
  }

  /** Stores the record when it has changed, or is due, or must be. Never throws: the next tick tries again. */
  async #store(mustBe: boolean): Promise<void> {
    const footing = this.#footing;
    if (this.#state.kind !== 'owner' || footing === undefined || this.#takingOver > 0) return;
    const { group, epoch } = this.#state;
    const contents = this.#options.contents();
    const text = JSON.stringify({ epoch, ...contents });
    const due = Date.now() - this.#storedAt >= this.#timing.renewEveryMs;
    if (text === this.#stored && !due && !mustBe && !this.#storeAgain) return;
    this.#storeAgain = false;
    const commit = this.#state.commit + 1;
    this.#step({ kind: 'storing', commit });
    const storedAt = Date.now();
    const record: GroupRecord = { version: 1, group, owner: this.#options.me, epoch, commit, storedAt, ...contents };
    try {
      await this.#publish(footing, group, 'record', Buffer.from(JSON.stringify(record)));
      this.#stored = text;
      this.#storedAt = storedAt;
      this.#options.committed();
    } catch (error) {
      if (this.#footing === footing)
        this.#options.log.warn({ reason: messageOf(error) }, 'cannot store the session record');
    }
  }

  /** Resolves when the broker has it. @throws after ten seconds, or when it refuses */
  async #publish(footing: Footing, group: number, type: 'claim' | 'record', body: Buffer): Promise<void> {
    const confirmed = new Promise<void>((resolve, reject) => {
      footing.publish.publish(
        EXCHANGES.leases,
        leaseQueue(group),
        body,
        { persistent: true, contentType: 'application/json', type, appId: this.#options.me },
        (error: unknown) => (error === null ? resolve() : reject(error)),
      );
    });
    const late = new AbortController();
    const deadline = sleep(CONFIRM_DEADLINE_MS, undefined, { signal: late.signal, ref: false }).then(() => {
      throw new DeadlineError(`the broker did not confirm a ${type} within ${CONFIRM_DEADLINE_MS / 1_000} s`);
    });
    deadline.catch(() => undefined);
    try {
      await Promise.race([confirmed, deadline]);
    } finally {
      late.abort();
    }
  }
}
