// The broker's process is killed with kill -9, with publishes on the way: nobody is told, and only what is confirmed is
// on its disk. It comes back with that, and the rest is published again.

import { expect } from 'vitest';
import { disaster } from './disaster.ts';

disaster('a broker killed with kill -9 keeps what it confirmed, and is given the rest again', {
  rate: 300,
  async happens({ broker }) {
    await broker.kill();
    await broker.start();
    return undefined;
  },
  bounds({ repeated }) {
    expect(repeated).toBeLessThan(2_048);
  },
});
