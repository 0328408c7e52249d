// Faults by chance, for a simulator that runs by itself: every so often one of the chosen kinds happens to one shard.
// The row of kinds follows from the seed; which shards are connected does not.

import { Random } from './random.ts';
import type { DiscordSimulator } from './simulator.ts';

type Fault = (simulator: DiscordSimulator, shardId: number, random: Random) => void;

/** How long a zombie stays one. */
const FROZEN_MS = 10_000;

export const FAULTS = {
  reconnect: (simulator, shardId) => simulator.reconnect(shardId),
  'invalidate-resumable': (simulator, shardId) => simulator.invalidate(shardId, { resumable: true }),
  invalidate: (simulator, shardId) => simulator.invalidate(shardId, { resumable: false }),
  close: (simulator, shardId, random) => simulator.close(shardId, random.pick([4000, 4008, 1001, 1011])),
  drop: (simulator, shardId) => simulator.dropConnections(shardId),
  zombie: (simulator, shardId) => freeze(simulator, shardId, false),
  silence: (simulator, shardId) => freeze(simulator, shardId, true),
} as const satisfies Record<string, Fault>;

export type FaultKind = keyof typeof FAULTS;

export const FAULT_KINDS = Object.keys(FAULTS) as [FaultKind, ...FaultKind[]];

/** @returns stops it */
export function startRandomFaults(
  simulator: DiscordSimulator,
  kinds: readonly [FaultKind, ...FaultKind[]],
  everyMs: number,
  told: (fault: FaultKind, shardId: number) => void = () => undefined,
): () => void {
  const random = new Random(simulator.options.seed, 13);
  const timer = setInterval(() => {
    const connected = simulator.sessions.filter(({ attached }) => attached).map(({ shardId }) => shardId);
    const kind = random.pick(kinds);
    const shardId = connected[random.below(connected.length)];
    if (shardId === undefined) return;
    FAULTS[kind](simulator, shardId, random);
    told(kind, shardId);
  }, everyMs);
  return () => clearInterval(timer);
}

function freeze(simulator: DiscordSimulator, shardId: number, silent: boolean): void {
  simulator.freeze(shardId, { silent });
  setTimeout(() => simulator.thaw(shardId), FROZEN_MS).unref();
}
