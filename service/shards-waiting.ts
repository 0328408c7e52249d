// How many shards are not connected for a reason outside the release: the bot's owner, Discord or the broker has yet to
// allow it. The alarms that roll a deployment back do not count these (lib/release-alarms.ts). Every other reason counts
// against the release: intents, shard number or token refused, Discord not reached. Pure.

import type { HealthSnapshot } from './health.ts';

type Waiting = Pick<HealthSnapshot, 'now' | 'role' | 'shardCount' | 'receiving' | 'discord' | 'identifies'> & {
  readonly broker: Pick<HealthSnapshot['broker'], 'channelOpen' | 'blocked'>;
  readonly shards: readonly Pick<
    HealthSnapshot['shards'][number],
    'state' | 'connected' | 'confirmedSequence' | 'identifyingSince'
  >[];
};

/** One IDENTIFY per bucket: Discord's 5 s and the identify gate's margin. */
const TURN_MS = 5_250;
/** For the first connection, and for IDENTIFYs that fail. */
const GRACE_MS = 60_000;

export function shardsWaiting(snapshot: Waiting): number {
  const { broker, discord, identifies, now, receiving, role } = snapshot;
  const away = snapshot.shards.filter(({ connected }) => !connected);
  // The outbox is full because the broker takes nothing. Whether it can be used is another metric.
  if (role === 'owner' && !receiving && (broker.blocked || !broker.channelOpen)) return away.length;
  // A shard with a session could resume it, and had a token before: only a new session may have to wait.
  const without = away.filter(({ confirmedSequence }) => confirmedSequence === undefined);
  if (discord.tokenMissing || discord.restLimited) return without.length;
  if (discord.identifyClosed) return 0;
  const everyonesTurnMs = GRACE_MS + (TURN_MS * (snapshot.shardCount ?? 0)) / discord.maxConcurrency;
  return without.filter(
    ({ state, identifyingSince }) =>
      state === 'identifying' &&
      identifyingSince !== undefined &&
      (identifies.spentUntil !== undefined || now - identifyingSince <= everyonesTurnMs),
  ).length;
}
