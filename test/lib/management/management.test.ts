// What the functions log and compare: no secret in a text of another party, and a password against its hash.

import { createHash } from 'node:crypto';
import { ResourceNotFoundException, SecretsManagerServiceException } from '@aws-sdk/client-secrets-manager';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { log, logError, logged } from '../../../lib/management/function-log.ts';
import { jsonOf } from '../../../lib/management/json.ts';
import { isPasswordOf } from '../../../lib/management/password-hash.ts';
import { withoutSecrets } from '../../../lib/management/redact.ts';
import { readSecretText, withCleanError } from '../../../lib/management/secret-text.ts';

describe('a password is that of the hash', () => {
  const hashed = (digest: string, salt = Buffer.from([1, 2, 3, 4])) =>
    Buffer.concat([salt, createHash(digest).update(salt).update('pass').digest()]).toString('base64');
  const [sha256, sha512] = ['rabbit_password_hashing_sha256', 'rabbit_password_hashing_sha512'];

  it.each<[string, object, string, boolean]>([
    ['SHA-256', { hashing_algorithm: sha256, password_hash: hashed('sha256') }, 'pass', true],
    ['SHA-512', { hashing_algorithm: sha512, password_hash: hashed('sha512') }, 'pass', true],
    ['another password', { hashing_algorithm: sha256, password_hash: hashed('sha256') }, 'Pass', false],
    ['another kind', { hashing_algorithm: sha512, password_hash: hashed('sha256') }, 'pass', false],
    [
      'an unknown kind',
      { hashing_algorithm: 'rabbit_password_hashing_md5', password_hash: hashed('md5') },
      'pass',
      false,
    ],
    [
      'a salt of five bytes',
      { hashing_algorithm: sha256, password_hash: hashed('sha256', Buffer.alloc(5)) },
      'pass',
      false,
    ],
    ['no kind', { password_hash: hashed('sha256') }, 'pass', false],
    ['no hash', { hashing_algorithm: sha256 }, 'pass', false],
  ])('%s', (_, user, password, expected) => {
    expect(isPasswordOf({ name: 'u', tags: [], ...user } as never, password)).toBe(expected);
  });
});

it('secrets are removed from a text, also as JSON and in an address', () => {
  const text = 'a"b/c and a\\"b/c and a%22b%2Fc and d, but not e';
  expect(withoutSecrets(text, ['a"b/c', 'd,', ''])).toBe(
    '[redacted] and [redacted] and [redacted] and [redacted] but not e',
  );
});

it('text that is no JSON is undefined', () => {
  expect([jsonOf('{"a":1}'), jsonOf('{')]).toEqual([{ a: 1 }, undefined]);
});

describe('an error of Secrets Manager', () => {
  const denied = new SecretsManagerServiceException({
    ...{ name: 'AccessDeniedException', $fault: 'client', $metadata: {}, message: 'not authorized to perform' },
  });

  it.each<[unknown, string]>([
    [denied, 'AccessDeniedException: not authorized to perform'],
    [Object.assign(new Error('hunter2'), { name: 'AccessDeniedException' }), 'AccessDeniedException'],
    [Object.assign(new SyntaxError('hunter2'), { code: 'ECONNRESET' }), 'SyntaxError (ECONNRESET)'],
    [Object.assign(new Error('hunter2'), { code: 7 }), 'Error'],
    ['hunter2', 'no reason given'],
  ])('%s has the operation and the kind only', async (error, kind) => {
    const failed = withCleanError('PutSecretValue', 'arn', () => Promise.reject(error));
    await expect(failed).rejects.toThrow(new Error(`secret arn: PutSecretValue failed: ${kind}`));
  });

  it('is none where there is no such version', async () => {
    const sent: unknown[] = [];
    const client = (answer: () => Promise<object>) =>
      ({
        send: ({ input }: { input: unknown }) => {
          sent.push(input);
          return answer();
        },
      }) as unknown as Parameters<typeof readSecretText>[0];
    const there = client(async () => ({ SecretString: 'text' }));
    const missing = client(() => Promise.reject(new ResourceNotFoundException({ message: '', $metadata: {} })));
    expect(await readSecretText(there, 'arn', { VersionStage: 'AWSPENDING' })).toBe('text');
    expect(await readSecretText(missing, 'arn')).toBeUndefined();
    expect(sent).toEqual([{ SecretId: 'arn', VersionStage: 'AWSPENDING' }, { SecretId: 'arn' }]);
    const refused = client(() => Promise.reject(denied));
    await expect(readSecretText(refused, 'arn')).rejects.toThrow(
      'secret arn: GetSecretValue failed: AccessDeniedException: not authorized to perform',
    );
  });
});

describe('the log of a function', () => {
  afterEach(() => void vi.restoreAllMocks());

  it('is one JSON object a line, and an error is in it with its cause', async () => {
    const lines: { level: string; message: string; err?: string }[] = [];
    vi.spyOn(console, 'log').mockImplementation((line: string) => void lines.push(JSON.parse(line)));
    log('info', 'applied', { steps: 2 });
    const error = new Error('outer', { cause: new Error('inner') });
    logError('warn', 'again', error);
    expect(await logged(async () => 7)).toBe(7);
    await expect(logged(() => Promise.reject(error))).rejects.toBe(error);
    expect(lines).toEqual([
      { level: 'info', message: 'applied', steps: 2 },
      { level: 'warn', message: 'again', err: expect.stringMatching(/outer.*inner/s) },
      { level: 'error', message: expect.stringMatching(/^outer/), err: expect.stringMatching(/outer.*inner/s) },
    ]);
  });
});
