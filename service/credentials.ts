// Credentials that may change while the service runs. One from a variable never does; one from Secrets Manager is kept
// until Discord or the broker refuses it, and is then read again. Each goes to the log's redaction before it is used.

import { z } from 'zod';
import { BROKER_SECRET_FIELDS } from './contract/names.ts';
import { errorMessage, kindOf } from './errors.ts';
import { redact } from './redact.ts';

/** By itself the client waits indefinitely for a peer that accepts and stays silent. */
const READ_DEADLINE_MS = 15_000;

/** Where a credential comes from: a variable, whose value config.ts has parsed, or a secret. */
export type CredentialSource<T> =
  | { readonly kind: 'variable'; readonly name: string; readonly text: string; readonly value: T }
  | { readonly kind: 'secret'; readonly name: string; readonly arn: string };

export interface Credential<T> {
  /** @throws Error with one sentence when there is no usable value yet, or it cannot be read */
  read(): Promise<T>;
  /**
   * Reads again. @returns whether the secret has another version than the last one, be it with the same text: somebody put it
   * there to be used. Never for a variable
   */
  refresh(): Promise<boolean>;
  /** For messages: the variable, or the secret whose ARN it holds; neither value nor ARN. */
  readonly from: string;
}

export type BrokerLogin = Readonly<z.output<typeof LoginFields>>;

/**
 * @param parse for a secret's text; throws an Error with one sentence that does not quote the text
 * @param hide called with every secret text, so that no log line can hold it
 */
export function credential<T>(
  source: CredentialSource<T>,
  parse: (text: string) => T,
  hide: (secret: string) => void,
): Credential<T> {
  /** The value, too: of a JSON object it is the token without the space around it. */
  const hideValue = (text: string, value: T) => {
    if (typeof value === 'string' && value !== text) hide(value);
  };
  if (source.kind === 'variable') {
    hide(source.text);
    hideValue(source.text, source.value);
    return { from: source.name, read: async () => source.value, refresh: async () => false };
  }
  const { arn, name } = source;
  const from = `the secret of ${name}`;
  let last: { readonly text: string; readonly version: string | undefined; readonly value: T } | undefined;
  const load = async () => {
    try {
      const { text, version } = await readSecret(arn);
      if (text === last?.text && version === last.version) return last;
      hide(text);
      const value = parse(text);
      hideValue(text, value);
      return { text, version, value };
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
      const before = last;
      last = await load();
      return last !== before;
    },
  };
}

/** Discord's tokens have about 70 characters, Secrets Manager's values at most this many. */
const MOST_TOKEN_CHARACTERS = 500;
const MOST_SECRET_CHARACTERS = 65_536;

/**
 * The token of a secret: the text itself, or the field `token` of a JSON object. Space around it, a byte order mark and
 * line ends are removed; anything else that cannot be part of a token is refused.
 */
export function parseToken(text: string): string {
  const refuse = (got: string): never => {
    throw new Error(`expected the bot's token, got ${got}`);
  };
  const read = text.trim().startsWith('{') ? parseObject(text).token : text;
  if (typeof read !== 'string')
    return refuse(`a JSON object with ${kindOf(read)} in the field token. Put it there as a text`);
  const token = read.trim();
  if (token === '') refuse('an empty secret. Put the token into it');
  if (token.length > MOST_TOKEN_CHARACTERS) refuse(`${token.length} characters. Put the token alone into it`);
  if (/^bot\s/i.test(token)) refuse('one with "Bot " before it. Remove that');
  if (/["'`]/.test(token)) refuse('one with quotation marks. Remove them');
  // What is left could not be sent in an HTTP header, or is no part of a token.
  const [strange] = /[^!-[\]-~]/u.exec(token) ?? [];
  if (strange !== undefined) refuse(`one with ${nameOf(strange)} in it. Copy it again`);
  return token;
}

const NAMES: Readonly<Record<string, string>> = {
  ...{ ' ': 'a space', '\n': 'a line end', '\r': 'a line end', '\\': 'a backslash' },
};

function nameOf(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  return NAMES[character] ?? `the character U+${code}`;
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
  const { data, error } = LoginFields.safeParse(fields);
  if (data !== undefined) return data;
  const [issue] = error.issues;
  throw new Error(`the field ${issue?.path.join('.')}: ${issue?.message}`);
}

/** A text of the wrong form is not quoted: it may be the password, in the wrong place. */
const field = (what: string) => ({
  error: ({ input }: { input?: unknown }) => `expected ${what}, got ${whatCame(input)}`,
});
const HOST = field('the name or the address of a host');
const PORT = {
  error: ({ input }: { input?: unknown }) =>
    `expected a TCP port from 1 to 65535, got ${typeof input === 'number' ? input : whatCame(input)}`,
};
const VHOST = field('the name of a vhost');

/** In the order in which faults are reported. */
const LoginFields = z.object({
  host: z
    .string(HOST)
    // Amazon MQ shows its endpoint as amqps://host:port, which may be copied as it is.
    .transform((host) =>
      host
        .trim()
        .replace(/^amqps:\/\//, '')
        .replace(/\/$/, '')
        .replace(/^([^:]+|\[.*\]):\d+$/, '$1'),
    )
    .pipe(z.string().regex(/^([\w.-]{1,255}|[\da-f:.]{2,45}|\[[\da-f:.]{2,45}\])$/i, HOST))
    .transform((host) => host.replace(/^\[|\]$/g, '')),
  port: z.preprocess(
    (port) => (typeof port === 'string' && /^\s*\d+\s*$/.test(port) ? Number(port) : port),
    z.int(PORT).min(1, PORT).max(65_535, PORT),
  ),
  // AMQP's short string.
  vhost: z.string(VHOST).max(255, VHOST),
  username: z.string(field('a text')),
  password: z.string(field('a text')),
  tls: z.boolean(field('true or false')).default(true),
});

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
  if (url.search !== '' || url.hash !== '' || url.pathname.includes('@'))
    return refuse("a '?', '#' or '@' that is not encoded");
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

/** @param text starts with {; no error quotes it */
function parseObject(text: string): Record<string, unknown> {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text.trim()));
  } catch {
    // The parser's message quotes the text.
    throw new Error('expected a JSON object, got a text that starts with { and is not JSON');
  }
}

const whatCame = (input: unknown) => (typeof input === 'string' ? 'another text' : kindOf(input));

/** @throws Error with one sentence, without name and value of the secret */
async function readSecret(arn: string): Promise<{ readonly text: string; readonly version: string | undefined }> {
  // Loaded only where there are secrets to read: the client takes more memory than the rest of the service.
  const { GetSecretValueCommand, ResourceNotFoundException, SecretsManagerClient } = await import(
    '@aws-sdk/client-secrets-manager'
  );
  // The ARN's region, not the environment's: the secret is there.
  const client = new SecretsManagerClient({ region: arn.split(':')[3] ?? '', maxAttempts: 2 });
  const abortSignal = AbortSignal.timeout(READ_DEADLINE_MS);
  const reading = client.send(new GetSecretValueCommand({ SecretId: arn }), { abortSignal });
  const { SecretString: text, VersionId: version } = await reading
    .finally(() => client.destroy())
    .catch((cause) => {
      const wanted =
        cause instanceof ResourceNotFoundException
          ? 'it has no value yet, or does not exist. Put the value into it'
          : `it cannot be read (${redact(errorMessage(cause), [])}). Check its name and secretsmanager:GetSecretValue`;
      throw new Error(wanted, { cause });
    });
  if (typeof text !== 'string')
    throw new Error('expected a text, got a binary value. Put it in as a text (SecretString)');
  if (text.length > MOST_SECRET_CHARACTERS)
    throw new Error(`expected at most ${MOST_SECRET_CHARACTERS} characters, got ${text.length}`);
  return { text, version };
}
