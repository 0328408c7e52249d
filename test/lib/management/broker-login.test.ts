// Secrets of the broker's logins as people may write them, the environment that names them, and what a faulty one is
// refused with: a sentence that never quotes it.
import { describe, expect, it } from 'vitest';
import { alternateOf, parseAdministrator, parseLogin } from '../../../lib/management/broker-login.ts';
import { functionSettings } from '../../../lib/management/function-settings.ts';

const login = {
  host: 'b-1.mq.eu-central-1.on.aws',
  port: 5671,
  vhost: 'discord',
  username: 'ingestor',
  password: 'old',
};

it('users alternate in pairs', () => {
  expect([alternateOf('ingestor'), alternateOf('ingestor_b')]).toEqual(['ingestor_b', 'ingestor']);
});

describe('a secret that is no login', () => {
  it.each([
    ['not JSON', 'hunter2', 'all of it'],
    ['an address as the host', JSON.stringify({ ...login, host: 'amqps://a:hunter2@b-1' }), 'host'],
    ['fields of a wrong kind', JSON.stringify({ ...login, port: 65_536, vhost: '' }), 'port, vhost'],
    [
      'no port, and no text',
      JSON.stringify({ ...login, port: 0, username: '', password: '' }),
      'port, username, password',
    ],
  ])('is refused by the names of its fields: %s', (_, text, names) => {
    const parse = () => parseLogin('broker-ingestor', 'ingestor', text);
    expect(parse).toThrow(
      `secret broker-ingestor: expected JSON with host, port, vhost, username, password, and something is wrong with ${names}`,
    );
    expect(parse).not.toThrow(/hunter2|old/);
  });

  it.each([
    ['a bare password', 'hunter2-hunter2', 'all of it'],
    ['no password', '{"username":"hunter2-hunter2"}', 'password'],
    ['no user', '{"password":"hunter2-hunter2"}', 'username'],
  ])('of the administrator is refused in the same way: %s', (_, text, names) => {
    const parse = () => parseAdministrator('their-secret', text);
    expect(parse).toThrow(
      `secret their-secret: expected JSON with username, password, and something is wrong with ${names}`,
    );
    expect(parse).not.toThrow(/hunter2/);
  });

  it.each([
    ['ingestor', true],
    ['ingestor_b', true],
    ['ingestor_b_b', false],
    ['worker', false],
  ])('of the pair of the ingestor, but of the user %s: %s', (username, isAccepted) => {
    const parse = () => parseLogin('arn:a', 'ingestor', JSON.stringify({ ...login, username, note: 'kept' }));
    if (isAccepted) expect(parse()).toEqual({ ...login, username, note: 'kept' });
    else
      expect(parse).toThrow(
        'secret arn:a: expected a login of the user ingestor or ingestor_b, got one of another user. Nothing was changed at the broker: correct the secret',
      );
  });
});

describe('the settings of the functions', () => {
  const env = {
    MANAGEMENT_URL: 'https://b-1.mq.eu-central-1.on.aws',
    ADMINISTRATOR_SECRET_ARN: 'arn:administrator',
    LOGIN_SECRET_ARNS: '{"ingestor":"arn:a"}',
  };

  it.each([
    ['MANAGEMENT_URL', undefined, 'MANAGEMENT_URL: expected a value'],
    ['MANAGEMENT_URL', 'http://user:hunter2@127.0.0.1:15672', 'MANAGEMENT_URL: expected https://host'],
    ['MANAGEMENT_URL', 'hunter2', 'MANAGEMENT_URL: expected https://host'],
    ['ADMINISTRATOR_SECRET_ARN', '', 'ADMINISTRATOR_SECRET_ARN: expected a value'],
    ['LOGIN_SECRET_ARNS', 'hunter2', 'LOGIN_SECRET_ARNS: expected JSON'],
    ['LOGIN_SECRET_ARNS', '{"ingestor":{"hunter2":1}}', 'LOGIN_SECRET_ARNS: expected JSON'],
    ['LOGIN_SECRET_ARNS', '{"ingestor_b":"hunter2"}', 'LOGIN_SECRET_ARNS: expected JSON'],
  ])('are refused in a sentence: %s %s', (name, value, message) => {
    const parse = () => functionSettings({ ...env, [name]: value });
    expect(parse).toThrow(message);
    expect(parse).not.toThrow(/hunter2/);
  });
});
