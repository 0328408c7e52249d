// What is wrong with parts of a group record, for the log.

import type { Log } from '../log.ts';
import type { Fault, GroupRecord } from './group-record.ts';

/** More of one record are only counted. */
const MAX_LINES = 10;

/** For a record that was read. What it lacks now is reported by its next owner. */
export function logFaults(log: Log, { group, owner, faults = [] }: GroupRecord): void {
  for (const { lostShardId: shard, reason } of faults.slice(0, MAX_LINES))
    log.error(
      { group, from: owner, shard, reason },
      shard === undefined
        ? 'a part of the group record cannot be read, and is left out'
        : 'a session of the group record cannot be read: it is lost',
    );
  if (faults.length > MAX_LINES)
    log.error({ group, from: owner, more: faults.length - MAX_LINES }, 'and more of the group record cannot be read');
}

/** For a record that is about to be stored. */
export function logUnstored(log: Log, group: number, faults: readonly Fault[]): void {
  for (const { lostShardId: shard, reason } of faults.slice(0, MAX_LINES))
    log.error(
      { group, shard, reason },
      shard === undefined
        ? 'a part of the group record would be unreadable, and is not stored'
        : 'a session would be unreadable in the group record, and is not stored: the next owner will report it as lost',
    );
}
