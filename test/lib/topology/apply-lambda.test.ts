// What the function reports, and how long it retries, without a broker. All else: apply-lambda.broker.test.ts.

import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { CdkCustomResourceEvent } from 'aws-lambda';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { MANAGEMENT_ENV } from '../../../lib/management/function-settings.ts';
import {
  ManagementApi,
  ManagementApiError,
  type ManagementApiErrorKind,
} from '../../../lib/management/management-api.ts';
import { handler } from '../../../lib/topology/apply.lambda.ts';
import { toProperties } from '../../../lib/topology/resource-properties.ts';
import { discordTopology } from '../../../lib/topology/topology.ts';

beforeEach(() => {
  vi.stubEnv(MANAGEMENT_ENV.managementUrl, 'https://b-1.mq.eu-central-1.on.aws');
  vi.stubEnv(MANAGEMENT_ENV.administratorSecretArn, 'arn:administrator');
  vi.stubEnv(MANAGEMENT_ENV.loginSecretArns, '{"ingestor":"arn:a"}');
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  onTestFinished(() => void log.mockRestore());
});

/** Why a topology with a user of this name is not applied. Only `ingestor` has a secret. */
async function refusal(user: string, remainingMs = 60_000): Promise<string> {
  const { users, ...topology } = discordTopology();
  const wanted = { ...topology, users: users.slice(0, 1).map((one) => ({ ...one, name: user })) };
  const event = { RequestType: 'Create', ResourceProperties: { Topology: toProperties(wanted) } };
  return await handler(event as unknown as CdkCustomResourceEvent, {
    getRemainingTimeInMillis: () => remainingMs,
  }).then(
    () => expect.unreachable('it was not refused'),
    ({ message }) => message,
  );
}

it.each(['a', 'aa'])('a reason has 1500 bytes at most, and no part of a character: after %s', async (odd) => {
  const whole = (user: string) => `LOGIN_SECRET_ARNS: expected a secret for the user ${user}, got none`;
  const room = 1_500 - Buffer.byteLength(whole(odd));
  const fits = odd.padEnd(odd.length + (room % 2), 'a') + 'é'.repeat(Math.floor(room / 2));
  expect(Buffer.byteLength(whole(fits))).toBe(1_500);
  expect(await refusal(fits)).toBe(whole(fits));
  const long = `${odd}${'é'.repeat(800)}`;
  const [cut = '', rest] = (await refusal(long)).split(' … ');
  expect(console.log).toHaveBeenLastCalledWith(expect.stringContaining(`"${whole(long)}"`));
  expect(whole(long).startsWith(cut)).toBe(true);
  expect(Buffer.byteLength(cut)).toBe(1_500 - (Buffer.byteLength(whole(odd).split(',')[0] ?? '') % 2));
  expect(rest).toBe("(the rest is in the function's log)");
  expect((await refusal(`${fits}a`)).split(' … ')).toEqual([whole(`${fits}a`).slice(0, -1), rest]);
});

it.each<[kind: ManagementApiErrorKind, remaining: number, firstMs: number, attempts: number, endMs: number]>([
  // 15 s are kept for the answer. The pauses are 1, 2, 4, 8 and then 10 s.
  ['unreachable', 40_000, 0, 5, 15_000],
  ['unreachable', 40_001, 0, 6, 25_000],
  // A minute for a login that is refused.
  ['login', 300_000, 5_000, 8, 50_000],
  ['login', 300_000, 4_999, 9, 59_999],
  ['login', 40_000, 0, 5, 15_000],
  ['refused', 300_000, 0, 1, 0],
])('a broker that answers with %s, with %i ms left, the first time after %i ms, is asked %i times', async (...row) => {
  const [kind, remaining, firstMs, attempts, endMs] = row;
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], fakeNodeBuiltins: true });
  onTestFinished(() => void vi.useRealTimers());
  const login = { host: 'b-1', port: 5671, vhost: 'discord', username: 'ingestor', password: 'b' };
  const sent = vi
    .spyOn(SecretsManagerClient.prototype, 'send')
    .mockResolvedValue({ SecretString: JSON.stringify(login) } as never);
  let asked = 0;
  const answer = async () => {
    asked += 1;
    if (asked === 1) await new Promise((resolve) => setTimeout(resolve, firstMs));
    throw new ManagementApiError(kind, 'no answer');
  };
  const asks = (['get', 'find', 'list'] as const).map((call) =>
    vi.spyOn(ManagementApi.prototype, call).mockImplementation(answer),
  );
  onTestFinished(() => {
    for (const spy of [sent, ...asks]) spy.mockRestore();
  });
  const started = Date.now();
  let endedMs: number | undefined;
  const ended = refusal('ingestor', remaining).finally(() => {
    endedMs = Date.now() - started;
  });
  await vi.advanceTimersByTimeAsync(endMs);
  expect({ asked, endedMs }).toEqual({ asked: attempts, endedMs: endMs });
  const givenUp = kind === 'refused' ? '' : ` (given up after ${Math.round(endMs / 1_000)} s)`;
  expect(await ended).toBe(`no answer${givenUp}`);
});
