// What is uploaded is what was tested: each function's bundle, as it stands in the cloud assembly, run by a Node of its
// own, with nothing around it.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MANAGEMENT_ENV } from '../../lib/management/function-settings.ts';
import { ManagementApi } from '../../lib/management/management-api.ts';
import { toProperties } from '../../lib/topology/resource-properties.ts';
import { discordTopology } from '../../lib/topology/topology.ts';
import { type SecretsManager, startSecretsManager } from '../../local/secrets-manager.ts';
import { makeVhost, sharedBroker, type Vhost } from '../support/broker.ts';
import { type Synthesized, synthesized } from '../support/synthesized.ts';

const { version, managementUrl, managementTlsUrl = '', amqpsPort, caFile = '', username, password } = sharedBroker();
const id = randomBytes(4).toString('hex');
const names = { ingestor: `ingestor-${id}`, worker: `worker-${id}`, deadLetters: `dead-letters-${id}` };
const scratch = mkdtempSync(join(tmpdir(), 'ingestor-function-'));
const api = new ManagementApi({ url: managementUrl, username, password });
let made: Synthesized;
let secrets: SecretsManager;
let vhost: Vhost;

beforeAll(async () => {
  made = synthesized('staging');
  secrets = await startSecretsManager();
  vhost = await makeVhost('functions');
  secrets.put('administrator', JSON.stringify({ username, password }));
  for (const name of Object.values(names)) {
    const login = {
      host: '127.0.0.1',
      port: amqpsPort,
      vhost: vhost.vhost,
      username: name,
      password: 'first',
      tls: true,
    };
    secrets.put(name, JSON.stringify(login));
  }
});

afterAll(async () => {
  for (const name of Object.values(names)) for (const user of [name, `${name}_b`]) await api.delete('users', user);
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

/** Calls the bundle's handler in a process of its own, as Lambda does. */
async function call(start: string, event: object, authority = caFile): Promise<unknown> {
  const file = join(scratch, 'event.json');
  writeFileSync(file, JSON.stringify(event));
  const script = `
    const { handler } = require(process.argv[1]);
    const log = console.log; console.log = (line) => console.error(line);
    handler(require(process.argv[2]), { getRemainingTimeInMillis: () => 60_000 }).then((answer) => log(JSON.stringify(answer ?? null)));`;
  const arns = Object.values(names).map((name) => [name, secrets.put(name)]);
  const env = {
    ...secrets.environment,
    [MANAGEMENT_ENV.managementUrl]: managementTlsUrl,
    [MANAGEMENT_ENV.administratorSecretArn]: secrets.put('administrator'),
    [MANAGEMENT_ENV.loginSecretArns]: JSON.stringify(Object.fromEntries(arns)),
    NODE_EXTRA_CA_CERTS: authority,
    NODE_OPTIONS: '--enable-source-maps',
  };
  // Not in the project: what is not in the bundle must not be found.
  const options = { env, cwd: scratch };
  const run = promisify(execFile)(process.execPath, ['-e', script, join(codeOf(start), 'index.js'), file], options);
  return JSON.parse((await run).stdout);
}

it.each(['TopologyApply', 'RotationRotate'])('the bundle of %s is its own: one file and its map', (start) => {
  expect(readdirSync(codeOf(start)).sort()).toEqual(['index.js', 'index.js.map']);
  expect(new Set(['TopologyApply', 'RotationRotate'].map(codeOf)).size).toBe(2);
});

it('the topology is applied, and again when nothing is to do; its users rotate by TLS, and are revoked', async () => {
  const Topology = toProperties(discordTopology({ vhost: vhost.vhost, userNames: names }));
  const Data = { Version: version, Kept: 'nothing', Warning: 'none' };
  for (let delivery = 0; delivery < 2; delivery += 1)
    expect(await call('TopologyApply', { RequestType: 'Create', ResourceProperties: { Topology } })).toEqual({
      PhysicalResourceId: `topology of ${vhost.vhost}`,
      Data,
    });
  expect((await api.list('queues', vhost.vhost)).length).toBe(6);
  await secrets.rotate(names.ingestor, async (event) => await call('RotationRotate', event));
  const current = `${names.ingestor}_b`;
  expect(await call('RotationRotate', { Step: 'revoke', SecretId: secrets.put(names.ingestor) })).toMatchObject({
    revoked: names.ingestor,
    current,
  });
  expect(JSON.parse(secrets.value(names.ingestor) ?? '')).toMatchObject({ username: current });
});

it('a login by TLS to a server that is not trusted fails', async () => {
  const only = (step: string) =>
    secrets.rotate(names.worker, async (event) => {
      if (event.Step === step) await call('RotationRotate', event, '');
    });
  await expect(only('testSecret')).rejects.toThrow(/cannot log in to 127\.0\.0\.1:\d+.*certificate/);
  await expect(only('createSecret')).rejects.toThrow(/no trusted TLS connection to https:/);
});
