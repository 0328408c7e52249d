// The limits of IDENTIFY, as a client meets them: buckets, the daily budget, and what overspending it costs.

import { type APIGatewayBotInfo, GatewayCloseCodes, GatewayOpcodes } from 'discord-api-types/v10';
import { expect, test } from 'vitest';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { GatewayClient } from './gateway-client.ts';

test('an IDENTIFY too early in its bucket gets op 9 with false, and may come again later on the same socket', async () => {
  const simulator = await startSimulator({ guilds: 4, maxConcurrency: 2, identifyEveryMs: 400, identifySlackMs: 0 });
  await GatewayClient.ready(simulator, { shard: [0, 4] });
  const first = performance.now();
  await GatewayClient.ready(simulator, { shard: [1, 4] });
  const early = await GatewayClient.greeted(simulator);
  early.identify({ shard: [2, 4] });
  expect((await early.opcode(GatewayOpcodes.InvalidSession)).d).toBe(false);
  expect(simulator.violations).toHaveLength(1);
  expect(simulator.violations[0]).toMatchObject({
    rule: 'identify too early',
    code: 9,
    sentence: expect.stringMatching(/shard 2 sent IDENTIFY \d+ ms after the last of bucket 0; 400 ms/),
  });
  await simulator.waitUntil('the bucket to be free', () => performance.now() - first > 420);
  early.identify({ shard: [2, 4] });
  await early.dispatch('READY');
  expect(simulator.violations).toHaveLength(1);
  expect(simulator.count('identify')).toBe(3);
});

test('RESUMEs cost nothing', async () => {
  const simulator = await startSimulator({ guilds: 1, dailyIdentifies: 1, identifyEveryMs: 5_000 });
  const client = await GatewayClient.ready(simulator);
  const { id } = client.session;
  await client.drop();
  for (let n = 0; n < 5; n += 1) {
    const again = await GatewayClient.greeted(simulator);
    again.resume(id, 1);
    await again.dispatch('RESUMED');
    await again.drop();
  }
  expect(simulator.violations).toEqual([]);
});

test('one IDENTIFY beyond the budget ends every session, closes everyone and resets the token', async () => {
  const simulator = await startSimulator({ guilds: 3, dailyIdentifies: 2, maxConcurrency: 4 });
  const before = simulator.token;
  const first = await GatewayClient.ready(simulator, { shard: [0, 3] });
  const second = await GatewayClient.ready(simulator, { shard: [1, 3] });
  const third = await GatewayClient.greeted(simulator);
  third.identify({ shard: [2, 3] });
  const codes = (await Promise.all([first.closed, second.closed, third.closed])).map(({ code }) => code);
  expect(codes).toEqual(Array(3).fill(GatewayCloseCodes.AuthenticationFailed));
  expect(simulator.token).not.toBe(before);
  expect(simulator.count('tokenReset')).toBe(1);
  expect(simulator.ledger.lost.map(({ reason }) => reason)).toEqual(['the token was changed', 'the token was changed']);
  expect(simulator.violations.map(({ rule }) => rule)).toEqual(['identify budget']);
  const bot = async (token: string) =>
    (await fetch(`${simulator.apiUrl}/v10/gateway/bot`, { headers: { authorization: `Bot ${token}` } })).status;
  expect([await bot(before), await bot(simulator.token)]).toEqual([401, 200]);
  simulator.renewBudget();
  await GatewayClient.ready(simulator, { shard: [2, 3] });
});

test('the budget comes back by itself', async () => {
  const simulator = await startSimulator({ guilds: 1, dailyIdentifies: 1, identifyBudgetWindowMs: 300 });
  const remaining = async () => {
    const response = await fetch(`${simulator.apiUrl}/v10/gateway/bot`, {
      headers: { authorization: `Bot ${simulator.token}` },
    });
    return ((await response.json()) as APIGatewayBotInfo).session_start_limit;
  };
  await GatewayClient.ready(simulator);
  expect((await remaining()).reset_after).toBeLessThanOrEqual(300);
  const from = performance.now();
  await simulator.waitUntil('the window to pass', () => performance.now() - from > 310);
  expect((await remaining()).remaining).toBe(1);
  await GatewayClient.ready(simulator);
  expect(simulator.violations).toEqual([]);
});

test('a rotated token closes everyone and is the only one from then on; sessions can be kept', async () => {
  const simulator = await startSimulator({ guilds: 1 });
  const client = await GatewayClient.ready(simulator);
  simulator.rotateToken('a-new-token');
  expect((await client.closed).code).toBe(GatewayCloseCodes.AuthenticationFailed);
  const old = await GatewayClient.greeted(simulator);
  old.identify({ token: simulator.options.token });
  expect((await old.closed).code).toBe(GatewayCloseCodes.AuthenticationFailed);
  const kept = await GatewayClient.ready(simulator);
  simulator.rotateToken('another-token', { keepSessions: true });
  await kept.settled();
  await kept.drop();
  const again = await GatewayClient.greeted(simulator);
  again.resume(kept.session.id, 2);
  await again.dispatch('RESUMED');
});
