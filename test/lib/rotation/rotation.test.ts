// The decisions of a rotation.
import { describe, expect, it } from 'vitest';
import { parseLogin } from '../../../lib/management/broker-login.ts';
import { heritage, newPassword, nextLogin } from '../../../lib/rotation/rotation.ts';

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

describe('the heritage', () => {
  const users = [
    { name: 'ingestor', tags: ['monitoring'], passwordHash: undefined, hashingAlgorithm: undefined },
    { name: 'ingestor_b', tags: [], passwordHash: undefined, hashingAlgorithm: undefined },
  ];

  it('is the tags and the rights of the current user; what the next one has beyond them is withdrawn, last', () => {
    const permissions = [
      { user: 'ingestor', vhost: 'discord', configure: '', write: '^discord\\.events$', read: '' },
      { user: 'ingestor_b', vhost: 'discord', ...all },
      { user: 'ingestor_b', vhost: 'other', ...all },
      { user: 'somebody', vhost: 'other', ...all },
    ];
    expect(heritage('ingestor', 'ingestor_b', users, permissions)).toEqual({
      tags: ['monitoring'],
      rights: [
        { kind: 'grant', vhost: 'discord', permissions: { configure: '', write: '^discord\\.events$', read: '' } },
        { kind: 'withdraw', vhost: 'other' },
      ],
    });
  });

  it('of a user that the broker does not know is refused', () => {
    expect(() => heritage('worker', 'worker_b', users, [])).toThrow(
      'the broker does not know the user worker, whose rights its successor is to have: apply the topology first',
    );
  });
});
