// The tools of an operator report a broker that does not answer.

import { it } from 'vitest';
import { connectAsOperator } from '../../../lib/operator/connect.ts';
import { givesUpAfter } from '../../support/given-up.ts';

it('a broker that does not finish the handshake is given up after 10 s', async () => {
  const url = (port: number) => `amqp://dead-letters:hunter2@127.0.0.1:${port}/discord`;
  const reason = /did not finish the handshake within 10 s/;
  await givesUpAfter(10_000, (port) => connectAsOperator('tail', { url: url(port) }), reason);
}, 30_000);
