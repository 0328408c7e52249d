// One shard of a running stage gets hostile answers, and the test records what the tasks do.

import { setTimeout as sleep } from 'node:timers/promises';
import type { AnswerChange } from '../../local/discord/gateway-connection.ts';
import type { HostileAnswer } from '../../local/discord/hostile-answers.ts';
import type { DiscordSimulator } from '../../local/discord/simulator.ts';
import type { IngestorProcess } from '../../local/ingestor-process.ts';
import { PATHS } from '../../service/contract/names.ts';
import type { HealthReport } from '../../service/health.ts';
import type { FaultStage } from './fault.ts';

/** The effects of one hostile answer. */
export interface Observed {
  /** How often the answer was sent. */
  readonly sent: number;
  /** REST requests and connections of all shards meanwhile. */
  readonly rest: number;
  readonly connections: number;
  readonly identifies: number;
  readonly resumes: number;
  /** Effects that no answer may have: a process ends, `/live` does not answer 200, `/health` has no report. */
  readonly harm: readonly string[];
  /** The state of the attacked shard at the end. */
  readonly state: string | undefined;
  /** All problems that `/health` reported meanwhile. */
  readonly sentences: readonly string[];
  /** The highest of all tasks. */
  readonly mostResidentBytes: number;
  /** The longest time without an event from one of the other shards. */
  readonly othersSilentMs: number;
}

const LOOK_EVERY_MS = 200;
/** How long to wait for the first hostile answer: a shard may pause before it connects. */
const FIRST_WITHIN_MS = 15_000;

/** Makes Discord send this answer to a connected shard. */
const provoke: Readonly<Record<string, (simulator: DiscordSimulator, shard: number) => void>> = {
  REST: (simulator, shard) => simulator.invalidate(shard, { resumable: false }),
  READY: (simulator, shard) => simulator.invalidate(shard, { resumable: false }),
  Upgrade: (simulator, shard) => simulator.dropConnections(shard),
  Hello: (simulator, shard) => simulator.dropConnections(shard),
  RESUMED: (simulator, shard) => simulator.dropConnections(shard),
};

/**
 * @param forMs how long the shard gets this answer instead of the correct one, from the first time on. With READY the connection
 *   is dropped in between, because only the next connection uses READY's address
 */
export async function attack(
  stage: FaultStage,
  shard: number,
  { name, change }: HostileAnswer,
  forMs: number,
): Promise<Observed> {
  const { simulator, reader } = stage;
  const counted = { sent: 0, rest: 0, connections: 0 };
  const count =
    (field: keyof typeof counted, then: AnswerChange = (answer) => answer): AnswerChange =>
    (answer, to) => {
      counted[field] += 1;
      return then(answer, to);
    };
  const ofShard: AnswerChange = (answer, to) =>
    to.shardId === undefined || to.shardId === shard ? count('sent', change)(answer, to) : answer;
  const changes = new Map([[name as string, ofShard]]);
  for (const [each, field] of [
    ['REST', 'rest'],
    ['Upgrade', 'connections'],
  ] as const)
    changes.set(each, count(field, changes.get(each)));
  const [identifies, resumes] = [simulator.count('identify'), simulator.count('resume')];
  const harm = new Set<string>();
  for (const [each, hostile] of changes) simulator.changeAnswer(each, hostile);
  provoke[name]?.(simulator, shard);
  const tasks = stage.living;
  const sentences = new Set<string>();
  let [mostResidentBytes, othersSilentMs] = [0, 0];
  const startedAt = Date.now();
  let reports: readonly HealthReport[] = [];
  const lookOn = async (whileTrue: () => boolean) => {
    while (whileTrue() && tasks.some(({ ended }) => !ended)) {
      await sleep(LOOK_EVERY_MS);
      const looks = await Promise.all(tasks.map(async (task) => await look(task, harm)));
      reports = looks.filter((report) => report !== undefined);
      for (const { checks } of reports) {
        for (const problem of checks.discord.problems ?? []) sentences.add(problem);
        mostResidentBytes = Math.max(mostResidentBytes, checks.memory.rss);
      }
      for (const [id, { lastAt }] of reader.silences)
        if (id !== shard) othersSilentMs = Math.max(othersSilentMs, Date.now() - Math.max(lastAt, startedAt));
    }
  };
  await lookOn(() => counted.sent === 0 && Date.now() < startedAt + FIRST_WITHIN_MS);
  const firstAt = Date.now();
  await lookOn(() => Date.now() < firstAt + forMs / 2);
  if (name === 'READY') simulator.dropConnections(shard);
  await lookOn(() => Date.now() < firstAt + forMs);
  for (const each of changes.keys()) simulator.changeAnswer(each);
  const owner = reports.find(({ role }) => role === 'owner');
  return {
    ...{ ...counted, harm: [...harm] },
    identifies: simulator.count('identify') - identifies,
    resumes: simulator.count('resume') - resumes,
    state: owner?.shards.find(({ id }) => id === shard)?.state,
    sentences: [...sentences],
    mostResidentBytes,
    othersSilentMs,
  };
}

async function look(task: IngestorProcess, harm: Set<string>): Promise<HealthReport | undefined> {
  if (task.ended) {
    harm.add(`${task.name} ended with ${await task.exit}`);
    return undefined;
  }
  const ask = async (path: string) => {
    try {
      const response = await fetch(task.url + path, { signal: AbortSignal.timeout(5_000) });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      return { status: 0, text: String(error) };
    }
  };
  const [live, health] = [await ask(PATHS.live), await ask(PATHS.health)];
  if (live.status !== 200) harm.add(`${task.name}: /live answers ${live.status}`);
  if (health.status === 200 || health.status === 503) return JSON.parse(health.text) as HealthReport;
  harm.add(`${task.name}: /health answers ${health.status}`);
  return undefined;
}

/** Lines of a task's output that are neither a log line nor metrics, or that contain a secret. */
export function badLines(output: string, secrets: readonly string[]): readonly string[] {
  return output.split('\n').filter((line) => {
    if (line === '') return false;
    if (secrets.some((secret) => line.includes(secret))) return true;
    try {
      const { level, _aws } = JSON.parse(line) as { level?: unknown; _aws?: unknown };
      return typeof level !== 'string' && _aws === undefined;
    } catch {
      return true;
    }
  });
}
