// The simulated Secrets Manager is as strict as AWS's, for the SDK that the service and the functions use.
import { randomUUID } from 'node:crypto';
import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  ListSecretsCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { expect, it, onTestFinished } from 'vitest';
import { startSecretsManager } from '../../local/secrets-manager.ts';

async function start() {
  const secrets = await startSecretsManager();
  const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'not-a-secret' };
  const client = new SecretsManagerClient({ endpoint: secrets.endpoint, region: 'eu-central-1', credentials });
  onTestFinished(async () => {
    client.destroy();
    await secrets.stop();
  });
  return { secrets, client };
}

it("refuses with AWS's error names: an absent, empty or denied secret, and an unknown operation", async () => {
  const { secrets, client } = await start();
  const get = (SecretId: string) => client.send(new GetSecretValueCommand({ SecretId }));
  const arn = secrets.put('empty');
  await expect(get('absent')).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
  await expect(get('empty')).rejects.toThrow('specified secret value for staging label: AWSCURRENT');
  secrets.deny('empty');
  await expect(get('empty')).rejects.toMatchObject({ name: 'AccessDeniedException' });
  secrets.allow('empty');
  secrets.put('empty', 'x');
  // The ARN works also without its random suffix.
  for (const id of [arn, arn.slice(0, -7)]) expect(await get(id)).toMatchObject({ ARN: arn, SecretString: 'x' });
  await expect(client.send(new ListSecretsCommand({}))).rejects.toMatchObject({ name: 'UnknownOperationException' });
});

it('never changes the value of a version, and moves a staging label only from the version that has it', async () => {
  const { secrets, client } = await start();
  const SecretId = secrets.put('labels', 'one');
  const { VersionIdsToStages = {} } = await client.send(new DescribeSecretCommand({ SecretId }));
  const put = (SecretString: string) => client.send(new PutSecretValueCommand({ ...pending, SecretString }));
  const pending = { SecretId, ClientRequestToken: randomUUID(), VersionStages: ['AWSPENDING'] };
  await put('two');
  await put('two');
  await expect(put('three')).rejects.toMatchObject({ name: 'ResourceExistsException' });
  expect(secrets.value('labels')).toBe('one');
  const move = { SecretId, VersionStage: 'AWSCURRENT', MoveToVersionId: pending.ClientRequestToken };
  const refused = client.send(new UpdateSecretVersionStageCommand(move));
  await expect(refused).rejects.toMatchObject({ name: 'InvalidParameterException' });
  const [RemoveFromVersionId] = Object.keys(VersionIdsToStages);
  await client.send(new UpdateSecretVersionStageCommand({ ...move, RemoveFromVersionId }));
  expect([secrets.value('labels'), secrets.value('labels', 'AWSPREVIOUS')]).toEqual(['two', 'one']);
});
