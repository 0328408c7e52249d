// Rotates a login of the broker when Secrets Manager calls it, step by step:
//   createSecret  the other user of the pair and a new password become the pending version of the secret
//   setSecret     the broker gets this user, with this password and with permissions and limits of the current user
//   testSecret    it logs in by AMQP, as the service and the workers do
//   finishSecret  the pending version becomes the current one
// Each step may be repeated, and a rotation that failed leaves the current login untouched. A fifth step is for a person
// whose login was leaked (`npm run logins`), after a rotation:
//   revoke        the former user gets a password that is not stored, and its connections are closed
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DescribeSecretCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import type { SecretsManagerRotationEvent } from 'aws-lambda';
import { alternateOf, type BrokerLogin, parseAdministrator, parseLogin } from '../management/broker-login.ts';
import { log, logged } from '../management/function-log.ts';
import { type FunctionSettings, functionSettings, MANAGEMENT_ENV } from '../management/function-settings.ts';
import { type FoundUser, ManagementApi, unlessRefused } from '../management/management-api.ts';
import { readSecretText, withCleanError } from '../management/secret-text.ts';
import { tryLogin } from './amqp-login.ts';
import { newPassword, nextLogin, requireOrdinaryUsers, rightsFor } from './rotation.ts';

const CURRENT = 'AWSCURRENT';
const PENDING = 'AWSPENDING';
const PREVIOUS = 'AWSPREVIOUS';

export interface RevokeEvent {
  readonly Step: 'revoke';
  readonly SecretId: string;
}

export interface RevokeReport {
  /** Its password is not stored any more; undefined where there is no former user. */
  readonly revoked: string | undefined;
  readonly current: string;
  readonly connectionsClosed: number;
}

/** Closing connections ends when two rounds found none. */
const ROUND_MS = 500;
const QUIET_ROUNDS = 2;
const MAX_ROUNDS = 20;

const secrets = new SecretsManagerClient({ maxAttempts: 4 });

/** @throws Error with one sentence: Secrets Manager shows that the rotation failed, and the log why */
export async function handler(event: SecretsManagerRotationEvent | RevokeEvent): Promise<RevokeReport | undefined> {
  return await logged(async () => {
    const settings = functionSettings(process.env);
    const [user] = Object.entries(settings.loginSecretArns).find(([, arn]) => arn === event.SecretId) ?? [];
    if (user === undefined)
      throw new Error(
        `secret ${event.SecretId}: expected one of those in ${MANAGEMENT_ENV.loginSecretArns}, got another. Nothing was changed`,
      );
    if (event.Step === 'revoke') return await revoke(event.SecretId, user, settings);
    const done = await rotate(event, user, settings);
    log('info', done, { step: event.Step, secret: event.SecretId });
    return undefined;
  });
}

/** @returns what was done */
async function rotate(event: SecretsManagerRotationEvent, user: string, settings: FunctionSettings): Promise<string> {
  const { Step: step, SecretId: secret, ClientRequestToken: token } = event;
  const versions = await versionsOf(secret);
  const stages = versions[token];
  if (!stages) throw new Error(`secret ${secret}: expected a version ${token} to rotate to, got none`);
  if (stages.includes(CURRENT)) return 'nothing to do: this version is the current one';
  if (!stages.includes(PENDING)) {
    const got = stages.join(', ') || 'no label';
    throw new Error(`secret ${secret}: expected version ${token} to be ${PENDING}, got ${got}`);
  }
  const current = await currentLogin(secret, user);
  const pending = await readLogin(secret, user, { VersionId: token, VersionStage: PENDING });
  // When a schedule is made, Secrets Manager calls this step alone, with a version that was never written.
  if (step === 'testSecret') {
    const login = pending ?? current;
    await tryLogin(login);
    return `user ${login.username} can log in`;
  }
  if (step === 'createSecret') {
    if (pending) return `the next login exists: user ${pending.username}`;
    const next = nextLogin(current);
    // Refuses before anything is changed, the secret included.
    await asAdministrator(settings, user, async (api, users) => {
      await readRights(api, users, next.username, current.username);
    });
    const SecretString = JSON.stringify(next);
    const put = { SecretId: secret, ClientRequestToken: token, SecretString, VersionStages: [PENDING] };
    await withCleanError('PutSecretValue', secret, () => secrets.send(new PutSecretValueCommand(put)));
    return `the next login is of user ${next.username}`;
  }
  if (!pending)
    throw new Error(`secret ${secret}: expected a pending login, which the step createSecret makes, got none`);
  switch (step) {
    case 'setSecret':
      if (pending.username === current.username)
        throw new Error(
          `secret ${secret}: the pending login is of the current user ${pending.username}, whose password would change under its connections. Remove the label ${PENDING} and rotate again`,
        );
      await asAdministrator(settings, user, async (api, users) => {
        await setUser(api, users, pending, current.username);
      });
      return `user ${pending.username} has the permissions and limits of ${current.username}`;
    case 'finishSecret': {
      const [holder] = Object.entries(versions).find(([, labels]) => labels.includes(CURRENT)) ?? [];
      const move = { SecretId: secret, VersionStage: CURRENT, MoveToVersionId: token, RemoveFromVersionId: holder };
      await withCleanError('UpdateSecretVersionStage', secret, () =>
        secrets.send(new UpdateSecretVersionStageCommand(move)),
      );
      return `the login of user ${pending.username} is the current one`;
    }
    default:
      throw new Error(`expected one of the four steps of a rotation or revoke, got '${String(step)}'`);
  }
}

/** Never touches the current user. May be repeated: the former user gets one more password that is not stored. */
async function revoke(secret: string, user: string, settings: FunctionSettings): Promise<RevokeReport> {
  const current = await settledUser(secret, user);
  const former = alternateOf(current);
  const fields = { step: 'revoke', secret };
  return await asAdministrator(settings, user, async (api, users) => {
    if (!users.some(({ name }) => name === former)) {
      log('info', `nothing to do: the broker has no user ${former}`, fields);
      return { revoked: undefined, current, connectionsClosed: 0 };
    }
    if ((await settledUser(secret, user)) !== current)
      throw new Error(`secret ${secret}: a rotation came between, and user ${former} is current now. Revoke again`);
    await putPassword(api, former, newPassword());
    const connectionsClosed = await closeAll(api, former);
    log('info', `the password of user ${former} is revoked`, { ...fields, connectionsClosed });
    return { revoked: former, current, connectionsClosed };
  });
}

/** The current user. @throws Error with one sentence where a rotation is under way */
async function settledUser(secret: string, user: string): Promise<string> {
  const versions = await versionsOf(secret);
  // A version that was current keeps the label until the next rotation.
  const underWay = Object.values(versions).some(
    (labels) => labels.includes(PENDING) && !labels.includes(CURRENT) && !labels.includes(PREVIOUS),
  );
  if (underWay)
    throw new Error(
      `secret ${secret}: expected no rotation under way, got a version with the label ${PENDING}, whose user would be revoked. Wait until the rotation ends, or remove the label, and revoke again`,
    );
  return (await currentLogin(secret, user)).username;
}

/** Repeats until there is none: one that just opened with the old password is known to the broker a moment later. */
async function closeAll(api: ManagementApi, user: string): Promise<number> {
  const close = async () => {
    const open = await api.list('connections', 'username', user);
    await api.delete('connections', 'username', user);
    return open.length;
  };
  let closed = await close();
  for (let rounds = 0, quiet = 0; quiet < QUIET_ROUNDS && rounds < MAX_ROUNDS; rounds += 1) {
    await sleep(ROUND_MS);
    const more = await close();
    quiet = more === 0 ? quiet + 1 : 0;
    // What was closed a round ago may still be listed.
    closed = Math.max(closed, more);
  }
  return closed;
}

/** With the users of the broker, among which those of this pair are checked before anything is changed. */
async function asAdministrator<T>(
  settings: FunctionSettings,
  user: string,
  work: (api: ManagementApi, users: readonly FoundUser[]) => Promise<T>,
): Promise<T> {
  const arn = settings.administratorSecretArn;
  const administrator = parseAdministrator(arn, (await readSecretText(secrets, arn)) ?? '');
  const api = new ManagementApi({ url: settings.managementUrl, ...administrator });
  try {
    const users = await api.list('users');
    requireOrdinaryUsers([user, alternateOf(user)], administrator.username, users);
    return await work(api, users);
  } finally {
    api.close();
  }
}

async function readRights(api: ManagementApi, users: readonly FoundUser[], next: string, current: string) {
  const permissions = await api.list('permissions');
  const limits = await unlessRefused(api.list('user-limits'), () => undefined);
  return rightsFor(next, current, { users, permissions, limits: limits ?? [] });
}

/** Permissions are granted before others are withdrawn, so that none is missing in between. */
async function setUser(
  api: ManagementApi,
  users: readonly FoundUser[],
  { username, password }: BrokerLogin,
  current: string,
): Promise<void> {
  const { granted, withdrawn, limits } = await readRights(api, users, username, current);
  await putPassword(api, username, password);
  for (const { vhost, permissions } of granted) await api.put(['permissions', vhost, username], permissions);
  for (const vhost of withdrawn) await api.delete('permissions', vhost, username);
  for (const [limit, value] of Object.entries(limits))
    await unlessRefused(api.put(['user-limits', username, limit], { value }), (reason) =>
      log('warn', `limits of ${username} are not set: ${reason}`),
    );
}

async function putPassword(api: ManagementApi, user: string, password: string): Promise<void> {
  await api.put(['users', user], { password, tags: '' });
}

async function versionsOf(secret: string): Promise<Readonly<Record<string, readonly string[]>>> {
  const { VersionIdsToStages: versions = {} } = await withCleanError('DescribeSecret', secret, () =>
    secrets.send(new DescribeSecretCommand({ SecretId: secret })),
  );
  return versions;
}

async function currentLogin(secret: string, user: string): Promise<BrokerLogin> {
  const current = await readLogin(secret, user, { VersionStage: CURRENT });
  if (current) return current;
  throw new Error(`secret ${secret}: expected a current login, got an empty secret`);
}

/** Undefined where this version has no value yet. */
async function readLogin(secret: string, user: string, version: { VersionId?: string; VersionStage: string }) {
  const text = await readSecretText(secrets, secret, version);
  return text === undefined ? undefined : parseLogin(secret, user, text);
}
