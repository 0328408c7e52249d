// The decisions of a rotation, without clock or socket. Users alternate: `ingestor` and `ingestor_b`. The secret names
// the user that is current; a rotation gives the other one a new password and the current one's permissions and limits,
// and then the secret to it. The former user keeps its password until the next rotation, so whoever is connected stays
// connected, and who connects again with what it once read still gets in, or reads the secret again.
// Each secret belongs to one pair. Whatever names another user, the administrator or a user with a tag is refused.
import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { alternateOf, type BrokerLogin, isFirstOfPair } from '../management/broker-login.ts';
import type { FoundPermissions, FoundUser, FoundUserLimits, UserLimitName } from '../management/management-api.ts';

/** Variables of the rotation function. */
export const ROTATION_ENV = {
  /** `https://host` */
  managementUrl: 'MANAGEMENT_URL',
  administratorSecretArn: 'ADMINISTRATOR_SECRET_ARN',
  /** JSON: first user of a pair → ARN of the secret that belongs to the pair. */
  loginSecretArns: 'LOGIN_SECRET_ARNS',
} as const;

/** Output of the broker stack: the ARN of the function. */
export const LOGIN_FUNCTION_OUTPUT = 'LoginFunction';

export interface RotationSettings {
  readonly managementUrl: string;
  readonly administratorSecretArn: string;
  readonly loginSecretArns: Readonly<Record<string, string>>;
}

/** @throws Error with one sentence. Addresses are not quoted: somebody may have put a password into one */
export function rotationSettings(env: Readonly<Record<string, string | undefined>>): RotationSettings {
  const variable = (name: string): string => {
    const value = env[name];
    if (value) return value;
    throw new Error(`${name}: expected a value in the function's environment, got nothing`);
  };
  const managementUrl = variable(ROTATION_ENV.managementUrl);
  if (!URL.canParse(managementUrl) || new URL(managementUrl).protocol !== 'https:') {
    throw new Error(
      `${ROTATION_ENV.managementUrl}: expected an address with https://, because the administrator's password is sent there`,
    );
  }
  const logins = LOGINS.safeParse(jsonOf(variable(ROTATION_ENV.loginSecretArns)));
  if (!logins.success) {
    throw new Error(
      `${ROTATION_ENV.loginSecretArns}: expected JSON such as {"ingestor":"arn:…"}, one secret for each first user of a pair`,
    );
  }
  return {
    managementUrl,
    administratorSecretArn: variable(ROTATION_ENV.administratorSecretArn),
    loginSecretArns: logins.data,
  };
}

const LOGINS = z.record(z.string().refine(isFirstOfPair), z.string().min(1));

/** @throws Error with one sentence where the secret is none of these */
export function firstUserOf(secret: string, { loginSecretArns }: RotationSettings): string {
  const [user] = Object.entries(loginSecretArns).find(([, arn]) => arn === secret) ?? [];
  if (user !== undefined) return user;
  throw new Error(
    `secret ${secret}: expected one of those in ${ROTATION_ENV.loginSecretArns}, got another. Nothing was changed`,
  );
}

/** @throws Error with one sentence where one of the users may not be given a password by this function */
export function requireOrdinaryUsers(
  pair: readonly string[],
  administrator: string,
  users: readonly FoundUser[],
): void {
  for (const name of pair) {
    if (name === administrator)
      throw new Error(`user ${name} is the administrator, whose login is not rotated. Nothing was changed`);
    const { tags = [] } = users.find((user) => user.name === name) ?? {};
    if (tags.length > 0) {
      throw new Error(
        `user ${name} has the tag ${tags.join(', ')} at the broker: expected a user without tags, as the topology makes it. Nothing was changed`,
      );
    }
  }
}

/** What the rotation changes of the login, and nothing else: address and further fields are kept. */
export function nextLogin(current: BrokerLogin, password = newPassword()): BrokerLogin {
  return { ...current, username: alternateOf(current.username), password };
}

export type RightsStep =
  | { readonly kind: 'grant'; readonly vhost: string; readonly permissions: Omit<FoundPermissions, 'user' | 'vhost'> }
  | { readonly kind: 'withdraw'; readonly vhost: string }
  | { readonly kind: 'limit'; readonly name: UserLimitName; readonly value: number };

const NO_LIMIT = -1;

/**
 * What the next user needs to be what the current one is, in this order: nothing is missing in between.
 * @throws Error with one sentence where the broker does not know the current user
 */
export function heritage(
  current: string,
  next: string,
  found: {
    readonly users: readonly FoundUser[];
    readonly permissions: readonly FoundPermissions[];
    readonly limits: readonly FoundUserLimits[];
  },
): readonly RightsStep[] {
  if (!found.users.some(({ name }) => name === current)) {
    throw new Error(
      `the broker does not know the user ${current}, whose rights its successor is to have: apply the topology first`,
    );
  }
  const [has, shall] = [next, current].map((user) => found.permissions.filter((some) => some.user === user));
  const granted = (shall ?? []).map(({ vhost, configure, write, read }): RightsStep & { kind: 'grant' } => {
    return { kind: 'grant', vhost, permissions: { configure, write, read } };
  });
  const superfluous = (has ?? []).filter(({ vhost }) => !granted.some((right) => right.vhost === vhost));
  const limitsOf = (user: string) => found.limits.find((some) => some.user === user)?.limits ?? {};
  const limits = { ...mapped(limitsOf(next), () => NO_LIMIT), ...limitsOf(current) };
  return [
    ...granted,
    ...superfluous.map(({ vhost }): RightsStep => ({ kind: 'withdraw', vhost })),
    ...Object.entries(limits).map(
      ([name, value]): RightsStep => ({ kind: 'limit', name: name as UserLimitName, value }),
    ),
  ];
}

/** Letters and digits only: Amazon MQ refuses `,` `:` `=`, and an address needs no escaping. */
export function newPassword(length = 40): string {
  return Array.from({ length }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

function mapped<T, U>(record: Readonly<Record<string, T>>, change: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
