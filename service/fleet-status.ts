// Joins the status page with the task: publishes reports of this task to all tasks, collects theirs, and renders the page
// from both. Nothing depends on it: a failure is logged, and the next second tries again.
//
// Each task gets at most four reports a second: of up to 20 tasks each reports every 5 s, of N tasks every N / 4 s. A report
// has about 2 KiB with 16 shards. A new task asks for the history; the oldest of the others answers, to it alone.

import { Buffer } from 'node:buffer';
import type { QueueDepths } from './amqp/queue-depths.ts';
import { errorMessage } from './errors.ts';
import type { GapReporter } from './gap-reporter.ts';
import { type HealthReport, type HealthSnapshot, healthReport, problemsOf } from './health.ts';
import type { Log } from './log.ts';
import { BUCKETS_MS, type Metrics } from './metrics.ts';
import { OutageLog } from './outage-log.ts';
import { redact } from './redact.ts';
import { Fleet } from './status/fleet.ts';
import { type Page, renderPage } from './status/page.ts';
import { type History, LONGEST_PERIOD_MS, parseMessage, type Report, reportOf } from './status/report.ts';

/** Routing key of reports; that of a history is the name of the task that asked. */
export const EVERY_TASK = 'tasks';
const LOOK_EVERY_MS = 1_000;
const REPORT_EVERY_MS = 5_000;
const MOST_REPORTS_A_SECOND = 4;
/** More than once: the others may not get the first report, while the broker is away. */
const ASK_FOR_MS = 30_000;

export interface FleetStatusOptions {
  readonly name: string;
  readonly environment: string;
  readonly shardsPerTask: number;
  readonly snapshot: () => HealthSnapshot;
  readonly metrics: Pick<Metrics, 'buckets'>;
  readonly depths: Pick<QueueDepths, 'depths'>;
  readonly gaps: Pick<GapReporter, 'last'>;
  readonly publish: (routingKey: string, body: Buffer) => unknown;
  readonly log: Log;
}

/** Of this task at one moment. */
interface State {
  readonly snapshot: HealthSnapshot;
  readonly health: HealthReport;
}

export class FleetStatus {
  readonly #options: FleetStatusOptions;
  readonly #fleet: Fleet;
  readonly #failures: OutageLog;
  readonly #unreadable: OutageLog;
  readonly #startedAt = Date.now();
  /** Where the count of the next report starts. */
  #counted = { at: Date.now(), events: 0, rate: 0 };
  #buckets: readonly number[] = [];
  #reported = { at: 0, role: '' };
  #asks = true;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FleetStatusOptions) {
    this.#options = options;
    this.#fleet = new Fleet(options.name, BUCKETS_MS);
    const { log } = options;
    this.#failures = new OutageLog(log, 'error', 'cannot report to the other tasks: the status page is incomplete');
    this.#unreadable = new OutageLog(log, 'warn', 'a report for the status page cannot be read: it is left out');
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  /** At once: the others may just have become reachable. */
  report(): void {
    this.#reported.at = 0;
    if (this.#timer !== undefined) this.#look();
  }

  /** Reports at once that this task has drained: otherwise the others see it after three periods. */
  leave(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    try {
      const state = this.#state();
      this.#publish({ ...this.#report(state, this.#rate(state, Date.now()), []), role: 'drained', shards: [] });
    } catch (err) {
      this.#failures.failed(err);
    }
  }

  /** From the broker: anyone with the permission may have written it. */
  receive(body: Buffer): void {
    try {
      const now = Date.now();
      const message = parseMessage(body.toString());
      if (message.kind === 'history') {
        if (this.#asks) this.#fleet.adopt(message, now);
        this.#asks = false;
        return;
      }
      const history = this.#fleet.receive(message, now);
      if (history !== undefined) this.#publish(history, message.task);
    } catch (err) {
      // The error may quote the body.
      this.#unreadable.failed(new Error(errorMessage(err).slice(0, 300)));
    }
  }

  /** @throws when this task cannot report itself */
  page(): Page {
    const now = Date.now();
    const own = this.#report(this.#state(), 0, []);
    const view = this.#fleet.view(now, own);
    return renderPage(view, this.#options.environment);
  }

  get #everyMs(): number {
    const fairMs = (1_000 * this.#fleet.size) / MOST_REPORTS_A_SECOND;
    return Math.min(LONGEST_PERIOD_MS, Math.max(REPORT_EVERY_MS, fairMs));
  }

  #look(): void {
    this.#reportWhenDue(Date.now()).then(
      () => this.#failures.over(),
      (err: unknown) => this.#failures.failed(err),
    );
  }

  /** When a period is over, or at once when the role or the group has changed. */
  async #reportWhenDue(now: number): Promise<void> {
    const state = this.#state();
    const { role, shard } = state.health;
    const isNew = `${role} ${shard.group}` !== this.#reported.role;
    if (!isNew && now - this.#reported.at < this.#everyMs) return;
    this.#reported = { at: now, role: `${role} ${shard.group}` };
    const buckets = await this.#options.metrics.buckets('frameToConfirm');
    // It has left meanwhile.
    if (this.#timer === undefined) return;
    const grown = buckets.map((count, index): [number, number] => [index, count - (this.#buckets[index] ?? 0)]);
    this.#buckets = buckets;
    const report = this.#report(
      state,
      this.#rate(state, now),
      grown.filter(([, count]) => count > 0),
    );
    if (now - this.#startedAt > ASK_FOR_MS) this.#asks = false;
    this.#fleet.putOwn(report, now);
    this.#publish(report);
    // Before, a point would be the sum of some of the tasks.
    if (now - this.#startedAt > this.#fleet.roundMs) this.#fleet.tick(now);
  }

  /** Events confirmed a second since the last call; within less than a second, what the last call returned. */
  #rate({ health }: State, now: number): number {
    const { at, events } = this.#counted;
    const { publishCount } = health.checks.rabbitmq;
    if (Number.isFinite(publishCount) && now - at >= LOOK_EVERY_MS)
      this.#counted = { at: now, events: publishCount, rate: (1_000 * (publishCount - events)) / (now - at) };
    return this.#counted.rate;
  }

  #state(): State {
    const snapshot = this.#options.snapshot();
    return { snapshot, health: healthReport(snapshot) };
  }

  #report({ snapshot, health }: State, perSecond: number, latencies: [number, number][]): Report {
    const { depths, gaps, name, shardsPerTask } = this.#options;
    return reportOf(health, snapshot, {
      ...{ task: name, shardsPerTask, startedAt: this.#startedAt, everyMs: this.#everyMs, asks: this.#asks },
      ...{ perSecond, latencies, problems: problemsOf(health), queues: Object.fromEntries(depths.depths) },
      gaps: gaps.last.map(({ shardId, lostAt, reason }) => {
        return { shard: shardId, at: lostAt, reason: redact(reason, []).slice(0, 400) };
      }),
    });
  }

  #publish(message: Report | History, to = EVERY_TASK): void {
    this.#options.publish(to, Buffer.from(JSON.stringify(message)));
  }
}
