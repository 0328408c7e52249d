// What disasters of several tasks have in common: a deploy, a task whose way to the broker can fall silent, and how long
// a disaster lasts. `npm run faults` plays it in full (FAULTS_FULL); `npm test` a shorter seed of it.

import type { IngestorProcess } from '../../local/ingestor-process.ts';
import type { Stage } from '../../local/stage.ts';
import { ENV, USERS } from '../../service/contract/names.ts';
import type { HealthReport } from '../../service/health.ts';
import { SilentProxy } from './silent-proxy.ts';

export const full = process.env.FAULTS_FULL === '1';

/** Seconds, in full or for `npm test`. */
export const lasting = (seconds: number, shorter: number): number => 1_000 * (full ? seconds : shorter);

/** New tasks first, then SIGTERM to the old ones, one after the other: ECS's rolling update. @returns the exit codes */
export async function deploy(stage: Stage): Promise<(number | NodeJS.Signals)[]> {
  const old = stage.living;
  await Promise.all(old.map(() => stage.startTask()));
  await stage.standing(2 * old.length);
  const codes: (number | NodeJS.Signals)[] = [];
  for (const task of old) codes.push(await task.terminate());
  await stage.ready();
  return codes;
}

/** Resolves when every session is in its group's record, so that another task could go on with it. */
export async function stored(stage: Stage): Promise<void> {
  await stage.until('every session is stored', 60_000, async () => {
    const owners = (await stage.reports()).filter(({ role }) => role === 'owner');
    return owners.length > 0 && owners.every(({ lease, shard }) => lease.sessions === shard.assigned.length);
  });
}

/** Waits for an owner. @throws when the group has none after a minute */
export async function ownerOf(stage: Stage, group = 0): Promise<IngestorProcess> {
  let owner: IngestorProcess | undefined;
  // A task on a busy machine may not answer the first time.
  await stage.until(`group ${group} has an owner`, 60_000, async () => {
    owner = await stage.owner(group);
    return owner !== undefined;
  });
  if (owner === undefined) throw new Error(`nobody owns group ${group}`);
  return owner;
}

/** A task that reaches the broker only through this line. */
export async function taskBehindLine(stage: Stage): Promise<{ task: IngestorProcess; line: SilentProxy }> {
  const line = await SilentProxy.start(stage.broker.amqpPort);
  const url = stage.url(USERS.ingestor).replace(`:${stage.broker.amqpPort}/`, `:${line.port}/`);
  return { line, task: await stage.startTask({ [ENV.rabbitmqUrl]: url }) };
}

/** @throws when the task does not answer */
export async function health(task: IngestorProcess): Promise<HealthReport> {
  const report = await task.health();
  if (report === undefined) throw new Error(`${task.name} does not answer`);
  return report;
}

/** The name of one of a task's connections to the broker. */
export const connectionOf = (task: IngestorProcess, kind: 'lease' | 'publisher'): RegExp =>
  new RegExp(`-${task.pid}-[0-9a-f]+ ${kind}$`);
