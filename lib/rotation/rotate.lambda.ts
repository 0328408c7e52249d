// Rotates a login of the broker when Secrets Manager asks for it, step by step:
//   createSecret  the other user of the pair and a new password become the pending version of the secret
//   setSecret     the broker gets this user, with this password and with the rights of the current user
//   testSecret    it logs in by AMQP, as the service and the workers do
//   finishSecret  the pending version becomes the current one
// Each step may be repeated, and a rotation that failed leaves the current login untouched.
import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  ResourceNotFoundException,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { connect } from 'amqplib';
import type { SecretsManagerRotationEvent } from 'aws-lambda';
import { type BrokerLogin, parseAdministrator, parseLogin } from '../management/broker-login.ts';
import { ManagementApi } from '../management/management-api.ts';
import { heritage, nextLogin, ROTATION_ENV } from './rotation.ts';

const CURRENT = 'AWSCURRENT';
const PENDING = 'AWSPENDING';
const LOGIN_DEADLINE_MS = 15_000;

const secrets = new SecretsManagerClient({ maxAttempts: 4 });

/** @throws Error with one sentence: Secrets Manager shows that the rotation failed, and the log why */
export async function handler(event: SecretsManagerRotationEvent): Promise<void> {
  const { Step: step, SecretId: secret, ClientRequestToken: token } = event;
  const { VersionIdsToStages: versions = {} } = await secrets.send(new DescribeSecretCommand({ SecretId: secret }));
  const stages = versions[token];
  if (!stages) throw new Error(`secret ${secret}: expected a version ${token} to rotate to, got none`);
  if (stages.includes(CURRENT)) return say(step, secret, 'nothing to do: this version is the current one');
  if (!stages.includes(PENDING)) {
    throw new Error(
      `secret ${secret}: expected version ${token} to be ${PENDING}, got ${stages.join(', ') || 'no label'}`,
    );
  }
  const current = await readLogin(secret, { VersionStage: CURRENT });
  if (!current) throw new Error(`secret ${secret}: expected a current login, got an empty secret`);
  const pending = await readLogin(secret, { VersionId: token, VersionStage: PENDING });

  switch (step) {
    case 'createSecret': {
      if (pending) return say(step, secret, `the next login is there: user ${pending.username}`);
      const next = nextLogin(current);
      await secrets.send(
        new PutSecretValueCommand({
          SecretId: secret,
          ClientRequestToken: token,
          SecretString: JSON.stringify(next),
          VersionStages: [PENDING],
        }),
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
      await inherit(current.username, next);
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
      await secrets.send(
        new UpdateSecretVersionStageCommand({
          SecretId: secret,
          VersionStage: CURRENT,
          MoveToVersionId: token,
          RemoveFromVersionId: holder,
        }),
      );
      return say(step, secret, `the login of user ${next.username} is the current one`);
    }
    default:
      throw new Error(`expected one of the four steps of a rotation, got '${String(step)}'`);
  }
}

async function inherit(current: string, next: BrokerLogin): Promise<void> {
  const arn = variable(ROTATION_ENV.administratorSecretArn);
  const administrator = parseAdministrator(arn, await readText(arn, {}));
  const api = new ManagementApi({ url: variable(ROTATION_ENV.managementUrl), ...administrator });
  try {
    const [users, permissions] = await Promise.all([api.users(), api.permissions()]);
    const { tags, rights } = heritage(current, next.username, users, permissions);
    await api.putUser(next.username, { password: next.password }, tags);
    for (const right of rights) {
      if (right.kind === 'grant') await api.putPermissions(right.vhost, next.username, right.permissions);
      else await api.deletePermissions(right.vhost, next.username);
    }
  } finally {
    api.close();
  }
}

async function tryLogin({ host, port, vhost, username, password, tls }: BrokerLogin): Promise<void> {
  const address = { protocol: tls === false ? 'amqp' : 'amqps', hostname: host, port, vhost, username, password };
  const options = { timeout: LOGIN_DEADLINE_MS, clientProperties: { connection_name: 'test of a rotated login' } };
  try {
    const connection = await connect(address, options);
    // An open channel shows that the vhost is open to this user.
    await connection.createChannel();
    await connection.close();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`user ${username} cannot log in to ${host}:${port}, vhost ${vhost}: ${reason}`, { cause: error });
  }
}

/** Undefined where this version has no value yet. */
async function readLogin(secret: string, version: { VersionId?: string; VersionStage: string }) {
  try {
    return parseLogin(secret, await readText(secret, version));
  } catch (error) {
    if (error instanceof ResourceNotFoundException) return undefined;
    throw error;
  }
}

async function readText(secret: string, version: { VersionId?: string; VersionStage?: string }): Promise<string> {
  const { SecretString } = await secrets.send(new GetSecretValueCommand({ SecretId: secret, ...version }));
  return SecretString ?? '';
}

function expected(pending: BrokerLogin | undefined, secret: string): BrokerLogin {
  if (pending) return pending;
  throw new Error(`secret ${secret}: expected a pending login, which the step createSecret makes, got none`);
}

function variable(name: string): string {
  const value = process.env[name];
  if (value) return value;
  throw new Error(`${name}: expected a value in the function's environment, got nothing`);
}

function say(step: string, secret: string, message: string): void {
  console.log(JSON.stringify({ level: 'info', step, secret, message }));
}
