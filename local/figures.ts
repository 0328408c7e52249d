// The figures of a running stage, as the demo's table and its JSON show them: the service's own, read from /metrics of
// every task, beside what the simulator sent and the reader read.

import { METRICS } from '../service/contract/metrics.ts';
import { QUEUES } from '../service/contract/names.ts';
import type { HealthReport } from '../service/health.ts';
import type { Reader } from './reader.ts';
import type { Stage } from './stage.ts';

const ON_THE_WAY_MS = 15_000;

export interface TaskFigures {
  readonly name: string;
  readonly url: string;
  readonly role: string;
  readonly group: number | null;
  /** The longest time without an event of its group, milliseconds; none for a standby. */
  readonly silenceMs: number | null;
  readonly shards: { readonly assigned: number; readonly connected: number };
  readonly rss: number;
  readonly heapUsed: number;
  readonly problems: readonly string[];
}

export interface Figures {
  readonly at: number;
  /** Due to workers, as the simulator counts; none with the real Discord. */
  readonly sent: number | null;
  /** Due since at least 15 s and not read; what is younger is on its way. None with the real Discord. */
  readonly lost: number | null;
  readonly received: number;
  readonly filtered: number;
  readonly published: number;
  readonly confirmed: number;
  readonly read: number;
  readonly repeated: number;
  readonly gaps: number;
  readonly perQueue: readonly { readonly queue: string; readonly read: number; readonly waiting: number | null }[];
  readonly latency: { readonly p50: number | null; readonly p99: number | null };
  readonly outbox: { readonly events: number; readonly bytes: number };
  readonly longestSilenceMs: number;
  readonly tasks: readonly TaskFigures[];
}

/** What tasks that have ended had counted: a counter starts anew with its process. */
export class FigureCollector {
  readonly #stage: Stage;
  /** The last figures of each task, kept when it ends. */
  readonly #last = new Map<string, ReadonlyMap<string, number>>();
  readonly #depths = new Map<string, number>();
  readonly #marks: { readonly at: number; readonly mark: ReadonlyMap<string, number> }[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** The newest mark that is old enough; older ones are not needed any more. */
  #lost(): number | null {
    if (this.#stage.simulator === undefined) return null;
    while ((this.#marks[1]?.at ?? Number.POSITIVE_INFINITY) <= Date.now() - ON_THE_WAY_MS) this.#marks.shift();
    const [oldest] = this.#marks;
    if (oldest === undefined || oldest.at > Date.now() - ON_THE_WAY_MS) return 0;
    return this.#stage.verdict(oldest.mark).lost;
  }

  async collect(): Promise<Figures> {
    const { reader, simulator } = this.#stage;
    const verdict = simulator && this.#stage.verdict();
    this.#marks.push({ at: Date.now(), mark: this.#stage.mark() });
    const tasks: TaskFigures[] = [];
    await Promise.all(
      this.#stage.living.map(async (task) => {
        const [figures, report] = await Promise.all([task.figures(), task.health()]);
        if (figures.size > 0) this.#last.set(task.name, figures);
        if (report !== undefined) tasks.push(taskFigures(task.name, task.url, report, reader));
      }),
    );
    const living = new Set(this.#stage.living.map(({ name }) => name));
    const sum = (name: string) => [...this.#last.values()].reduce((total, each) => total + (each.get(name) ?? 0), 0);
    const now = (name: string) =>
      [...this.#last].reduce((total, [task, each]) => total + (living.has(task) ? (each.get(name) ?? 0) : 0), 0);
    for (const queue of Object.values(QUEUES))
      for (const [task, each] of this.#last) {
        const depth = each.get(`${METRICS.queueDepth.prometheus}{queue="${queue}"}`);
        if (living.has(task) && depth !== undefined) this.#depths.set(queue, depth);
      }
    return {
      at: Date.now(),
      sent: verdict === undefined ? null : verdict.due + verdict.announced,
      lost: this.#lost(),
      received: sum(METRICS.eventsReceived.prometheus),
      filtered: sum(METRICS.eventsFiltered.prometheus),
      published: sum(METRICS.eventsPublished.prometheus),
      confirmed: sum(METRICS.eventsConfirmed.prometheus),
      read: reader.events,
      repeated: reader.repeats,
      gaps: reader.gaps.size,
      perQueue: Object.values(QUEUES).map((queue) => ({
        queue,
        read: reader.perQueue.get(queue) ?? 0,
        waiting: this.#depths.get(queue) ?? null,
      })),
      latency: latencyOf([...this.#last.values()]),
      outbox: { events: now(METRICS.outboxEvents.prometheus), bytes: now(METRICS.outboxBytes.prometheus) },
      longestSilenceMs: Math.max(0, ...[...reader.silences.values()].map(({ longestMs }) => longestMs)),
      tasks: tasks.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true })),
    };
  }
}

function taskFigures(name: string, url: string, report: HealthReport, { silences }: Reader): TaskFigures {
  const { memory, discord } = report.checks;
  return {
    name,
    url,
    role: report.role,
    group: report.shard.group,
    silenceMs: report.shard.group === null ? null : (silences.get(report.shard.group)?.longestMs ?? null),
    shards: { assigned: report.shard.assigned.length, connected: report.shard.connected },
    rss: memory.rss,
    heapUsed: memory.heapUsed,
    problems: discord.problems ?? [],
  };
}

/** Percentiles out of the buckets of all tasks, in milliseconds. */
function latencyOf(tasks: readonly ReadonlyMap<string, number>[]): Figures['latency'] {
  const buckets = new Map<number, number>();
  const name = `${METRICS.frameToConfirm.prometheus}_bucket{le="`;
  for (const figures of tasks)
    for (const [key, value] of figures)
      if (key.startsWith(name)) {
        const bound = key.slice(name.length, -2);
        const le = bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound);
        buckets.set(le, (buckets.get(le) ?? 0) + value);
      }
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
}

/** @param buckets upper bound and cumulative count, ascending @returns by linear interpolation within the bucket */
export function quantile(buckets: readonly (readonly [number, number])[], share: number): number | null {
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total === 0) return null;
  let lower: readonly [number, number] = [0, 0];
  for (const [bound, count] of buckets) {
    if (count >= share * total) {
      if (!Number.isFinite(bound)) return lower[0];
      return lower[0] + ((bound - lower[0]) * (share * total - lower[1])) / Math.max(1, count - lower[1]);
    }
    lower = [bound, count];
  }
  return lower[0];
}
