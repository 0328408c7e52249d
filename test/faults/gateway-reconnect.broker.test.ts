// Discord keeps the session and the connection ends all the same: it asks for another (op 7), says that the session must
// be resumed (op 9), stops answering heartbeats, goes silent, or the network breaks. Each time the session is resumed from
// the last confirmed sequence, and nothing is repeated, because what is still in the outbox is known.

import { expect } from 'vitest';
import type { Stage } from '../../local/stage.ts';
import { disastersOn, read } from './disaster.ts';

const SHARDS = 2;
const strikes = disastersOn({ shards: SHARDS, simulator: { heartbeatIntervalMs: 1_500 } });

/** What happens, and then every shard resumes: no IDENTIFY, and no session but those that there were. */
async function allResume(stage: Stage, happens: () => void, times = 1): Promise<undefined> {
  const { simulator } = stage;
  if (simulator === undefined) throw new Error('this disaster needs the simulator');
  const [resumed, identified] = [simulator.count('resumed'), simulator.count('identify')];
  happens();
  await simulator.waitFor('resumed', resumed + SHARDS * times, 60_000);
  expect(simulator.count('identify')).toBe(identified);
  return undefined;
}

const RESUMES = { rate: 400, trafficAfterMs: 500, bounds: nothingRepeated } as const;

function nothingRepeated({ repeated }: { repeated: number }): void {
  expect(repeated).toBe(0);
}

strikes('op 7: the session goes on over another connection', {
  ...RESUMES,
  happens: (stage) => allResume(stage, () => stage.simulator?.reconnect()),
});

strikes('op 9 that says resumable: the session goes on', {
  ...RESUMES,
  happens: (stage) => allResume(stage, () => stage.simulator?.invalidate(undefined, { resumable: true })),
});

strikes('a zombie that acknowledges no heartbeat is left, and its session goes on', {
  ...RESUMES,
  happens: (stage) => allResume(stage, () => stage.simulator?.freeze()),
});

strikes('a connection that falls silent is left, and its session goes on', {
  ...RESUMES,
  happens: (stage) => allResume(stage, () => stage.simulator?.freeze(undefined, { silent: true })),
});

strikes('a storm of resets, each as soon as the session is resumed, loses nothing and is not waited out', {
  ...RESUMES,
  async happens(stage) {
    let longestMs = 0;
    for (let round = 1; round <= 4; round += 1) {
      const startedAt = Date.now();
      await allResume(stage, () => stage.simulator?.dropConnections());
      longestMs = Math.max(longestMs, Date.now() - startedAt);
    }
    return { longestMs };
  },
  bounds({ repeated }, { longestMs }) {
    expect(repeated).toBe(0);
    // A pause of two seconds at most, however many connections came before; the rest is for a busy machine.
    expect(longestMs).toBeLessThan(8_000);
  },
});

strikes('a reset in the middle of a replay loses nothing', {
  ...RESUMES,
  async happens(stage) {
    const { simulator } = stage;
    simulator?.refuseConnections(true);
    simulator?.dropConnections();
    simulator?.burst(2_000);
    const resumes = simulator?.count('resume') ?? 0;
    simulator?.refuseConnections(false);
    // RESUME has come, and thousands of replayed dispatches are on the way.
    await simulator?.waitFor('resume', resumes + SHARDS, 60_000);
    return await allResume(stage, () => simulator?.dropConnections());
  },
});

strikes('op 1: a heartbeat that Discord asks for comes at once, with the confirmed sequence', {
  ...RESUMES,
  async happens(stage) {
    const { simulator } = stage;
    const heard = simulator?.count('heartbeat') ?? 0;
    simulator?.sendHeartbeatRequest();
    await simulator?.waitFor('heartbeat', heard + SHARDS);
    await read(stage, 50);
    return undefined;
  },
});
