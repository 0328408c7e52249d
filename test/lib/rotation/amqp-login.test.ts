// A login is tried within the time of the function, which is ended after a minute, whatever answers in place of the broker.
import { it } from 'vitest';
import { tryLogin } from '../../../lib/rotation/amqp-login.ts';
import { givesUpAfter } from '../../support/given-up.ts';

it('a login is given up when the broker does not finish the handshake within 15 s', async () => {
  const user = { vhost: 'discord', username: 'ingestor', password: 'hunter2', tls: false };
  const reason = /^user ingestor cannot log in to 127\.0\.0\.1:\d+, .* within 15 s/;
  await givesUpAfter(15_000, (port) => tryLogin({ host: '127.0.0.1', port, ...user }), reason);
}, 30_000);
