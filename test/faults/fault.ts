// A fault test: a stage under traffic, a fault, and then bounds: nothing lost, order kept, and what the fault itself
// allows. Faults that leave the stage as they found it share one: each is judged by what came since the one before.
// Discord's replay buffer is the harder one, unless the stage or the fault has another.
// `everyRun`: one fault of each class, run by `npm test` too. `fullRun`: run by `npm run faults` only, which sets FAULTS_FULL
// and makes a table of the JSON lines that go into the file FAULTS_REPORT. `everyReading`: the same, four times, under each
// reading of what Discord keeps for a RESUME, which it does not document.

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
  /** Events a second over all shards. @default 400 */
  readonly rate?: number;
  /** With traffic running: the fault, and what must follow from it. @returns what else was measured, for the report */
  readonly inject: (stage: FaultStage) => Promise<unknown>;
  /** Why it cannot be played on this stage: skipped then, by name and with the reason. */
  readonly obstacle?: (stage: FaultStage) => string | undefined;
  /** Traffic after it, so that the recovery is seen under load. @default 2 s */
  readonly trafficAfterMs?: number;
  /** Sessions that are lost, each reported by one gap event. @default 0 */
  readonly gaps?: number | 'any';
  /** A task that cannot ask for missing sequences, because it does not know whether it is the owner, reports them. */
  readonly mayReportHoles?: boolean;
  /** Events read twice, under the same id. @default - any number */
  readonly mostRepeats?: number;
  /** Violations of Discord's rules that the fault itself provokes. */
  readonly mayViolate?: RegExp;
}

export const full = process.env.FAULTS_FULL === '1';
export const seed = Number(process.env.FAULTS_SEED ?? 1);

/** Heartbeats acknowledge often, and may come as late as with Discord's interval. */
const SIMULATOR = { seed, guilds: 40, maxConcurrency: 16, heartbeatIntervalMs: 5_000, heartbeatGraceMs: 40_000 };

type Declare = (title: string, fault: Fault) => void;

export const HARDER: ReplayBufferReading = { events: 2_048, trimmedByAcknowledgement: true };
/** Holds what comes while tasks start on a slow machine: for a fault that is about something else than its size. */
export const LARGE: ReplayBufferReading = { events: 100_000, trimmedByAcknowledgement: true };

/**
 * Faults, one after the other, on a stage that starts before the first of them.
 * @param startTasks in place of the stage's own tasks
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
  // What an earlier fault left unread is not this one's.
  const before = await stage.settled();
  simulator.startTraffic(fault.rate ?? (full ? 400 : 100));
  try {
    await read(stage, 200);
    reader.resetSilences();
    const measured = await fault.inject(stage);
    await read(stage, 100, 120_000);
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
    expect(violations.filter((violation) => !fault.mayViolate?.test(violation))).toEqual([]);
  } finally {
    simulator.stopTraffic();
  }
}

/** Where unread events may be: in the outbox of a task, or in a queue. */
async function whereabouts(stage: Stage): Promise<string[]> {
  const tasks = (await stage.reports()).map(({ task, role, outbox, problems }) =>
    JSON.stringify({ task: task.name, role, outbox, problems }),
  );
  const columns = ['name', 'messages_ready', 'messages_unacknowledged', 'consumers', 'leader'];
  return [...tasks, await stage.broker.ctl('list_queues', '--quiet', '--vhost', VHOST, ...columns).catch(String)];
}

/** What was seen after an earlier verdict. */
function since(before: Verdict, now: Verdict): Verdict {
  const difference = Object.entries(now).map(([name, value]) => {
    const earlier = before[name as keyof Verdict];
    return [name, typeof value === 'number' && typeof earlier === 'number' ? value - earlier : value];
  });
  return { ...Object.fromEntries(difference), violations: now.violations.slice(before.violations.length) };
}

/** Resolves when so many more events have been read. */
export async function read(stage: Stage, more: number, deadlineMs = 60_000): Promise<void> {
  const before = stage.reader.events;
  await stage.until(`${more} more events read`, deadlineMs, () => stage.reader.events >= before + more);
}
