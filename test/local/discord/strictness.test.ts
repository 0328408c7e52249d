// Each mistake of a client is closed with Discord's own close code, and recorded in `violations`.

import { GatewayIntentBits, GatewayOpcodes } from 'discord-api-types/v10';
import { expect, test } from 'vitest';
import type { SimulatorOptions } from '../../../local/discord/options.ts';
import { startSimulator } from '../../support/simulator-for-test.ts';
import { GatewayClient, INTENTS } from './gateway-client.ts';

type Wrong = readonly [
  what: string,
  code: number,
  sentence: RegExp,
  act: (client: GatewayClient) => void,
  options?: Partial<SimulatorOptions>,
];

const BEFORE_IDENTIFY: readonly Wrong[] = [
  ['something that is not JSON', 4002, /must be JSON/, ({ socket }) => socket.send('{')],
  ['JSON that is no object', 4002, /must be an object/, ({ socket }) => socket.send('[1]')],
  ['4,097 bytes', 4002, /may have 4096 bytes, this has 4097/, ({ socket }) => socket.send(' '.repeat(4_097))],
  ['an unknown opcode', 4001, /opcode 99/, (client) => client.send(99, null)],
  ['an opcode before IDENTIFY', 4003, /opcode 3 came before/, (client) => client.send(3, {})],
  ['a wrong token', 4004, /IDENTIFY has a .*not the bot's/, (client) => client.identify({ token: 'wrong' })],
  ['no token', 4002, /IDENTIFY needs a token/, (client) => client.identify({ token: undefined })],
  ['no properties', 4002, /needs properties/, (client) => client.identify({ properties: undefined })],
  ['a RESUME with a wrong token', 4004, /not the bot's/, (client) => client.resume('x', 1, { token: 'wrong' })],
  ['a RESUME without a session', 4002, /a session_id/, (client) => client.resume('x', 1, { session_id: 1 })],
  ['a RESUME without a sequence', 4007, /last sequence received, got null/, (client) => client.resume('x', null)],
  ['a shard beyond the count', 4010, /got \[2,2\]/, (client) => client.identify({ shard: [2, 2] })],
  ['a shard that is no pair', 4010, /got "0\/1"/, (client) => client.identify({ shard: '0/1' })],
  [
    'a shard count',
    4010,
    /multiple of 16/,
    (client) => client.identify({ shard: [0, 24] }),
    { shardCountMultiple: 16 },
  ],
  ['too few shards', 4011, /5001 guilds/, (client) => client.identify({ shard: [0, 2] }), { guilds: 5_001 }],
  ['an unknown intent', 4013, /these bits: 524288/, (client) => client.identify({ intents: 1 | (1 << 19) })],
  ['intents beyond 31 bits', 4013, /no intent/, (client) => client.identify({ intents: 2 ** 40 })],
  ['no intents', 4013, /a bit set, got undefined/, (client) => client.identify({ intents: undefined })],
  [
    'intents that were not granted',
    4014,
    /not granted GuildMembers, MessageContent/,
    (client) => client.identify({ intents: INTENTS | GatewayIntentBits.MessageContent }),
    { grantedIntents: 0 },
  ],
  [
    'no heartbeat',
    4000,
    /no heartbeat came for 80 ms; the interval is 50 ms/,
    () => undefined,
    { heartbeatIntervalMs: 50, heartbeatGraceMs: 30 },
  ],
];

/** Opcodes 3, 4, 8 and 31, as Discord documents them. */
const SENDS: readonly (readonly [number, object])[] = [
  [3, { since: null, activities: [{ name: 'x', type: 0 }], status: 'dnd', afk: false }],
  [4, { guild_id: '1', channel_id: null, self_mute: false, self_deaf: false }],
  [8, { guild_id: '1', query: '', limit: 0 }],
  [31, { guild_ids: ['1'] }],
];

/** Mistakes after READY. The last sequence is 3. */
const AFTER_READY: readonly Wrong[] = [
  ["the gateway's own opcode", 4001, /opcode 0/, (client) => client.send(GatewayOpcodes.Dispatch, {})],
  ['a second IDENTIFY', 4005, /IDENTIFY came on .*identified/, (client) => client.identify()],
  ['a late RESUME', 4005, /RESUME came on .*identified/, (client) => client.resume(client.sessionId, 1)],
  ['a heartbeat beyond the last', 4007, /has the sequence 4, but .* last is 3/, (client) => client.heartbeat(4)],
  ['a heartbeat of text', 4002, /a sequence or null/, (client) => client.heartbeat('3')],
  ...SENDS.flatMap(([op, d]) =>
    Object.keys(d).map((name): Wrong => {
      const act = (client: GatewayClient) => client.send(op, { ...d, [name]: {} });
      return [`a faulty ${name} of op ${op}`, 4002, /of opcode \d+ is faulty/, act];
    }),
  ),
  ['121 payloads', 4008, /more than 120 payloads .* within 60 s/, (client) => beat(client, 120)],
];

function beat(client: GatewayClient, times: number): void {
  for (let n = 0; n < times; n += 1) client.heartbeat(1);
}

test.each([
  ...BEFORE_IDENTIFY.map(([...wrong]) => ({ wrong, connect: () => GatewayClient.greeted })),
  ...AFTER_READY.map(([...wrong]) => ({ wrong, connect: () => GatewayClient.ready })),
])('$wrong.0 is closed with $wrong.1', async ({ wrong: [, code, sentence, act, options], connect }) => {
  const simulator = await startSimulator({ guilds: 2, ...options });
  const client = await connect()(simulator);
  act(client);
  expect(await client.closed).toBe(code);
  expect(simulator.violations).toMatchObject([{ code, sentence: expect.stringMatching(sentence) }]);
});

test.each([
  ['v=9&encoding=json', 4012],
  ['v=10&encoding=etf', 4002],
  ['v=10&encoding=json&compress=brotli', 4002],
])('a connection with %s is closed with %i', async (query, code) => {
  const simulator = await startSimulator();
  expect(await new GatewayClient(simulator, query).closed).toBe(code);
  expect(simulator.violations).toMatchObject([{ code }]);
});

test('what Discord accepts is no violation: 120 payloads, presence, older sequences, multiples of a shard count', async () => {
  const simulator = await startSimulator({ guilds: 1, shardCountMultiple: 16, maxConcurrency: 16 });
  const client = await GatewayClient.ready(simulator, { shard: [31, 32] });
  for (const [op, d] of SENDS) client.send(op, d);
  for (const sequence of [null, 0, 1]) client.heartbeat(sequence);
  beat(client, 112);
  await expect.poll(() => simulator.count('heartbeat')).toBe(115);
  expect(simulator.sends.map(({ op }) => op)).toEqual([3, 4, 8, 31]);
  expect(simulator.violations).toEqual([]);
});

test('a heartbeat in time keeps the connection', async () => {
  const simulator = await startSimulator({ guilds: 1, heartbeatIntervalMs: 100, heartbeatGraceMs: 900 });
  const client = await GatewayClient.ready(simulator);
  for (let n = 0; n < 12; n += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    await client.settled();
  }
  expect(simulator.violations).toEqual([]);
});
