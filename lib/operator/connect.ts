// The broker for the tools of an operator: they log in as the user for the dead letters, and each mistake is one sentence.

import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import type { ChannelModel } from 'amqplib';
import { connectWithReason } from '../../service/amqp/handshake.ts';
import { parseBrokerLogin } from '../../service/credentials.ts';
import { errorMessage } from '../../service/errors.ts';

/** Instead of `--url`: a list of processes does not show it. Also the text of the login's secret (JSON). */
export const URL_VARIABLE = 'DEAD_LETTERS_URL';
const HANDSHAKE_DEADLINE_MS = 10_000;

/** A mistake in the command: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** @throws UsageError, or Error with one sentence. The address is not quoted: there is a password in it */
export async function connectAsOperator(
  tool: string,
  {
    url = process.env[URL_VARIABLE],
    caFile,
  }: { readonly url?: string | undefined; readonly caFile?: string | undefined },
): Promise<ChannelModel> {
  if (!url) throw new UsageError(`expected the address of the broker: give --url, or set ${URL_VARIABLE}`);
  const { tls, host, ...login } = parsed(url);
  const ca = caFile === undefined ? undefined : authority(caFile);
  const model = await connectWithReason(
    HANDSHAKE_DEADLINE_MS,
    {
      ...login,
      protocol: tls ? 'amqps' : 'amqp',
      hostname: host,
      vhost: encodeURIComponent(login.vhost),
      heartbeat: 10,
    },
    {
      clientProperties: { connection_name: tool },
      ...(ca !== undefined && { ca: [...getCACertificates('default'), ca] }),
    },
  );
  model.on('blocked', (reason) => console.error(`the broker takes no messages now (${reason}): waiting`));
  model.on('unblocked', () => console.error('the broker takes messages again'));
  // The channels end with it, and whoever uses them is told so.
  model.on('error', () => undefined);
  return model;
}

function parsed(url: string): ReturnType<typeof parseBrokerLogin> {
  try {
    return parseBrokerLogin(url);
  } catch (error) {
    throw new UsageError(`--url: ${errorMessage(error)}`, { cause: error });
  }
}

function authority(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`--ca-file: cannot read ${file}`, { cause: error });
  }
}

/** What the broker refuses on a channel, and an end of the connection, as one sentence. */
export function operatorSentence(error: unknown): string {
  const text = errorMessage(error);
  const [, said = text] = /"((?:ACCESS_REFUSED|NOT_FOUND) - .*)"$/.exec(text) ?? [];
  if (/ACCESS_REFUSED/.test(text)) return `${said}: log in as the user for the dead letters, and apply the topology`;
  if (/NOT_FOUND/.test(text)) return `${said}: correct the vhost at the end of the address, or apply the topology`;
  return text;
}
