// Secrets of the broker's logins as they may be written, and what a faulty one is refused with.
import { describe, expect, it } from 'vitest';
import { alternateOf, parseAdministrator, parseLogin } from '../../../lib/management/broker-login.ts';

const login = {
  host: 'b-1.mq.eu-central-1.on.aws',
  port: 5671,
  vhost: 'discord',
  username: 'ingestor',
  password: 'old',
};

it('users alternate in pairs', () => {
  expect(alternateOf('ingestor')).toBe('ingestor_b');
  expect(alternateOf('ingestor_b')).toBe('ingestor');
});

describe('a secret that is no login', () => {
  it.each([
    ['not JSON', 'hunter2', 'all of it'],
    ['a field missing', JSON.stringify({ ...login, password: undefined }), 'password'],
    ['an address as the host', JSON.stringify({ ...login, host: 'amqps://a:hunter2@b-1' }), 'host'],
    ['fields of a wrong kind', JSON.stringify({ ...login, port: 'x', vhost: '' }), 'port, vhost'],
  ])('is refused by the names of its fields, never by its content: %s', (_, text, names) => {
    expect(() => parseLogin('broker-ingestor', text)).toThrow(
      `secret broker-ingestor: expected JSON with host, port, vhost, username, password, and something is wrong with ${names}`,
    );
    expect(() => parseLogin('broker-ingestor', text)).not.toThrow(/hunter2|old/);
  });

  it.each([
    ['a bare password', 'hunter2-hunter2', 'all of it'],
    ['a JSON text', '"hunter2-hunter2"', 'all of it'],
    ['no password', '{"username":"hunter2-hunter2"}', 'password'],
    ['an object instead of a password', '{"username":"a","password":{"hunter2-hunter2":"x"}}', 'password'],
    ['nothing', '', 'all of it'],
  ])('of the administrator is refused in the same way: %s', (_, text, names) => {
    expect(() => parseAdministrator('their-secret', text)).toThrow(
      `secret their-secret: expected JSON with username, password, and something is wrong with ${names}`,
    );
    expect(() => parseAdministrator('their-secret', text)).not.toThrow(/hunter2/);
  });
});
