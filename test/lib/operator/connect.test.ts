// The tools of an operator report a broker that does not answer.

import { expect, it, onTestFinished, vi } from 'vitest';
import { connectAsOperator } from '../../../lib/operator/connect.ts';
import { silentServer } from '../../support/fake-servers.ts';

it('a broker that does not finish the handshake is given up after 10 s', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const server = await silentServer();
  let ended = false;
  const url = `amqp://dead-letters:hunter2@127.0.0.1:${server.port}/discord`;
  const connecting = connectAsOperator('tail', { url }).finally(() => {
    ended = true;
  });
  const late = expect(connecting).rejects.toThrow(/did not finish the handshake within 10 s/);
  await vi.advanceTimersByTimeAsync(9_999);
  expect(ended).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await late;
  await server.close();
}, 30_000);
