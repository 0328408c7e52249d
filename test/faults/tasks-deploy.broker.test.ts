// A deploy under load. Two tasks hold 32 shards and a third stands by; three new ones come, and then the old ones get
// SIGTERM one after the other, as ECS does it. Each hands its group over: the sessions go on, nothing is sent twice, and
// a worker notices a pause of less than a second.

import { expect } from 'vitest';
import { disaster } from './disaster.ts';
import { deploy } from './tasks.ts';

disaster('a deploy hands every session over: nothing is lost, nothing repeated', {
  tasks: 3,
  shards: 32,
  rate: 1_000,
  async happens(stage) {
    const identified = stage.simulator?.count('identify');
    const codes = await deploy(stage);
    return { codes: codes.join(' '), identifies: (stage.simulator?.count('identify') ?? 0) - (identified ?? 0) };
  },
  bounds({ repeated }, { codes, identifies }) {
    expect(codes, 'every task drained').toBe('0 0 0');
    expect(identifies, 'sessions are resumed, not begun').toBe(0);
    expect(repeated).toBe(0);
  },
});
