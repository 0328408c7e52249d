// What a message of a lease queue is. Nothing that is no claim and no record of this task is passed over in silence.

import type { Log } from '../log.ts';
import { logFaults } from './faults.ts';
import { type GroupRecord, parseGroupRecord } from './group-record.ts';
import type { Delivery } from './lease.ts';
import type { QueueMessage } from './lease-channels.ts';

export class DeliveryReader {
  readonly #me: string;
  readonly #log: Log;
  /** Owner and epoch of the record that was logged last: a task that is uncertain stores one a second. */
  #logged = '';

  /** @param me this task's name in records */
  constructor(me: string, log: Log) {
    this.#me = me;
    this.#log = log;
  }

  read(group: number, { type, body, appId }: QueueMessage, isOwner: boolean): Delivery<never>['content'] {
    if (type === 'claim') return { kind: 'claim', from: typeof appId === 'string' ? appId : undefined };
    const record = parseGroupRecord(body, group);
    if (typeof record === 'string') {
      this.#log.error(
        { group, reason: record },
        'a group record cannot be read: it goes to dead-letters, and unless there is another its sessions are lost',
      );
      return { kind: 'unreadable' };
    }
    logFaults(this.#log, record);
    if (isOwner && record.owner !== this.#me) this.#logOther(record);
    return { kind: 'record', record };
  }

  #logOther({ group, owner: from, epoch, commit }: GroupRecord): void {
    const which = JSON.stringify([from, epoch]);
    if (which !== this.#logged)
      this.#log.warn(
        { group, from, epoch, commit },
        'a record of another owner is in the queue of the shard group (logged once for each owner and epoch)',
      );
    this.#logged = which;
  }
}
