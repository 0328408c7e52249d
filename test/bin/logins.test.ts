// How long `npm run logins` waits, and what it asks of AWS. What it does at a broker: logins.program.test.ts.

import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { DescribeSecretCommand, RotateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { run } from '../../bin/logins.ts';
import { LOGIN_FUNCTION_OUTPUT } from '../../lib/rotation/rotation.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], fakeNodeBuiltins: true }));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

it('without a schedule it begins one of the longest time, looks once a second, and gives up after 300 s', async () => {
  const rotations: unknown[] = [];
  let looks = 0;
  const answer = async (command: { readonly input: object }): Promise<object> => {
    if (command instanceof DescribeStacksCommand)
      return { Stacks: [{ Outputs: [{ OutputKey: LOGIN_FUNCTION_OUTPUT, OutputValue: 'arn:function' }] }] };
    if (command instanceof RotateSecretCommand) {
      rotations.push(command.input);
      return { VersionId: 'next' };
    }
    if (!(command instanceof DescribeSecretCommand)) return { Payload: Buffer.from('{"current":"worker"}') };
    if (rotations.length > 0) looks += 1;
    return { ARN: 'arn:secret', VersionIdsToStages: { next: ['AWSPENDING'], last: ['AWSCURRENT'] } };
  };
  for (const client of [CloudFormationClient, LambdaClient, SecretsManagerClient])
    vi.spyOn(client.prototype as SecretsManagerClient, 'send').mockImplementation(answer as never);
  let ended = false;
  const running = run(['revoke', 'worker', '--environment', 'staging'], () => undefined).finally(() => {
    ended = true;
  });
  const failed = expect(running).rejects.toThrow('expected a new password within 300 s, got none');
  await vi.advanceTimersByTimeAsync(300_999);
  expect([ended, looks]).toEqual([false, 301]);
  await vi.advanceTimersByTimeAsync(1);
  expect([ended, looks]).toEqual([true, 302]);
  await failed;
  expect(rotations).toEqual([
    {
      ...{
        SecretId: 'arn:secret',
        ClientRequestToken: expect.stringMatching(/^[-0-9a-f]{36}$/),
        RotateImmediately: true,
      },
      ...{ RotationLambdaARN: 'arn:function', RotationRules: { AutomaticallyAfterDays: 1_000 } },
    },
  ]);
});
