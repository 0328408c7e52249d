// Whether the task is well, and whether it can work at all: two questions with two answers. Unhealthy says that a
// person or an alarm should look (Discord or the broker may be away); only `live` may make ECS kill the task. Pure.

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
    /** See Shard; Unix ms. */
    readonly identifyingSince: number | undefined;
    readonly confirmedSequence: number | undefined;
    readonly receivedSequence: number | undefined;
  }[];
  readonly receiving: boolean;
  /** What keeps the whole task from Discord (token, budget), one sentence each. */
  readonly discordProblems: readonly string[];
  /** What Discord and its owner let this task do. */
  readonly discord: {
    readonly tokenMissing: boolean;
    /** Discord's REST has asked to wait. */
    readonly restLimited: boolean;
    /** IDENTIFYs are refused for a reason that only a person can change. */
    readonly identifyClosed: boolean;
    readonly maxConcurrency: number;
  };
  readonly broker: {
    readonly connected: boolean;
    readonly channelOpen: boolean;
    readonly blocked: boolean;
    readonly publishCount: number;
    readonly errorCount: number;
    /** When the connections' loops last turned, Unix ms. */
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
    // A standby is connected to nothing, and well.
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
  const { heapLimit, ...figures } = memory;
  const belowThreshold = memory.heapUsed < heapLimit * snapshot.memoryThreshold;
  // A broker that blocks publishers is as good as away.
  const brokerWell = rabbitmq.connected && rabbitmq.channelOpen && !rabbitmq.blocked;
  const healthy = discord.connected && brokerWell && belowThreshold;
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
    checks: { discord, rabbitmq, memory: { ...figures, heapLimit, belowThreshold } },
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

/** A loop that has not turned for so long is stuck: its longest pause is 30 s, its longest handshake 20 s. */
const STUCK_MS = 180_000;

/** That this is asked at all shows that the event loop turns; what can be stuck beside it are the broker's loops. */
export function isLive(snapshot: Pick<HealthSnapshot, 'now' | 'broker'>): boolean {
  return snapshot.now - snapshot.broker.lastTurnAt < STUCK_MS;
}
