// The bot's token and the broker login change. The token is rotated in Discord's portal, which ends every session; the login is
// rotated, and the broker refuses the old password; or a leaked login is revoked under traffic, by the real command and the
// real function. A refused task reads the secret again, and needs no restart. No task retries in a loop with a refused value.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'amqplib';
import { GatewayIntentBits } from 'discord-api-types/v10';
import { afterAll, expect, onTestFinished, vi } from 'vitest';
import { MANAGEMENT_ENV } from '../../../lib/management/function-settings.ts';
import { LOGIN_FUNCTION_OUTPUT } from '../../../lib/rotation/rotation.ts';
import { startSecretsManager } from '../../../local/secrets-manager.ts';
import type { Stage } from '../../../local/stage.ts';
import { ENV, USERS, VHOST } from '../../../service/contract/names.ts';
import { startAwsApis } from '../../support/aws-apis.ts';
import { manage } from '../../support/broker.ts';
import { closeConnections } from '../../support/broker-faults.ts';
import { trust } from '../../support/broker-functions.ts';
import { type Ended, start } from '../../support/program.ts';
import { type FaultStage, faultsOn, LARGE } from '../fault.ts';
import { countOf, health, ownerOf, replaceAll } from '../tasks.ts';

const SHARDS = 4;
const TOKEN = 'bot-token';
const LOGIN = `discord-ingestor/staging/broker-${USERS.ingestor}`;

const secrets = await startSecretsManager();
afterAll(() => secrets.stop());

function putLogin({ broker }: Stage, password: string): void {
  const { amqpsPort: port } = broker;
  secrets.put(LOGIN, JSON.stringify({ host: '127.0.0.1', port, vhost: VHOST, username: USERS.ingestor, password }));
}
const login = () => JSON.parse(secrets.value(LOGIN) ?? '') as { username: string; password: string };

const loginFromSecret = () => ({
  [ENV.rabbitmqUrl]: '',
  [ENV.rabbitmqSecretArn]: secrets.put(LOGIN, secrets.value(LOGIN)),
  ...secrets.environment,
});

/** Tasks that get the token and the login only from the secrets. */
async function startTasks(stage: FaultStage): Promise<void> {
  putLogin(stage, new URL(stage.url(USERS.ingestor)).password);
  const token = secrets.put(TOKEN, stage.simulator.token);
  const env = { ...loginFromSecret(), [ENV.discordBotToken]: '', [ENV.discordBotTokenSecretArn]: token };
  await stage.startTask(env);
  await stage.startTask(env);
}

const { fullRun } = faultsOn({ shards: SHARDS, tls: true }, startTasks);

const problemsOf = async (stage: Stage) => (await health(await ownerOf(stage))).checks.discord.problems ?? [];

/** Resolves when the owner reports a problem that matches. */
const reported = (stage: Stage, problem: RegExp) =>
  stage.until(`the owner reports ${problem}`, 60_000, async () =>
    (await problemsOf(stage)).some((each) => problem.test(each)),
  );

// Each shard sends a rejected token at most once.
const REJECTED = { gaps: SHARDS, mayViolate: /token/ };

fullRun('a rotated token is read from Secrets Manager, and the lost sessions are reported', {
  ...REJECTED,
  async inject(stage) {
    const identifies = countOf(stage, 'identify');
    const violations = stage.simulator.violations.length;
    stage.simulator.rotateToken('another-token');
    await reported(stage, /rejected the token.*the secret of DISCORD_BOT_TOKEN_SECRET_ARN/);
    secrets.put(TOKEN, 'another-token');
    await stage.ready();
    expect(await problemsOf(stage)).toEqual([]);
    expect(identifies()).toBe(SHARDS);
    expect(stage.simulator.violations.length - violations).toBeLessThanOrEqual(SHARDS);
  },
});

fullRun('an intent is granted after Discord has refused it: no restart is needed, and the other shards go on', {
  gaps: 1,
  mayViolate: /intent|granted/,
  async inject(stage) {
    const { simulator } = stage;
    const [owner, identifies, resumes] = [await ownerOf(stage), countOf(stage, 'identify'), countOf(stage, 'resumed')];
    const violations = simulator.violations.length;
    simulator.grant(0);
    simulator.invalidate(0, { resumable: false });
    await reported(
      stage,
      /^Discord has not .* \(4014\): switch on 'Server Members Intent' in its developer portal \(Bot, Privileged Gateway Intents\), or choose no EVENTS that need GuildMembers .*\. Tried again at \S+: no restart is needed$/,
    );
    simulator.reconnect(1);
    await stage.until('another shard has resumed its session', 30_000, () => resumes() > 0);
    expect(simulator.violations.length - violations, 'IDENTIFYs that were refused').toBe(1);
    simulator.grant(GatewayIntentBits.GuildMembers);
    secrets.put(TOKEN, secrets.value(TOKEN));
    await stage.ready();
    expect([await problemsOf(stage), await ownerOf(stage), identifies()]).toEqual([[], owner, 1]);
  },
});

fullRun('a valid token that Discord refused for a short time: the same token in a new version is used at once', {
  ...REJECTED,
  async inject(stage) {
    const good = stage.simulator.token;
    stage.simulator.rotateToken('a-token-of-an-outage');
    await reported(stage, /rejected the token/);
    stage.simulator.rotateToken(good);
    secrets.put(TOKEN, good);
    await stage.ready();
    expect(await problemsOf(stage)).toEqual([]);
  },
});

const readings = () => secrets.requests.filter((request) => request.startsWith('GetSecretValue')).length;

/** Changes the password at the broker. @returns the new one */
async function rotateAtBroker(stage: Stage): Promise<string> {
  const password = randomBytes(12).toString('hex');
  await manage('PUT', `/api/users/${USERS.ingestor}`, { password, tags: '' }, stage.broker);
  return password;
}

fullRun('a rotated login is read as soon as the broker refuses the old one', {
  async inject(stage) {
    const before = readings();
    putLogin(stage, await rotateAtBroker(stage));
    await closeConnections(stage.broker, / (publisher|lease)$/);
    await stage.until('the secret is read again', 30_000, () => readings() > before);
    await stage.ready();
  },
});

fullRun('a refused login is read again and again until the new one is in the secret', {
  // A shard may still use the token that the fault before replaced.
  mayViolate: /token/,
  async inject(stage) {
    const before = readings();
    const { password: old } = login();
    const password = await rotateAtBroker(stage);
    await closeConnections(stage.broker, / (publisher|lease)$/);
    await stage.until('each task has read the old login twice', 60_000, () => readings() >= before + 4);
    putLogin(stage, password);
    await stage.ready();
    for (const { output } of stage.tasks) for (const secret of [old, password]) expect(output).not.toContain(secret);
  },
});

/** `npm run logins`, with the function that it calls. */
async function startRevoking({ broker }: Stage): Promise<() => Promise<Ended>> {
  const administrator = JSON.stringify({ username: broker.username, password: broker.password });
  trust(broker.caFile ?? '');
  for (const [name, value] of Object.entries({
    ...secrets.environment,
    [MANAGEMENT_ENV.managementUrl]: broker.managementTlsUrl ?? '',
    [MANAGEMENT_ENV.administratorSecretArn]: secrets.put('administrator', administrator),
    [MANAGEMENT_ENV.loginSecretArns]: JSON.stringify({ [USERS.ingestor]: secrets.put(LOGIN, JSON.stringify(login())) }),
  }))
    vi.stubEnv(name, value);
  // The function's log is not output of this test.
  vi.spyOn(console, 'log').mockImplementation(() => undefined);
  // The SDK reads the environment when its client is created.
  const { handler } = await import('../../../lib/rotation/rotate.lambda.ts');
  const outputs = { [LOGIN_FUNCTION_OUTPUT]: 'arn:aws:lambda:eu-central-1:111122223333:function:logins' };
  const aws = await startAwsApis({ secrets, handler, stacks: ['discord-ingestor-staging-broker'], outputs });
  onTestFinished(() => aws.stop());
  const command = ['revoke', USERS.ingestor, '--environment', 'staging'];
  return async () => await start('bin/logins.ts', command, aws.environment).ended;
}

fullRun(
  'a leaked login is revoked, twice: clients with an older login are disconnected, and the tasks go on with the new one',
  {
    replayBuffer: LARGE,
    // A standby that takes over may use the token of an earlier fault.
    mayViolate: /token/,
    async inject(stage) {
      const revoke = await startRevoking(stage);
      const cut = () => stage.tasks.map(({ output }) => output.split('CONNECTION_FORCED').length - 1);
      for (const round of [1, 2]) {
        const leaked = login();
        const before = cut();
        expect(await revoke()).toMatchObject({ code: 0 });
        await stage.until(`every task was disconnected in round ${round}`, 30_000, () =>
          cut().every((times, task) => times > (before[task] ?? 0)),
        );
        await stage.ready();
        await stage.until(`every task is connected again in round ${round}`, 60_000, async () =>
          (await stage.reports()).every(({ checks }) => checks.rabbitmq.connected),
        );
        await expect(connect(stage.broker.amqpUrl({ ...leaked, vhost: VHOST }))).rejects.toThrow(/ACCESS_REFUSED/);
        expect(login().username).not.toBe(leaked.username);
        for (const { output } of stage.tasks) expect(output).not.toContain(login().password);
      }
    },
  },
);

fullRun('a rejected token from an environment variable: the task waits and reports it until a new one is deployed', {
  ...REJECTED,
  async inject(stage) {
    const { simulator } = stage;
    const owner = await replaceAll(stage, loginFromSecret());
    const violations = simulator.violations.length;
    const identifies = countOf(stage, 'identify');
    simulator.rotateToken('a-third-token');
    await reported(stage, /Discord rejected the token .*Put the bot's current token into DISCORD_BOT_TOKEN/);
    // Long enough to read the token twice more.
    await sleep(21_000);
    expect(simulator.violations.length - violations).toBeLessThanOrEqual(SHARDS);
    expect(identifies(), 'IDENTIFYs with a token that was refused').toBe(0);
    await owner.terminate();
    await stage.startTask(loginFromSecret());
    await stage.ready();
  },
});
