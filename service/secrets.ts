// Credentials that may change while the service runs. A value from a variable never does; one from Secrets Manager is
// kept until somebody is refused with it, and is then read again. Values go to the log's redaction before anybody
// else can see them. Which value is right is for Discord and the broker to say, not for this file.

import type { CredentialSource } from './config.ts';
import { BROKER_SECRET_FIELDS } from './contract/names.ts';
import { errorMessage } from './errors.ts';

/** By itself the client waits for ever on a peer that accepts and stays silent. */
const READ_DEADLINE_MS = 15_000;

export interface Credential<T> {
  /** The value in force. @throws Error with one sentence when there is none yet or it cannot be read */
  read(): Promise<T>;
  /** Reads again. @returns whether the value differs from the last one read; always false for a variable */
  refresh(): Promise<boolean>;
  /** Where it comes from, for messages: the variable's or the secret's name, never the value. */
  readonly from: string;
}

export interface BrokerLogin {
  readonly host: string;
  readonly port: number;
  readonly vhost: string;
  readonly username: string;
  readonly password: string;
  readonly tls: boolean;
}

/**
 * @param variable the variable's name, for messages
 * @param hide called with every secret text, so that no log line can hold it
 * @param parse turns the text into the value; throws an Error with one sentence that does not quote the text
 */
export function credential<T>(
  source: CredentialSource,
  variable: string,
  parse: (text: string) => T,
  hide: (secret: string) => void,
  readDeadlineMs = READ_DEADLINE_MS,
): Credential<T> {
  const from = source.kind === 'value' ? variable : source.arn;
  let last: { text: string; value: T } | undefined;
  const load = async (): Promise<{ text: string; value: T }> => {
    const text = source.kind === 'value' ? source.value : await readSecret(source.arn, readDeadlineMs);
    if (text === last?.text) return last;
    hide(text);
    try {
      return { text, value: parse(text) };
    } catch (error) {
      throw new Error(`${from}: ${errorMessage(error)}`, { cause: error });
    }
  };
  return {
    from,
    async read() {
      last ??= await load();
      return last.value;
    },
    async refresh() {
      const before = last?.text;
      last = await load();
      return last.text !== before;
    },
  };
}

/** The token of a secret: the text itself, or the field `token` of a JSON object. */
export function parseToken(text: string): string {
  const trimmed = text.trim();
  const token = trimmed.startsWith('{') ? String(parseObject(trimmed).token ?? '') : trimmed;
  if (token === '') throw new Error("expected the bot's token, got an empty secret. Put the token into it");
  if (/\s/.test(token)) throw new Error('expected the token alone, got a text with spaces. Put only the token there');
  return token;
}

/** As parseBrokerLogin, for production: @throws when the login is not for a TLS listener */
export function parseTlsLogin(text: string): BrokerLogin {
  const login = parseBrokerLogin(text);
  if (!login.tls)
    throw new Error('expected amqps:// in production, got a login without TLS. Use the TLS listener (port 5671)');
  return login;
}

/** The login of `RABBITMQ_URL` (amqps://user:password@host:5671/vhost) or of a secret (JSON, or such an address). */
export function parseBrokerLogin(text: string): BrokerLogin {
  const trimmed = text.trim();
  if (!trimmed.startsWith('{')) return parseBrokerUrl(trimmed);
  const fields = parseObject(trimmed);
  const missing = BROKER_SECRET_FIELDS.filter((field) => (fields[field] ?? '') === '');
  if (missing.length > 0)
    throw new Error(`expected the fields ${BROKER_SECRET_FIELDS.join(', ')}, got none for ${missing.join(', ')}`);
  const port = Number(fields.port);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new Error(`expected a TCP port in the field port, got '${String(fields.port)}'`);
  return {
    // Amazon MQ gives its endpoint as amqps://host:port: taken as it is copied.
    host: String(fields.host)
      .replace(/^amqps:\/\//, '')
      .replace(/^([^:]+):\d+$/, '$1'),
    port,
    vhost: String(fields.vhost),
    username: String(fields.username),
    password: String(fields.password),
    tls: fields.tls !== false,
  };
}

/** @throws Error with one sentence that does not quote the text, which holds a password */
export function parseBrokerUrl(text: string): BrokerLogin {
  const refuse = (what: string): never => {
    throw new Error(
      `expected amqps://user:password@host:5671/vhost, with special characters of the password percent-encoded, got ${what}`,
    );
  };
  if (!URL.canParse(text)) return refuse('no address');
  const url = new URL(text);
  if (!/^amqps?:$/.test(url.protocol)) return refuse('another kind of address');
  if (url.hostname === '') return refuse('no host');
  if ((url.username === '') !== (url.password === '')) return refuse('only one of user and password');
  const decoded = (part: string): string => {
    try {
      return decodeURIComponent(part);
    } catch {
      return refuse("a '%' without two hexadecimal digits behind it");
    }
  };
  const tls = url.protocol === 'amqps:';
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port) || (tls ? 5671 : 5672),
    vhost: decoded(url.pathname.slice(1)) || '/',
    username: decoded(url.username) || 'guest',
    password: decoded(url.password) || 'guest',
    tls,
  };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    // The parser's own message quotes the text, which is a secret.
    throw new Error('expected a JSON object, got a text that starts with { and is not JSON');
  }
}

async function readSecret(arn: string, deadlineMs: number): Promise<string> {
  // Loaded only by those who have secrets there: the client takes more memory than the rest of the service.
  const { GetSecretValueCommand, ResourceNotFoundException, SecretsManagerClient } = await import(
    '@aws-sdk/client-secrets-manager'
  );
  // A region in the ARN beats one in the environment: the secret is there and nowhere else.
  const client = new SecretsManagerClient({ region: arn.split(':')[3] ?? '', maxAttempts: 2 });
  try {
    const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: arn }), {
      abortSignal: AbortSignal.timeout(deadlineMs),
    });
    return SecretString ?? '';
  } catch (error) {
    const wanted =
      error instanceof ResourceNotFoundException
        ? 'it has no value yet, or does not exist. Put the value into it'
        : `it cannot be read (${errorMessage(error)}). Check its name and secretsmanager:GetSecretValue`;
    throw new Error(`${arn}: ${wanted}`, { cause: error });
  } finally {
    client.destroy();
  }
}
