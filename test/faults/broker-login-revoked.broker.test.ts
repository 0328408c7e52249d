// The login of the ingestor is leaked, and `npm run logins -- revoke ingestor` is given while events flow: the real
// command, the real function, TLS everywhere. Whoever is connected with an older password is disconnected, the task too:
// it is refused, reads its secret again, and goes on as the other user. Nothing is lost.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { connect } from 'amqplib';
import { afterAll, expect, vi } from 'vitest';
import { MANAGEMENT_ENV } from '../../lib/management/function-settings.ts';
import { LOGIN_FUNCTION_OUTPUT } from '../../lib/rotation/rotation.ts';
import { startSecretsManager } from '../../local/secrets-manager.ts';
import type { Stage } from '../../local/stage.ts';
import { ENV, USERS, VHOST } from '../../service/contract/names.ts';
import { type AwsApis, startAwsApis } from '../support/aws-apis.ts';
import { disastersOn } from './disaster.ts';

const SECRET = `discord-ingestor/staging/broker-${USERS.ingestor}`;
const FUNCTION = 'arn:aws:lambda:eu-central-1:111122223333:function:logins';

const secrets = await startSecretsManager();
let aws: AwsApis | undefined;
afterAll(async () => {
  await aws?.stop();
  await secrets.stop();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

const strikes = disastersOn({ tls: true, tasks: 0, untilReady: false });

/** Tasks that know their login from the secret only, and the function beside them. */
async function prepare(stage: Stage): Promise<void> {
  if (stage.tasks.length > 0) return;
  const { broker } = stage;
  const { password } = new URL(stage.url(USERS.ingestor));
  const login = { host: '127.0.0.1', port: broker.amqpsPort, vhost: VHOST, username: USERS.ingestor, password };
  const arn = secrets.put(SECRET, JSON.stringify(login));
  const administrator = JSON.stringify({ username: broker.username, password: broker.password });
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), readFileSync(broker.caFile ?? '', 'utf8')]);
  for (const [name, value] of Object.entries({
    ...secrets.environment,
    [MANAGEMENT_ENV.managementUrl]: broker.managementTlsUrl ?? '',
    [MANAGEMENT_ENV.administratorSecretArn]: secrets.put('administrator', administrator),
    [MANAGEMENT_ENV.loginSecretArns]: JSON.stringify({ [USERS.ingestor]: arn }),
  }))
    vi.stubEnv(name, value);
  // What the function logs is no output of this test.
  vi.spyOn(console, 'log').mockImplementation(() => undefined);
  // The SDK reads the environment when its client is made.
  const { handler } = await import('../../lib/rotation/rotate.lambda.ts');
  const outputs = { [LOGIN_FUNCTION_OUTPUT]: FUNCTION };
  aws = await startAwsApis({ secrets, handler, stacks: ['discord-ingestor-staging-broker'], outputs });
  for (const _ of ['an owner', 'a standby'])
    await stage.startTask({ [ENV.rabbitmqUrl]: '', [ENV.rabbitmqSecretArn]: arn, ...secrets.environment });
  await stage.ready();
}

strikes('a leaked login is revoked, twice: the tasks go on with the new one, and nothing is lost', {
  rate: 300,
  prepare,
  async happens(stage) {
    const current = () => JSON.parse(secrets.value(SECRET) ?? '') as { username: string; password: string };
    const cut = () => stage.tasks.map(({ output }) => output.split('CONNECTION_FORCED').length - 1);
    for (const round of [1, 2]) {
      const leaked = current();
      const before = cut();
      await promisify(execFile)(
        process.execPath,
        ['bin/logins.ts', 'revoke', USERS.ingestor, '--environment', 'staging'],
        {
          env: { PATH: process.env.PATH ?? '', ...aws?.environment },
        },
      );
      await stage.until(`every task was disconnected in round ${round}`, 30_000, () =>
        cut().every((times, task) => times > (before[task] ?? 0)),
      );
      await stage.ready();
      await expect(connect(stage.broker.amqpUrl({ ...leaked, vhost: VHOST }))).rejects.toThrow(/ACCESS_REFUSED/);
      expect(current().username).not.toBe(leaked.username);
      expect(stage.tasks.map(({ output }) => output).join('')).not.toContain(current().password);
    }
    return undefined;
  },
});
