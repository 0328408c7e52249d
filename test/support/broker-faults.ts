// What goes wrong in RabbitMQ, as the fault tests and `npm run alarms` make it happen.

import type { RabbitMq } from '../../local/rabbitmq/node.ts';
import { VHOST } from '../../service/contract/names.ts';
import { manage } from './broker.ts';

/** The process that replicates a queue (Raft) is suspended, as if the queue had no majority: it confirms nothing. */
export async function raft(broker: RabbitMq, what: 'suspend' | 'resume', queue: string): Promise<void> {
  await broker.ctl('eval', `sys:${what}('${VHOST}_${queue}').`);
}

/** A queue takes so many messages and refuses more, whatever its own policy says. @returns lifts the limit */
export async function fill(broker: RabbitMq, queue: string, most: number): Promise<() => Promise<void>> {
  const path = `/api/policies/${encodeURIComponent(VHOST)}/full`;
  const definition = { 'max-length': most, overflow: 'reject-publish' };
  await manage(
    'PUT',
    path,
    { pattern: `^${queue.replaceAll('.', '\\.')}$`, definition, priority: 100, 'apply-to': 'queues' },
    broker,
  );
  return async () => void (await manage('DELETE', path, undefined, broker));
}
