// The limits of IDENTIFY: buckets, the daily total, and what happens beyond it.

import { GatewayOpcodes } from 'discord-api-types/v10';
import { expect, test } from 'vitest';
import { IdentifyLimits } from '../../../local/discord/identify-limits.ts';
import { DEFAULTS } from '../../../local/discord/options.ts';
import type { DiscordSimulator } from '../../../local/discord/simulator.ts';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { GatewayClient } from './gateway-client.ts';

const limits = () => new IdentifyLimits({ ...DEFAULTS, maxConcurrency: 2, dailyIdentifies: 3 }, 0);

test('one IDENTIFY per bucket in five seconds, less 2 %; a refused one is not counted', () => {
  const subject = limits();
  expect(subject.admit(0, 0)).toBe('admitted');
  expect(subject.admit(1, 1)).toBe('admitted');
  expect(subject.admit(2, 4_899)).toEqual({ bucket: 0, sinceMs: 4_899 });
  expect(subject.state(4_899)).toEqual({ total: 3, remaining: 1, reset_after: 86_395_101, max_concurrency: 2 });
  expect(subject.admit(2, 4_900)).toBe('admitted');
});

test('the daily total is spent, and is reset on the next day', () => {
  const subject = limits();
  for (let n = 0; n < 3; n += 1) expect(subject.admit(0, n * 5_000)).toBe('admitted');
  expect(subject.admit(1, 86_399_999)).toBe('exhausted');
  expect(subject.admit(1, 86_400_000)).toBe('admitted');
  expect(subject.state(86_400_001)).toMatchObject({ remaining: 2, reset_after: 86_399_999 });
});

const gatewayBot = ({ apiUrl }: DiscordSimulator, token: string) =>
  fetch(`${apiUrl}/v10/gateway/bot`, { headers: { authorization: `Bot ${token}` } });

test('an IDENTIFY too early in its bucket gets op 9 with d false', async () => {
  const simulator = await startSimulator({ guilds: 4, maxConcurrency: 2, identifyEveryMs: 1_000 });
  await GatewayClient.ready(simulator, { shard: [0, 4] });
  await GatewayClient.ready(simulator, { shard: [1, 4] });
  const early = await GatewayClient.greeted(simulator);
  early.identify({ shard: [2, 4] });
  expect((await early.opcode(GatewayOpcodes.InvalidSession)).d).toBe(false);
  expect(simulator.violations).toMatchObject([
    { code: 9, sentence: expect.stringMatching(/shard 2 sent it \d+ ms after the last of bucket 0; 1000 ms/) },
  ]);
  expect(simulator.count('identify')).toBe(2);
});

test('one IDENTIFY beyond the daily total ends every session and resets the token; RESUMEs do not count', async () => {
  const simulator = await startSimulator({ guilds: 3, dailyIdentifies: 2, maxConcurrency: 4 });
  const before = simulator.token;
  const dropped = await GatewayClient.ready(simulator, { shard: [0, 3] });
  await dropped.leave(simulator);
  const first = await GatewayClient.resumed(simulator, dropped.sessionId, 1);
  const second = await GatewayClient.ready(simulator, { shard: [1, 3] });
  expect(await (await gatewayBot(simulator, before)).json()).toMatchObject({ session_start_limit: { remaining: 0 } });
  const third = await GatewayClient.greeted(simulator);
  third.identify({ shard: [2, 3] });
  expect(await Promise.all([first.closed, second.closed, third.closed])).toEqual([4004, 4004, 4004]);
  expect(simulator.violations).toMatchObject([{ code: 4004, sentence: expect.stringMatching(/all 2 of the day/) }]);
  expect([simulator.count('lost'), simulator.count('tokenReset'), simulator.sessions]).toEqual([2, 1, []]);
  expect((await gatewayBot(simulator, before)).status).toBe(401);
  expect((await gatewayBot(simulator, simulator.token)).status).toBe(200);
});
