// Faults of RabbitMQ, and actions of an operator, for the fault tests and `npm run alarms`.

import type { RabbitMq } from '../../local/rabbitmq/node.ts';
import { VHOST } from '../../service/contract/names.ts';
import { type ManagedBroker, manage } from './broker.ts';
import { eventually } from './log-lines.ts';

/** The processes that replicate queues (Raft) are suspended, as if the queues had no majority: they confirm nothing. */
export async function raft(broker: RabbitMq, what: 'suspend' | 'resume', ...queues: readonly string[]): Promise<void> {
  await broker.ctl('eval', `${queues.map((queue) => `sys:${what}('${VHOST}_${queue}')`).join()}.`);
}

/** A queue takes this many messages and refuses more, whatever its own policy is. @returns removes the limit */
export async function fill(broker: RabbitMq, queue: string, most: number): Promise<() => Promise<void>> {
  const path = `/api/policies/${encodeURIComponent(VHOST)}/full`;
  const definition = { 'max-length': most, overflow: 'reject-publish' };
  const pattern = `^${queue.replaceAll('.', '\\.')}$`;
  await manage('PUT', path, { pattern, definition, priority: 100, 'apply-to': 'queues' }, broker);
  return async () => void (await manage('DELETE', path, undefined, broker));
}

/** Changes the permissions of a user. A channel keeps those that it has used. @returns restores its permissions */
export async function permit(
  broker: ManagedBroker,
  user: string,
  changes: { readonly write?: string; readonly read?: string },
): Promise<() => Promise<void>> {
  const path = `/api/permissions/${encodeURIComponent(VHOST)}/${user}`;
  const before = (await manage('GET', path, undefined, broker)) as object;
  await manage('PUT', path, { ...before, ...changes }, broker);
  return async () => void (await manage('PUT', path, before, broker));
}

/** Closes the connections whose name (as the client gave it) matches. @throws when there are none within half a minute */
export async function closeConnections(broker: ManagedBroker, wanted: RegExp): Promise<number> {
  // The broker lists a connection some seconds after it has opened.
  return await eventually(
    `the broker has a connection whose name matches ${wanted}`,
    async () => {
      const connections = (await manage('GET', '/api/connections', undefined, broker)) as {
        name: string;
        client_properties?: { connection_name?: string };
      }[];
      const closing = connections
        .filter(({ client_properties }) => wanted.test(client_properties?.connection_name ?? ''))
        .map(({ name }) => manage('DELETE', `/api/connections/${encodeURIComponent(name)}`, undefined, broker));
      return (await Promise.allSettled(closing)).filter(({ status }) => status === 'fulfilled').length;
    },
    30_000,
    200,
  );
}
