// The rules of the lease, played at random against a model of the broker (lease-model.ts): tasks start, are killed, are
// asked to end, lose their connection or are lost by the broker first, timers fire late, queues are deleted, and
// something unreadable lies in them. The promises are checked after each move, and once more when all has come to rest.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LeaseModel, type Move } from './lease-model.ts';

const runs = Number(process.env.LEASE_RUNS ?? 2_000);
const seed = process.env.LEASE_SEED === undefined ? {} : { seed: Number(process.env.LEASE_SEED) };

/** Faults are rarer than work: otherwise nothing ever gets anywhere. */
function choose(model: LeaseModel, pick: number, faultPercent: number): Move | undefined {
  const moves = model.moves({ faults: true });
  const die = pick % 100;
  const kind = die < faultPercent ? 'fault' : die < faultPercent + 22 ? 'timer' : 'work';
  const ofKind = moves.filter((move) => move.kind === kind);
  const among = ofKind.length > 0 ? ofKind : moves;
  return among[Math.floor(pick / 100) % among.length];
}

it('keeps every promise of the lease, whatever happens in whatever order', () => {
  let played = 0;
  fc.assert(
    fc.property(
      fc.record({
        tasks: fc.integer({ min: 1, max: 4 }),
        faultPercent: fc.integer({ min: 0, max: 15 }),
        picks: fc.array(fc.nat({ max: 1_000_000 }), { minLength: 10, maxLength: 250, size: 'max' }),
      }),
      ({ tasks, faultPercent, picks }) => {
        const model = new LeaseModel();
        for (let index = 0; index < tasks; index += 1) model.startTask();
        for (const pick of picks) {
          const move = choose(model, pick, faultPercent);
          if (move !== undefined) model.play(move);
        }
        model.comeToRest();
        played += model.trace.length;
      },
    ),
    { numRuns: runs, ...seed },
  );
  expect(played).toBeGreaterThan(runs * 20);
});
