// What is wrong with a group record, or with parts of it, for the log.

import type { Log } from '../log.ts';
import { type Fault, type GroupRecord, parseGroupRecord } from './group-record.ts';
import type { QueueMessage } from './lease-channels.ts';

/** More of one record are only counted. */
const MAX_LINES = 10;

/** @param group whose queue it was in @returns the record; nothing when it cannot be read, which is logged */
export function readRecord(log: Log, group: number, { body }: Pick<QueueMessage, 'body'>): GroupRecord | undefined {
  const record = parseGroupRecord(body, group);
  if (typeof record === 'string') {
    const line =
      'a group record cannot be read: it goes to dead-letters, and unless there is another its sessions are lost';
    log.error({ group, reason: record }, line);
    return undefined;
  }
  const { owner: from, faults = [] } = record;
  logEach(log, { group, from }, faults, {
    part: 'a part of the group record cannot be read, and is left out',
    session: 'a session of the group record cannot be read: it is lost',
  });
  return record;
}

/** For a record that is about to be stored. */
export function logUnstored(log: Log, group: number, faults: readonly Fault[]): void {
  logEach(log, { group }, faults, {
    part: 'a part of the group record would be unreadable, and is not stored',
    session:
      'a session would be unreadable in the group record, and is not stored: the next owner will report it as lost',
  });
}

function logEach(log: Log, of: object, faults: readonly Fault[], lines: Record<'part' | 'session', string>): void {
  for (const { lostShardId: shard, reason } of faults.slice(0, MAX_LINES))
    log.error({ ...of, shard, reason }, shard === undefined ? lines.part : lines.session);
  if (faults.length > MAX_LINES)
    log.error({ ...of, more: faults.length - MAX_LINES }, 'more of the group record is unreadable');
}
