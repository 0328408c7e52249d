// Holds what a consumer read against the ledger: what was lost, repeated, out of order, or should not be there. An event
// counts as read when it was read from any session that got it; as lost only if Discord wrote it to a socket at all.

import type { DueEvent, Ledger, SessionRecord } from '../../../local/discord/ledger.ts';

export interface Read {
  readonly sessionId: string;
  readonly sequence: number;
  readonly routingKey: string;
  /** Within a lane of one session, order is expected: a queue, or a priority of one. @default - the routing key */
  readonly lane?: string;
}

export interface Audit {
  /** Events that were due and written to a socket. */
  readonly due: number;
  /** Messages, repeats included. */
  readonly read: number;
  readonly lost: readonly DueEvent[];
  /** Due, but never written to a socket: their session was lost, was given up, or waits for a RESUME. */
  readonly undeliverable: number;
  /** Read again from the same session under the same sequence. */
  readonly repeated: number;
  /** Read, though under this session and sequence nothing is due, or something else. */
  readonly unexpected: readonly Read[];
  /** First readings that came after one with a higher sequence of their lane. */
  readonly disordered: readonly Read[];
}

export function audit(ledger: Ledger, reads: Iterable<Read>): Audit {
  const times = new Map<SessionRecord, Uint8Array>();
  const newest = new Map<string, number>();
  const unexpected: Read[] = [];
  const disordered: Read[] = [];
  let read = 0;
  let repeated = 0;
  for (const each of reads) {
    read += 1;
    const session = ledger.session(each.sessionId);
    if (session === undefined || ledger.routingKeyOf(each.sessionId, each.sequence) !== each.routingKey) {
      unexpected.push(each);
      continue;
    }
    const seen = times.get(session) ?? new Uint8Array(session.lastSequence);
    times.set(session, seen);
    const before = seen[each.sequence - 1] ?? 0;
    seen[each.sequence - 1] = 1;
    if (before > 0) {
      repeated += 1;
      continue;
    }
    const lane = `${each.sessionId} ${each.lane ?? each.routingKey}`;
    if (each.sequence < (newest.get(lane) ?? 0)) disordered.push(each);
    else newest.set(lane, each.sequence);
  }
  return { ...missing(ledger, times), read, repeated, unexpected, disordered };
}

function missing(ledger: Ledger, times: ReadonlyMap<SessionRecord, Uint8Array>) {
  const sent = new Set<number>();
  const arrived = new Set<number>();
  const unsent = new Set<number>();
  for (const each of ledger.due()) {
    (each.sent ? sent : unsent).add(each.event);
    const session = ledger.session(each.sessionId);
    if (session && times.get(session)?.[each.sequence - 1]) arrived.add(each.event);
  }
  const lost: DueEvent[] = [];
  if (arrived.size < sent.size) {
    for (const each of ledger.due()) {
      if (!each.sent || arrived.has(each.event)) continue;
      arrived.add(each.event);
      lost.push(each);
    }
  }
  for (const event of sent) unsent.delete(event);
  return { due: sent.size, lost, undeliverable: unsent.size };
}
