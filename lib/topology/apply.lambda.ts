// Applies the topology when CloudFormation says so, with the plan and the calls of the command line. A broker that does
// not answer yet is asked again until the time is up; a refusal is said at once, in the words of the plan, and becomes
// the reason in the stack's events. Users get the names and passwords of their secrets, which rotate: the current user
// of each pair, and the one before it, which tasks may still use. Deleting never fails, and keeps what has messages.
import { setTimeout as sleep } from 'node:timers/promises';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { CdkCustomResourceEvent, CdkCustomResourceResponse, Context } from 'aws-lambda';
import { alternateOf, parseAdministrator, parseLogin, requireOwnUser } from '../management/broker-login.ts';
import { ManagementApi, ManagementApiError } from '../management/management-api.ts';
import { readSecretText } from '../management/secret-text.ts';
import { type ApplyReport, applyTopology } from './apply.ts';
import { fromProperties, type ResourceProperties } from './resource-properties.ts';
import type { Topology, User } from './topology.ts';

/** For the last call, which takes ten seconds at most, and for the answer. */
const RESERVE_MS = 15_000;
/** A broker that has just been made refuses its administrator for a moment. */
const LOGIN_PATIENCE_MS = 60_000;
/** A stack's event shows about so much. */
const MAX_REASON = 1500;

const secrets = new SecretsManagerClient({ maxAttempts: 4 });

/** What the resource tells the stack. */
export interface TopologyData {
  /** Of RabbitMQ. */
  readonly Version: string;
  /** What is not wanted any more and was kept, because it holds messages or somebody needs it. */
  readonly Kept: string;
}

/** @throws Error with one sentence, the reason of the failed resource */
export async function handler(
  event: CdkCustomResourceEvent,
  context: Pick<Context, 'getRemainingTimeInMillis'>,
): Promise<CdkCustomResourceResponse<TopologyData>> {
  const until = Date.now() + context.getRemainingTimeInMillis() - RESERVE_MS;
  const properties = event.ResourceProperties as unknown as ResourceProperties;
  try {
    if (event.RequestType === 'Delete') return await remove(event.PhysicalResourceId, properties, until);
    const before = event.RequestType === 'Update' ? earlier(event.OldResourceProperties) : undefined;
    const report = await apply(properties, before, until);
    const kept = report.kept.join('; ');
    return {
      // Another id would be another resource to CloudFormation, which then deletes the first.
      PhysicalResourceId:
        event.RequestType === 'Update' ? event.PhysicalResourceId : `topology of ${properties.Topology.Vhost}`,
      Data: { Version: report.version, Kept: kept === '' ? 'nothing' : shortened(kept) },
    };
  } catch (error) {
    say('error', messageOf(error));
    throw new Error(shortened(messageOf(error)), { cause: error });
  }
}

/** What was there before, where it can be read. */
interface Earlier {
  readonly topology: Topology;
  readonly users: readonly string[];
}

async function apply(properties: ResourceProperties, before: Earlier | undefined, until: number): Promise<ApplyReport> {
  const topology = fromProperties(properties.Topology);
  const { users, passwords } = await usersOf(topology.users, properties.LoginSecretArns);
  const wanted = { ...topology, users };
  // Names of users rotate: only a user whose whole pair is not wanted any more is removed.
  const gone = (before?.users ?? []).filter((name) => !topology.users.some((user) => user.name === name));
  const previous = before && { ...before.topology, users: gone.flatMap((name) => pair(name)).map(nobody) };
  const report = await patiently(until, async (signal) => {
    const arn = properties.AdministratorSecretArn;
    const administrator = parseAdministrator(arn, await readSecret(arn));
    const api = new ManagementApi({ url: properties.ManagementUrl, ...administrator });
    try {
      return await applyTopology(api, wanted, { passwords, signal, ...(previous && { previous }) });
    } finally {
      api.close();
    }
  });
  for (const { kind, what, details } of report.steps) say('info', `${kind} ${what}`, details);
  for (const sentence of [...report.kept, ...report.notes]) say('warn', sentence);
  return report;
}

/** Never fails: the broker may be gone already, or was never reached. */
async function remove(PhysicalResourceId: string, properties: ResourceProperties, until: number) {
  const done = { PhysicalResourceId };
  if (properties.OnDelete !== 'remove') {
    say('info', 'the topology is left to the broker');
    return done;
  }
  try {
    const before = earlier(properties);
    if (!before) return done;
    const nothing = { ...properties.Topology, Exchanges: {}, Queues: {}, Bindings: {}, Policies: {}, Users: {} };
    await apply(
      { ...properties, Topology: nothing, LoginSecretArns: {} },
      before,
      Math.min(until, Date.now() + LOGIN_PATIENCE_MS),
    );
  } catch (error) {
    say('warn', `the topology was not removed: ${messageOf(error)}`);
  }
  return done;
}

/** The users as the broker is to know them: by the names in their secrets, with the rights of their part. */
async function usersOf(parts: readonly User[], arns: Readonly<Record<string, string>>) {
  const users: User[] = [];
  const passwords: Record<string, string> = {};
  for (const part of parts) {
    const arn = arns[part.name];
    if (!arn) throw new Error(`LoginSecretArns: expected a secret for the user ${part.name}, got none`);
    const login = parseLogin(arn, await readSecret(arn));
    requireOwnUser(arn, part.name, login);
    users.push({ ...part, name: login.username });
    passwords[login.username] = login.password;
    // It keeps its password: a rotation may just be giving it another. Where it does not exist, it is left out.
    const previous = await readSecretText(secrets, arn, { VersionStage: 'AWSPREVIOUS' });
    const former = previous === undefined ? login.username : parseLogin(arn, previous).username;
    requireOwnUser(arn, part.name, { username: former });
    if (former !== login.username) users.push({ ...part, name: former });
  }
  return { users, passwords };
}

/** Tries again while the broker is away, until the time is up. */
async function patiently<T>(until: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const started = Date.now();
  const signal = AbortSignal.timeout(Math.max(1, until - started));
  for (let pause = 1_000; ; pause = Math.min(2 * pause, 10_000)) {
    try {
      return await work(signal);
    } catch (error) {
      if (!(error instanceof ManagementApiError)) throw signal.aborted ? late(started, signal.reason) : error;
      const patience =
        error.kind === 'away' ? until : error.kind === 'login' ? Math.min(until, started + LOGIN_PATIENCE_MS) : 0;
      if (Date.now() + pause >= patience) throw patience === 0 ? error : late(started, error);
      say('warn', `${error.message}: trying again in ${pause / 1_000} s`);
      await sleep(pause);
    }
  }
}

function late(started: number, error: unknown): Error {
  const seconds = Math.round((Date.now() - started) / 1_000);
  return new Error(`${messageOf(error)} (given up after ${seconds} s)`, { cause: error });
}

function earlier(properties: unknown): Earlier | undefined {
  try {
    const topology = fromProperties((properties as ResourceProperties).Topology);
    return { topology, users: topology.users.map(({ name }) => name) };
  } catch (error) {
    say('warn', `what was applied before cannot be read, so nothing is removed: ${messageOf(error)}`);
    return undefined;
  }
}

const pair = (name: string): string[] => [name, alternateOf(name)];
const nobody = (name: string): User => ({ name, tags: [], permissions: { configure: '', write: '', read: '' } });

async function readSecret(arn: string): Promise<string> {
  return (await readSecretText(secrets, arn)) ?? '';
}

function shortened(text: string): string {
  return text.length <= MAX_REASON ? text : `${text.slice(0, MAX_REASON)} … (the rest is in the function's log)`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function say(level: 'info' | 'warn' | 'error', message: string, details: readonly string[] = []): void {
  console.log(JSON.stringify({ level, message, ...(details.length > 0 && { details }) }));
}
