// A login is tried within the time of the function, which is ended after a minute, whatever answers in place of the broker.
import { expect, it, onTestFinished, vi } from 'vitest';
import { tryLogin } from '../../../lib/rotation/amqp-login.ts';
import { silentServer } from '../../support/fake-servers.ts';

it('a login is given up when the broker does not finish the handshake within 15 s', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const server = await silentServer();
  let ended = false;
  const user = { vhost: 'discord', username: 'ingestor', password: 'hunter2', tls: false };
  const tried = tryLogin({ host: '127.0.0.1', port: server.port, ...user }).finally(() => {
    ended = true;
  });
  const late = expect(tried).rejects.toThrow(/^user ingestor cannot log in to 127\.0\.0\.1:\d+, .* within 15 s/);
  await vi.advanceTimersByTimeAsync(14_999);
  expect(ended).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await late;
  await server.close();
}, 30_000);
