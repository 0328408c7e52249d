// Closes connections at the broker through its management API, as an operator would.

import { setTimeout as sleep } from 'node:timers/promises';
import { type ManagedBroker, manage } from './broker.ts';

const DEADLINE_MS = 30_000;

/** Closes the connections whose name (as the client gave it) matches. @throws when there are none within half a minute */
export async function closeConnections(broker: ManagedBroker, wanted: RegExp): Promise<number> {
  const deadline = Date.now() + DEADLINE_MS;
  while (Date.now() < deadline) {
    // The broker lists a connection some seconds after it has opened.
    const connections = (await manage('GET', '/api/connections', undefined, broker)) as {
      name: string;
      client_properties?: { connection_name?: string };
    }[];
    const matching = connections.filter((each) => wanted.test(each.client_properties?.connection_name ?? ''));
    const closing = matching.map(({ name }) =>
      manage('DELETE', `/api/connections/${encodeURIComponent(name)}`, undefined, broker),
    );
    const closed = (await Promise.allSettled(closing)).filter(({ status }) => status === 'fulfilled').length;
    if (closed > 0) return closed;
    await sleep(200);
  }
  throw new Error(`within ${DEADLINE_MS / 1_000} s the broker had no connection whose name matches ${wanted}`);
}
