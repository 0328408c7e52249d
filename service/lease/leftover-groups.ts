// Shard groups that the shard layout no longer has. After a change of SHARD_COUNT or SHARDS_PER_TASK to fewer groups, their
// lease queues remain, with the last record of each. The owner of the first group waits for these records as a standby
// would, since tasks of the old layout may still hold them, and has their sessions reported as lost. It leaves an empty
// record, and holds it: the proof that nothing is lost when the group comes back. Where a younger task has been, its layout
// is the one that counts, and the queue is left to it.

import { Buffer } from 'node:buffer';
import { emptyRecord, RECORD_TYPE } from '../contract/lease-record.ts';
import { leaseQueue } from '../contract/names.ts';
import type { Log } from '../log.ts';
import { readRecord } from './faults.ts';
import { epochAfter, type GroupRecord } from './group-record.ts';
import { type LeaseChannels, type QueueMessage, startedAtOf } from './lease-channels.ts';

/** A start that is so far in the future is another clock's, or no task's. */
const CLOCK_SKEW_MS = 3_600_000;

export interface LeftoverGroupsOptions {
  /** The first group that the shard layout does not have. */
  readonly from: number;
  /** When this process started, Unix ms. */
  readonly startedAt: number;
  /** This task's name in records. */
  readonly me: string;
  /** Resolves when what was lost with the record is reported. */
  readonly abandon: (record: GroupRecord) => Promise<void>;
  readonly log: Log;
}

export class LeftoverGroups {
  readonly #options: LeftoverGroupsOptions;
  /** By group: what is not answered, so that the queue is not left to older tasks. */
  readonly #held = new Map<number, QueueMessage[]>();

  constructor(options: LeftoverGroupsOptions) {
    this.#options = options;
  }

  /** Consumes the queues that exist. Never throws. */
  async consume(channels: LeaseChannels): Promise<void> {
    // It is delivered again at once. RabbitMQ closes the channel of a message that is held for too long.
    for (const group of [...this.#held.keys()]) this.#requeue(group);
    const consume = (group: number) =>
      channels.consumeExisting(leaseQueue(group), (message) => void this.#receive(channels, group, message));
    try {
      for (let group = this.#options.from; await consume(group); group += 1);
    } catch (err) {
      if (!channels.ended) this.#options.log.warn({ err }, 'cannot look for shard groups of a former shard layout');
    }
  }

  /** Never throws. */
  async #receive(channels: LeaseChannels, group: number, message: QueueMessage): Promise<void> {
    try {
      await this.#clear(channels, group, message);
    } catch (err) {
      if (!channels.ended) this.#options.log.warn({ group, err }, 'cannot end a former shard group; retrying');
      this.#hold(group, message);
    }
  }

  async #clear(channels: LeaseChannels, group: number, message: QueueMessage): Promise<void> {
    const { startedAt, abandon, log } = this.#options;
    const senderStartedAt = startedAtOf(message) ?? 0;
    if (senderStartedAt > startedAt && senderStartedAt <= Date.now() + CLOCK_SKEW_MS) {
      channels.cancel(leaseQueue(group));
      this.#requeue(group);
      return message.requeue();
    }
    if (message.type === 'claim') return message.ack();
    const record = readRecord(log, group, message);
    if (record === undefined) return message.deadLetter();
    const { sessions, unreportedGaps, faults = [] } = record;
    const isEmpty = Object.keys(sessions).length + unreportedGaps.length + faults.length === 0;
    if (isEmpty) return this.#hold(group, message);
    log.warn({ group, sessions: Object.keys(sessions).length }, 'a former shard group has ended');
    await this.#storeEmpty(channels, group, epochAfter(record.epoch));
    await abandon(record);
    message.ack();
  }

  async #storeEmpty(channels: LeaseChannels, group: number, epoch: number): Promise<void> {
    const { me: appId } = this.#options;
    const storedAt = Date.now();
    const body = Buffer.from(JSON.stringify(emptyRecord(group, appId, storedAt, epoch)));
    // Without this task's age, by which the next one would take it for a younger layout's.
    const properties = { appId, headers: {}, type: RECORD_TYPE, timestamp: Math.floor(storedAt / 1_000) } as const;
    await channels.publish(leaseQueue(group), body, properties);
  }

  #hold(group: number, message: QueueMessage): void {
    this.#held.set(group, [...(this.#held.get(group) ?? []), message]);
  }

  #requeue(group: number): void {
    const held = this.#held.get(group) ?? [];
    this.#held.delete(group);
    for (const message of held) message.requeue();
  }
}
