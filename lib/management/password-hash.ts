// Whether a password is the one whose salted hash the broker shows, so that a right password is left as it is. Pure.
// https://www.rabbitmq.com/docs/passwords: base64 of four bytes of salt and the digest of salt and password.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FoundUser } from './management-api.ts';

const SALT_BYTES = 4;
const DIGESTS: Readonly<Record<string, string>> = {
  rabbit_password_hashing_sha256: 'sha256',
  rabbit_password_hashing_sha512: 'sha512',
};

/** Also false where the broker shows no hash, or one of another kind. */
export function isPasswordOf(user: FoundUser, password: string): boolean {
  const digest = DIGESTS[user.hashing_algorithm ?? ''];
  if (digest === undefined || user.password_hash === undefined) return false;
  const salted = Buffer.from(user.password_hash, 'base64');
  const [salt, expected] = [salted.subarray(0, SALT_BYTES), salted.subarray(SALT_BYTES)];
  const actual = createHash(digest).update(salt).update(password).digest();
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}
