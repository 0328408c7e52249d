// The decisions of a rotation, without clock or socket. Users alternate: `ingestor` and `ingestor_b`. The secret names
// the current user; a rotation gives the other one a new password and the current one's permissions and limits, and then
// the secret to it. The former user keeps its password until the next rotation: its connections stay, and a client that
// connects again with what it once read is still accepted, or reads the secret again.
// Each secret belongs to one pair. Another user, the administrator or a user with a tag is refused.
import { randomInt } from 'node:crypto';
import { alternateOf, type BrokerLogin } from '../management/broker-login.ts';
import type { FoundPermissions, FoundUser, FoundUserLimits } from '../management/management-api.ts';

/** Output of the broker stack: the ARN of the function. */
export const LOGIN_FUNCTION_OUTPUT = 'LoginFunction';

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
    if (tags.length > 0)
      throw new Error(
        `user ${name} has the tag ${tags.join(', ')} at the broker: expected a user without tags, as the topology makes it. Nothing was changed`,
      );
  }
}

/** What the rotation changes of the login, and nothing else: address and further fields are kept. */
export function nextLogin(current: BrokerLogin): BrokerLogin {
  return { ...current, username: alternateOf(current.username), password: newPassword() };
}

/** Letters and digits only: Amazon MQ refuses `,` `:` `=`, and an address needs no escaping. */
export function newPassword(): string {
  return Array.from({ length: 40 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const NO_LIMIT = -1;

export interface Rights {
  readonly granted: readonly {
    readonly vhost: string;
    readonly permissions: Omit<FoundPermissions, 'user' | 'vhost'>;
  }[];
  /** Vhosts in which the next user has permissions, and the current one has none. */
  readonly withdrawn: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/**
 * What the next user needs to be what the current one is.
 * @throws Error with one sentence where the broker does not know the current user
 */
export function rightsFor(
  next: string,
  current: string,
  found: {
    readonly users: readonly FoundUser[];
    readonly permissions: readonly FoundPermissions[];
    readonly limits: readonly FoundUserLimits[];
  },
): Rights {
  if (!found.users.some(({ name }) => name === current))
    throw new Error(
      `the broker does not know the user ${current}, whose permissions its successor gets: apply the topology first`,
    );
  const permissionsOf = (user: string) => found.permissions.filter((some) => some.user === user);
  const limitsOf = (user: string) => found.limits.find((some) => some.user === user)?.value ?? {};
  const granted = permissionsOf(current).map(({ vhost, configure, write, read }) => ({
    vhost,
    permissions: { configure, write, read },
  }));
  return {
    granted,
    withdrawn: permissionsOf(next)
      .map(({ vhost }) => vhost)
      .filter((vhost) => !granted.some((right) => right.vhost === vhost)),
    limits: {
      ...Object.fromEntries(Object.keys(limitsOf(next)).map((name) => [name, NO_LIMIT])),
      ...limitsOf(current),
    },
  };
}
