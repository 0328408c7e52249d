// Shard groups that the present division of the shards does not have: after a change of SHARD_COUNT or SHARDS_PER_TASK to
// fewer groups their lease queues remain, with the last record of each, at which nobody else would look again. The owner of
// the first group waits for these records as a standby would, since tasks of the old division may still hold them, and has
// their sessions told as lost. Where a younger task has been, its division is the one that counts, and the queue is left to it.

import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { type GroupRecord, parseGroupRecord } from './group-record.ts';
import type { LeaseFooting, Tag } from './lease-footing.ts';

/** Header of claims and records: when the sender's process started, Unix ms. */
export const STARTED_AT = 'x-started-at';

export interface LeftoverGroupsOptions {
  /** The first group that the division does not have. */
  readonly from: number;
  /** When this process started, Unix ms. */
  readonly startedAt: number;
  /** Resolves when what was lost with the record is told. */
  readonly abandon: (record: GroupRecord) => Promise<void>;
  readonly log: Log;
}

export class LeftoverGroups {
  readonly #options: LeftoverGroupsOptions;

  constructor(options: LeftoverGroupsOptions) {
    this.#options = options;
  }

  includes(group: number): boolean {
    return group >= this.#options.from;
  }

  /** Consumes the queues that there are. Never throws. */
  async lookFor(footing: LeaseFooting): Promise<void> {
    try {
      for (let group = this.#options.from; await footing.consumeLeftover(group); group += 1);
    } catch (error) {
      if (!footing.ended)
        this.#options.log.warn({ reason: errorMessage(error) }, 'cannot look for shard groups of a former division');
    }
  }

  async clearAway(footing: LeaseFooting, group: number, tag: Tag): Promise<void> {
    const { startedAt, abandon, log } = this.#options;
    const { content, properties } = tag.message;
    if (Number(properties.headers?.[STARTED_AT]) > startedAt) {
      footing.leave(group);
      footing.answer(tag, 'give back');
      return;
    }
    if (properties.type === 'claim') {
      footing.answer(tag, 'ack');
      return;
    }
    const record = parseGroupRecord(content);
    if (typeof record === 'string') {
      log.error(
        { group, reason: record },
        'the record of a former shard group cannot be read: it goes to dead-letters',
      );
      footing.answer(tag, 'set aside');
      return;
    }
    log.warn({ group, sessions: Object.keys(record.sessions).length }, 'a former shard group has ended');
    await abandon(record);
    if (!footing.ended) footing.answer(tag, 'ack');
  }
}
