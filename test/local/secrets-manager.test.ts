// The stand-in, seen through the SDK that the service and the Lambdas use.
import { randomUUID } from 'node:crypto';
import {
  CreateSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  ListSecretsCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
  TagResourceCommand,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RotationEvent, type SecretsManager, startSecretsManager } from '../../local/secrets-manager.ts';

let standIn: SecretsManager;
let client: SecretsManagerClient;

beforeAll(async () => {
  standIn = await startSecretsManager();
  client = new SecretsManagerClient({
    endpoint: standIn.endpoint,
    region: 'eu-central-1',
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'not-a-secret' },
  });
});

afterAll(async () => {
  client.destroy();
  await standIn.stop();
});

describe('secrets and versions', () => {
  it('finds a secret by its name, by its ARN, and by its ARN without the random suffix', async () => {
    const arn = standIn.put('team/token', 'abc');
    for (const SecretId of ['team/token', arn, arn.slice(0, -7)]) {
      const found = await client.send(new GetSecretValueCommand({ SecretId }));
      expect(found).toMatchObject({ ARN: arn, Name: 'team/token', SecretString: 'abc', VersionStages: ['AWSCURRENT'] });
      expect(found.CreatedDate).toBeInstanceOf(Date);
    }
  });

  it('says that a secret is not there, and that an empty one has no current value', async () => {
    await expect(client.send(new GetSecretValueCommand({ SecretId: 'nobody' }))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      message: "Secrets Manager can't find the specified secret.",
    });
    standIn.put('empty');
    await expect(client.send(new GetSecretValueCommand({ SecretId: 'empty' }))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      message: "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
    });
  });

  it('makes the former current version the previous one', async () => {
    await client.send(new CreateSecretCommand({ Name: 'moving', SecretString: 'one' }));
    await client.send(new PutSecretValueCommand({ SecretId: 'moving', SecretString: 'two' }));
    expect(standIn.value('moving')).toBe('two');
    const previous = new GetSecretValueCommand({ SecretId: 'moving', VersionStage: 'AWSPREVIOUS' });
    expect((await client.send(previous)).SecretString).toBe('one');
  });

  it('keeps a version that exists: the same value is accepted again, another is refused', async () => {
    standIn.put('fixed');
    const first = { SecretId: 'fixed', ClientRequestToken: randomUUID(), SecretString: 'one' };
    await client.send(new PutSecretValueCommand(first));
    await client.send(new PutSecretValueCommand(first));
    await expect(client.send(new PutSecretValueCommand({ ...first, SecretString: 'two' }))).rejects.toMatchObject({
      name: 'ResourceExistsException',
    });
  });

  it('moves a staging label only from the version that has it', async () => {
    const arn = standIn.put('labels', 'one');
    const { VersionId: next } = await client.send(
      new PutSecretValueCommand({ SecretId: arn, SecretString: 'two', VersionStages: ['AWSPENDING'] }),
    );
    expect(standIn.value('labels')).toBe('one');
    const move = { SecretId: arn, VersionStage: 'AWSCURRENT', MoveToVersionId: next };
    await expect(client.send(new UpdateSecretVersionStageCommand(move))).rejects.toMatchObject({
      name: 'InvalidParameterException',
    });
    const { VersionIdsToStages = {} } = await client.send(new DescribeSecretCommand({ SecretId: arn }));
    const [holder] = Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes('AWSCURRENT')) ?? [];
    await client.send(new UpdateSecretVersionStageCommand({ ...move, RemoveFromVersionId: holder }));
    expect(standIn.value('labels')).toBe('two');
    expect(standIn.value('labels', 'AWSPREVIOUS')).toBe('one');
  });
});

it('keeps tags, of which a later one of the same key replaces the former', async () => {
  const SecretId = standIn.put('tagged', 'x');
  for (const Value of ['one', 'two'])
    await client.send(new TagResourceCommand({ SecretId, Tags: [{ Key: 'topology-applied', Value }] }));
  const { Tags } = await client.send(new DescribeSecretCommand({ SecretId }));
  expect(Tags).toEqual([{ Key: 'topology-applied', Value: 'two' }]);
});

describe('refusals', () => {
  it('denies a secret as IAM would, until it is allowed', async () => {
    standIn.put('locked', 'x');
    standIn.deny('locked');
    const read = new GetSecretValueCommand({ SecretId: 'locked' });
    await expect(client.send(read)).rejects.toMatchObject({ name: 'AccessDeniedException' });
    standIn.allow('locked');
    expect((await client.send(read)).SecretString).toBe('x');
  });

  it('refuses an unsigned request and an operation it does not know', async () => {
    const unsigned = await fetch(standIn.endpoint, {
      method: 'POST',
      headers: { 'x-amz-target': 'secretsmanager.GetSecretValue' },
      body: '{"SecretId":"team/token"}',
    });
    expect(unsigned.status).toBe(400);
    expect(await unsigned.json()).toMatchObject({ __type: 'MissingAuthenticationTokenException' });
    await expect(client.send(new ListSecretsCommand({}))).rejects.toMatchObject({ name: 'UnknownOperationException' });
  });
});

describe('rotation', () => {
  it('runs the four steps with a pending version that has no value yet, and takes up an unfinished one', async () => {
    const arn = standIn.put('rotated', 'old');
    const events: RotationEvent[] = [];
    const step = async (event: RotationEvent): Promise<void> => {
      events.push(event);
      const { SecretId, ClientRequestToken, Step } = event;
      if (Step === 'createSecret') {
        const pending = new GetSecretValueCommand({ SecretId, VersionId: ClientRequestToken });
        const before = await client.send(pending).catch((error: Error) => error.name);
        if (before === 'ResourceNotFoundException') {
          const put = { SecretId, ClientRequestToken, SecretString: 'new', VersionStages: ['AWSPENDING'] };
          await client.send(new PutSecretValueCommand(put));
        }
      }
      if (Step === 'testSecret' && events.length === 3) throw new Error('the broker is away');
      if (Step === 'finishSecret') {
        const { VersionIdsToStages = {} } = await client.send(new DescribeSecretCommand({ SecretId }));
        const [RemoveFromVersionId] =
          Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes('AWSCURRENT')) ?? [];
        await client.send(
          new UpdateSecretVersionStageCommand({
            SecretId,
            VersionStage: 'AWSCURRENT',
            MoveToVersionId: ClientRequestToken,
            RemoveFromVersionId,
          }),
        );
      }
    };
    await expect(standIn.rotate('rotated', step)).rejects.toThrow('the broker is away');
    expect(standIn.value('rotated')).toBe('old');
    await standIn.rotate('rotated', step);
    expect(standIn.value('rotated')).toBe('new');
    expect(new Set(events.map((event) => event.ClientRequestToken)).size).toBe(1);
    expect(new Set(events.map((event) => event.SecretId))).toEqual(new Set([arn]));
  });

  it('tells a rotation that changed nothing', async () => {
    standIn.put('idle', 'old');
    await expect(standIn.rotate('idle', async () => undefined)).rejects.toThrow(/without its version becoming/);
  });
});
