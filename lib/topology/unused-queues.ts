// Which queues may be deleted: those without messages and without readers. RabbitMQ has no answer to that at once: its
// figures lag, and quorum queues refuse a deletion on condition. So the queues, whose bindings are gone already, are
// watched for as long as the figures may lag.

import { setTimeout as sleep } from 'node:timers/promises';
import type { ManagementApi } from '../management/management-api.ts';

/** A quorum queue tells its figures every 5 s, and the management plugin collects them every 5 s. */
const FIGURES_LAG_MS = 12_000;
const LOOK_EVERY_MS = 1_000;

/** @returns by name, why a queue must stay; nothing for one that may go. @throws the signal's reason */
export async function reasonsToStay(
  api: ManagementApi,
  vhost: string,
  queues: readonly string[],
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const reasons = new Map<string, string>();
  const until = performance.now() + FIGURES_LAG_MS;
  while (reasons.size < queues.length) {
    for (const { name, messages = 0, consumers = 0 } of await api.queues(vhost)) {
      if (!queues.includes(name) || reasons.has(name)) continue;
      if (messages > 0) reasons.set(name, messages === 1 ? '1 message' : `${messages} messages`);
      else if (consumers > 0) reasons.set(name, consumers === 1 ? 'a reader' : `${consumers} readers`);
    }
    if (performance.now() >= until) break;
    // Of the two errors of an aborted wait, the caller's.
    await sleep(LOOK_EVERY_MS, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
  }
  // What somebody put there directly in the last seconds.
  for (const queue of queues)
    if (!reasons.has(queue) && (await api.hasReadyMessage(vhost, queue))) reasons.set(queue, 'messages');
  return reasons;
}
