// The decisions of a rotation.
import { describe, expect, it } from 'vitest';
import { nextLogin, requireOrdinaryUsers, rightsFor } from '../../../lib/rotation/rotation.ts';

describe('the next login', () => {
  it('has another user and password, and keeps everything else, fields it does not know included', () => {
    const current = { host: 'b-1.mq', port: 5671, vhost: 'discord', username: 'ingestor', password: 'old', note: 'x' };
    const next = nextLogin(current);
    expect(next).toEqual({ ...current, username: 'ingestor_b', password: next.password });
    // What Amazon MQ takes and an address needs not escape.
    expect(next.password).toMatch(/^[A-Za-z0-9]{40}$/);
    expect(nextLogin(current).password).not.toBe(next.password);
    const others = Array.from({ length: 100 }, () => nextLogin(current).password);
    expect(new Set(others.join('')).size).toBe(62);
  });
});

const user = (name: string, tags: string[] = []) => ({ name, tags });

describe('the rights of the next user', () => {
  const users = [user('ingestor'), user('ingestor_b')];

  it('are permissions and limits of the current user; what the next one has beyond them is withdrawn', () => {
    const all = { configure: '.*', write: '.*', read: '.*' };
    const current = { configure: '', write: '^discord\\.events$', read: '' };
    const permissions = [
      { user: 'ingestor', vhost: 'discord', ...current },
      { user: 'ingestor_b', vhost: 'discord', ...all },
      { user: 'ingestor_b', vhost: 'other', ...all },
      { user: 'somebody', vhost: 'theirs', ...all },
    ];
    const limits = [
      { user: 'ingestor', value: { 'max-connections': 20 } },
      { user: 'ingestor_b', value: { 'max-connections': 5, 'max-channels': 7 } },
    ];
    expect(rightsFor('ingestor_b', 'ingestor', { users, permissions, limits })).toEqual({
      granted: [{ vhost: 'discord', permissions: current }],
      withdrawn: ['other'],
      limits: { 'max-connections': 20, 'max-channels': -1 },
    });
  });

  it('are refused where the broker does not know the current user', () => {
    expect(() => rightsFor('worker_b', 'worker', { users, permissions: [], limits: [] })).toThrow(
      'the broker does not know the user worker, whose permissions its successor gets: apply the topology first',
    );
  });
});

it('neither the administrator nor a user with a tag is given a password, whichever of the pair it is', () => {
  const check = (administrator: string, ...users: ReturnType<typeof user>[]) =>
    expect(() => requireOrdinaryUsers(['ingestor', 'ingestor_b'], administrator, users));
  check('administrator', user('ingestor'), user('other', ['management'])).not.toThrow();
  check('ingestor_b').toThrow('user ingestor_b is the administrator, whose login is not rotated. Nothing was changed');
  for (const name of ['ingestor', 'ingestor_b'])
    check('administrator', user(name, ['monitoring'])).toThrow(`user ${name} has the tag monitoring at the broker`);
});
