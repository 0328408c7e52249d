// Whether the task is healthy, and whether it is live. Unhealthy is for a person or an alarm (Discord or the broker may be
// away); only a task that is not live is killed by ECS. Pure.

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
    /** Unix ms. */
    readonly identifyingSince: number | undefined;
    readonly confirmedSequence: number | undefined;
    readonly receivedSequence: number | undefined;
  }[];
  readonly receiving: boolean;
  /** Why the whole task cannot connect to Discord (token, budget), one sentence each. */
  readonly discordProblems: readonly string[];
  /** What Discord and the bot's owner allow this task. */
  readonly discord: {
    readonly tokenMissing: boolean;
    /** Discord's REST rate limit makes requests wait. */
    readonly restLimited: boolean;
    /** Discord refuses IDENTIFY for a reason that only a person can change. */
    readonly identifyClosed: boolean;
    readonly maxConcurrency: number;
  };
  readonly broker: {
    readonly connected: boolean;
    readonly channelOpen: boolean;
    readonly blocked: boolean;
    readonly publishCount: number;
    readonly errorCount: number;
    /** When a loop of the two connections last turned, the earlier of both, Unix ms. */
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
  const { shards, broker, memory } = snapshot;
  const latencies = shards.flatMap(({ latencyMs }) => (latencyMs === undefined ? [] : [latencyMs]));
  const owner = snapshot.role === 'owner';
  const problems = [...new Set([...snapshot.discordProblems, ...shards.flatMap(({ problem }) => problem ?? [])])];
  const discord = {
    // A standby has no shards to connect.
    connected: owner ? shards.length > 0 && shards.every(({ connected }) => connected) : problems.length === 0,
    latency: latencies.length > 0 ? Math.max(...latencies) : null,
    ...(problems.length > 0 && { problems }),
  };
  const rabbitmq = {
    connected: broker.connected,
    channelOpen: broker.channelOpen,
    blocked: broker.blocked,
    publishCount: broker.publishCount,
    errorCount: broker.errorCount,
  };
  const belowThreshold = memory.heapUsed < memory.heapLimit * snapshot.memoryThreshold;
  const brokerHealthy = rabbitmq.connected && rabbitmq.channelOpen && !rabbitmq.blocked;
  const healthy = discord.connected && brokerHealthy && belowThreshold;
  return {
    status: healthy ? ('healthy' as const) : ('unhealthy' as const),
    timestamp: new Date(snapshot.now).toISOString(),
    environment: snapshot.environment,
    role: snapshot.role,
    shard: {
      count: snapshot.shardCount ?? null,
      group: snapshot.group ?? null,
      assigned: shards.map(({ id }) => id),
      connected: shards.filter(({ connected }) => connected).length,
    },
    checks: { discord, rabbitmq, memory: { ...memory, belowThreshold } },
    outbox: { ...snapshot.outbox, receiving: snapshot.receiving },
    identifies: {
      remaining: snapshot.identifies.remaining ?? null,
      spentUntil:
        snapshot.identifies.spentUntil === undefined ? null : new Date(snapshot.identifies.spentUntil).toISOString(),
    },
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

/** A loop that did not turn for so long is stuck: its longest pause is 30 s, its longest handshake 20 s. */
const STUCK_MS = 180_000;

/** Every answer shows that the event loop turns; the loops of the broker's connections may be stuck all the same. */
export function isLive(snapshot: Pick<HealthSnapshot, 'now' | 'broker'>): boolean {
  return snapshot.now - snapshot.broker.lastTurnAt < STUCK_MS;
}
