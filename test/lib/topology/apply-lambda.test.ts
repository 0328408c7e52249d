// What the function reports without a broker. All else: apply-lambda.broker.test.ts.

import type { CdkCustomResourceEvent } from 'aws-lambda';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { MANAGEMENT_ENV } from '../../../lib/management/function-settings.ts';
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

/** Why a topology with a user of this name, who has no secret, is not applied. */
async function refusal(user: string): Promise<string> {
  const { users, ...topology } = discordTopology();
  const wanted = { ...topology, users: users.slice(0, 1).map((one) => ({ ...one, name: user })) };
  const event = { RequestType: 'Create', ResourceProperties: { Topology: toProperties(wanted) } };
  return await handler(event as unknown as CdkCustomResourceEvent, { getRemainingTimeInMillis: () => 60_000 }).then(
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
  expect(whole(long).startsWith(cut)).toBe(true);
  expect(Buffer.byteLength(cut)).toBe(1_500 - (Buffer.byteLength(whole(odd).split(',')[0] ?? '') % 2));
  expect(rest).toBe("(the rest is in the function's log)");
  expect((await refusal(`${fits}a`)).split(' … ')).toEqual([whole(`${fits}a`).slice(0, -1), rest]);
});
