// The simulated Secrets Manager, seen through the SDK that the service and the functions use.
import { randomUUID } from 'node:crypto';
import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  ListSecretsCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type SecretsManager, startSecretsManager } from '../../local/secrets-manager.ts';

let secrets: SecretsManager;
let client: SecretsManagerClient;

beforeAll(async () => {
  secrets = await startSecretsManager();
  client = new SecretsManagerClient({
    endpoint: secrets.endpoint,
    region: 'eu-central-1',
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'not-a-secret' },
  });
});

afterAll(async () => {
  client.destroy();
  await secrets.stop();
});

const get = async (SecretId: string, VersionStage?: string) =>
  await client.send(new GetSecretValueCommand({ SecretId, VersionStage }));
const put = async (SecretId: string, SecretString: string, more = {}) =>
  await client.send(new PutSecretValueCommand({ SecretId, SecretString, ...more }));
const holderOf = async (SecretId: string, stage: string) => {
  const { VersionIdsToStages = {} } = await client.send(new DescribeSecretCommand({ SecretId }));
  return Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes(stage))?.[0];
};

it('finds a secret by its name, by its ARN, and by its ARN without the random suffix', async () => {
  const arn = secrets.put('team/token', 'abc');
  for (const id of ['team/token', arn, arn.slice(0, -7)]) {
    const found = await get(id);
    expect(found).toMatchObject({ ARN: arn, Name: 'team/token', SecretString: 'abc', VersionStages: ['AWSCURRENT'] });
    expect(found.CreatedDate).toBeInstanceOf(Date);
  }
});

it('refuses a secret that is absent, empty or denied by the error names of AWS', async () => {
  await expect(get('absent')).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
  secrets.put('locked');
  await expect(get('locked')).rejects.toThrow('specified secret value for staging label: AWSCURRENT');
  secrets.deny('locked');
  await expect(get('locked')).rejects.toMatchObject({ name: 'AccessDeniedException' });
  secrets.allow('locked');
  secrets.put('locked', 'x');
  expect((await get('locked')).SecretString).toBe('x');
});

it('keeps a version that exists: the same value is accepted again, another is refused', async () => {
  secrets.put('fixed');
  const version = { ClientRequestToken: randomUUID() };
  await put('fixed', 'one', version);
  await put('fixed', 'one', version);
  await expect(put('fixed', 'two', version)).rejects.toMatchObject({ name: 'ResourceExistsException' });
});

it('moves a staging label only from the version that has it', async () => {
  const SecretId = secrets.put('labels', 'one');
  const { VersionId } = await put(SecretId, 'two', { VersionStages: ['AWSPENDING'] });
  expect(secrets.value('labels')).toBe('one');
  const move = { SecretId, VersionStage: 'AWSCURRENT', MoveToVersionId: VersionId };
  const refused = client.send(new UpdateSecretVersionStageCommand(move));
  await expect(refused).rejects.toMatchObject({ name: 'InvalidParameterException' });
  const RemoveFromVersionId = await holderOf(SecretId, 'AWSCURRENT');
  await client.send(new UpdateSecretVersionStageCommand({ ...move, RemoveFromVersionId }));
  expect([secrets.value('labels'), secrets.value('labels', 'AWSPREVIOUS')]).toEqual(['two', 'one']);
});

it('refuses an unknown operation', async () => {
  await expect(client.send(new ListSecretsCommand({}))).rejects.toMatchObject({ name: 'UnknownOperationException' });
});
