// RabbitMQ is stopped in mid-stream and comes back with its data, as at Amazon MQ's weekly maintenance. Connections close,
// publishes on the way stay unanswered; meanwhile Discord goes on. Everything waits in the outbox and leaves in order.

import { expect } from 'vitest';
import { disaster } from './disaster.ts';

disaster('a broker that restarts in mid-stream costs nothing', {
  rate: 300,
  async happens({ broker }) {
    await broker.restart();
    return undefined;
  },
  bounds({ repeated }) {
    // At most what was written and not yet answered when the connection went.
    expect(repeated).toBeLessThan(2_048);
  },
});
