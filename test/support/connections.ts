// Cuts connections at the broker through its management API, as an operator would.

import { setTimeout as sleep } from 'node:timers/promises';
import type { RabbitMqNode } from '../../local/rabbitmq/node.ts';

const DEADLINE_MS = 30_000;

/** Closes the connections whose name (as the client gave it) matches. @throws when there are none within half a minute */
export async function closeConnections(
  { managementUrl, username, password }: Pick<RabbitMqNode, 'managementUrl' | 'username' | 'password'>,
  wanted: RegExp,
): Promise<number> {
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const ask = async (method: string, path: string) =>
    await fetch(`${managementUrl}/api/connections${path}`, {
      method,
      headers: { authorization, 'x-reason': 'a test cuts it' },
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
  const deadline = Date.now() + DEADLINE_MS;
  while (Date.now() < deadline) {
    // The broker lists a connection some seconds after it has opened.
    const connections = (await (await ask('GET', '')).json()) as {
      name: string;
      client_properties?: { connection_name?: string };
    }[];
    const matching = connections.filter((each) => wanted.test(each.client_properties?.connection_name ?? ''));
    const closed = await Promise.all(
      matching.map(async ({ name }) => (await ask('DELETE', `/${encodeURIComponent(name)}`)).ok),
    );
    if (closed.includes(true)) return closed.filter(Boolean).length;
    await sleep(200);
  }
  throw new Error(`within ${DEADLINE_MS / 1_000} s the broker had no connection whose name matches ${wanted}`);
}
