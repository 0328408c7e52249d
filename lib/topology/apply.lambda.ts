// Applies the topology when CloudFormation says so, with the plan and the calls of the command line. Where, and with which
// secrets, stands in its environment; what, in the event. A broker that does not answer yet is asked again until the time
// is up; a refusal is reported at once and becomes the reason in the stack's events. Users get the names and passwords of
// their secrets, which rotate: the current user of each pair, and the one before it, which tasks may still use.
// What was applied last stands in a tag of the first login's secret, so that a rollback to it needs no broker. Deleting
// removes nothing and never fails.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DescribeSecretCommand, SecretsManagerClient, TagResourceCommand } from '@aws-sdk/client-secrets-manager';
import type { CdkCustomResourceEvent, CdkCustomResourceResponse, Context } from 'aws-lambda';
import { alternateOf, parseAdministrator, parseLogin } from '../management/broker-login.ts';
import { ManagementApi, ManagementApiError } from '../management/management-api.ts';
import { asking, readSecretText } from '../management/secret-text.ts';
import { type ApplyReport, applyTopology } from './apply.ts';
import { canonical } from './record.ts';
import { APPLIED_TAG, fromProperties, type ResourceProperties, TOPOLOGY_ENV } from './resource-properties.ts';
import { keptSentences, withoutPasswordSentence } from './sentences.ts';
import type { Topology, User } from './topology.ts';

/** For the last call, which takes ten seconds at most, and for the answer. */
const RESERVE_MS = 15_000;
/** A broker that has just been made refuses its administrator for a moment. */
const LOGIN_PATIENCE_MS = 60_000;
/** For a broker of which nothing is wanted that it does not have. */
const ROLLBACK_PATIENCE_MS = 60_000;
/** A stack's event shows about so much. */
const MAX_REASON = 1500;
/** In the tag, from the first change until the last. */
const CHANGING = 'changing';

const secrets = new SecretsManagerClient({ maxAttempts: 4 });

/** What the resource tells the stack. */
export interface TopologyData {
  /** Of RabbitMQ. */
  readonly Version: string;
  /** What is not wanted any more and stays, with the command for a person who removes it. */
  readonly Kept: string;
  /** Why the broker was not asked, or `none`. */
  readonly Warning: string;
}

/** @throws Error with one sentence, the reason of the failed resource */
export async function handler(
  event: CdkCustomResourceEvent,
  context: Pick<Context, 'getRemainingTimeInMillis'>,
): Promise<CdkCustomResourceResponse<TopologyData>> {
  if (event.RequestType === 'Delete') {
    say('info', 'the topology is left to the broker');
    return { PhysicalResourceId: event.PhysicalResourceId };
  }
  const until = Date.now() + context.getRemainingTimeInMillis() - RESERVE_MS;
  try {
    const properties = event.ResourceProperties as unknown as ResourceProperties;
    const wanted = fromProperties(properties.Topology);
    const settings = settingsOf(process.env, wanted);
    // Another id would be another resource to CloudFormation, which then deletes the first.
    const PhysicalResourceId =
      event.RequestType === 'Update' ? event.PhysicalResourceId : `topology of ${wanted.vhost}`;
    const applied = new AppliedTag(settings.tagged, fingerprint(wanted, properties.Revision, settings));
    const isAppliedAlready = event.RequestType === 'Update' && (await applied.isWanted());
    const patience = isAppliedAlready ? Math.min(until, Date.now() + ROLLBACK_PATIENCE_MS) : until;
    try {
      const report = await apply(wanted, settings, patience, () => applied.write(CHANGING));
      await applied.confirm();
      const kept = keptSentences(report, { vhost: wanted.vhost, url: settings.managementUrl });
      for (const sentence of kept) say('warn', sentence);
      return {
        PhysicalResourceId,
        Data: { Version: report.version, Kept: shortened(kept.join('; ') || 'nothing'), Warning: 'none' },
      };
    } catch (error) {
      if (!isAppliedAlready || applied.changing || !(error instanceof NoWayInError)) throw error;
      const warning = `the broker was not asked, because what was applied last is wanted again: ${error.message}`;
      say('warn', warning);
      return { PhysicalResourceId, Data: { Version: 'unknown', Kept: 'unknown', Warning: shortened(warning) } };
    }
  } catch (error) {
    say('error', errorMessage(error));
    throw new Error(shortened(errorMessage(error)), { cause: error });
  }
}

/** The broker is away, or does not let the administrator in. */
class NoWayInError extends Error {
  override readonly name = 'NoWayInError';
}

interface Environment {
  readonly managementUrl: string;
  readonly administratorSecretArn: string;
  readonly loginSecretArns: Readonly<Record<string, string>>;
  /** The secret with the tag. */
  readonly tagged: string;
}

/** @throws Error with one sentence */
function settingsOf(env: NodeJS.ProcessEnv, { users }: Topology): Environment {
  const [managementUrl, administratorSecretArn, logins] = Object.values(TOPOLOGY_ENV).map((name) => {
    const value = env[name];
    if (value) return value;
    throw new Error(`${name}: expected a value in the function's environment, got nothing`);
  }) as [string, string, string];
  // Not quoted: a person may have put a login into it.
  if (!URL.canParse(managementUrl) || new URL(managementUrl).protocol !== 'https:')
    throw new Error(
      `${TOPOLOGY_ENV.managementUrl}: expected https://host, as the administrator's password is sent there, got another address`,
    );
  const loginSecretArns = arnsOf(logins);
  for (const { name } of users)
    if (loginSecretArns[name] === undefined)
      throw new Error(`${TOPOLOGY_ENV.loginSecretArns}: expected a secret for the user ${name}, got none`);
  const [tagged = administratorSecretArn] = Object.values(loginSecretArns);
  return { managementUrl, administratorSecretArn, loginSecretArns, tagged };
}

function arnsOf(text: string): Readonly<Record<string, string>> {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null)
      return Object.fromEntries(Object.entries(parsed).map(([name, arn]) => [name, String(arn)]));
  } catch {
    // Said below, without the text.
  }
  throw new Error(`${TOPOLOGY_ENV.loginSecretArns}: expected JSON, an object of user names and ARNs`);
}

/** Of all that an update can want, and no secret. Another revision asks for the broker's present state on purpose. */
function fingerprint(wanted: Topology, revision: unknown, { managementUrl, loginSecretArns }: Environment): string {
  const text = canonical({ wanted, revision: String(revision), managementUrl, loginSecretArns });
  return createHash('sha256').update(text).digest('hex');
}

/** What was applied last. It is doubted before the first change, so that half of a topology never counts as applied. */
class AppliedTag {
  readonly #secret: string;
  readonly #wanted: string;
  changing = false;

  constructor(secret: string, wanted: string) {
    this.#secret = secret;
    this.#wanted = wanted;
  }

  async isWanted(): Promise<boolean> {
    return (await this.#read()) === this.#wanted;
  }

  async write(Value: string): Promise<void> {
    this.changing = Value === CHANGING;
    await asking('TagResource', this.#secret, () =>
      secrets.send(new TagResourceCommand({ SecretId: this.#secret, Tags: [{ Key: APPLIED_TAG, Value }] })),
    );
  }

  /** The topology is applied already: without the tag only a rollback needs the broker. */
  async confirm(): Promise<void> {
    try {
      if (!(await this.isWanted())) await this.write(this.#wanted);
    } catch (error) {
      say(
        'warn',
        `a rollback will need the broker, as the tag ${APPLIED_TAG} cannot be written: ${errorMessage(error)}`,
      );
    }
  }

  async #read(): Promise<string | undefined> {
    try {
      const { Tags = [] } = await asking('DescribeSecret', this.#secret, () =>
        secrets.send(new DescribeSecretCommand({ SecretId: this.#secret })),
      );
      return Tags.find(({ Key }) => Key === APPLIED_TAG)?.Value;
    } catch (error) {
      say('warn', `the tag ${APPLIED_TAG} cannot be read: ${errorMessage(error)}`);
      return undefined;
    }
  }
}

/** @throws NoWayInError; TopologyRefusedError, ManagementApiError, Error with one sentence */
async function apply(
  topology: Topology,
  settings: Environment,
  until: number,
  beforeChanges: () => Promise<void>,
): Promise<ApplyReport> {
  const { users, passwords } = await usersOf(topology.users, settings.loginSecretArns);
  const wanted = { ...topology, users };
  const report = await patiently(until, async (signal) => {
    const { username, password } = await readAdministrator(settings.administratorSecretArn);
    const api = new ManagementApi({ url: settings.managementUrl, username, password });
    try {
      return await applyTopology(api, wanted, { passwords, signal, beforeChanges });
    } finally {
      api.close();
    }
  });
  for (const { kind, what, details } of report.steps) say('info', `${kind} ${what}`, details);
  for (const sentence of [...report.withoutPassword.map(withoutPasswordSentence), ...report.notes])
    say('warn', sentence);
  return report;
}

async function readAdministrator(arn: string) {
  const text = await readSecret(arn);
  try {
    return parseAdministrator(arn, text);
  } catch (error) {
    throw new NoWayInError(errorMessage(error));
  }
}

/** The users as the broker is to know them: by the names in their secrets, with the rights of their part. */
async function usersOf(parts: readonly User[], arns: Readonly<Record<string, string>>) {
  const users: User[] = [];
  const passwords: Record<string, string> = {};
  for (const part of parts) {
    const arn = arns[part.name] ?? '';
    const pair = [part.name, alternateOf(part.name)];
    const login = parseLogin(arn, await readSecret(arn));
    if (!pair.includes(login.username))
      throw new Error(`secret ${arn}: expected the user ${pair.join(' or ')}, got another: put the right one there`);
    users.push({ ...part, name: login.username });
    passwords[login.username] = login.password;
    const former = await formerUser(arn);
    // It keeps its password: a rotation may just be giving it another. Where it does not exist, it is left out.
    if (former !== undefined && former !== login.username && pair.includes(former))
      users.push({ ...part, name: former });
  }
  return { users, passwords };
}

/** Undefined where there is none, or no login was possible with it. */
async function formerUser(arn: string): Promise<string | undefined> {
  const text = await readSecretText(secrets, arn, { VersionStage: 'AWSPREVIOUS' });
  try {
    return text === undefined ? undefined : parseLogin(arn, text).username;
  } catch {
    return undefined;
  }
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
      if (error.kind !== 'away' && error.kind !== 'login') throw error;
      const patience = error.kind === 'away' ? until : Math.min(until, started + LOGIN_PATIENCE_MS);
      if (Date.now() + pause >= patience) throw late(started, error);
      say('warn', `${error.message}: trying again in ${pause / 1_000} s`);
      await sleep(pause);
    }
  }
}

function late(started: number, error: unknown): NoWayInError {
  const seconds = Math.round((Date.now() - started) / 1_000);
  return new NoWayInError(`${errorMessage(error)} (given up after ${seconds} s)`, { cause: error });
}

async function readSecret(arn: string): Promise<string> {
  return (await readSecretText(secrets, arn)) ?? '';
}

function shortened(text: string): string {
  return text.length <= MAX_REASON ? text : `${text.slice(0, MAX_REASON)} … (the rest is in the function's log)`;
}

function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function say(level: 'info' | 'warn' | 'error', message: string, details: readonly string[] = []): void {
  console.log(JSON.stringify({ level, message, ...(details.length > 0 && { details }) }));
}
