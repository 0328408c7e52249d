// What this task knows of all tasks, itself included: their last reports, the sums of the last 15 minutes, and what
// happened. A task is silent when it has not reported for three of its periods while this task's own reports came back from
// the broker. While they do not, and until every task has had the time for a report again, the others are unknown. Bounded,
// whatever is reported. Pure: the caller has the clock.

import { WORKER_QUEUES } from '../contract/names.ts';
import { type Event, type History, isLoss, MOST_EVENTS, MOST_POINTS, type Point, type Report } from './report.ts';

export const WINDOW_MS = 15 * 60_000;
const FORGET_MS = 10 * 60_000;
const MOST_TASKS = 2_500;
const SILENT_PERIODS = 3;
/** Within so many periods the next report of a task that lives is there. */
const NEXT_PERIODS = 1.5;
/** Between the clocks of two tasks. */
const MOST_SKEW_MS = 60_000;

export interface KnownTask {
  readonly report: Report;
  /** When the report came, Unix ms. */
  readonly at: number;
  readonly silent: boolean;
}

export interface FleetView {
  readonly now: number;
  readonly me: Report;
  /** Whose reports come from the broker: not even its own; its own, and perhaps not yet those of the others; those of all. */
  readonly heard: 'none' | 'some' | 'all';
  /** By name. */
  readonly tasks: readonly KnownTask[];
  readonly points: readonly Point[];
  /** The newest first. */
  readonly events: readonly Event[];
}

export class Fleet {
  readonly #me: string;
  readonly #bounds: readonly number[];
  readonly #tasks = new Map<string, { report: Report; at: number; silent: boolean }>();
  readonly #events = new Map<string, Event>();
  readonly #latencies = new Map<number, number>();
  #points: Point[] = [];
  /** When its own report came back last, and since when all of them do. */
  #heard: { readonly at: number; readonly since: number; readonly everyMs: number } | undefined;

  /** @param bounds of the metric `frameToConfirm`: the upper bound of each bucket */
  constructor(me: string, bounds: readonly number[]) {
    this.#me = me;
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#tasks.size;
  }

  /** Within it every task reports. */
  get roundMs(): number {
    return NEXT_PERIODS * Math.max(0, ...[...this.#tasks.values()].map(({ report }) => report.everyMs));
  }

  /** This task's own report, which is true whether it comes back or not. */
  putOwn(report: Report, now: number): void {
    this.#put(report, now);
  }

  /** A report that came from the broker. @returns the history to answer it with, if this task is the one to answer */
  receive(report: Report, now: number): History | undefined {
    if (report.task === this.#me) {
      const before = this.#heard;
      const { everyMs } = report;
      const goesOn = before !== undefined && now - before.at <= NEXT_PERIODS * Math.max(before.everyMs, everyMs);
      this.#heard = { at: now, since: goesOn ? before.since : now, everyMs };
      return undefined;
    }
    if (report.role === 'drained') {
      // Its last report counts in the next point.
      this.#tasks.set(report.task, { report, at: now, silent: false });
      this.#happened({ kind: 'drained', at: now, task: report.task });
      return undefined;
    }
    if (!this.#tasks.has(report.task) && this.#tasks.size >= MOST_TASKS) return undefined;
    this.#put(report, now);
    if (!report.asks || this.#oldestExcept(report.task) !== this.#me || this.#points.length === 0) return undefined;
    return { kind: 'history', points: this.#points, events: [...this.#events.values()] };
  }

  /** Adds what happened before this task started. */
  adopt({ points, events }: History, now: number): void {
    const first = this.#points[0]?.at ?? now;
    const older = points.filter(({ at }) => at < first).toSorted((a, b) => a.at - b.at);
    this.#points = [...older, ...this.#points];
    this.#trim(now);
    for (const event of events) if (event.at <= now) this.#happened(event);
  }

  /** Makes a point of the reports since the last tick, and marks silent tasks. */
  tick(now: number): void {
    const { at: heardAt, since } = this.#heard ?? { at: 0, since: 0 };
    for (const [name, task] of this.#tasks) {
      if (task.report.role === 'drained') continue;
      const wasSilent = task.silent;
      task.silent = name !== this.#me && heardAt - Math.max(since, task.at) > SILENT_PERIODS * task.report.everyMs;
      if (task.silent && !wasSilent) this.#happened({ kind: 'gone', at: task.at, task: name });
      if (now - task.at > FORGET_MS) this.#tasks.delete(name);
    }
    // A task that died counts until its next report is overdue.
    const living = [...this.#tasks.values()]
      .filter(({ at, report }) => now - at <= NEXT_PERIODS * report.everyMs)
      .map(({ report }) => report);
    const sum = (of: (report: Report) => number) => living.reduce((total, report) => total + of(report), 0);
    this.#points.push({
      at: now,
      perSecond: sum(({ perSecond }) => perSecond),
      p50: this.#percentile(0.5),
      p99: this.#percentile(0.99),
      outbox: sum(({ outbox }) => outbox.events ?? 0),
      waiting: waitingOf(this.#tasks.get(this.#me)?.report.queues ?? {}),
    });
    this.#latencies.clear();
    for (const [name, { report }] of this.#tasks) if (report.role === 'drained') this.#tasks.delete(name);
    this.#trim(now);
  }

  /** @param me this task's report of this moment */
  view(now: number, me: Report): FleetView {
    const others = [...this.#tasks.values()].filter(
      ({ report: { role, task } }) => task !== this.#me && role !== 'drained',
    );
    const { at, since } = this.#heard ?? { at: 0, since: now };
    const tasks: KnownTask[] = [{ report: me, at: now, silent: false }, ...others];
    return {
      ...{ now, me, points: this.#points },
      heard: now - at > SILENT_PERIODS * me.everyMs ? 'none' : now - since < this.roundMs ? 'some' : 'all',
      tasks: tasks.toSorted((a, b) => (a.report.task < b.report.task ? -1 : 1)),
      events: [...this.#events.values()].toSorted((a, b) => b.at - a.at),
    };
  }

  #put(report: Report, now: number): void {
    const { task, startedAt, group, ownedSince, role } = report;
    if (this.#tasks.get(task)?.silent) this.#happened({ kind: 'back', at: now, task });
    this.#tasks.set(task, { report, at: now, silent: false });
    this.#happened({ kind: 'started', at: Math.min(startedAt, now), task }, startedAt);
    for (const gap of report.gaps) if (gap.at <= now + MOST_SKEW_MS) this.#happened({ kind: 'gap', ...gap });
    for (const [bucket, count] of report.latencies)
      this.#latencies.set(bucket, (this.#latencies.get(bucket) ?? 0) + count);
    if (role === 'owner' && group !== null && ownedSince !== null)
      this.#happened({ kind: 'owner', at: Math.min(ownedSince, now), task, group }, ownedSince);
  }

  /** Each once, whoever reported it. @param reportedAt by a clock that may be ahead: that it comes again changes nothing */
  #happened(event: Event, reportedAt = event.at): void {
    const key =
      event.kind === 'gap'
        ? `gap ${event.shard} ${event.at}`
        : `${event.kind} ${event.task} ${event.kind === 'owner' ? `${event.group} ${reportedAt}` : ''}`;
    const known = this.#events.get(key);
    if (known !== undefined && (known.at >= event.at || reportedAt !== event.at)) return;
    this.#events.set(key, event);
    if (this.#events.size <= MOST_EVENTS) return;
    // The events of a large deploy must not push a loss out.
    const all = [...this.#events];
    const others = all.filter(([, each]) => !isLoss(each));
    const [oldest] = (others.length > 0 ? others : all).reduce((a, b) => (b[1].at < a[1].at ? b : a));
    this.#events.delete(oldest);
  }

  /** Which task answers a new one: every task computes the same. */
  #oldestExcept(asking: string): string | undefined {
    const others = [...this.#tasks.values()].filter(
      ({ report, silent }) => !silent && report.task !== asking && report.role !== 'drained',
    );
    const key = ({ report }: { readonly report: Report }) =>
      `${String(report.startedAt).padStart(16, '0')} ${report.task}`;
    return others.toSorted((a, b) => (key(a) < key(b) ? -1 : 1))[0]?.report.task;
  }

  #percentile(share: number): number | null {
    const buckets = [...this.#latencies].toSorted(([a], [b]) => a - b);
    let left = share * buckets.reduce((sum, [, count]) => sum + count, 0);
    if (left === 0) return null;
    for (const [bucket, count] of buckets) {
      left -= count;
      if (left <= 0) return this.#bounds[Math.min(bucket, this.#bounds.length - 1)] ?? null;
    }
    return null;
  }

  #trim(now: number): void {
    this.#points = this.#points.filter(({ at }) => at <= now && now - at <= WINDOW_MS).slice(-MOST_POINTS);
  }
}

/** Messages that wait for workers; unknown while no depth is. */
function waitingOf(queues: Readonly<Record<string, number>>): number | null {
  const depths = Object.values(WORKER_QUEUES).flatMap((queue) => queues[queue] ?? []);
  return depths.length === 0 ? null : depths.reduce((sum, depth) => sum + depth, 0);
}
