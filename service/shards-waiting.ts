// How many shards are not connected for a reason that no release causes: they wait for the bot's owner, Discord or the
// broker. The alarms that roll a deployment back do not count these (lib/release-alarms.ts). Every other reason counts
// against the release: intents, shard number or token refused, Discord not reached. Pure.

import { IDENTIFY_SPACING_MS } from './contract/limits.ts';
import { confirmProblems, type HealthSnapshot } from './health.ts';

/** For the first connection, and for failed IDENTIFYs. */
const GRACE_MS = 60_000;

export function shardsWaiting(snapshot: HealthSnapshot): number {
  const { broker, discord, identifies, now, receiving, role, shardCount = 0 } = snapshot;
  const missing = snapshot.shards.filter(({ connected }) => !connected);
  // The outbox is full because the broker takes no messages.
  const mayFill = broker.blocked || !broker.channelOpen || confirmProblems(broker).length > 0;
  if (role === 'owner' && !receiving && mayFill) return missing.length;
  // A shard with a session could resume it, and had a token before: only a new session may have to wait.
  const withoutSession = missing.filter(({ confirmedSequence }) => confirmedSequence === undefined);
  if (discord.tokenMissing || discord.restLimited) return withoutSession.length;
  if (discord.identifyClosed) return 0;
  const allShardsMs = GRACE_MS + (IDENTIFY_SPACING_MS * shardCount) / discord.maxConcurrency;
  return withoutSession.filter(
    ({ state, identifyingSince }) =>
      state === 'identifying' &&
      identifyingSince !== undefined &&
      (identifies.spentUntil !== undefined || now - identifyingSince <= allShardsMs),
  ).length;
}
