// Whether a broker is ready: AMQP greets a client, with TLS too where it is offered, and the management API answers the administrator.

import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ask } from './deadline.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Authorities to trust instead of the system's, PEM. */
  readonly ca?: string | undefined;
}

/** Of a node on this machine. */
export function endpointsOf(amqpPort: number, amqpsPort: number, caFile: string | undefined): Endpoint[] {
  const plain: Endpoint = { host: '127.0.0.1', port: amqpPort, tls: false };
  if (caFile === undefined) return [plain];
  return [plain, { host: '127.0.0.1', port: amqpsPort, tls: true, ca: readFileSync(caFile, 'utf8') }];
}

export interface Administrator {
  readonly username: string;
  readonly password: string;
}

const START_WITHIN_MS = 90_000;
const ANSWER_WITHIN_MS = 5_000;
/** RabbitMQ's answer to the protocol header is Connection.Start, a method frame. */
const METHOD_FRAME = 1;

export interface Starting {
  readonly name: string;
  /** Each must greet. */
  readonly endpoints: readonly Endpoint[];
  readonly managementUrl: string;
  readonly administrator: Administrator;
  /** How it ended, if it has. */
  ended(): Promise<string | undefined>;
  /** What its log says of the cause. */
  log(): Promise<string>;
}

/**
 * Waits for a node that was just started; resolves with its version.
 * @throws with what its log says, when it ends or takes longer than 90 s
 */
export async function untilReady(node: Starting): Promise<string> {
  let refusal: unknown;
  const question = async () => {
    const end = await node.ended();
    if (end !== undefined) throw new Error(`${node.name} ended while starting (${end}).`);
    try {
      for (const endpoint of node.endpoints) await greets(endpoint);
      return await versionOf(node.managementUrl, node.administrator);
    } catch (error) {
      refusal = error;
      return undefined;
    }
  };
  const late = () => new Error(`${node.name} was not ready within ${START_WITHIN_MS / 1000} s.`, { cause: refusal });
  return await ask(START_WITHIN_MS, question, late).catch(async (error: Error) => {
    throw new Error(`${error.message} Its log:\n${await node.log()}`, { cause: error.cause });
  });
}

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
        else reject(new Error(`no AMQP 0-9-1, but ${JSON.stringify(bytes.toString('latin1', 0, 20))}`));
      });
      socket.write('AMQP\0\0\x09\x01', 'latin1');
    });
  } finally {
    socket.destroy();
  }
}

/** The broker's version, from the management API. */
export async function versionOf(managementUrl: string, login: Administrator): Promise<string> {
  const credentials = Buffer.from(`${login.username}:${login.password}`).toString('base64');
  const response = await fetch(`${managementUrl}/api/overview`, {
    headers: { authorization: `Basic ${credentials}` },
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
