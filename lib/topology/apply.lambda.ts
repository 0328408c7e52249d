// Applies the topology when CloudFormation calls it, with the plan and the calls of the command line. The broker and the
// secrets are named in its environment, the topology in the event. It retries while the broker does
// not answer, until the time is up; a refusal is reported at once and becomes the reason in the stack's events. Users get the names and
// passwords of their secrets, which rotate: the current user of each pair, and the one before it, which tasks may still use.
// What was applied last is in a tag of the first login's secret, so that a rollback to it needs no broker. Deleting
// removes nothing and never fails.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DescribeSecretCommand, SecretsManagerClient, TagResourceCommand } from '@aws-sdk/client-secrets-manager';
import type { CdkCustomResourceEvent, CdkCustomResourceResponse, Context } from 'aws-lambda';
import { errorMessage } from '../../service/errors.ts';
import { parseAdministrator, parseLogin } from '../management/broker-login.ts';
import { log, logError, logged } from '../management/function-log.ts';
import { type FunctionSettings, functionSettings, MANAGEMENT_ENV } from '../management/function-settings.ts';
import { ManagementApi, ManagementApiError } from '../management/management-api.ts';
import { readSecretText, withCleanError } from '../management/secret-text.ts';
import { type ApplyReport, applyTopology } from './apply.ts';
import { canonical } from './record.ts';
import { APPLIED_TAG, fromProperties, type ResourceProperties } from './resource-properties.ts';
import { keptSentences, withoutPasswordSentence } from './sentences.ts';
import type { Topology, User } from './topology.ts';

/** For the last call, which takes ten seconds at most, and for the answer. */
const RESERVE_MS = 15_000;
/** A new broker refuses its administrator for a moment. */
const LOGIN_PATIENCE_MS = 60_000;
/** For a broker that already has what is wanted. */
const ROLLBACK_PATIENCE_MS = 60_000;
/** A stack's event shows about so much, and CloudFormation takes an answer of 4096 bytes at most. */
const MAX_REASON_BYTES = 1500;
/** The tag's value from the first change until the last. */
const CHANGING = 'changing';

const secrets = new SecretsManagerClient({ maxAttempts: 4 });

/** What the resource reports to the stack. */
export interface TopologyData {
  /** Of RabbitMQ. */
  readonly Version: string;
  /** What is no longer wanted and stays, with the command for a person who removes it. */
  readonly Kept: string;
  /** Why the function did not reach the broker, or `none`. */
  readonly Warning: string;
}

/** @throws Error with one sentence, the reason of the failed resource */
export async function handler(
  event: CdkCustomResourceEvent,
  context: Pick<Context, 'getRemainingTimeInMillis'>,
): Promise<CdkCustomResourceResponse<TopologyData>> {
  if (event.RequestType === 'Delete') {
    log('info', 'the topology stays on the broker');
    return { PhysicalResourceId: event.PhysicalResourceId };
  }
  const until = Date.now() + context.getRemainingTimeInMillis() - RESERVE_MS;
  try {
    return await logged(async () => await createOrUpdate(event, until));
  } catch (error) {
    throw new Error(shortened(errorMessage(error)), { cause: error });
  }
}

async function createOrUpdate(
  event: Exclude<CdkCustomResourceEvent, { RequestType: 'Delete' }>,
  until: number,
): Promise<CdkCustomResourceResponse<TopologyData>> {
  const properties = event.ResourceProperties as unknown as ResourceProperties;
  const wanted = fromProperties(properties.Topology);
  const settings = functionSettings(process.env);
  for (const { name } of wanted.users)
    if (settings.loginSecretArns[name] === undefined)
      throw new Error(`${MANAGEMENT_ENV.loginSecretArns}: expected a secret for the user ${name}, got none`);
  // Another id would be another resource to CloudFormation, which then deletes the first.
  const PhysicalResourceId = event.RequestType === 'Update' ? event.PhysicalResourceId : `topology of ${wanted.vhost}`;
  const applied = fingerprint(wanted, properties.Revision, settings);
  const [tagged = settings.administratorSecretArn] = Object.values(settings.loginSecretArns);
  const isAppliedAlready = event.RequestType === 'Update' && (await readTag(tagged)) === applied;
  let changing = false;
  // Before the first change, so that half of a topology never counts as applied.
  const beforeChanges = async () => {
    changing = true;
    await writeTag(tagged, CHANGING);
  };
  try {
    const patience = isAppliedAlready ? Math.min(until, Date.now() + ROLLBACK_PATIENCE_MS) : until;
    const report = await apply(wanted, settings, patience, beforeChanges);
    await confirmTag(tagged, applied);
    const kept = keptSentences(report, { vhost: wanted.vhost, url: settings.managementUrl });
    for (const sentence of kept) log('warn', sentence);
    const Kept = shortened(kept.join('; ') || 'nothing');
    return { PhysicalResourceId, Data: { Version: report.version, Kept, Warning: 'none' } };
  } catch (error) {
    if (!isAppliedAlready || changing || !(error instanceof NoAccessError)) throw error;
    const warning = `the broker was not reached, and what was applied last is wanted again: ${error.message}`;
    logError('warn', warning, error);
    return { PhysicalResourceId, Data: { Version: 'unknown', Kept: 'unknown', Warning: shortened(warning) } };
  }
}

/** The broker is unreachable, or refuses the administrator. */
class NoAccessError extends Error {
  override readonly name = 'NoAccessError';
}

/** Of all that an update can change, and of no secret. Another revision makes the function read the broker's state. */
function fingerprint(
  wanted: Topology,
  revision: unknown,
  { managementUrl, loginSecretArns }: FunctionSettings,
): string {
  const text = canonical({ wanted, revision: String(revision), managementUrl, loginSecretArns });
  return createHash('sha256').update(text).digest('hex');
}

async function readTag(secret: string): Promise<string | undefined> {
  try {
    const { Tags = [] } = await withCleanError('DescribeSecret', secret, () =>
      secrets.send(new DescribeSecretCommand({ SecretId: secret })),
    );
    return Tags.find(({ Key }) => Key === APPLIED_TAG)?.Value;
  } catch (error) {
    logError('warn', `the tag ${APPLIED_TAG} cannot be read: ${errorMessage(error)}`, error);
    return undefined;
  }
}

async function writeTag(secret: string, Value: string): Promise<void> {
  await withCleanError('TagResource', secret, () =>
    secrets.send(new TagResourceCommand({ SecretId: secret, Tags: [{ Key: APPLIED_TAG, Value }] })),
  );
}

/** The topology is applied already: without the tag only a rollback needs the broker. */
async function confirmTag(secret: string, applied: string): Promise<void> {
  try {
    if ((await readTag(secret)) !== applied) await writeTag(secret, applied);
  } catch (error) {
    const consequence = `a rollback will need the broker, as the tag ${APPLIED_TAG} cannot be written`;
    logError('warn', `${consequence}: ${errorMessage(error)}`, error);
  }
}

/** @throws NoAccessError; TopologyRefusedError, ManagementApiError, Error with one sentence */
async function apply(
  topology: Topology,
  settings: FunctionSettings,
  until: number,
  beforeChanges: () => Promise<void>,
): Promise<ApplyReport> {
  const { users, passwords } = await usersOf(topology.users, settings.loginSecretArns);
  const wanted = { ...topology, users };
  const report = await retrying(until, async (signal) => {
    const { username, password } = await readAdministrator(settings.administratorSecretArn);
    const api = new ManagementApi({ url: settings.managementUrl, username, password });
    try {
      return await applyTopology(api, wanted, { passwords, signal, beforeChanges });
    } finally {
      api.close();
    }
  });
  for (const { kind, what, details } of report.steps) log('info', `${kind} ${what}`, { details });
  for (const sentence of [...report.withoutPassword.map(withoutPasswordSentence), ...report.notes])
    log('warn', sentence);
  return report;
}

async function readAdministrator(arn: string) {
  const text = await readSecretText(secrets, arn);
  try {
    return parseAdministrator(arn, text ?? '');
  } catch (error) {
    throw new NoAccessError(errorMessage(error));
  }
}

/** The users with the names in their secrets, and with the permissions and limits of the topology. */
async function usersOf(parts: readonly User[], arns: Readonly<Record<string, string>>) {
  const users: User[] = [];
  const passwords: Record<string, string> = {};
  for (const part of parts) {
    const arn = arns[part.name] ?? '';
    const login = parseLogin(arn, part.name, (await readSecretText(secrets, arn)) ?? '');
    users.push({ ...part, name: login.username });
    passwords[login.username] = login.password;
    const former = await formerUser(arn, part.name);
    // It keeps its password: a rotation may just be setting another one. Where it does not exist, it is skipped.
    if (former !== undefined && former !== login.username) users.push({ ...part, name: former });
  }
  return { users, passwords };
}

/** Undefined where there is none, or no login was possible with it. */
async function formerUser(arn: string, user: string): Promise<string | undefined> {
  const text = await readSecretText(secrets, arn, { VersionStage: 'AWSPREVIOUS' });
  try {
    return text === undefined ? undefined : parseLogin(arn, user, text).username;
  } catch {
    return undefined;
  }
}

/** Retries while the broker is unreachable, until the time is up. */
async function retrying<T>(until: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const started = Date.now();
  const signal = AbortSignal.timeout(Math.max(1, until - started));
  for (let pause = 1_000; ; pause = Math.min(2 * pause, 10_000)) {
    try {
      return await work(signal);
    } catch (error) {
      if (!(error instanceof ManagementApiError)) throw signal.aborted ? late(started, signal.reason) : error;
      if (error.kind === 'refused') throw error;
      const patience = error.kind === 'unreachable' ? until : Math.min(until, started + LOGIN_PATIENCE_MS);
      if (Date.now() + pause >= patience) throw late(started, error);
      log('warn', `${error.message}: retrying in ${pause / 1_000} s`);
      await sleep(pause);
    }
  }
}

function late(started: number, error: unknown): NoAccessError {
  const seconds = Math.round((Date.now() - started) / 1_000);
  return new NoAccessError(`${errorMessage(error)} (given up after ${seconds} s)`, { cause: error });
}

function shortened(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_REASON_BYTES) return text;
  // Without the first bytes of a character that does not fit.
  const beginning = new TextDecoder().decode(bytes.subarray(0, MAX_REASON_BYTES), { stream: true });
  return `${beginning} … (the rest is in the function's log)`;
}
