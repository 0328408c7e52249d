// The broker of RABBITMQ_URL: used as it is, and never stopped, killed or configured.

import { readFileSync } from 'node:fs';
import type { RabbitMqNode } from '../rabbitmq.ts';
import { amqpUrl } from './amqp-url.ts';
import { greets, versionOf } from './readiness.ts';

/**
 * @param url an administrator's: `amqp://user:password@host:5672`
 * @throws one sentence when either port does not answer or refuses the login
 */
export async function connectGivenNode(given: {
  url: string;
  managementUrl: string | undefined;
}): Promise<RabbitMqNode> {
  const url = parse(given.url);
  const tls = url.protocol === 'amqps:';
  const host = url.hostname;
  const port = Number(url.port || (tls ? 5671 : 5672));
  const username = decoded(url.username || 'guest');
  const password = decoded(url.password || 'guest');
  const managementUrl = (given.managementUrl ?? `${tls ? 'https' : 'http'}://${host}:${tls ? 15671 : 15672}`).replace(
    /\/+$/,
    '',
  );
  const caFile = process.env.RABBITMQ_CA_FILE || undefined;
  const ca = caFile === undefined ? undefined : readFileSync(caFile, 'utf8');

  await greets({ host, port, tls, ca }).catch((error: Error) => {
    const what = `RABBITMQ_URL names a broker at ${host}:${port} that does not answer (${reason(error)})`;
    throw new Error(`${what}: start it, or unset RABBITMQ_URL to have a private node started.`, { cause: error });
  });
  const version = await versionOf(managementUrl, { username, password }).catch((error: Error) => {
    const what = `The management API of RABBITMQ_URL's broker does not answer at ${managementUrl} (${reason(error)})`;
    throw new Error(
      `${what}: enable rabbitmq_management, give an administrator's login, or set RABBITMQ_MANAGEMENT_URL.`,
      {
        cause: error,
      },
    );
  });

  const notOurs = (verb: string) =>
    new Error(`The broker of RABBITMQ_URL is not ours to ${verb}: unset RABBITMQ_URL to have a private node.`);
  const refuse = (verb: string) => async (): Promise<never> => {
    throw notOurs(verb);
  };
  const refuseNow = (verb: string) => (): never => {
    throw notOurs(verb);
  };
  return {
    version,
    origin: `RABBITMQ_URL, ${host}:${port}`,
    username,
    password,
    amqpPort: port,
    amqpsPort: tls ? port : undefined,
    caFile,
    managementUrl,
    managementTlsUrl: managementUrl.startsWith('https:') ? managementUrl : undefined,
    amqpUrl: (login = { username, password }) => amqpUrl({ tls, host, port }, login),
    start: refuse('start'),
    stop: refuse('stop'),
    restart: refuse('restart'),
    kill: refuse('kill'),
    freeze: refuseNow('freeze'),
    thaw: refuseNow('thaw'),
    ctl: refuse('control'),
    rememberQueues: refuse('control'),
    memoryAlarm: refuse('control'),
    remove: async () => {},
  };
}

function parse(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && (url.protocol === 'amqp:' || url.protocol === 'amqps:') && url.hostname) return url;
  // The text is not repeated: it may hold a password.
  throw new Error('RABBITMQ_URL is not an AMQP URL: expected amqp://user:password@host:port.');
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Error(
      "RABBITMQ_URL has a '%' without two hexadecimal digits behind it: encode special characters of user and password.",
    );
  }
}

/** fetch hides the cause, and a refused connection has one message per address. */
function reason(error: Error): string {
  const cause = error.cause instanceof Error ? error.cause : error;
  const first = cause instanceof AggregateError ? cause.errors[0] : cause;
  return first instanceof Error && first.message ? first.message : cause.message || String(cause);
}
