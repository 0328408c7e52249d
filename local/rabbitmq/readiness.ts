// Whether a broker is ready: AMQP greets a client, and the management API answers the administrator.

import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Authorities to trust beside the system's, PEM. */
  readonly ca?: string | undefined;
}

const ANSWER_WITHIN_MS = 5_000;
/** RabbitMQ's first frame after the protocol header is Connection.Start, a method frame. */
const METHOD_FRAME = 1;

/** Resolves once the broker sends Connection.Start. */
export async function greets({ host, port, tls, ca }: Endpoint): Promise<void> {
  const socket = tls ? connectTls({ host, port, ...(ca && { ca }) }) : connect({ host, port });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('it closed the connection without a word')));
      socket.setTimeout(ANSWER_WITHIN_MS, () => reject(new Error(`no answer within ${ANSWER_WITHIN_MS / 1000} s`)));
      socket.once('data', (bytes) => {
        if (bytes[0] === METHOD_FRAME) resolve();
        else
          reject(
            new Error(`it does not speak AMQP 0-9-1, but answered ${JSON.stringify(bytes.toString('latin1', 0, 20))}`),
          );
      });
      socket.write('AMQP\0\0\x09\x01', 'latin1');
    });
  } finally {
    socket.destroy();
  }
}

/** The broker's version, from the management API. */
export async function versionOf(managementUrl: string, login: { username: string; password: string }): Promise<string> {
  const response = await fetch(`${managementUrl}/api/overview`, {
    headers: { authorization: basicAuth(login) },
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`HTTP ${response.status} ${text.slice(0, 200)}`);
  const overview: unknown = JSON.parse(text);
  if (typeof overview === 'object' && overview !== null && 'rabbitmq_version' in overview) {
    return String(overview.rabbitmq_version);
  }
  throw new Error(`an overview without rabbitmq_version: ${text.slice(0, 200)}`);
}

export function basicAuth({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
