// The decisions of a rotation, without clock or socket. Users alternate: `ingestor` and `ingestor_b`. The secret names
// the user that is current; a rotation gives the other one a new password and the current one's rights, and then the
// secret to it. The former user keeps its password until the next rotation, so whoever is connected stays connected,
// and who connects again with what it once read still gets in, or reads the secret again.
import { randomInt } from 'node:crypto';
import { alternateOf, type BrokerLogin } from '../management/broker-login.ts';
import type { FoundPermissions, FoundUser } from '../management/management-api.ts';

/** Variables of the rotation function. */
export const ROTATION_ENV = {
  managementUrl: 'MANAGEMENT_URL',
  administratorSecretArn: 'ADMINISTRATOR_SECRET_ARN',
} as const;

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
