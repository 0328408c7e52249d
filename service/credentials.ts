// Credentials that may change while the service runs. One from a variable never does; one from Secrets Manager is kept
// until Discord or the broker refuses it, and is then read again. Each goes to the log's redaction before it is used.

import { BROKER_SECRET_FIELDS } from './contract/names.ts';
import { errorMessage } from './errors.ts';

/** By itself the client waits indefinitely for a peer that accepts and stays silent. */
const READ_DEADLINE_MS = 15_000;

/** Where a credential comes from: a variable, whose value config.ts has parsed, or a secret. */
export type CredentialSource<T> =
  | { readonly kind: 'variable'; readonly name: string; readonly text: string; readonly value: T }
  | { readonly kind: 'secret'; readonly arn: string };

export interface Credential<T> {
  /** @throws Error with one sentence when there is no usable value yet, or it cannot be read */
  read(): Promise<T>;
  /** Reads again. @returns whether the value differs from the last one; never for a variable */
  refresh(): Promise<boolean>;
  /** For messages: the variable's or the secret's name, never the value. */
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
 * @param parse for a secret's text; throws an Error with one sentence that does not quote the text
 * @param hide called with every secret text, so that no log line can hold it
 */
export function credential<T>(
  source: CredentialSource<T>,
  parse: (text: string) => T,
  hide: (secret: string) => void,
): Credential<T> {
  if (source.kind === 'variable') {
    hide(source.text);
    return { from: source.name, read: async () => source.value, refresh: async () => false };
  }
  const { arn } = source;
  let last: { readonly text: string; readonly value: T } | undefined;
  const load = async () => {
    const text = await readSecret(arn);
    if (text === last?.text) return last;
    hide(text);
    try {
      return { text, value: parse(text) };
    } catch (error) {
      throw new Error(`${arn}: ${errorMessage(error)}`, { cause: error });
    }
  };
  return {
    from: arn,
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
  if (/\s/.test(token)) throw new Error('expected the token alone, without "Bot " before it, got a text with spaces');
  return token;
}

/** For production, where the login must be for a TLS listener. */
export function parseTlsLogin(text: string): BrokerLogin {
  const login = parseBrokerLogin(text);
  if (!login.tls)
    throw new Error('expected amqps:// in production, got a login without TLS. Use the TLS listener (port 5671)');
  return login;
}

/**
 * The login of `RABBITMQ_URL` (amqps://user:password@host:5671/vhost) or of a secret (JSON, or such an address).
 * lib/rotation has a parser of its own: it keeps every field of the secret, which it writes again.
 */
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
    // Amazon MQ shows its endpoint as amqps://host:port, which may be copied as it is.
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
function parseBrokerUrl(text: string): BrokerLogin {
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
    // The parser's message quotes the text, which is a secret.
    throw new Error('expected a JSON object, got a text that starts with { and is not JSON');
  }
}

async function readSecret(arn: string): Promise<string> {
  // Loaded only where there are secrets to read: the client takes more memory than the rest of the service.
  const { GetSecretValueCommand, ResourceNotFoundException, SecretsManagerClient } = await import(
    '@aws-sdk/client-secrets-manager'
  );
  // The ARN's region, not the environment's: the secret is there.
  const client = new SecretsManagerClient({ region: arn.split(':')[3] ?? '', maxAttempts: 2 });
  try {
    const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: arn }), {
      abortSignal: AbortSignal.timeout(READ_DEADLINE_MS),
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
