// Steps that fault tests share.

import type { DiscordSimulator } from '../../local/discord/simulator.ts';
import type { IngestorProcess } from '../../local/ingestor-process.ts';
import type { Stage } from '../../local/stage.ts';
import { METRICS } from '../../service/contract/metrics.ts';
import { ENV, USERS } from '../../service/contract/names.ts';
import type { HealthReport } from '../../service/health.ts';
import { eventually } from '../support/log-lines.ts';
import { SilentProxy } from '../support/silent-proxy.ts';
import type { FaultStage } from './fault.ts';

type GatewayEvent = Parameters<DiscordSimulator['count']>[0];

/** ECS's rolling update: new tasks first, then SIGTERM to the old ones, one after the other. @returns the exit codes */
export async function deploy(stage: Stage): Promise<(number | NodeJS.Signals)[]> {
  const old = stage.living;
  await Promise.all(old.map(() => stage.startTask()));
  await stage.standing(2 * old.length);
  const codes: (number | NodeJS.Signals)[] = [];
  for (const task of old) codes.push(await task.terminate());
  await stage.ready();
  return codes;
}

/** Resolves when every session is in its group record, so that another task can resume it. */
export async function stored(stage: Stage): Promise<void> {
  await stage.until('every session is stored', 60_000, async () => {
    const owners = (await stage.reports()).filter(({ role }) => role === 'owner');
    return owners.length > 0 && owners.every(({ lease, shard }) => lease.sessions === shard.assigned.length);
  });
}

/** Waits for an owner. @throws when the group has none after a minute */
export async function ownerOf(stage: Stage, group = 0): Promise<IngestorProcess> {
  // A task on a slow machine may not answer the first time.
  return await eventually(`group ${group} has an owner`, () => stage.owner(group), 60_000);
}

/** Resolves when the task, which was the owner, is a standby. @throws when it is the owner again */
export async function standsBy(stage: Stage, task: IngestorProcess): Promise<void> {
  await stage.until('the old owner stands by', 150_000, async () => (await task.health())?.lease.ready === true);
  if ((await ownerOf(stage)) === task) throw new Error(`${task.name} is the owner again`);
}

/** @throws when the task does not answer */
export async function health(task: IngestorProcess | undefined): Promise<HealthReport> {
  const report = await task?.health();
  if (report === undefined) throw new Error(`${task?.name} does not answer`);
  return report;
}

/** @returns NaN when the task does not answer, or has no such metric */
export async function metric(task: IngestorProcess | undefined, name: keyof typeof METRICS): Promise<number> {
  return (await task?.metrics())?.get(METRICS[name].prometheus) ?? Number.NaN;
}

/** Of all running tasks. */
export async function sumOf(stage: Stage, name: keyof typeof METRICS): Promise<number> {
  const values = await Promise.all(stage.living.map((task) => metric(task, name)));
  return values.reduce((sum, value) => sum + value, 0);
}

/** Resolves when more than so many events wait in the task's outbox. */
export async function waiting(stage: Stage, task: IngestorProcess | undefined, events: number): Promise<void> {
  const many = async () => (await task?.health())?.outbox.events ?? 0;
  await stage.until(`${events} events wait in the outbox`, 60_000, async () => (await many()) > events);
}

/** Sets the broker's memory alarm. Resolves when the task knows that it is blocked. */
export async function memoryAlarm(stage: Stage, task: IngestorProcess | undefined): Promise<void> {
  await stage.broker.memoryAlarm(true);
  await stage.until('the alarm is known', 30_000, async () => (await health(task)).checks.rabbitmq.blocked);
}

/** Matches the name of one of the task's connections to the broker. */
export const connectionOf = (task: IngestorProcess, kind: 'lease' | 'publisher'): RegExp =>
  new RegExp(`-${task.pid}-[0-9a-f]+ ${kind}$`);

/** @returns a function that counts these events at Discord from now on */
export function countOf({ simulator }: FaultStage, event: GatewayEvent): () => number {
  const before = simulator.count(event);
  return () => simulator.count(event) - before;
}

/** Does something, and resolves when it has led to so many of these events at Discord. */
export async function leadsTo(
  { simulator }: FaultStage,
  times: number,
  event: GatewayEvent,
  done: () => unknown,
): Promise<void> {
  const before = simulator.count(event);
  await done();
  await simulator.waitFor(event, before + times, 60_000);
}

/** Does something that leads to so many RESUMEs. @throws when it leads to an IDENTIFY */
export async function resumes(stage: FaultStage, times: number, done: () => unknown): Promise<void> {
  const identifies = countOf(stage, 'identify');
  await leadsTo(stage, times, 'resumed', done);
  if (identifies() > 0) throw new Error(`expected sessions to be resumed, got ${identifies()} IDENTIFYs`);
}

/** Replaces all tasks with one new task. */
export async function replaceAll(stage: Stage, env: Readonly<Record<string, string>>): Promise<IngestorProcess> {
  const others = stage.living;
  const task = await stage.startTask(env);
  await stage.standing(others.length + 1);
  for (const other of others) await other.terminate();
  await stage.ready();
  return task;
}

/** Kills the owner. Resolves when the standby has taken over, and a new task is the standby. */
export async function kill(stage: Stage, owner: IngestorProcess): Promise<void> {
  await owner.kill();
  await stage.ready();
  await stage.startTask();
  await stage.standing(2);
}

/** Starts a new owner, whose connections to the broker all go through the proxy, and a standby. */
export async function ownerBehindProxy(stage: Stage): Promise<{ task: IngestorProcess; proxy: SilentProxy }> {
  const proxy = await SilentProxy.start(stage.broker.amqpPort);
  const url = stage.url(USERS.ingestor).replace(`:${stage.broker.amqpPort}/`, `:${proxy.port}/`);
  const task = await replaceAll(stage, { [ENV.rabbitmqUrl]: url });
  await stage.startTask();
  await stage.standing(2);
  await stored(stage);
  return { task, proxy };
}
