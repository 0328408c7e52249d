// How long a revocation closes connections. All else: rotate-lambda.broker.test.ts.

import { DescribeSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { MANAGEMENT_ENV } from '../../../lib/management/function-settings.ts';
import { ManagementApi } from '../../../lib/management/management-api.ts';
import { handler } from '../../../lib/rotation/rotate.lambda.ts';

/** How many connections are open at each look; when the list ends, none. */
let open: number[];
let looks: number;

beforeEach(() => {
  vi.stubEnv(MANAGEMENT_ENV.managementUrl, 'https://b-1.mq.eu-central-1.on.aws');
  vi.stubEnv(MANAGEMENT_ENV.administratorSecretArn, 'arn:administrator');
  vi.stubEnv(MANAGEMENT_ENV.loginSecretArns, '{"worker":"arn:worker"}');
  const login = { host: 'b-1', port: 5671, vhost: 'discord', username: 'worker', password: 'b' };
  const answer = async (command: { readonly input: { readonly SecretId?: string } }): Promise<object> =>
    command instanceof DescribeSecretCommand
      ? { VersionIdsToStages: { last: ['AWSCURRENT'] } }
      : {
          SecretString: JSON.stringify(
            command.input.SecretId === 'arn:worker' ? login : { username: 'admin', password: 'a' },
          ),
        };
  vi.spyOn(SecretsManagerClient.prototype, 'send').mockImplementation(answer as never);
  looks = 0;
  vi.spyOn(ManagementApi.prototype, 'list').mockImplementation((async (kind: string) => {
    if (kind === 'users') return ['admin', 'worker', 'worker_b'].map((name) => ({ name, tags: [] }));
    looks += 1;
    return Array.from({ length: open.shift() ?? 0 }, () => ({ name: 'a connection' }));
  }) as never);
  vi.spyOn(ManagementApi.prototype, 'put').mockResolvedValue();
  vi.spyOn(ManagementApi.prototype, 'delete').mockResolvedValue();
  vi.spyOn(console, 'log').mockImplementation(() => undefined);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

it.each<[what: string, open: number[], looks: number, ms: number]>([
  ['none is open in two rounds', [], 3, 1_000],
  ['one is known late', [0, 0, 1], 5, 2_000],
  ['two are known late', [1, 0, 2], 5, 2_000],
  // A client that connects again and again with the former password until it is refused.
  ['20 rounds, in which one is always open', Array.from({ length: 30 }, () => 1), 21, 10_000],
])('connections are closed until %s: half a second between two looks', async (_, found, expected, ms) => {
  open = [...found];
  let ended = false;
  const revoking = handler({ Step: 'revoke', SecretId: 'arn:worker' }).finally(() => {
    ended = true;
  });
  await vi.advanceTimersByTimeAsync(ms - 1);
  expect([ended, looks]).toEqual([false, expected - 1]);
  await vi.advanceTimersByTimeAsync(1);
  expect([ended, looks]).toEqual([true, expected]);
  const connectionsClosed = Math.max(0, ...found);
  expect(await revoking).toEqual({ revoked: 'worker_b', current: 'worker', connectionsClosed });
});
