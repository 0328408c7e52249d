// Secrets that hold a login of the broker, parsed: the one place that reads such a text, and never quotes it. The
// service has a parser of its own (service/secrets.ts), because it also takes addresses and a plain token.
// Users alternate: `ingestor` and `ingestor_b`. A rotation gives the other user of the pair a new password.
import { z } from 'zod';
import { BROKER_SECRET_FIELDS } from '../../service/contract/names.ts';

const SUFFIX = '_b';

/** The other user of the pair. */
export function alternateOf(username: string): string {
  return username.endsWith(SUFFIX) ? username.slice(0, -SUFFIX.length) : `${username}${SUFFIX}`;
}

/** Whether the name is that of the first user of a pair. */
export function isFirstOfPair(username: string): boolean {
  return username !== '' && !username.endsWith(SUFFIX);
}

export type BrokerLogin = z.output<typeof LOGIN>;
export type AdministratorLogin = z.output<typeof ADMINISTRATOR>;

/**
 * Address, user and password of a client.
 * @param secret its name or ARN, for the message
 * @throws Error with one sentence, which does not quote the value
 */
export function parseLogin(secret: string, text: string): BrokerLogin {
  return parsed(LOGIN, BROKER_SECRET_FIELDS, secret, text);
}

/**
 * User and password of the broker's administrator.
 * @param secret its name or ARN, for the message
 * @throws Error with one sentence, which does not quote the value
 */
export function parseAdministrator(secret: string, text: string): AdministratorLogin {
  return parsed(ADMINISTRATOR, ['username', 'password'], secret, text);
}

/** @throws Error with one sentence where the login is of another user than this one and its alternate */
export function requireOwnUser(secret: string, user: string, { username }: Pick<BrokerLogin, 'username'>): void {
  if (username === user || username === alternateOf(user)) return;
  // The name is not quoted: it may be a password in the wrong field.
  throw new Error(
    `secret ${secret}: expected a login of the user ${user} or ${alternateOf(user)}, got one of another user. Nothing was changed at the broker: put the right user there`,
  );
}

function parsed<T>(schema: z.ZodType<T>, fields: readonly string[], secret: string, text: string): T {
  const result = schema.safeParse(fromJson(text));
  if (result.success) return result.data;
  // Paths only: a message of zod or of the JSON parser may quote what came.
  const faulty = [...new Set(result.error.issues.map((issue) => String(issue.path[0] ?? 'all of it')))];
  throw new Error(
    `secret ${secret}: expected JSON with ${fields.join(', ')}, and something is wrong with ${faulty.join(', ')}`,
  );
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Further fields (`tls: false` for a broker without TLS) are kept as they are. */
const LOGIN = z.looseObject({
  // A name or an IP address: a whole address may have a password in it, and errors name the host.
  host: z.string().regex(/^[A-Za-z0-9._:-]+$/),
  port: z.coerce.number().int().min(1).max(65_535),
  vhost: z.string().min(1),
  username: z.string().min(1),
  password: z.string().min(1),
  tls: z.boolean().optional(),
});
const ADMINISTRATOR = z.object({ username: z.string().min(1), password: z.string().min(1) });
