// Whether a password is the one whose salted hash the broker shows: the way to leave a right password alone. Pure.
// https://www.rabbitmq.com/docs/passwords: base64 of four bytes of salt and the digest of salt and password.

import { Buffer } from 'node:buffer';
import { createHash, timingSafeEqual } from 'node:crypto';

const SALT_BYTES = 4;
const DIGESTS: Readonly<Record<string, string>> = {
  rabbit_password_hashing_sha256: 'sha256',
  rabbit_password_hashing_sha512: 'sha512',
};

/** False too where the broker shows no hash, or one of another kind. */
export function isPasswordOf(
  user: { readonly passwordHash?: string | undefined; readonly hashingAlgorithm?: string | undefined },
  password: string,
): boolean {
  const digest = DIGESTS[user.hashingAlgorithm ?? ''];
  if (digest === undefined || user.passwordHash === undefined) return false;
  const salted = Buffer.from(user.passwordHash, 'base64');
  const [salt, expected] = [salted.subarray(0, SALT_BYTES), salted.subarray(SALT_BYTES)];
  const actual = createHash(digest).update(salt).update(password).digest();
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}
