// Whether the task is healthy, and whether it is live. Unhealthy: a person or an alarm should look (Discord or the broker
// may be away). Only a task that is not live is killed by ECS. Pure.

export interface HealthSnapshot {
  readonly now: number;
  readonly environment: string;
  readonly shardCount: number | undefined;
  readonly group: number | undefined;
  readonly role: 'owner' | 'standby' | 'draining';
  readonly shards: readonly {
    readonly id: number;
    readonly state: string;
    readonly connected: boolean;
    readonly latencyMs: number | undefined;
    readonly problem: string | undefined;
    /** Since when it waits to IDENTIFY, Unix ms. See Shard. */
    readonly identifyingSince: number | undefined;
    readonly confirmedSequence: number | undefined;
    readonly receivedSequence: number | undefined;
  }[];
  readonly receiving: boolean;
  /** What keeps all shards from Discord (token, budget), one sentence each. */
  readonly discordProblems: readonly string[];
  readonly discord: {
    readonly tokenMissing: boolean;
    /** Discord's REST API answered with a rate limit. */
    readonly restLimited: boolean;
    /** Discord refuses every IDENTIFY until a person changes something. */
    readonly identifyClosed: boolean;
    readonly maxConcurrency: number;
  };
  readonly broker: {
    readonly connected: boolean;
    readonly channelOpen: boolean;
    readonly blocked: boolean;
    readonly publishCount: number;
    readonly errorCount: number;
    /** When the slower of the two connection loops last ran, Unix ms. */
    readonly lastTurnAt: number;
  };
  readonly outbox: { readonly events: number; readonly bytes: number; readonly usedPercent: number };
  readonly identifies: { readonly remaining: number | undefined; readonly spentUntil: number | undefined };
  readonly lease: Readonly<Record<string, unknown>>;
  readonly memory: {
    readonly heapUsed: number;
    readonly heapTotal: number;
    readonly rss: number;
    readonly heapLimit: number;
  };
  readonly memoryThreshold: number;
}

export function healthReport(snapshot: HealthSnapshot) {
  const { shards, memory, role, shardCount = null, group = null } = snapshot;
  const { lastTurnAt: _, ...rabbitmq } = snapshot.broker;
  const { remaining = null, spentUntil } = snapshot.identifies;
  const latencies = shards.flatMap(({ latencyMs }) => latencyMs ?? []);
  const problems = [...new Set([...snapshot.discordProblems, ...shards.flatMap(({ problem }) => problem ?? [])])];
  const connected = shards.filter((shard) => shard.connected).length;
  const discord = {
    // A standby has no shards, and is healthy.
    connected: role === 'owner' ? connected > 0 && connected === shards.length : problems.length === 0,
    latency: latencies.length > 0 ? Math.max(...latencies) : null,
    ...(problems.length > 0 && { problems }),
  };
  const belowThreshold = memory.heapUsed < memory.heapLimit * snapshot.memoryThreshold;
  const healthy = discord.connected && isUsable(rabbitmq) && belowThreshold;
  return {
    status: healthy ? ('healthy' as const) : ('unhealthy' as const),
    timestamp: new Date(snapshot.now).toISOString(),
    environment: snapshot.environment,
    role,
    shard: { count: shardCount, group, assigned: shards.map(({ id }) => id), connected },
    checks: { discord, rabbitmq, memory: { ...memory, belowThreshold } },
    outbox: { ...snapshot.outbox, receiving: snapshot.receiving },
    identifies: { remaining, spentUntil: spentUntil === undefined ? null : new Date(spentUntil).toISOString() },
    lease: snapshot.lease,
    shards: shards.map(({ id, state, latencyMs, problem, confirmedSequence, receivedSequence }) => ({
      id,
      state,
      latency: latencyMs ?? null,
      confirmed: confirmedSequence ?? null,
      received: receivedSequence ?? null,
      ...(problem !== undefined && { problem }),
    })),
  };
}

export type HealthReport = ReturnType<typeof healthReport>;

/** A broker that blocks publishers is as unusable as one that is away. */
export function isUsable(broker: Pick<HealthSnapshot['broker'], 'connected' | 'channelOpen' | 'blocked'>): boolean {
  return broker.connected && broker.channelOpen && !broker.blocked;
}

/** The longest pause of a connection's loop is 30 s, its longest handshake 20 s: after this time it is stuck. */
const STUCK_MS = 180_000;

/** An answer proves that the event loop runs; the loops of the broker's connections can be stuck all the same. */
export function isLive({ now, broker }: Pick<HealthSnapshot, 'now' | 'broker'>): boolean {
  return now - broker.lastTurnAt < STUCK_MS;
}
