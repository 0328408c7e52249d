// What is uploaded is what was tested: each function's bundle, as it stands in the cloud assembly, run by a Node of its
// own, with nothing around it.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ManagementApi } from '../../lib/management/management-api.ts';
import { ROTATION_ENV } from '../../lib/rotation/rotation.ts';
import { TOPOLOGY_ENV, toProperties } from '../../lib/topology/resource-properties.ts';
import { discordTopology } from '../../lib/topology/topology.ts';
import { type SecretsManager, startSecretsManager } from '../../local/secrets-manager.ts';
import { makeVhost, sharedBroker, type Vhost } from '../support/broker.ts';
import { type Synthesized, synthesized } from '../support/synthesized.ts';

let made: Synthesized;
let secrets: SecretsManager;
let vhost: Vhost;
let api: ManagementApi;
let names: { ingestor: string; worker: string; deadLetters: string };
const scratch = mkdtempSync(join(tmpdir(), 'ingestor-function-'));

beforeAll(async () => {
  made = synthesized('staging');
  secrets = await startSecretsManager();
  vhost = await makeVhost('functions');
  const { managementUrl: url, username, password } = sharedBroker();
  api = new ManagementApi({ url, username, password });
  secrets.put('administrator', JSON.stringify({ username, password }));
  const id = randomBytes(4).toString('hex');
  names = { ingestor: `ingestor-${id}`, worker: `worker-${id}`, deadLetters: `dead-letters-${id}` };
});

afterAll(async () => {
  for (const name of Object.values(names)) for (const user of [name, `${name}_b`]) await api.deleteUser(user);
  api.close();
  await vhost.remove();
  await secrets.stop();
  rmSync(scratch, { recursive: true, force: true });
});

/** The folder with the code of the function whose logical id begins so. */
function codeOf(start: string): string {
  const [found] = made.ofType('AWS::Lambda::Function').filter(([id]) => id.startsWith(start));
  if (!found) throw new Error(`expected a function ${start}, got none`);
  const { S3Key } = found[1].Properties.Code as { S3Key: string };
  return join(made.folder, `asset.${S3Key.replace('.zip', '')}`);
}

function rotationEnv(): Record<string, string> {
  const logins = { [names.ingestor]: secrets.put('ingestor'), [names.worker]: secrets.put('worker') };
  return {
    [ROTATION_ENV.managementUrl]: sharedBroker().managementTlsUrl ?? '',
    [ROTATION_ENV.administratorSecretArn]: secrets.put('administrator'),
    [ROTATION_ENV.loginSecretArns]: JSON.stringify(logins),
  };
}

/** Calls the bundle's handler in a process of its own, as Lambda does. */
async function call(start: string, event: object, env: Readonly<Record<string, string>> = {}): Promise<unknown> {
  const file = join(scratch, 'event.json');
  writeFileSync(file, JSON.stringify(event));
  const script = `
    const { handler } = require(process.argv[1]);
    const log = console.log; console.log = (line) => console.error(line);
    handler(require(process.argv[2]), { getRemainingTimeInMillis: () => 60_000 }).then((answer) => log(JSON.stringify(answer ?? null)));`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['-e', script, join(codeOf(start), 'index.js'), file],
    {
      env: { ...secrets.environment, ...env, NODE_OPTIONS: '--enable-source-maps' },
      // Not in the project: what is not in the bundle must not be found.
      cwd: scratch,
    },
  );
  return JSON.parse(stdout);
}

function login(username: string, password: string) {
  const { amqpsPort, amqpUrl } = sharedBroker();
  const { port } = new URL(amqpUrl);
  const tls = amqpsPort !== undefined;
  return { host: '127.0.0.1', port: tls ? amqpsPort : Number(port), vhost: vhost.vhost, username, password, tls };
}

describe('a bundle', () => {
  it.each(['TopologyApply', 'RotationRotate'])('of %s is one file and its map, and small', (start) => {
    expect(readdirSync(codeOf(start)).sort()).toEqual(['index.js', 'index.js.map']);
  });

  it('of each function is its own', () => {
    expect(codeOf('TopologyApply')).not.toBe(codeOf('RotationRotate'));
  });
});

describe('the functions, one after the other', () => {
  it('the topology is applied, and again when nothing is to do', async () => {
    const { managementTlsUrl, caFile } = sharedBroker();
    if (managementTlsUrl === undefined) return;
    const event = {
      RequestType: 'Create',
      ResourceProperties: { Topology: toProperties(discordTopology({ vhost: vhost.vhost, userNames: names })) },
    };
    const env = {
      [TOPOLOGY_ENV.managementUrl]: managementTlsUrl,
      [TOPOLOGY_ENV.administratorSecretArn]: secrets.put('administrator'),
      [TOPOLOGY_ENV.loginSecretArns]: JSON.stringify({
        [names.ingestor]: secrets.put('ingestor', JSON.stringify(login(names.ingestor, 'first-password'))),
        [names.worker]: secrets.put('worker', JSON.stringify(login(names.worker, 'workers-password'))),
        [names.deadLetters]: secrets.put('dead-letters', JSON.stringify(login(names.deadLetters, 'third-password'))),
      }),
      ...(caFile && { NODE_EXTRA_CA_CERTS: caFile }),
    };
    const answer = {
      PhysicalResourceId: `topology of ${vhost.vhost}`,
      Data: { Version: sharedBroker().version, Kept: 'nothing', Warning: 'none' },
    };
    expect(await call('TopologyApply', event, env)).toEqual(answer);
    expect(await call('TopologyApply', event, env)).toEqual(answer);
    expect((await api.queues(vhost.vhost)).length).toBe(6);
  });

  it('its users rotate, with a login by TLS that trusts a certificate authority as Lambda trusts its own', async () => {
    const { caFile = '' } = sharedBroker();
    await secrets.rotate('ingestor', async (event) => {
      await call('RotationRotate', event, { ...rotationEnv(), NODE_EXTRA_CA_CERTS: caFile });
    });
    const revoked = await call(
      'RotationRotate',
      { Step: 'revoke', SecretId: secrets.put('ingestor') },
      { ...rotationEnv(), NODE_EXTRA_CA_CERTS: caFile },
    );
    expect(revoked).toMatchObject({ revoked: names.ingestor, current: `${names.ingestor}_b` });
    expect(JSON.parse(secrets.value('ingestor') ?? '')).toMatchObject({ username: `${names.ingestor}_b` });
  });

  it('a login by TLS to somebody who is not trusted fails', async () => {
    const only = (step: string) =>
      secrets.rotate('ingestor', async (event) => {
        if (event.Step === step) await call('RotationRotate', event, rotationEnv());
      });
    await expect(only('testSecret')).rejects.toThrow(/cannot log in to 127\.0\.0\.1:\d+.*certificate/);
    await expect(only('createSecret')).rejects.toThrow(/the certificate of https:.+ is not trusted/);
    expect(JSON.parse(secrets.value('ingestor') ?? '')).toMatchObject({ username: `${names.ingestor}_b` });
  });
});
