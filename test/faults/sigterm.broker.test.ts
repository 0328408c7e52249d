// SIGTERM, as ECS sends it at every deploy. Under load: the shards close resumably, the outbox drains, the last record is
// stored, and the next task resumes with nothing repeated. While the broker is away: what is in the outbox waits for its
// return; a task with nothing to save does not wait.

import { expect } from 'vitest';
import { disaster, disastersOn, read } from './disaster.ts';

disaster('a task that gets SIGTERM under load drains, exits 0, and the next one goes on where it ended', {
  rate: 600,
  shards: 4,
  async happens(stage) {
    const codes: (number | string | undefined)[] = [];
    for (let round = 1; round <= 3; round += 1) {
      codes.push(await stage.living[0]?.terminate());
      await stage.startTask();
      await stage.ready();
      await read(stage, 200);
    }
    expect(stage.simulator?.count('identify'), 'every session was resumed').toBe(4);
    return { codes: codes.join(' '), output: stage.tasks[0]?.output.includes('"msg":"drained"') ? 'drained' : '' };
  },
  bounds({ repeated }, { codes, output }) {
    expect(codes).toBe('0 0 0');
    expect(output).toBe('drained');
    expect(repeated).toBe(0);
  },
});

const strikes = disastersOn({});

strikes('SIGTERM while the broker is away: what was received waits for its return, and then the task exits 0', {
  rate: 300,
  async happens(stage) {
    const [task] = stage.living;
    const identified = stage.simulator?.count('identify');
    await stage.broker.stop();
    await stage.until('100 events wait', 30_000, async () => ((await task?.health())?.outbox.events ?? 0) > 100);
    const exit = task?.terminate();
    await stage.until('it drains', 30_000, () => task?.output.includes('draining') ?? false);
    await stage.broker.start();
    const code = await exit;
    await stage.startTask();
    await stage.ready();
    expect(stage.simulator?.count('identify'), 'the session goes on').toBe(identified);
    return { code: code ?? 'none' };
  },
  bounds(_, { code }) {
    expect(code).toBe(0);
  },
});

for (const [how, away, back] of [
  ['stopped', 'stop', 'start'],
  ['frozen, so that its connections stay open and silent', 'freeze', 'thaw'],
] as const)
  strikes(`SIGTERM while the broker is ${how}: a task with nothing to save exits soon`, {
    rate: 300,
    async happens(stage) {
      const [task] = stage.living;
      stage.simulator?.stopTraffic();
      await stage.until('everything is confirmed and stored', 30_000, async () => {
        const report = await task?.health();
        const [shard] = report?.shards ?? [];
        return report?.outbox.events === 0 && shard?.confirmed === shard?.received;
      });
      await stage.broker[away]();
      const before = Date.now();
      const code = await task?.terminate();
      const exitMs = Date.now() - before;
      await stage.broker[back]();
      await stage.startTask();
      await stage.ready();
      stage.simulator?.startTraffic(300);
      return { code: code ?? 'none', exitMs };
    },
    bounds({ repeated }, { code, exitMs }) {
      expect(code).toBe(0);
      expect(exitMs).toBeLessThan(45_000);
      // Nothing is lost with the last record, which could not be stored: at worst its second is replayed.
      expect(repeated).toBeLessThan(600);
    },
  });
