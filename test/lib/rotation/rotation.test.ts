// The decisions of a rotation.
import { describe, expect, it } from 'vitest';
import { parseLogin, requireOwnUser } from '../../../lib/management/broker-login.ts';
import {
  firstUserOf,
  heritage,
  newPassword,
  nextLogin,
  requireOrdinaryUsers,
  rotationSettings,
} from '../../../lib/rotation/rotation.ts';

const login = {
  host: 'b-1.mq.eu-central-1.on.aws',
  port: 5671,
  vhost: 'discord',
  username: 'ingestor',
  password: 'old',
};
const all = { configure: '.*', write: '.*', read: '.*' };

describe('the next login', () => {
  it('changes user and password, and keeps everything else, fields it does not know included', () => {
    const current = parseLogin('s', JSON.stringify({ ...login, note: 'by hand' }));
    const next = nextLogin(current);
    expect(next).toEqual({ ...login, note: 'by hand', username: 'ingestor_b', password: next.password });
    expect(next.password).not.toBe('old');
  });

  it('has a password that Amazon MQ takes and an address needs not escape', () => {
    const passwords = Array.from({ length: 200 }, () => newPassword());
    expect(new Set(passwords).size).toBe(200);
    for (const password of passwords) expect(password).toMatch(/^[A-Za-z0-9]{40}$/);
  });
});

const user = (name: string, tags: string[] = []) => ({
  name,
  tags,
  passwordHash: undefined,
  hashingAlgorithm: undefined,
});

describe('the heritage', () => {
  const users = [user('ingestor'), user('ingestor_b')];

  it('is the permissions and limits of the current user; what the next one has beyond them is withdrawn, last', () => {
    const permissions = [
      { user: 'ingestor', vhost: 'discord', configure: '', write: '^discord\\.events$', read: '' },
      { user: 'ingestor_b', vhost: 'discord', ...all },
      { user: 'ingestor_b', vhost: 'other', ...all },
      { user: 'somebody', vhost: 'other', ...all },
    ];
    const limits = [
      { user: 'ingestor', limits: { 'max-connections': 20 } },
      { user: 'ingestor_b', limits: { 'max-connections': 5, 'max-channels': 7 } },
    ];
    expect(heritage('ingestor', 'ingestor_b', { users, permissions, limits })).toEqual([
      { kind: 'grant', vhost: 'discord', permissions: { configure: '', write: '^discord\\.events$', read: '' } },
      { kind: 'withdraw', vhost: 'other' },
      { kind: 'limit', name: 'max-connections', value: 20 },
      { kind: 'limit', name: 'max-channels', value: -1 },
    ]);
  });

  it('of a user that the broker does not know is refused', () => {
    expect(() => heritage('worker', 'worker_b', { users, permissions: [], limits: [] })).toThrow(
      'the broker does not know the user worker, whose rights its successor is to have: apply the topology first',
    );
  });
});

describe('whose login it may be', () => {
  const settings = {
    managementUrl: '',
    administratorSecretArn: '',
    loginSecretArns: { ingestor: 'arn:a', worker: 'arn:b' },
  };

  it('follows from the secret', () => {
    expect(firstUserOf('arn:b', settings)).toBe('worker');
    expect(() => firstUserOf('arn:c', settings)).toThrow(
      'secret arn:c: expected one of those in LOGIN_SECRET_ARNS, got another. Nothing was changed',
    );
  });

  it.each([
    ['ingestor', true],
    ['ingestor_b', true],
    ['ingestor_b_b', false],
    ['ingesto', false],
    ['worker', false],
    ['administrator', false],
  ])('%s in the secret of the ingestor: %s', (username, is) => {
    const check = () =>
      requireOwnUser('arn:a', 'ingestor', parseLogin('arn:a', JSON.stringify({ ...login, username })));
    if (is) expect(check).not.toThrow();
    else
      expect(check).toThrow(
        'secret arn:a: expected a login of the user ingestor or ingestor_b, got one of another user',
      );
  });

  it('is never the administrator, nor a user with a tag, whichever of the pair has it', () => {
    const pair = ['ingestor', 'ingestor_b'];
    expect(() =>
      requireOrdinaryUsers(pair, 'administrator', [user('ingestor'), user('other', ['management'])]),
    ).not.toThrow();
    expect(() => requireOrdinaryUsers(pair, 'ingestor_b', [])).toThrow('user ingestor_b is the administrator');
    for (const name of pair)
      expect(() => requireOrdinaryUsers(pair, 'administrator', [user(name, ['monitoring'])])).toThrow(
        `user ${name} has the tag monitoring at the broker`,
      );
  });
});

describe('the settings of the function', () => {
  const env = {
    MANAGEMENT_URL: 'https://b-1.mq.eu-central-1.on.aws',
    ADMINISTRATOR_SECRET_ARN: 'arn:administrator',
    LOGIN_SECRET_ARNS: '{"ingestor":"arn:a"}',
  };

  it('come from its environment', () => {
    expect(rotationSettings(env)).toEqual({
      managementUrl: env.MANAGEMENT_URL,
      administratorSecretArn: 'arn:administrator',
      loginSecretArns: { ingestor: 'arn:a' },
    });
  });

  it.each([
    ['MANAGEMENT_URL', undefined, 'MANAGEMENT_URL: expected a value'],
    ['MANAGEMENT_URL', 'http://user:hunter2@127.0.0.1:15672', 'MANAGEMENT_URL: expected an address with https://'],
    ['MANAGEMENT_URL', 'hunter2', 'MANAGEMENT_URL: expected an address with https://'],
    ['ADMINISTRATOR_SECRET_ARN', '', 'ADMINISTRATOR_SECRET_ARN: expected a value'],
    ['LOGIN_SECRET_ARNS', undefined, 'LOGIN_SECRET_ARNS: expected a value'],
    ['LOGIN_SECRET_ARNS', 'hunter2', 'LOGIN_SECRET_ARNS: expected JSON'],
    ['LOGIN_SECRET_ARNS', '["hunter2"]', 'LOGIN_SECRET_ARNS: expected JSON'],
    ['LOGIN_SECRET_ARNS', '{"ingestor":{"hunter2":1}}', 'LOGIN_SECRET_ARNS: expected JSON'],
    ['LOGIN_SECRET_ARNS', '{"ingestor_b":"hunter2"}', 'LOGIN_SECRET_ARNS: expected JSON'],
  ])('are refused in a sentence that does not quote them: %s %s', (name, value, message) => {
    const parse = () => rotationSettings({ ...env, [name]: value });
    expect(parse).toThrow(message);
    expect(parse).not.toThrow(/hunter2/);
  });
});
