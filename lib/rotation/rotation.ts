// The decisions of a rotation, without clock or socket. Users alternate: `ingestor` and `ingestor_b`. The secret names
// the user that is current; a rotation gives the other one a new password and the current one's rights, and then the
// secret to it. The former user keeps its password until the next rotation, so whoever is connected stays connected,
// and who connects again with what it once read still gets in, or reads the secret again.
import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { BROKER_SECRET_FIELDS } from '../../service/contract.ts';
import type { FoundPermissions, FoundUser } from '../topology/management-api.ts';

/** Variables of the rotation function. */
export const ROTATION_ENV = {
  managementUrl: 'MANAGEMENT_URL',
  administratorSecretArn: 'ADMINISTRATOR_SECRET_ARN',
} as const;

const SUFFIX = '_b';

/** The other user of the pair. */
export function alternateOf(username: string): string {
  return username.endsWith(SUFFIX) ? username.slice(0, -SUFFIX.length) : `${username}${SUFFIX}`;
}

export type BrokerLogin = z.output<typeof LOGIN>;

/** @throws Error with one sentence, which does not quote the value */
export function parseLogin(secret: string, text: string): BrokerLogin {
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    // Said below, without the text.
  }
  const parsed = LOGIN.safeParse(fields);
  if (parsed.success) return parsed.data;
  const faulty = [...new Set(parsed.error.issues.map((issue) => issue.path.join('.') || 'all of it'))];
  throw new Error(
    `secret ${secret}: expected JSON with ${BROKER_SECRET_FIELDS.join(', ')}, and something is wrong with ${faulty.join(', ')}`,
  );
}

/** What the rotation changes of the login, and nothing else: address and further fields are kept. */
export function nextLogin(current: BrokerLogin, password = newPassword()): BrokerLogin {
  return { ...current, username: alternateOf(current.username), password };
}

export type RightsStep =
  | { readonly kind: 'grant'; readonly vhost: string; readonly permissions: Omit<FoundPermissions, 'user' | 'vhost'> }
  | { readonly kind: 'withdraw'; readonly vhost: string };

export interface Heritage {
  readonly tags: readonly string[];
  /** In this order: nothing is missing in between. */
  readonly rights: readonly RightsStep[];
}

/**
 * What the next user needs to be what the current one is.
 * @throws Error with one sentence where the broker does not know the current user
 */
export function heritage(
  current: string,
  next: string,
  users: readonly FoundUser[],
  permissions: readonly FoundPermissions[],
): Heritage {
  const from = users.find(({ name }) => name === current);
  if (!from) {
    throw new Error(
      `the broker does not know the user ${current}, whose rights its successor is to have: apply the topology first`,
    );
  }
  const [has, shall] = [next, current].map((user) => permissions.filter((some) => some.user === user));
  const granted = (shall ?? []).map(({ vhost, configure, write, read }): RightsStep => {
    return { kind: 'grant', vhost, permissions: { configure, write, read } };
  });
  const superfluous = (has ?? []).filter(({ vhost }) => !granted.some((right) => right.vhost === vhost));
  return {
    tags: from.tags,
    rights: [...granted, ...superfluous.map(({ vhost }): RightsStep => ({ kind: 'withdraw', vhost }))],
  };
}

/** Letters and digits only: Amazon MQ refuses `,` `:` `=`, and an address needs no escaping. */
export function newPassword(length = 40): string {
  return Array.from({ length }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Further fields (`tls: false` for a broker without TLS) are kept as they are. */
const LOGIN = z.looseObject({
  host: z.string().min(1),
  port: z.coerce.number().int().min(1).max(65_535),
  vhost: z.string().min(1),
  username: z.string().min(1),
  password: z.string().min(1),
  tls: z.boolean().optional(),
});
