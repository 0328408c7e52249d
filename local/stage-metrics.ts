// What a running stage measures, for the demo and the throughput: the service's own metrics, read from /metrics of every
// task, with what the simulator sent and the reader read.

import { METRICS } from '../service/contract/metrics.ts';
import { QUEUES } from '../service/contract/names.ts';
import type { DiscordSimulator } from './discord/simulator.ts';
import type { Stage } from './stage.ts';
import { type Mark, markOf } from './verdict.ts';

/** Younger events count as in transit, not as lost. */
const IN_TRANSIT_MS = 15_000;

export type StageMetrics = Awaited<ReturnType<MetricsCollector['collect']>>;
export type TaskMetrics = StageMetrics['tasks'][number];

export class MetricsCollector {
  readonly #stage: Stage;
  /** The last values of each task, kept when it ends: a counter starts again with its process. */
  readonly #last = new Map<string, ReadonlyMap<string, number>>();
  readonly #marks: { readonly at: number; readonly mark: Mark }[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async collect() {
    const { broker, reader, simulator } = this.#stage;
    const verdict = simulator && this.#stage.verdict();
    const [tasks] = await Promise.all([this.#tasks(), this.#readMetrics()]);
    const all = [...this.#last.values()];
    const living = this.#stage.living.flatMap(({ name }) => this.#last.get(name) ?? []);
    return {
      at: Date.now(),
      /** Due to workers, as the simulator counts; none with the real Discord. */
      sent: verdict === undefined ? null : verdict.due + verdict.announced,
      /** Due and not read; none with the real Discord. */
      lost: simulator === undefined ? null : this.#lost(simulator),
      received: sum(all, METRICS.eventsReceived.prometheus),
      filtered: sum(all, METRICS.eventsFiltered.prometheus),
      published: sum(all, METRICS.eventsPublished.prometheus),
      confirmed: sum(all, METRICS.eventsConfirmed.prometheus),
      read: reader.events,
      repeated: reader.repeats,
      gaps: reader.gaps.size,
      perQueue: Object.values(QUEUES).map((queue) => ({
        queue,
        read: reader.perQueue.get(queue) ?? 0,
        waiting: find(living, `${METRICS.queueDepth.prometheus}{queue="${queue}"}`),
      })),
      /** Different events read, by their type, the most frequent first. */
      perType: Object.fromEntries([...reader.perType].sort(([, a], [, b]) => b - a)),
      latency: latencyOf(all),
      /** Answers to the simulated interactions; `null` without a worker. */
      replies: this.#stage.worker && simulator ? simulator.callbacks.replies : null,
      outbox: {
        events: sum(living, METRICS.outboxEvents.prometheus),
        bytes: sum(living, METRICS.outboxBytes.prometheus),
      },
      longestSilenceMs: reader.longestSilenceMs,
      nodes: await Promise.all(broker.nodes.map(async (node) => ({ name: node.name, running: await node.running() }))),
      tasks,
    };
  }

  async #tasks() {
    const { silences } = this.#stage.reader;
    return (await this.#stage.reports()).map(({ task, role, shard, checks, problems }) => ({
      name: task.name,
      url: task.url,
      role,
      group: shard.group,
      /** The longest time without an event of its group; none for a standby. */
      silenceMs: shard.group === null ? null : (silences.get(shard.group)?.longestMs ?? null),
      shards: { assigned: shard.assigned.length, connected: shard.connected },
      rss: checks.memory.rss,
      heapUsed: checks.memory.heapUsed,
      problems,
    }));
  }

  async #readMetrics(): Promise<void> {
    await Promise.all(
      this.#stage.living.map(async (task) => {
        const metrics = await task.metrics();
        if (metrics.size > 0) this.#last.set(task.name, metrics);
      }),
    );
  }

  /** Judged by the newest mark that is old enough. */
  #lost(simulator: DiscordSimulator): number {
    const before = Date.now() - IN_TRANSIT_MS;
    this.#marks.push({ at: Date.now(), mark: markOf(simulator) });
    while ((this.#marks[1]?.at ?? Number.POSITIVE_INFINITY) <= before) this.#marks.shift();
    const [oldest] = this.#marks;
    return oldest === undefined || oldest.at > before ? 0 : this.#stage.verdict(oldest.mark).lost;
  }
}

function sum(tasks: readonly ReadonlyMap<string, number>[], name: string): number {
  return tasks.reduce((total, each) => total + (each.get(name) ?? 0), 0);
}

/** The value of a task that has this metric. */
function find(tasks: readonly ReadonlyMap<string, number>[], name: string): number | null {
  return tasks.find((each) => each.has(name))?.get(name) ?? null;
}

/** Percentiles out of the buckets of all tasks, in milliseconds. */
function latencyOf(tasks: readonly ReadonlyMap<string, number>[]) {
  const bucket = new RegExp(`^${METRICS.frameToConfirm.prometheus}_bucket\\{le="(.+)"\\}$`);
  const counts = new Map<number, number>();
  for (const [name, count] of tasks.flatMap((each) => [...each])) {
    const [, bound] = bucket.exec(name) ?? [];
    if (bound === undefined) continue;
    const le = bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound);
    counts.set(le, (counts.get(le) ?? 0) + count);
  }
  const sorted = [...counts].sort(([a], [b]) => a - b);
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
}

/** @param buckets upper bound and cumulative count, ascending @returns by linear interpolation within the bucket */
function quantile(buckets: readonly (readonly [number, number])[], share: number): number | null {
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total === 0) return null;
  const index = buckets.findIndex(([, count]) => count >= share * total);
  const [low, below] = buckets[index - 1] ?? [0, 0];
  const [high, count] = buckets[index] ?? [low, below];
  if (!Number.isFinite(high)) return low;
  return low + ((high - low) * (share * total - below)) / Math.max(1, count - below);
}
