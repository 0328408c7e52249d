// What the lease queue of a shard group begins with. The topology stores it in the queue of a new group, and the service
// where a group has ended and all its sessions are reported. It is the proof that the group has no session: a queue
// without any record is one that has lost it.

/** AMQP message type of a group record. */
export const RECORD_TYPE = 'record';

/** Older than every other record: it has no effect while an owner lives. Earlier versions cannot read it. */
export const FIRST_EPOCH = 0;

/**
 * A group record without sessions, as it is stored.
 * @param owner who stores it
 * @param storedAt Unix ms
 */
export function emptyRecord(group: number, owner: string, storedAt: number, epoch = FIRST_EPOCH) {
  return { version: 1 as const, group, owner, epoch, commit: 0, storedAt, sessions: {}, untoldGaps: [] };
}
