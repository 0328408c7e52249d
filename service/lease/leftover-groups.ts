// Shard groups that the shard layout no longer has. After a change of SHARD_COUNT or SHARDS_PER_TASK to fewer groups, their
// lease queues remain, with the last record of each. The owner of the first group waits for these records as a standby
// would, since tasks of the old layout may still hold them, and has their sessions reported as lost. Where a younger task
// has been, its layout is the one that counts, and the queue is left to it.

import { leaseQueue } from '../contract/names.ts';
import type { Log } from '../log.ts';
import { type GroupRecord, parseGroupRecord } from './group-record.ts';
import type { LeaseChannels, QueueMessage } from './lease-channels.ts';

/** Header of claims and records: when the sender's process started, Unix ms. */
export const STARTED_AT = 'x-started-at';

export interface LeftoverGroupsOptions {
  /** The first group that the shard layout does not have. */
  readonly from: number;
  /** When this process started, Unix ms. */
  readonly startedAt: number;
  /** Resolves when what was lost with the record is reported. */
  readonly abandon: (record: GroupRecord) => Promise<void>;
  readonly log: Log;
}

export class LeftoverGroups {
  readonly #options: LeftoverGroupsOptions;

  constructor(options: LeftoverGroupsOptions) {
    this.#options = options;
  }

  /** Consumes the queues that exist. Never throws. */
  async consume(channels: LeaseChannels): Promise<void> {
    const consume = (group: number) =>
      channels.consumeExisting(leaseQueue(group), (message) => void this.#clear(channels, group, message));
    try {
      for (let group = this.#options.from; await consume(group); group += 1);
    } catch (err) {
      if (!channels.ended) this.#options.log.warn({ err }, 'cannot look for shard groups of a former shard layout');
    }
  }

  async #clear(channels: LeaseChannels, group: number, message: QueueMessage): Promise<void> {
    const { startedAt, abandon, log } = this.#options;
    if (Number(message.headers[STARTED_AT]) > startedAt) {
      channels.cancel(leaseQueue(group));
      message.requeue();
      return;
    }
    if (message.type === 'claim') {
      message.ack();
      return;
    }
    const record = parseGroupRecord(message.body);
    if (typeof record === 'string') {
      log.error(
        { group, reason: record },
        'the record of a former shard group cannot be read: it goes to dead-letters',
      );
      message.deadLetter();
      return;
    }
    log.warn({ group, sessions: Object.keys(record.sessions).length }, 'a former shard group has ended');
    await abandon(record);
    message.ack();
  }
}
