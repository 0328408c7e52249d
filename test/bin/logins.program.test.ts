// `npm run logins -- revoke` with AWS's protocols, the real function and a real RabbitMQ.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type ChannelModel, connect } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { run } from '../../bin/logins.ts';
import { LOGIN_FUNCTION_OUTPUT } from '../../lib/rotation/rotation.ts';
import { loginSecret, secretName } from '../../lib/secrets.ts';
import { USERS } from '../../service/contract/names.ts';
import { type AwsApis, startAwsApis } from '../support/aws-apis.ts';
import { makeVhost, sharedBroker, type Vhost } from '../support/broker.ts';
import { type BrokerFunctions, brokerFunctions } from '../support/broker-functions.ts';
import { start } from '../support/program.ts';

/** One secret for each test: its versions do not affect the next test. */
const COMMANDS = (['staging', 'production'] as const).flatMap((environment) =>
  Object.values(USERS).map((login) => ({ environment, login })),
);
const STACKS = ['discord-ingestor-staging-broker', 'discord-ingestor-production-broker'];
const FUNCTION = 'arn:aws:lambda:eu-central-1:111122223333:function:logins';

let functions: BrokerFunctions;
let vhost: Vhost;
let user: string;
let secret: string;
let command: readonly string[];
let aws: AwsApis | undefined;
const open: ChannelModel[] = [];

beforeAll(async () => {
  functions = await brokerFunctions();
  vi.spyOn(console, 'log').mockImplementation(() => undefined);
});
afterAll(async () => {
  vi.restoreAllMocks();
  await functions.stop();
});

const LEAKED = 'leaked-password';

beforeEach(async () => {
  const { api, secrets } = functions;
  vhost = await makeVhost('revoke');
  user = `worker-${randomBytes(4).toString('hex')}`;
  const { environment, login: name } = COMMANDS.shift() ?? expect.fail('more tests than secrets');
  secret = secretName(environment, loginSecret(name));
  command = ['revoke', name, '--environment', environment];
  await api.put(['users', user], { password: LEAKED, tags: '' });
  await api.put(['permissions', vhost.vhost, user], { configure: '', write: '', read: '' });
  const { hostname: host, port } = new URL(sharedBroker().amqpUrl);
  const login = { host, port: Number(port), vhost: vhost.vhost, username: user, password: LEAKED, tls: false };
  secrets.put(secret, JSON.stringify(login));
  functions.configure({ [user]: secret });
});

afterEach(async () => {
  await aws?.stop();
  for (const connection of open.splice(0)) await connection.close().catch(() => undefined);
  for (const name of [user, `${user}_b`]) await functions.api.delete('users', name);
  await vhost.remove();
});

async function connectAs(login: { username: string; password: string }): Promise<ChannelModel> {
  const connection = await connect(vhost.url(login));
  connection.on('error', () => undefined);
  open.push(connection);
  return connection;
}

/** Runs in this process. @returns what it printed @throws Error with one sentence */
async function logins(...args: string[]): Promise<string[]> {
  for (const [name, value] of Object.entries(aws?.environment ?? {})) vi.stubEnv(name, value);
  const lines: string[] = [];
  await run(args, (line) => void lines.push(line));
  return lines;
}

const current = (): { username: string; password: string } => JSON.parse(functions.secrets.value(secret) ?? '');
async function startApis(changes: Partial<Parameters<typeof startAwsApis>[0]> = {}): Promise<AwsApis> {
  const outputs = { [LOGIN_FUNCTION_OUTPUT]: FUNCTION };
  const { secrets, rotate: handler } = functions;
  aws = await startAwsApis({ secrets, handler, stacks: STACKS, outputs, ...changes });
  return aws;
}

/** The clock goes ahead by so much once the rotation has begun. */
function clockJumps({ calls }: AwsApis, ms: number): void {
  const { now } = Date;
  const hasBegun = () => calls.some((call) => call.startsWith('RotateSecret'));
  const clock = vi.spyOn(Date, 'now').mockImplementation(() => now() + (hasBegun() ? ms : 0));
  onTestFinished(() => void clock.mockRestore());
}

it('revokes the leaked password, closes its connections, and reports this without a password', async () => {
  const { calls } = await startApis();
  const closed = once(await connectAs(current()), 'close');
  const { code, out, err } = await start('bin/logins.ts', command, aws?.environment).ended;
  expect({ code, err }).toEqual({ code: 0, err: '' });
  await closed;
  expect(out.split('\n')).toEqual([
    `${user} is the only user of its pair: nothing to revoke yet`,
    `${secret} has a new password`,
    `${user}: its password does not work any more, 1 connections closed; current: ${user}_b`,
    '',
  ]);
  expect(out).not.toContain(current().password);
  await expect(connectAs({ username: user, password: LEAKED })).rejects.toThrow(/ACCESS_REFUSED/);
  await connectAs(current());
  expect(calls).toEqual(['Invoke revoke', 'RotateSecret', 'Invoke revoke']);
});

it('closes the connections of both users, because either may be leaked, and leaves no schedule', async () => {
  const apis = await startApis({ scheduled: false });
  await functions.secrets.rotate(secret, functions.rotate);
  const leaked = [{ username: user, password: LEAKED }, current()];
  const closed = await Promise.all(leaked.map(async (login) => ({ closed: once(await connectAs(login), 'close') })));
  clockJumps(apis, 50_000);
  await logins(...command, '--wait', '60');
  await Promise.all(closed.map((connection) => connection.closed));
  for (const login of leaked) await expect(connectAs(login)).rejects.toThrow(/ACCESS_REFUSED/);
  expect(apis.calls).toEqual(['Invoke revoke', `RotateSecret ${FUNCTION}`, 'CancelRotateSecret', 'Invoke revoke']);
});

it('stops waiting when the rotation fails, and the current login still works', async () => {
  const apis = await startApis();
  // The next user may open no channel, so that the test of its login fails.
  await functions.api.put(['user-limits', user, 'max-channels'], { value: 0 });
  clockJumps(apis, 301_000);
  await expect(logins(...command)).rejects.toThrow(
    /expected a new password within 300 s, got none, and the current one still works/,
  );
  expect(current().password).toBe(LEAKED);
  await connectAs(current());
  expect(apis.calls).toEqual(['Invoke revoke', 'RotateSecret']);
  // The next attempt reports what to do.
  await expect(logins(...command)).rejects.toThrow('or remove the label, and revoke again');
});

it('reports a stack that does not exist, or that has no function for logins', async () => {
  await startApis({ stacks: [] });
  await expect(logins(...command)).rejects.toThrow(/^Stack with id .+ does not/);
  await aws?.stop();
  await startApis({ outputs: { Other: 'x' } });
  await expect(logins(...command)).rejects.toThrow(
    /^stack .+: expected the output LoginFunction, got none. Deploy the stack first$/,
  );
});
