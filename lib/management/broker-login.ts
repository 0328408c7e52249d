// Secrets that hold a login of the broker, parsed without ever quoting them. The service has a parser of its own
// (service/secrets.ts), because it needs something else: it also takes addresses and a plain token, and no administrator.
// Users alternate: `ingestor` and `ingestor_b`. A rotation gives the other user of the pair a new password.
import { z } from 'zod';
import { BROKER_SECRET_FIELDS } from '../../service/contract/names.ts';
import { jsonOf } from './json.ts';

const SUFFIX = '_b';

/** The other user of the pair. */
export function alternateOf(username: string): string {
  return username.endsWith(SUFFIX) ? username.slice(0, -SUFFIX.length) : `${username}${SUFFIX}`;
}

/** Whether the name is that of the first user of a pair. */
export function isFirstOfPair(username: string): boolean {
  return username !== '' && !username.endsWith(SUFFIX);
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
const ADMINISTRATOR = LOGIN.pick({ username: true, password: true }).strip();

export type BrokerLogin = z.output<typeof LOGIN>;

/**
 * @param secret its name or ARN, for the message
 * @param user first user of the pair that the secret belongs to
 * @throws Error with one sentence, which quotes nothing of the secret
 */
export function parseLogin(secret: string, user: string, text: string): BrokerLogin {
  const login = parsed(LOGIN, BROKER_SECRET_FIELDS, secret, text);
  if (login.username === user || login.username === alternateOf(user)) return login;
  // The name is not quoted: it may be a password in the wrong field.
  throw new Error(
    `secret ${secret}: expected a login of the user ${user} or ${alternateOf(user)}, got one of another user. Nothing was changed at the broker: correct the secret`,
  );
}

/** User and password of the broker's administrator. @throws Error with one sentence, which quotes nothing of the secret */
export function parseAdministrator(secret: string, text: string): { username: string; password: string } {
  return parsed(ADMINISTRATOR, ['username', 'password'], secret, text);
}

function parsed<T>(schema: z.ZodType<T>, fields: readonly string[], secret: string, text: string): T {
  const result = schema.safeParse(jsonOf(text));
  if (result.success) return result.data;
  // Only the names of the fields: a message of zod may quote what it read.
  const faulty = [...new Set(result.error.issues.map(({ path }) => String(path[0] ?? 'all of it')))];
  throw new Error(
    `secret ${secret}: expected JSON with ${fields.join(', ')}, and something is wrong with ${faulty.join(', ')}`,
  );
}
