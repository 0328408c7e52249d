// A fault test: a stage under traffic, a fault, and then bounds: nothing is lost, the order is kept, and what the fault itself
// allows. Faults that restore the stage share one: each is judged by the events since the one before.
// `everyRun`: one fault of each class, run by `npm test` too. `fullRun`: run only by `npm run faults`, which sets FULL and
// makes a table of the JSON lines in the file FAULTS_REPORT. `everyReading`: the same for each of the four readings of what
// Discord keeps for a RESUME, which it does not document. The others use the harder reading, unless they name one.

import { appendFile } from 'node:fs/promises';
import { afterAll, expect, test } from 'vitest';
import { REPLAY_BUFFERS, type ReplayBufferReading, replayBufferName } from '../../local/discord/options.ts';
import type { DiscordSimulator } from '../../local/discord/simulator.ts';
import { Stage, type StageOptions } from '../../local/stage.ts';
import type { Verdict } from '../../local/verdict.ts';
import { VHOST } from '../../service/contract/names.ts';

export type FaultStage = Stage & { readonly simulator: DiscordSimulator };

export interface Fault {
  /** What Discord keeps for a RESUME. @default - the stage's, or the harder reading */
  readonly replayBuffer?: ReplayBufferReading;
  /** Events a second over all shards. @default 400, and 50 where it is not played in full length */
  readonly rate?: number;
  /** Causes the fault under traffic, and asserts its effects. @returns more measurements for the report */
  readonly inject: (stage: FaultStage) => Promise<unknown>;
  /** The reason to skip the fault on this stage, if there is one. */
  readonly obstacle?: (stage: FaultStage) => string | undefined;
  /** How long traffic goes on after the fault, so that the recovery is under load. @default 2 s */
  readonly trafficAfterMs?: number;
  /** Lost sessions, each reported by one gap event. @default 0 */
  readonly gaps?: number | 'any';
  /** Whether missing sequences may be reported: a task that may no longer be the owner cannot RESUME to get them. */
  readonly mayReportHoles?: boolean;
  /** The most events that may be read again with the same id. @default - any number */
  readonly mostRepeats?: number;
  /** Violations of Discord's rules that the fault itself provokes. */
  readonly mayViolate?: RegExp;
}

export const full = process.env.FULL === '1';
export const seed = Number(process.env.FAULTS_SEED ?? 1);

/** Short heartbeat intervals, with the grace of Discord's own: a slow machine does not lose connections. */
const SIMULATOR = { seed, guilds: 40, maxConcurrency: 16, heartbeatIntervalMs: 5_000, heartbeatGraceMs: 40_000 };

type Declare = (title: string, fault: Fault) => void;

export const HARDER: ReplayBufferReading = { events: 2_048, trimmedByAcknowledgement: true };
/** Large enough for tasks that start on a slow machine. For faults in which the size does not matter. */
export const LARGE: ReplayBufferReading = { events: 100_000, trimmedByAcknowledgement: true };

/**
 * Faults on one stage, one after the other. The stage starts before the first.
 * @param startTasks starts other tasks than the stage's own
 */
export function faultsOn(
  options: StageOptions,
  startTasks?: (stage: FaultStage) => Promise<unknown>,
): { everyRun: Declare; everyReading: Declare; fullRun: Declare } {
  let stage: FaultStage | undefined;
  afterAll(async () => await stage?.stop());
  const declare =
    (it: typeof test | typeof test.skip): Declare =>
    (title, fault) =>
      it(title, { timeout: 600_000 }, async (context) => {
        if (stage === undefined) {
          const simulator = { ...SIMULATOR, ...options.simulator };
          const none = startTasks && { tasks: 0, untilReady: false };
          stage = (await Stage.start({ ...options, ...none, simulator })) as FaultStage;
          await startTasks?.(stage);
          await stage.ready();
        }
        const obstacle = fault.obstacle?.(stage);
        if (obstacle !== undefined) context.skip(obstacle);
        stage.simulator.read({ replayBuffer: fault.replayBuffer ?? options.simulator?.replayBuffer ?? HARDER });
        await run(stage, title, fault);
      });
  const fullRun = declare(full ? test : test.skip);
  const everyReading: Declare = (title, fault) => {
    for (const replayBuffer of REPLAY_BUFFERS)
      fullRun(`${title} (${replayBufferName(replayBuffer)})`, { ...fault, replayBuffer });
  };
  return { everyRun: declare(test), everyReading, fullRun };
}

async function run(stage: FaultStage, title: string, fault: Fault): Promise<void> {
  const { simulator, reader } = stage;
  // Events of an earlier fault do not count.
  const before = await stage.settled();
  simulator.startTraffic(fault.rate ?? (full ? 400 : 50));
  try {
    await read(stage, 200);
    reader.resetSilences();
    const measured = await fault.inject(stage);
    await read(stage, 100);
    await new Promise((resolve) => setTimeout(resolve, fault.trafficAfterMs ?? 2_000));
    simulator.stopTraffic();
    const verdict = since(before, await stage.settled(240_000, 20_000));
    const gapMs = Math.max(0, ...[...reader.silences.values()].map(({ longestMs }) => longestMs));
    const report = process.env.FAULTS_REPORT;
    if (report) await appendFile(report, `${JSON.stringify({ fault: title, seed, ...verdict, gapMs, measured })}\n`);
    const { repeated, violations } = verdict;
    const holes = fault.mayReportHoles ? {} : { holes: 0 };
    const reported = fault.gaps === 'any' ? {} : { gaps: fault.gaps ?? 0, ...holes };
    const exact = { lost: 0, unexpected: 0, disorders: 0, conflicts: 0, ...reported };
    const counts = JSON.stringify({ ...verdict, examples: undefined, violations: undefined });
    const where = verdict.lost > 0 ? await whereabouts(stage) : [];
    expect(verdict, [counts, ...where, ...verdict.examples, ...violations].join('\n')).toMatchObject(exact);
    expect(verdict.due, 'the simulator sent something').toBeGreaterThan(300);
    expect(repeated).toBeLessThanOrEqual(fault.mostRepeats ?? Number.POSITIVE_INFINITY);
    const forbidden = violations.filter((violation) => !fault.mayViolate?.test(violation));
    expect(forbidden, forbidden.join('\n')).toEqual([]);
  } finally {
    simulator.stopTraffic();
  }
}

/** Outboxes and queues, in which unread events may be. */
async function whereabouts(stage: Stage): Promise<string[]> {
  const tasks = (await stage.reports()).map(({ task, role, outbox, problems }) =>
    JSON.stringify({ task: task.name, role, outbox, problems }),
  );
  const columns = ['name', 'messages_ready', 'messages_unacknowledged', 'consumers', 'leader'];
  return [...tasks, await stage.broker.ctl('list_queues', '--quiet', '--vhost', VHOST, ...columns).catch(String)];
}

/** The difference between two verdicts. */
function since(before: Verdict, now: Verdict): Verdict {
  const difference = Object.entries(now).map(([name, value]) => {
    const earlier = before[name as keyof Verdict];
    return [name, typeof value === 'number' && typeof earlier === 'number' ? value - earlier : value];
  });
  return { ...Object.fromEntries(difference), violations: now.violations.slice(before.violations.length) };
}

/** Resolves when so many more events have been read. */
export async function read(stage: Stage, more: number, deadlineMs = 120_000): Promise<void> {
  const before = stage.reader.events;
  await stage.until(`${more} more events read`, deadlineMs, () => stage.reader.events >= before + more);
}
