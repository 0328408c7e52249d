// Rotates a login of the broker when Secrets Manager asks for it, step by step:
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
import {
  alternateOf,
  type BrokerLogin,
  parseAdministrator,
  parseLogin,
  requireOwnUser,
} from '../management/broker-login.ts';
import {
  type FoundUser,
  type FoundUserLimits,
  ManagementApi,
  ManagementApiError,
} from '../management/management-api.ts';
import { asking, readSecretText } from '../management/secret-text.ts';
import { tryLogin } from './amqp-login.ts';
import {
  firstUserOf,
  heritage,
  newPassword,
  nextLogin,
  type RightsStep,
  type RotationSettings,
  requireOrdinaryUsers,
  rotationSettings,
} from './rotation.ts';

const CURRENT = 'AWSCURRENT';
const PENDING = 'AWSPENDING';
const PREVIOUS = 'AWSPREVIOUS';

export interface RevokeEvent {
  readonly Step: 'revoke';
  readonly SecretId: string;
}

export interface RevokeReport {
  /** Whose password is not known to anybody any more; undefined where there is no former user. */
  readonly revoked: string | undefined;
  readonly current: string;
  readonly connectionsClosed: number;
}

/** Of closing connections: it ends when two rounds found none. */
const ROUND_MS = 500;
const QUIET_ROUNDS = 2;
const MAX_ROUNDS = 20;

const secrets = new SecretsManagerClient({ maxAttempts: 4 });

/** @throws Error with one sentence: Secrets Manager shows that the rotation failed, and the log why */
export async function handler(event: SecretsManagerRotationEvent | RevokeEvent): Promise<RevokeReport | undefined> {
  const settings = rotationSettings(process.env);
  const user = firstUserOf(event.SecretId, settings);
  if (event.Step === 'revoke') return await revoke(event.SecretId, user, settings);
  await rotate(event, user, settings);
  return undefined;
}

async function rotate(event: SecretsManagerRotationEvent, user: string, settings: RotationSettings): Promise<void> {
  const { Step: step, SecretId: secret, ClientRequestToken: token } = event;
  const versions = await versionsOf(secret);
  const stages = versions[token];
  if (!stages) throw new Error(`secret ${secret}: expected a version ${token} to rotate to, got none`);
  if (stages.includes(CURRENT)) return say(step, secret, 'nothing to do: this version is the current one');
  if (!stages.includes(PENDING)) {
    throw new Error(
      `secret ${secret}: expected version ${token} to be ${PENDING}, got ${stages.join(', ') || 'no label'}`,
    );
  }
  const current = await currentLogin(secret, user);
  const pending = await readLogin(secret, user, { VersionId: token, VersionStage: PENDING });

  switch (step) {
    case 'createSecret': {
      if (pending) return say(step, secret, `the next login is there: user ${pending.username}`);
      const next = nextLogin(current);
      // Before anything is changed, the secret included.
      await asAdministrator(settings, user, async (api, users) => {
        await rightsOf(api, users, current.username, next.username);
      });
      await asking('PutSecretValue', secret, () =>
        secrets.send(
          new PutSecretValueCommand({
            SecretId: secret,
            ClientRequestToken: token,
            SecretString: JSON.stringify(next),
            VersionStages: [PENDING],
          }),
        ),
      );
      return say(step, secret, `the next login is of user ${next.username}`);
    }
    case 'setSecret': {
      const next = expected(pending, secret);
      if (next.username === current.username) {
        throw new Error(
          `secret ${secret}: the pending login is of the current user ${next.username}, whose password would change under its connections. Remove the label ${PENDING} and rotate again`,
        );
      }
      await asAdministrator(settings, user, async (api, users) => {
        const rights = await rightsOf(api, users, current.username, next.username);
        await api.putUser(next.username, { password: next.password });
        for (const right of rights) await give(api, next.username, right, secret);
      });
      return say(step, secret, `user ${next.username} has the rights of ${current.username}`);
    }
    case 'testSecret': {
      // When a schedule is made, Secrets Manager tries this step alone, with a version that nobody has written.
      const login = pending ?? current;
      await tryLogin(login);
      return say(step, secret, `user ${login.username} can log in`);
    }
    case 'finishSecret': {
      const next = expected(pending, secret);
      const [holder] = Object.entries(versions).find(([, labels]) => labels.includes(CURRENT)) ?? [];
      await asking('UpdateSecretVersionStage', secret, () =>
        secrets.send(
          new UpdateSecretVersionStageCommand({
            SecretId: secret,
            VersionStage: CURRENT,
            MoveToVersionId: token,
            RemoveFromVersionId: holder,
          }),
        ),
      );
      return say(step, secret, `the login of user ${next.username} is the current one`);
    }
    default:
      throw new Error(`expected one of the four steps of a rotation or revoke, got '${String(step)}'`);
  }
}

/** Never touches the current user. May be repeated: the former user gets one more password that is not stored. */
async function revoke(secret: string, user: string, settings: RotationSettings): Promise<RevokeReport> {
  const current = await settledUser(secret, user);
  const former = alternateOf(current);
  return await asAdministrator(settings, user, async (api, users) => {
    if (!users.some(({ name }) => name === former)) {
      say('revoke', secret, `nothing to do: the broker knows no user ${former}`);
      return { revoked: undefined, current, connectionsClosed: 0 };
    }
    if ((await settledUser(secret, user)) !== current)
      throw new Error(`secret ${secret}: a rotation came between, and user ${former} is current now. Revoke again`);
    await api.putUser(former, { password: newPassword() });
    const connectionsClosed = await closeAll(api, former);
    say('revoke', secret, `the password of user ${former} is revoked`, { connectionsClosed });
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
  if (underWay) {
    throw new Error(
      `secret ${secret}: expected no rotation under way, got a version with the label ${PENDING}, whose user would be revoked. Wait until the rotation ends, or remove the label, and revoke again`,
    );
  }
  return (await currentLogin(secret, user)).username;
}

/** Again until there is none: one that just opened with the old password is known to the broker a moment later. */
async function closeAll(api: ManagementApi, user: string): Promise<number> {
  let closed = await api.closeConnections(user);
  for (let rounds = 0, quiet = 0; quiet < QUIET_ROUNDS && rounds < MAX_ROUNDS; rounds += 1) {
    await sleep(ROUND_MS);
    const more = await api.closeConnections(user);
    quiet = more === 0 ? quiet + 1 : 0;
    // What was closed a round ago may still be listed.
    closed = Math.max(closed, more);
  }
  return closed;
}

/** With the users of the broker, among which those of this pair are checked before anything is changed. */
async function asAdministrator<T>(
  settings: RotationSettings,
  user: string,
  work: (api: ManagementApi, users: readonly FoundUser[]) => Promise<T>,
): Promise<T> {
  const arn = settings.administratorSecretArn;
  const administrator = parseAdministrator(arn, (await readSecretText(secrets, arn)) ?? '');
  const api = new ManagementApi({ url: settings.managementUrl, ...administrator });
  try {
    const users = await api.users();
    requireOrdinaryUsers([user, alternateOf(user)], administrator.username, users);
    return await work(api, users);
  } finally {
    api.close();
  }
}

async function rightsOf(api: ManagementApi, users: readonly FoundUser[], current: string, next: string) {
  const [permissions, limits] = await Promise.all([api.permissions(), limitsOf(api)]);
  return heritage(current, next, { users, permissions, limits });
}

/** None of a broker that knows no limits of users. */
async function limitsOf(api: ManagementApi): Promise<FoundUserLimits[]> {
  try {
    return await api.userLimits();
  } catch (error) {
    if (isRefusal(error)) return [];
    throw error;
  }
}

async function give(api: ManagementApi, user: string, right: RightsStep, secret: string): Promise<void> {
  if (right.kind === 'grant') return await api.putPermissions(right.vhost, user, right.permissions);
  if (right.kind === 'withdraw') return await api.deletePermissions(right.vhost, user);
  try {
    await api.putUserLimit(user, right.name, right.value);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    say('setSecret', secret, `user ${user} has no limit ${right.name}: ${error.message}`);
  }
}

function isRefusal(error: unknown): error is ManagementApiError {
  return error instanceof ManagementApiError && ['refused', 'forbidden', 'stranger'].includes(error.kind);
}

async function versionsOf(secret: string): Promise<Readonly<Record<string, readonly string[]>>> {
  const { VersionIdsToStages: versions = {} } = await asking('DescribeSecret', secret, () =>
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
  if (text === undefined) return undefined;
  const login = parseLogin(secret, text);
  requireOwnUser(secret, user, login);
  return login;
}

function expected(pending: BrokerLogin | undefined, secret: string): BrokerLogin {
  if (pending) return pending;
  throw new Error(`secret ${secret}: expected a pending login, which the step createSecret makes, got none`);
}

function say(step: string, secret: string, message: string, fields: object = {}): void {
  console.log(JSON.stringify({ level: 'info', step, secret, message, ...fields }));
}
