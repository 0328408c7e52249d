// The broker for the tools of an operator: they log in as the user for the dead letters, and each mistake is one sentence.

import { getCACertificates } from 'node:tls';
import type { ChannelModel } from 'amqplib';
import { readCertificateAuthority } from '../../service/amqp/certificate-authority.ts';
import { connectWithReason } from '../../service/amqp/handshake.ts';
import { USERS } from '../../service/contract/names.ts';
import { parseBrokerLogin } from '../../service/credentials.ts';
import { errorMessage } from '../../service/errors.ts';

const URL_VARIABLE = 'DEAD_LETTERS_URL';
const HANDSHAKE_DEADLINE_MS = 10_000;

/** For parseArgs. */
export const CONNECTION_OPTIONS = {
  url: { type: 'string' },
  'ca-file': { type: 'string' },
  through: { type: 'string' },
} as const;

export const CONNECTION_HELP = `  --url ADDRESS      amqps://${USERS.deadLetters}:password@host:5671/discord, the login for the dead letters; or set
                     ${URL_VARIABLE}, which a list of processes does not show: the address, or the JSON of its secret
  --ca-file FILE     a further certificate authority (PEM)
  --through HOST:PORT
                     connect there instead, to a port that is forwarded to the broker; its certificate is
                     expected to name the host of the address all the same`;

/** A mistake in the command: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** @throws UsageError, or Error with one sentence. The address is not quoted: there is a password in it */
export async function connectAsOperator(
  tool: string,
  values: { readonly [option in keyof typeof CONNECTION_OPTIONS]?: string | undefined },
): Promise<ChannelModel> {
  const { url = process.env[URL_VARIABLE], 'ca-file': caFile, through } = values;
  if (!url) throw new UsageError(`expected the address of the broker: give --url, or set ${URL_VARIABLE}`);
  const { tls, host, ...user } = login(url);
  const forwarded = through === undefined ? undefined : hostAndPort(through);
  const ca = caFile === undefined ? undefined : await authority(caFile);
  const to = { ...user, protocol: tls ? 'amqps' : 'amqp', hostname: host, vhost: encodeURIComponent(user.vhost) };
  const model = await connectWithReason(
    HANDSHAKE_DEADLINE_MS,
    { ...to, ...forwarded, heartbeat: 10 },
    {
      clientProperties: { connection_name: tool },
      ...(forwarded && { servername: host }),
      ...(ca !== undefined && { ca: [...getCACertificates('default'), ca] }),
    },
  );
  model.on('blocked', (reason) => console.error(`the broker takes no messages now (${reason}): waiting`));
  model.on('unblocked', () => console.error('the broker takes messages again'));
  // Its channels are closed with it.
  model.on('error', () => undefined);
  return model;
}

/** Arguments of the command. @param parse calls parseArgs @throws UsageError with the first sentence of its error */
export function argumentsOf<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new UsageError(errorMessage(error).split('. ')[0], { cause: error });
  }
}

/** Runs a tool. @returns the exit code, that of an error too, whose sentence is printed */
export async function exitCodeOf(main: () => Promise<number>): Promise<number> {
  try {
    return await main();
  } catch (error) {
    console.error(operatorSentence(error));
    return error instanceof UsageError ? 2 : 1;
  }
}

function login(url: string): ReturnType<typeof parseBrokerLogin> {
  try {
    return parseBrokerLogin(url);
  } catch (error) {
    throw new UsageError(`--url: ${errorMessage(error)}`, { cause: error });
  }
}

async function authority(file: string): Promise<string> {
  try {
    return await readCertificateAuthority(file, '--ca-file');
  } catch (error) {
    throw new UsageError(errorMessage(error), { cause: error });
  }
}

function hostAndPort(text: string): { hostname: string; port: number } {
  const [, hostname = '', port] = /^([\w.-]+):(\d{1,5})$/.exec(text) ?? [];
  if (hostname === '') throw new UsageError(`--through: expected such as 127.0.0.1:5671, got '${text}'`);
  return { hostname, port: Number(port) };
}

export const lostConnection = (): Error =>
  new Error('the connection to the broker was lost: no message is lost with it. Start again');

/** What the broker refuses on a channel, and an end of the connection, as one sentence. */
export function operatorSentence(error: unknown): string {
  const text = errorMessage(error);
  const [, reason = text] = /"((?:ACCESS_REFUSED|NOT_FOUND) - .*)"$/.exec(text) ?? [];
  if (reason.startsWith('ACCESS_REFUSED -'))
    return `${reason}: log in as the user for the dead letters, and apply the topology`;
  if (reason.startsWith('NOT_FOUND -'))
    return `${reason}: correct the vhost at the end of the address, or apply the topology`;
  return text;
}
