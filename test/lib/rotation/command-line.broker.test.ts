// `npm run logins -- revoke`, as a process, against AWS's protocols, the real function and a real RabbitMQ.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type ChannelModel, connect } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import type { handler as Handler } from '../../../lib/rotation/rotate.lambda.ts';
import { LOGIN_FUNCTION_OUTPUT, ROTATION_ENV } from '../../../lib/rotation/rotation.ts';
import { LOGIN_SECRETS, secretName } from '../../../lib/secrets.ts';
import { type SecretsManager, startSecretsManager } from '../../../local/secrets-manager.ts';
import { USERS } from '../../../service/contract/names.ts';
import { type AwsApis, startAwsApis } from '../../support/aws-apis.ts';
import { makeVhost, sharedBroker, type Vhost } from '../../support/broker.ts';
import { managementByTls } from '../../support/management-by-tls.ts';

/** A secret for each test: what became of the versions of one is no concern of the next. */
const COMMANDS = (['staging', 'production'] as const).flatMap((environment) =>
  Object.values(USERS).map((login) => ({ environment, login })),
);
const STACKS = ['discord-ingestor-staging-broker', 'discord-ingestor-production-broker'];
const FUNCTION = 'arn:aws:lambda:eu-central-1:111122223333:function:logins';

let secrets: SecretsManager;
let handler: typeof Handler;
let api: ManagementApi;
let vhost: Vhost;
let user: string;
let secret: string;
let command: readonly string[];
let aws: AwsApis | undefined;
const open: ChannelModel[] = [];

beforeAll(async () => {
  secrets = await startSecretsManager();
  for (const [name, value] of Object.entries(secrets.environment)) vi.stubEnv(name, value);
  const { managementUrl: url, username, password } = sharedBroker();
  vi.stubEnv(ROTATION_ENV.managementUrl, managementByTls());
  vi.stubEnv(ROTATION_ENV.administratorSecretArn, secrets.put('administrator', JSON.stringify({ username, password })));
  api = new ManagementApi({ url, username, password });
  // The SDK reads the environment when its client is made.
  ({ handler } = await import('../../../lib/rotation/rotate.lambda.ts'));
  vi.spyOn(console, 'log').mockImplementation(() => undefined);
});

afterAll(async () => {
  api.close();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await secrets.stop();
});

beforeEach(async () => {
  vhost = await makeVhost('revoke');
  user = `worker-${randomBytes(4).toString('hex')}`;
  const { environment, login: name } = COMMANDS.shift() ?? expect.fail('more tests than secrets');
  secret = secretName(environment, LOGIN_SECRETS[name]);
  command = ['revoke', name, '--environment', environment];
  await api.putUser(user, { password: 'leaked-password' });
  await api.putPermissions(vhost.vhost, user, { configure: '', write: '', read: '' });
  const { hostname: host, port } = new URL(sharedBroker().amqpUrl);
  const login = {
    host,
    port: Number(port),
    vhost: vhost.vhost,
    username: user,
    password: 'leaked-password',
    tls: false,
  };
  const arn = secrets.put(secret, JSON.stringify(login));
  vi.stubEnv(ROTATION_ENV.loginSecretArns, JSON.stringify({ [user]: arn }));
});

afterEach(async () => {
  await aws?.stop();
  aws = undefined;
  for (const connection of open.splice(0)) await connection.close().catch(() => undefined);
  for (const name of [user, `${user}_b`]) await api.deleteUser(name);
  await vhost.remove();
});

async function connectAs(login: { username: string; password: string }): Promise<ChannelModel> {
  const connection = await connect(vhost.url(login));
  connection.on('error', () => undefined);
  open.push(connection);
  return connection;
}

async function logins(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const environment = { PATH: process.env.PATH ?? '', ...aws?.environment };
  return await new Promise((resolve) => {
    execFile(process.execPath, ['bin/logins.ts', ...args], { env: environment }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

const current = (): { username: string; password: string } => JSON.parse(secrets.value(secret) ?? '');
const start = async (scheduled = true) => {
  const outputs = { [LOGIN_FUNCTION_OUTPUT]: FUNCTION };
  aws = await startAwsApis({ secrets, handler, stacks: STACKS, outputs, scheduled });
  return aws;
};

it('ends the leaked password and its connections, and says what it did without a password', async () => {
  const { calls } = await start();
  const leaked = await connectAs({ username: user, password: 'leaked-password' });
  const closed = once(leaked, 'close');
  const { code, out, err } = await logins(...command);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  await closed;
  expect(out.split('\n')).toEqual([
    `${user} is the only user of its pair: nothing to revoke yet`,
    `${secret} has a new password`,
    `${user}: its password does not work any more, 1 connections closed; current: ${user}_b`,
    '',
  ]);
  expect(out).not.toContain(current().password);
  await expect(connectAs({ username: user, password: 'leaked-password' })).rejects.toThrow(/ACCESS_REFUSED/);
  await connectAs(current());
  expect(calls).toEqual(['Invoke revoke', 'RotateSecret', 'Invoke revoke']);
});

it('ends the connections of both users, whichever of the two was leaked, and may be repeated', async () => {
  await start();
  await secrets.rotate(secret, handler);
  const former = await connectAs({ username: user, password: 'leaked-password' });
  const present = await connectAs(current());
  const second = current();
  const closed = Promise.all([once(former, 'close'), once(present, 'close')]);
  expect(await logins(...command)).toMatchObject({ code: 0 });
  await closed;
  await expect(connectAs({ username: user, password: 'leaked-password' })).rejects.toThrow(/ACCESS_REFUSED/);
  await expect(connectAs(second)).rejects.toThrow(/ACCESS_REFUSED/);
  const third = current();
  expect(await logins(...command)).toMatchObject({ code: 0 });
  await expect(connectAs(third)).rejects.toThrow(/ACCESS_REFUSED/);
  await connectAs(current());
});

it('works without a schedule, and leaves none behind', async () => {
  const { calls } = await start(false);
  expect(await logins(...command)).toMatchObject({ code: 0 });
  expect(calls).toEqual(['Invoke revoke', `RotateSecret ${FUNCTION}`, 'CancelRotateSecret', 'Invoke revoke']);
  await connectAs(current());
});

it('that cannot rotate says so in time, and what is current goes on', async () => {
  const { calls } = await start();
  // The next user is given no channel, so that its test fails.
  await api.putUserLimit(user, 'max-channels', 0);
  const { code, err } = await logins(...command, '--wait', '1');
  expect(code).toBe(1);
  expect(err).toMatch(/expected a new password within 1 s, got none, and the current one still works/);
  expect(current().password).toBe('leaked-password');
  await connectAs(current());
  expect(calls).toEqual(['Invoke revoke', 'RotateSecret']);
  // And says at the next try what has to be done about it.
  const again = await logins(...command);
  expect(again).toMatchObject({ code: 1, err: expect.stringContaining('or remove the label, and revoke again') });
});

it('says that the stack is not there, or is of a version without the function', async () => {
  aws = await startAwsApis({ secrets, handler, stacks: [], outputs: {} });
  expect(await logins(...command)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^Stack with id .+ does not exist\n$/),
  });
  await aws.stop();
  aws = await startAwsApis({ secrets, handler, stacks: STACKS, outputs: { Other: 'x' } });
  expect(await logins(...command)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^stack .+: expected the output LoginFunction, got none. Deploy the stack first\n$/),
  });
});

it('refuses what it does not know in one sentence', async () => {
  await start();
  const sentences: [args: string[], sentence: string][] = [
    [['revoke', 'administrator', '--environment', 'staging'], 'expected revoke ingestor or worker or dead-letters'],
    [['rotate', 'worker', '--environment', 'staging'], 'expected revoke ingestor'],
    [['revoke', 'worker'], '--environment: expected staging or production'],
    [['revoke', 'worker', '--environment', 'staging', '--wait', 'x'], '--wait: expected a number of seconds'],
  ];
  for (const [args, sentence] of sentences) {
    const { code, err } = await logins(...args);
    expect({ code, lines: err.trim().split('\n').length }, args.join(' ')).toEqual({ code: 1, lines: 1 });
    expect(err).toContain(sentence);
  }
});
